//! `dataflow verify`: what is as it should be is proven, and whatever is not is found, with its place.
use crate::program::{output, start};
use dataflow_core::chunk::ChunkId;
use dataflow_journal::Journal;
use dataflow_journal_sqlite::Sqlite;
use dataflow_testkit::{search::Index, servers};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// A pipeline that `dataflow run` runs from one file to somewhere.
struct Case {
    folder: TempDir,
    spec: Value,
}

impl Case {
    /// 1,000 records, of which each hundredth is dead and each fourth filtered.
    fn to(sink: impl Fn(&Path) -> Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.jsonl");
        fs::write(&input, (0..1_000).map(record).collect::<String>()).unwrap();
        let spec = json!({
            "pipelineId": "one",
            "source": {"type": "file", "path": input},
            "transforms": [{"type": "filter", "condition": "age % 4 <> 3"}],
            "sink": sink(folder.path()),
            "batch": {"maxRecords": 64},
        });
        Self { folder, spec }
    }

    fn to_file(name: &str, more: &Value) -> Self {
        Self::to(|folder| {
            let mut sink = json!({"type": "file", "path": folder.join(name)});
            sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sink
        })
    }

    fn to_sqlite(more: &Value) -> Self {
        Self::to(|folder| {
            let mut sink = json!({"type": "sqlite", "path": folder.join("out.db"), "table": "users"});
            sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sink
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args<'a>(&self, command: &'a str, more: &'a [&'a str]) -> Vec<String> {
        let file = self.path("pipeline.json");
        fs::write(&file, self.spec.to_string()).unwrap();
        let mut args = vec![command.to_owned(), "--data-dir".into(), self.path("data").display().to_string()];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args.push(file.display().to_string());
        args
    }

    fn run(self) -> Self {
        self.run_with(&[])
    }

    fn run_with(self, more: &[&str]) -> Self {
        let args = self.args("run", more);
        let (code, _, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(matches!(code, 0 | 3), "{stderr}");
        self
    }

    fn verify_with(&self, more: &[&str]) -> (i32, Value) {
        let more: Vec<&str> = more.iter().copied().chain(["--output", "json", "--file"]).collect();
        let args = self.args("verify", &more);
        let (code, stdout, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
        (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")))
    }

    fn verify(&self) -> Value {
        let (code, report) = self.verify_with(&[]);
        assert_eq!(
            (code, &report["verified"]),
            if code == 0 { (0, &json!(true)) } else { (1, &json!(false)) },
            "{report:#}"
        );
        report
    }

    fn proven(&self) {
        let report = self.verify();
        assert_eq!(report["verified"], true, "{report:#}");
        let counts = |name: &str| (count(&report["ledger"][name]["expected"]), count(&report["ledger"][name]["found"]));
        assert_eq!(counts("read"), (1_000, 1_000), "{report:#}");
        assert_eq!(counts("dead"), (10, 10));
        assert_eq!(count(&report["deadLetters"]["expected"]), 10);
        assert_eq!(count(&report["expected"]), count(&report["found"]));
        assert_eq!(count(&report["expected"]), 740, "1,000 without 10 dead ones and 250 that are filtered");
    }

    /// The lines of the output are changed, and what is found then is only this, of which the first is returned.
    fn only(&self, finding: &str) -> Value {
        let report = self.verify();
        assert_eq!(report["verified"], false, "{report:#}");
        for kind in ["lost", "doubled", "altered", "unexpected"] {
            assert_eq!(count(&report[kind]["count"]), u64::from(kind == finding), "{kind}: {report:#}");
            assert_eq!(count(&report["deadLetters"][kind]["count"]), 0, "{report:#}");
        }
        report[finding]["examples"][0].clone()
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path("out.db")).unwrap().execute_batch(sql).unwrap();
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn record(number: u64) -> String {
    let id = number + 10_000;
    match number % 100 {
        50 => format!("{{\"id\":{id},\"age\":\"none\"}}\n"),
        _ => format!("{{\"id\":{id},\"age\":{}}}\n", number + 100_000),
    }
}

/// The place of a record in its file.
fn position(number: u64) -> Value {
    json!((0..number).map(|before| record(before).len() as u64).sum::<u64>().to_string())
}

fn change_lines(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(Into::into).collect();
    change(&mut lines);
    // In place: another file would be another one to the pipeline.
    fs::write(path, lines.into_iter().map(|line| line + "\n").collect::<String>()).unwrap();
}

const FILES: [(&str, &str); 2] = [("out.jsonl", "{}"), ("out.csv", r#"{"format": "csv"}"#)];

#[test]
fn files_are_proven() {
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        Case::to_file(name, &json!({})).run().proven();
    }
    for name in ["out.csv", "out.csv.gz"] {
        Case::to_file(name, &json!({"format": "csv"})).run().proven();
    }
}

#[test]
fn lines_that_were_there_before_are_left_alone() {
    let case = Case::to_file("out.jsonl", &json!({}));
    fs::write(case.path("out.jsonl"), "{\"earlier\":1}\nwithout an end").unwrap();
    case.run().proven();
}

#[test]
fn a_lost_line_is_found() {
    for (name, more) in FILES {
        let case = Case::to_file(name, &serde_json::from_str(more).unwrap()).run();
        // Record 4 is the fourth that is written: 3 is filtered.
        let header = usize::from(name == "out.csv");
        change_lines(&case.path(name), |lines| drop(lines.remove(header + 3)));
        let lost = case.only("lost");
        assert_eq!((&lost["partition"], &lost["position"]), (&json!(case.path("in.jsonl")), &position(4)), "{lost:#}");
        assert!(lost["expected"].as_str().unwrap().contains("10004"), "{lost:#}");
    }
}

#[test]
fn a_doubled_line_is_found() {
    for (name, more) in FILES {
        let case = Case::to_file(name, &serde_json::from_str(more).unwrap()).run();
        let header = usize::from(name == "out.csv");
        change_lines(&case.path(name), |lines| lines.push(lines[header + 3].clone()));
        let doubled = case.only("doubled");
        assert_eq!(doubled["position"], position(4), "{doubled:#}");
        assert!(doubled["found"].as_str().unwrap().contains("10004"), "{doubled:#}");
    }
}

#[test]
fn an_altered_line_is_found_with_the_field() {
    for (name, more) in FILES {
        let case = Case::to_file(name, &serde_json::from_str(more).unwrap()).run();
        let header = usize::from(name == "out.csv");
        change_lines(&case.path(name), |lines| lines[header + 3] = lines[header + 3].replace("100004", "100005"));
        let altered = case.only("altered");
        assert_eq!(
            (&altered["position"], &altered["place"]),
            (&position(4), &json!(format!("line {}", header + 4))),
            "{altered:#}"
        );
        assert_eq!(altered["fields"], json!([{"field": "age", "expected": "100004", "found": "100005"}]));
    }
}

#[test]
fn an_unexpected_line_is_found() {
    let case = Case::to_file("out.jsonl", &json!({})).run();
    change_lines(&case.path("out.jsonl"), |lines| lines.insert(3, "{\"id\":1}".into()));
    let unexpected = case.only("unexpected");
    assert_eq!((&unexpected["place"], &unexpected["found"]), (&json!("line 4"), &json!("{\"id\":1}")));
}

#[test]
fn a_line_torn_off_is_found() {
    let case = Case::to_file("out.jsonl", &json!({})).run();
    let path = case.path("out.jsonl");
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    case.only("altered");
}

#[test]
fn a_damaged_frame_is_found() {
    let case = Case::to_file("out.jsonl.gz", &json!({})).run();
    let path = case.path("out.jsonl.gz");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    let report = case.verify();
    assert_eq!(report["verified"], false, "{report:#}");
    assert!(count(&report["lost"]["count"]) + count(&report["altered"]["count"]) > 0, "{report:#}");
}

#[test]
fn tables_are_proven() {
    Case::to_sqlite(&json!({"mode": "append"})).run().proven();
    Case::to_sqlite(&json!({"key": "id"})).run().proven();
}

const TABLES: [&str; 2] = [r#"{"mode": "append"}"#, r#"{"key": "id"}"#];

/// Where a document goes, and under which id, is what expressions say of its record.
#[test]
fn documents_of_computed_ids_and_indices_are_proven() {
    for server in servers::search() {
        let index = Index::new(server);
        let mut sink = index.sink();
        // All indices that fit are read: an expression in front leaves the number at the end, which no other test has.
        let name = sink["index"].as_str().unwrap();
        sink["index"] = json!(name.replacen('i', "{case when id > 0 then 'i' else 'o' end}", 1));
        sink["id"] = json!("id");
        sink.as_object_mut().unwrap().remove("createIndex");
        Case::to(|_| sink.clone()).run().proven();
    }
}

#[test]
fn a_lost_row_is_found() {
    for more in TABLES {
        let case = Case::to_sqlite(&serde_json::from_str(more).unwrap()).run();
        case.sql("delete from users where id = 10004");
        let lost = case.only("lost");
        assert_eq!((&lost["partition"], &lost["position"]), (&json!(case.path("in.jsonl")), &position(4)), "{lost:#}");
    }
}

#[test]
fn an_altered_row_is_found_with_the_column() {
    for more in TABLES {
        let case = Case::to_sqlite(&serde_json::from_str(more).unwrap()).run();
        case.sql("update users set age = 5 where id = 10004");
        let altered = case.only("altered");
        assert_eq!(altered["position"], position(4), "{altered:#}");
        assert_eq!(altered["fields"], json!([{"field": "age", "expected": "100004", "found": "5"}]), "{altered:#}");
    }
}

#[test]
fn a_doubled_row_is_found() {
    let case = Case::to_sqlite(&json!({"mode": "append"})).run();
    case.sql("insert into users select * from users where id = 10004");
    let doubled = case.only("doubled");
    assert_eq!(doubled["position"], position(4), "{doubled:#}");
}

#[test]
fn an_unexpected_row_is_found_and_can_be_allowed() {
    for more in TABLES {
        let case = Case::to_sqlite(&serde_json::from_str(more).unwrap()).run();
        case.sql("insert into users (id, age) values (7, 8)");
        let unexpected = case.only("unexpected");
        assert!(unexpected["found"].as_str().unwrap().contains("id = 7"), "{unexpected:#}");
        let args = case.args("verify", &["--file"]);
        let (_, stdout, _) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(stdout.contains("use --shared"), "{stdout}");
        let (code, report) = case.verify_with(&["--shared"]);
        assert_eq!(
            (code, &report["verified"], count(&report["unexpected"]["count"])),
            (0, &json!(true), 1),
            "{report:#}"
        );
    }
}

#[test]
fn a_table_that_is_gone_has_lost_every_row() {
    let case = Case::to_sqlite(&json!({"mode": "append"})).run();
    case.sql("drop table users");
    let report = case.verify();
    assert!(count(&report["lost"]["count"]) > 700, "{report:#}");
}

#[test]
fn a_token_that_is_gone_is_told() {
    let case = Case::to_sqlite(&json!({"mode": "append"})).run();
    case.sql("delete from dataflow_tokens");
    let report = case.verify();
    assert_eq!(
        (report["verified"].as_bool(), report["tokens"][0]["sink"].is_null()),
        (Some(false), true),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_a_node_is_proven_once_it_is_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "endless",
        "source": {"type": "generate", "rate": 20_000.0, "schema": {"id": {"type": "sequence"}}},
        "transforms": [{"type": "map", "set": {"share": "1000 / (id % 100)"}}],
        "sink": {"type": "file", "path": folder.path().join("out.jsonl")},
    });
    node.create_and_start(&spec).await;
    node.until("endless", "under way", |view| count(&view["metrics"]["recordsDelivered"]) > 3_000).await;
    let verify = || output(&["verify", "endless", "--server", &node.url, "--output", "json"]);
    let (code, stdout, stderr) = tokio::task::block_in_place(verify);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("stop it first"), "{stderr}");
    node.post("/api/pipelines/endless/stop").await;
    let (code, stdout, stderr) = tokio::task::block_in_place(verify);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!((code, &report["verified"]), (0, &json!(true)), "{report:#}");
    assert!(count(&report["deadLetters"]["found"]) >= 30, "{report:#}");
}

/// Changes the stored dead letters of a case.
fn change_letters(case: &Case, change: impl FnOnce(&mut Vec<Value>)) {
    let path = case.path("data/run/one/journal.db");
    let ids: Vec<ChunkId> = {
        let db = rusqlite::Connection::open(&path).unwrap();
        let mut names = db.prepare("SELECT id FROM chunk").unwrap();
        let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.map(|name| ChunkId(name.unwrap().into())).collect()
    };
    let journal = Sqlite::open(&path).unwrap();
    let journal = Journal::new(Arc::new(journal));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut chunks = Vec::new();
        for id in ids {
            chunks.push((journal.chunk(&id).await.unwrap().unwrap(), id));
        }
        let (body, id) = chunks.into_iter().max_by_key(|(body, _)| body.len()).unwrap();
        let mut stored: Value = serde_json::from_slice(&body).unwrap();
        change(stored["letters"].as_array_mut().unwrap());
        journal.remove_chunks(std::slice::from_ref(&id)).await.unwrap();
        journal.put_chunk(&id, serde_json::to_vec(&stored).unwrap().into()).await.unwrap();
    });
}

#[test]
fn dead_letters_that_are_not_as_they_should_be_are_found() {
    let dead = |change: fn(&mut Vec<Value>), finding: &str| {
        let mut case = Case::to_file("out.jsonl", &json!({}));
        case.spec["batch"] = json!({"maxRecords": 1_000});
        let case = case.run();
        change_letters(&case, change);
        let report = case.verify();
        assert_eq!(report["verified"], false, "{report:#}");
        let letters = &report["deadLetters"];
        assert_eq!(count(&letters[finding]["count"]), 1, "{letters:#}");
        letters[finding]["examples"][0].clone()
    };
    // Letter number n is that of record 50 + 100 n.
    let lost = dead(|letters| drop(letters.remove(2)), "lost");
    assert_eq!(lost["position"], position(250), "{lost:#}");
    let doubled = dead(|letters| letters[3] = letters[2].clone(), "doubled");
    assert_eq!(doubled["position"], position(250), "{doubled:#}");
    let altered = dead(|letters| letters[2]["code"] = json!("not-json"), "altered");
    assert_eq!(altered["position"], position(250), "{altered:#}");
    let unexpected = dead(|letters| letters[2]["position"] = json!("0"), "unexpected");
    assert_eq!(unexpected["position"], "0", "{unexpected:#}");
}

/// One whose words are those of another record says what tells the two apart.
#[test]
fn a_dead_letter_of_another_record_says_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The record is in the middle: a file is known by its beginning and by what was read last.
    let around = "{\"id\":1}\n".repeat(1_000);
    let write = |records: &str| fs::write(at("in.jsonl"), format!("{around}{records}{around}")).unwrap();
    write("{\"id\":\"x\" }\n{\"id\":1}\n");
    let spec = json!({
        "pipelineId": "one",
        "source": {"type": "file", "path": at("in.jsonl")},
        "transforms": [{"type": "filter", "condition": "id > 0"}],
        "sink": {"type": "file", "path": at("out.jsonl")},
    });
    fs::write(at("spec.json"), spec.to_string()).unwrap();
    assert_eq!(output(&["run", &at("spec.json"), "--data-dir", &at("data")]).0, 3);
    // A blank less, and one more in the next.
    write("{\"id\":\"x\"}\n {\"id\":1}\n");
    let (_, report, why) = output(&["verify", "--file", &at("spec.json"), "--data-dir", &at("data")]);
    assert!(report.contains("record of 11 bytes") && report.contains("record of 10 bytes"), "{report}{why}");
}

/// What a column took or refused while it had another type can't be proven now, and is held against nobody.
#[test]
fn a_column_that_has_another_type_since_proves_nothing_of_what_was_before() {
    for (before, after) in [("integer", "text"), ("text", "integer")] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let records = ["5", "\"x\"", "null", "\"y\""].into_iter().enumerate();
        let records: String = records.map(|(id, age)| format!("{{\"id\":{id},\"age\":{age}}}\n")).collect();
        fs::write(at("in.jsonl"), records).unwrap();
        let db = rusqlite::Connection::open(at("out.db")).unwrap();
        db.execute_batch(&format!("create table t (id integer primary key, age {before})")).unwrap();
        let spec = json!({
            "pipelineId": "one",
            "source": {"type": "file", "path": at("in.jsonl")},
            "sink": {"type": "sqlite", "path": at("out.db"), "table": "t", "key": "id"},
        });
        fs::write(at("spec.json"), spec.to_string()).unwrap();
        let (code, _, stderr) = output(&["run", &at("spec.json"), "--data-dir", &at("data")]);
        assert!(matches!(code, 0 | 3), "{stderr}");
        let verify = || {
            let (code, report, why) =
                output(&["verify", "--file", &at("spec.json"), "--data-dir", &at("data"), "--output", "json"]);
            (code, serde_json::from_str::<Value>(&report).unwrap_or_else(|_| panic!("{report}{why}")))
        };
        assert_eq!(verify().0, 0, "{:#}", verify().1);
        db.execute_batch(&format!(
            "create table n (id integer primary key, age {after}); insert into n select * from t; drop table t; alter table n rename to t"
        ))
        .unwrap();
        let (code, report) = verify();
        assert_eq!((code, &report["verified"]), (1, &json!(false)), "{report:#}");
        assert!(!report["unverifiable"].as_array().unwrap().is_empty(), "{report:#}");
        for finding in ["lost", "doubled", "altered", "unexpected"] {
            let counts = [&report[finding]["count"], &report["deadLetters"][finding]["count"]];
            assert_eq!(counts.map(count), [0, 0], "{before} {finding}: {report:#}");
        }
    }
}

/// Rows of earlier generations, which are in the same table, are set apart.
#[test]
fn rows_of_earlier_generations_are_not_unexpected() {
    let case = Case::to_sqlite(&json!({"mode": "append"})).run();
    let data = case.path("data").display().to_string();
    let (code, _, stderr) = output(&["checkpoint", "set", "one", "--to", "sink-token", "--data-dir", &data]);
    assert_eq!(code, 0, "{stderr}");
    let more: String = (1_000..1_100).map(record).collect();
    let text = fs::read_to_string(case.path("in.jsonl")).unwrap() + &more;
    fs::write(case.path("in.jsonl"), text).unwrap();
    let case = case.run();
    let report = case.verify();
    assert_eq!((&report["verified"], &report["generation"]), (&json!(false), &json!(2)), "{report:#}");
    assert_eq!(count(&report["unexpected"]["count"]), 0, "{report:#}");
    assert!(count(&report["unattributed"]) > 700, "{report:#}");
    let told = report["unverifiable"][0]["reason"].as_str().unwrap();
    assert!(told.contains("of no record of generation 2, which alone is verified"), "{told}");
    // More of them than were written then are somebody's.
    case.sql("insert into users select * from users");
    assert!(count(&case.verify()["unexpected"]["count"]) + count(&case.verify()["doubled"]["count"]) > 0);
}

#[test]
fn a_file_that_was_replaced_or_cut_is_no_proof() {
    for change in
        [(|path: &Path| fs::write(path, "{\"id\":1,\"age\":1}\n".repeat(5_000)).unwrap()) as fn(&Path), |path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1_000).unwrap()
        }]
    {
        let case = Case::to_sqlite(&json!({"mode": "append"})).run();
        change(&case.path("in.jsonl"));
        let report = case.verify();
        assert_eq!(report["verified"], false, "{report:#}");
        assert_eq!(report["unverifiable"][0]["partition"], json!(case.path("in.jsonl")), "{report:#}");
    }
}

#[test]
fn a_record_that_was_changed_since_is_found() {
    let case = Case::to_sqlite(&json!({"mode": "append"})).run();
    // Far behind the first KiB, by which the file is known.
    let text = fs::read_to_string(case.path("in.jsonl")).unwrap().replace("\"age\":100504", "\"age\":100505");
    fs::write(case.path("in.jsonl"), text).unwrap();
    let altered = case.only("altered");
    assert_eq!(
        (&altered["position"], &altered["fields"][0]["found"]),
        (&position(504), &json!("100504")),
        "{altered:#}"
    );
}

#[test]
fn fields_that_are_made_by_chance_are_not_compared() {
    for sink in ["file", "sqlite"] {
        let mut case = match sink {
            "file" => Case::to_file("out.jsonl", &json!({})),
            _ => Case::to_sqlite(&json!({"mode": "append"})),
        };
        case.spec["transforms"].as_array_mut().unwrap().push(json!({"type": "map", "set": {"luck": "random()"}}));
        let case = case.run();
        case.proven();
        let report = case.verify();
        assert_eq!(report["notCompared"], json!(["luck"]), "{report:#}");
        match sink {
            "file" => change_lines(&case.path("out.jsonl"), |lines| lines[3] = lines[3].replace("100004", "100005")),
            _ => case.sql("update users set age = 100005 where id = 10004"),
        }
        assert_eq!(case.only("altered")["fields"], json!([{"field": "age", "expected": "100004", "found": "100005"}]));
    }
}

#[test]
fn a_filter_by_chance_proves_nothing() {
    let mut case = Case::to_file("out.jsonl", &json!({}));
    case.spec["transforms"].as_array_mut().unwrap().push(json!({"type": "filter", "condition": "random() < 2"}));
    let report = case.run().verify();
    assert!(
        report["unverifiable"][0]["reason"].as_str().unwrap().contains("a different value each time"),
        "{report:#}"
    );
}

#[test]
fn what_the_table_refuses_is_a_dead_letter_that_is_proven() {
    let case = Case::to_sqlite(&json!({"mode": "append"}));
    case.sql("create table users (id integer, age integer check (age <> 100004))");
    let case = case.run();
    let report = case.verify();
    assert_eq!((&report["verified"], &report["deadLetters"]["found"]), (&json!(true), &json!(11)), "{report:#}");
}

#[test]
fn a_second_generation_begins_where_the_first_ended() {
    let mut case = Case::to_file("out.jsonl", &json!({})).run();
    // Another target: a new generation, from where the first one ended.
    case.spec["sink"]["path"] = json!(case.path("more.jsonl"));
    let more: String = (1_000..1_500).map(record).collect();
    let text = fs::read_to_string(case.path("in.jsonl")).unwrap() + &more;
    fs::write(case.path("in.jsonl"), text).unwrap();
    let case = case.run_with(&["--retarget"]);
    let report = case.verify();
    assert_eq!((&report["verified"], &report["generation"]), (&json!(true), &json!(2)), "{report:#}");
    assert_eq!(report["ledger"]["read"], json!({"expected": 500, "found": 500}), "{report:#}");
    assert_eq!(report["deadLetters"]["found"], 5);
}

/// What was lost by choice is in no target, and the verdict says so, also of an earlier generation.
#[test]
fn what_was_lost_by_choice_is_said_in_the_verdict() {
    let mut case = Case::to_file("out.jsonl", &json!({})).run();
    let replace = |case: &Case, numbers: std::ops::Range<u32>| {
        fs::remove_file(case.path("in.jsonl")).unwrap();
        fs::write(case.path("in.jsonl"), numbers.map(|number| record(u64::from(number))).collect::<String>()).unwrap();
    };
    replace(&case, 2_000..2_100);
    case.spec["source"]["onPositionLost"] = json!("latest");
    let mut case = case.run();
    case.spec["sink"]["path"] = json!(case.path("more.jsonl"));
    let text = fs::read_to_string(case.path("in.jsonl")).unwrap();
    let more: String = (2_100..2_200).map(record).collect();
    fs::write(case.path("in.jsonl"), text + &more).unwrap();
    let case = case.run_with(&["--retarget"]);
    let report = case.verify();
    assert_eq!((&report["verified"], &report["generation"]), (&json!(true), &json!(2)), "{report:#}");
    assert_eq!(report["recordsLost"], 100, "{report:#}");
    let args = case.args("verify", &["--file"]);
    let (code, said, _) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(code == 0 && said.contains("lost by choice") && said.contains("100 records"), "{said}");
    assert!(!said.contains("every record"), "{said}");
}

#[test]
fn what_a_pipeline_wrote_is_not_replaced_when_a_generation_starts() {
    let mut case = Case::to_file("out.jsonl", &json!({"ifExists": "replace"}));
    let out = case.path("out.jsonl");
    fs::write(&out, "before\n").unwrap();
    case = case.run();
    let written = fs::read(&out).unwrap();
    assert!(!written.starts_with(b"before"));
    // Another spelling of the same file is another target, and starts a generation.
    case.spec["sink"]["path"] = json!(format!("{}/./out.jsonl", case.folder.path().display()));
    fs::write(case.path("in.jsonl"), fs::read_to_string(case.path("in.jsonl")).unwrap() + &record(1)).unwrap();
    case = case.run();
    let now = fs::read(&out).unwrap();
    assert!(now.len() > written.len() && now.starts_with(&written));
    assert_eq!(case.verify()["generation"], 2);
    fs::File::options().write(true).open(&out).unwrap().set_len(100).unwrap();
    let args = case.args("verify", &["--file"]);
    let (code, _, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(code != 0 && stderr.contains("earlier content is gone"), "{code}: {stderr}");
}

#[test]
fn lines_of_others_are_found_and_not_cut() {
    let case = Case::to_file("out.jsonl", &json!({})).run();
    let out = case.path("out.jsonl");
    let theirs = fs::read_to_string(&out).unwrap() + "{\"theirs\":1}\n";
    fs::write(&out, &theirs).unwrap();
    case.only("unexpected");
    fs::write(case.path("in.jsonl"), fs::read_to_string(case.path("in.jsonl")).unwrap() + &record(0)).unwrap();
    let args = case.args("run", &[]);
    let (code, _, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("somebody else has written"), "{stderr}");
    assert_eq!(fs::read_to_string(&out).unwrap(), theirs);
}

#[test]
fn what_was_done_before_a_change_is_judged_by_the_transforms_of_then() {
    for mut case in [Case::to_file("out.jsonl", &json!({})), Case::to_sqlite(&json!({"mode": "append"}))] {
        let (mut length, input) = (1_000, case.path("in.jsonl"));
        for transforms in [json!([{"type": "map", "set": {"age": "age + 1"}}]), json!([])] {
            case = case.run();
            let more: String = (length..length + 500).map(record).collect();
            fs::write(&input, fs::read_to_string(&input).unwrap() + &more).unwrap();
            (case.spec["transforms"], length) = (transforms, length + 500);
        }
        case = case.run();
        let report = case.verify();
        assert_eq!(
            (&report["verified"], count(&report["ledger"]["read"]["found"])),
            (&json!(true), 2_000),
            "{report:#}"
        );
        // By the transforms of now, or of another time, nothing of it would be as it should.
        assert_eq!(count(&report["ledger"]["filtered"]["found"]), 250, "{report:#}");
    }
}

#[test]
fn what_can_not_be_verified_is_told() {
    let case = Case::to(|_| json!({"type": "blackhole"})).run();
    let args = case.args("verify", &["--file"]);
    let (code, _, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, 1);
    assert!(stderr.contains("blackhole") && stderr.contains("nothing can be proven"), "{stderr}");
    let case = Case::to_file("out.jsonl", &json!({}));
    let args = case.args("verify", &["--file"]);
    let (code, _, stderr) = output(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, 1);
    assert!(stderr.contains("has not run"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_records_are_proven_by_a_file_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "pushed",
        "source": {"type": "http"},
        "transforms": [{"type": "filter", "condition": "id % 3 <> 0"}],
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "pushed", "mode": "append"},
    });
    node.create_and_start(&spec).await;
    let records: Vec<Value> = (0..2_500)
        .map(|id| match id % 100 {
            7 => json!({"data": {"id": "none"}}),
            _ => json!({"id": format!("r{id}"), "data": {"id": id}}),
        })
        .collect();
    for (number, batch) in records.chunks(600).enumerate() {
        let body = json!({"batchId": number.to_string(), "records": batch});
        let (status, answer) = node.request("POST", "/api/pipelines/pushed/batches?wait=delivered", Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(node.post("/api/pipelines/pushed/stop").await.0, 200);
    let file = folder.path().join("records.jsonl");
    let write = |records: &[Value]| {
        fs::write(&file, records.iter().map(|record| format!("{record}\n")).collect::<String>()).unwrap()
    };
    let verify = |more: &[&str]| {
        let args: Vec<&str> = ["verify", "pushed", "--server", &node.url, "--output", "json"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        tokio::task::block_in_place(|| output(&args))
    };
    let (code, _, stderr) = verify(&[]);
    assert!(code == 1 && stderr.contains("--records FILE"), "{stderr}");
    write(&records);
    let (code, stdout, stderr) = verify(&["--records", file.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(
        (code, &report["verified"], &report["deadLetters"]["found"]),
        (0, &json!(true), &json!(25)),
        "{report:#}"
    );
    let folder_of_it = folder.path().to_str().unwrap();
    let (code, _, stderr) = verify(&["--records", folder_of_it]);
    assert!(code == 1 && stderr.contains("no regular file"), "{stderr}");
    // A record that was accepted is not in the table.
    rusqlite::Connection::open(folder.path().join("out.db"))
        .unwrap()
        .execute("delete from pushed where id = 1000", [])
        .unwrap();
    let (code, stdout, _) = verify(&["--records", file.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["lost"]["examples"][0]["position"]), (1, &json!("1000")), "{report:#}");
}

/// A record without data that the sink doesn't take as a delete, beside one that is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_is_a_dead_letter_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "p",
        "source": {"type": "http"},
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "t", "mode": "append"},
    });
    node.create_and_start(&spec).await;
    let records = [json!({"data": {"id": 1}}), json!({"id": "k", "data": null})];
    let body = json!({"batchId": "1", "records": records});
    let (status, answer) = node.request("POST", "/api/pipelines/p/batches?wait=delivered", Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(node.post("/api/pipelines/p/stop").await.0, 200);
    let file = folder.path().join("records.jsonl");
    fs::write(&file, records.map(|record| format!("{record}\n")).concat()).unwrap();
    let args = ["verify", "p", "--server", &node.url, "--output", "json", "--records", file.to_str().unwrap()];
    let (code, stdout, stderr) = tokio::task::block_in_place(|| output(&args));
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let proven = (code, &report["verified"], &report["deadLetters"]["found"]);
    assert_eq!(proven, (0, &json!(true), &json!(1)), "{report:#}");
}
