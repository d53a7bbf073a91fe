//! `dataflow run FILE`.
use crate::program::{dataflow, output, query, signal_to, wait};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Case {
    folder: TempDir,
}

impl Case {
    fn new(records: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.jsonl"), records).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("out.db")
    }

    fn spec(&self) -> Value {
        json!({
            "pipelineId": "one",
            "source": {"type": "file", "path": self.path("in.jsonl")},
            "transforms": [{"type": "filter", "condition": "age > 18"}],
            "sink": {"type": "sqlite", "path": self.database(), "table": "users", "mode": "append"},
        })
    }

    fn run(&self, spec: &Value) -> (i32, String, String) {
        self.run_with(spec, &[])
    }

    fn run_with(&self, spec: &Value, more: &[&str]) -> (i32, String, String) {
        let file = self.path("pipeline.json");
        fs::write(&file, spec.to_string()).unwrap();
        let data = self.path("data");
        output(&[&["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()], more].concat())
    }

    fn rows(&self) -> i64 {
        query(&self.database(), "SELECT count(*) FROM users")
    }
}

const GOOD: &str = "{\"id\":1,\"age\":20}\n{\"id\":2,\"age\":10}\n{\"id\":3,\"age\":30}\n";

#[test]
fn a_bounded_pipeline_ends_with_0_and_says_so_when_repeated() {
    let case = Case::new(GOOD);
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("3  records read") && stderr.contains("the ledger balances"), "{stderr}");
    assert_eq!(case.rows(), 2);
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("completed") && stderr.contains("nothing to do"), "{stderr}");
    assert_eq!(case.rows(), 2, "repeated without effect");
}

#[test]
fn exported_csv_can_be_mended_and_read_again() {
    let case = Case::new("");
    let mut spec = case.spec();
    let (input, mended) = (case.path("in.csv"), case.path("mended.csv"));
    fs::write(&input, "id;age\r\n1;20\r\n2;old\r\n3;30\r\n4;young\r\n").unwrap();
    spec["source"] = json!({"type": "file", "path": input, "delimiter": ";"});
    spec["transforms"] = json!([]);
    spec["schema"] = json!({"id": "bigint", "age": "bigint"});
    assert_eq!(case.run(&spec).0, 3);
    let data = case.path("data");
    let (code, exported, stderr) = output(&["dead-letters", "export", "one", "--data-dir", data.to_str().unwrap()]);
    assert_eq!((code, exported.replace('\r', "").as_str()), (0, "id;age\n2;old\n4;young\n"), "{stderr}");
    fs::write(&mended, exported.replace("old", "77").replace("young", "7")).unwrap();
    (spec["pipelineId"], spec["source"]["path"]) = (json!("two"), json!(mended));
    let (code, _, stderr) = case.run(&spec);
    assert_eq!((code, case.rows()), (0, 4), "{stderr}");
    assert_eq!(query(&case.database(), "SELECT sum(age) FROM users"), 134);
}

#[test]
fn a_file_that_the_source_reads_is_not_written() {
    let case = Case::new(GOOD);
    let folder = case.folder.path().display().to_string();
    for (source, sink) in [
        (
            json!({"path": format!("{folder}/*.jsonl"), "follow": true}),
            json!({"type": "file", "path": format!("{folder}/out.jsonl")}),
        ),
        (
            json!({"path": case.path("in.jsonl")}),
            json!({"type": "file", "path": format!("{folder}/../{}/in.jsonl", case.folder.path().file_name().unwrap().display())}),
        ),
        (
            json!({"path": format!("{folder}/*")}),
            json!({"type": "sqlite", "path": case.database(), "table": "users", "mode": "append"}),
        ),
        (
            json!({"path": format!("{folder}/out/2026/*.json"), "follow": true}),
            json!({"type": "folder", "folder": format!("{folder}/out")}),
        ),
    ] {
        let mut spec = case.spec();
        spec["source"] = source;
        spec["source"]["type"] = json!("file");
        spec["sink"] = sink;
        let (code, _, stderr) = case.run(&spec);
        assert!(code == 2 && stderr.contains("[reads-own-output]"), "{stderr}");
    }
}

#[test]
fn lines_are_documents_only_with_an_id() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["sink"] = json!({"type": "elasticsearch", "url": "http://127.0.0.1:1", "index": "users"});
    let (code, _, stderr) = case.run(&spec);
    assert!(code == 2 && stderr.contains("[missing-field]") && stderr.contains("meta.id"), "{stderr}");
}

#[test]
fn a_run_goes_on_where_its_checkpoint_was_set() {
    let case = Case::new(GOOD);
    assert_eq!(case.run(&case.spec()).0, 0);
    let data = case.path("data");
    let ask = |args: &[&str]| output(&[&["checkpoint"], args, &["one", "--data-dir", data.to_str().unwrap()]].concat());
    let (code, stdout, stderr) = ask(&["get"]);
    assert!(code == 0 && stdout.contains("in.jsonl"), "{stdout}{stderr}");
    let (code, stdout, stderr) = ask(&["set", "--to", "beginning", "--force"]);
    assert!(code == 0 && stdout.contains("generation  2"), "{stdout}{stderr}");
    assert_eq!(case.run(&case.spec()).0, 0);
    assert_eq!(case.rows(), 4, "all was read once more, as was asked for");
    let (code, _, stderr) = output(&["checkpoint", "get", "none", "--data-dir", data.to_str().unwrap()]);
    assert!(code == 1 && stderr.contains("omit --data-dir"), "{stderr}");
}

#[test]
fn a_failed_run_says_what_is_wrong_once_and_names_no_next_attempt() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["sink"] = json!({"type": "postgres", "url": "postgres://u:${env:NOBODY_SET_THIS}@127.0.0.1:1/x", "table": "t", "mode": "append"});
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(stderr.matches("set NOBODY_SET_THIS in the environment").count(), 1, "{stderr}");
    assert!(!stderr.contains("next attempt") && !stderr.contains("the node"), "{stderr}");
}

#[test]
fn what_follows_from_running_again_is_said() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    assert_eq!(case.run(&spec).0, 0);
    let (_, _, stderr) = case.run(&spec);
    assert!(stderr.contains("empty the table first"), "{stderr}");
    spec["transforms"] = json!([]);
    let (code, _, stderr) = case.run(&spec);
    assert!(code == 0 && stderr.contains("no new records") && stderr.contains("empty the table first"), "{stderr}");
    assert_eq!(case.rows(), 2);
}

#[test]
fn records_without_fields_are_dead_letters_whenever_they_come() {
    for sink in ["sqlite", "file"] {
        let case = Case::new("{}\n{}\n{\"id\":1}\n{}\n");
        let mut spec = case.spec();
        spec["transforms"] = json!([]);
        spec["batch"] = json!({"maxRecords": 1});
        if sink == "file" {
            spec["sink"] = json!({"type": "file", "path": case.path("out.csv"), "format": "csv"});
        }
        let (code, _, stderr) = case.run(&spec);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains("3  dead letters") && stderr.contains("the ledger balances"), "{stderr}");
        match sink {
            "file" => assert_eq!(fs::read_to_string(case.path("out.csv")).unwrap(), "id\n1\n"),
            _ => assert_eq!(case.rows(), 1),
        }
    }
}

#[test]
fn a_changed_pipeline_is_updated_and_goes_on_where_it_was() {
    let case = Case::new(GOOD);
    assert_eq!(case.run(&case.spec()).0, 0);
    let mut spec = case.spec();
    spec["sink"]["table"] = json!("everybody");
    spec["transforms"] = json!([]);
    fs::write(case.path("in.jsonl"), format!("{GOOD}{{\"id\":4,\"age\":7}}\n")).unwrap();
    let (code, _, stderr) = case.run(&spec);
    assert!(code == 1 && stderr.contains("does not have the 2 record") && stderr.contains("--retarget"), "{stderr}");
    let (code, _, stderr) = case.run_with(&spec, &["--retarget"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("continues from its checkpoint") && stderr.contains("4  records read"), "{stderr}");
    assert_eq!(query(&case.database(), "SELECT count(*) FROM everybody"), 1);
    spec["sink"]["table"] = json!("all_again");
    let (code, _, stderr) = case.run_with(&spec, &["--from", "beginning"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(query(&case.database(), "SELECT count(*) FROM all_again"), 4);
    assert_eq!(case.rows(), 2);
}

#[test]
fn dead_letters_make_it_end_with_3() {
    let case = Case::new("{\"id\":1,\"age\":20}\nnot json\n{\"id\":3,\"age\":\"old\"}\n");
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("2  dead letters"), "{stderr}");
    assert_eq!(case.rows(), 1);
}

const DIRTY: &str = "{\"id\":1,\"age\":20,\"zip\":1}\nnot json\n{\"id\":3,\"age\":\"old\"}\n{\"id\":4,\"age\":\"young\"}\n{\"id\":5,\"age\":30,\"zip\":2}\n";

/// Records that leave a dead letter of two causes each, and a field that the table has no column for.
fn dirty() -> (Case, Value) {
    let case = Case::new(DIRTY);
    let mut spec = case.spec();
    spec["sink"]["columns"] = json!(["id", "age"]);
    let table = rusqlite::Connection::open(case.database()).unwrap();
    table.execute_batch("CREATE TABLE users (id INTEGER, age INTEGER)").unwrap();
    spec["sink"].as_object_mut().unwrap().shift_remove("columns");
    (case, spec)
}

#[test]
fn warnings_and_causes_of_dead_letters_are_shown_with_what_to_do() {
    let (case, spec) = dirty();
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 3, "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines.last().unwrap().ends_with("; 1 warning"), "{stderr}");
    assert!(stderr.contains("warning: the sink has no column zip") && stderr.contains("(2 records)"), "{stderr}");
    let at = lines.iter().position(|line| line.starts_with("dead letters by cause")).expect(&stderr);
    assert!(lines[at + 1].starts_with("  2  field \"age\" has the string \"old\""), "{stderr}");
    assert!(lines[at + 2].contains("the first: number 2, ") && lines[at + 2].contains("in.jsonl at "), "{stderr}");
    assert!(lines[at + 3].starts_with("  1  ") && lines[at + 3].contains("[decode, not-json]"), "{stderr}");
    // What it says can be done, can be done.
    let command = lines.iter().find_map(|line| line.trim().strip_prefix("list them: dataflow ")).expect(&stderr);
    let (code, stdout, stderr) = output(&command.split(' ').collect::<Vec<_>>());
    assert_eq!((code, stdout.lines().count()), (0, 4), "{stdout}{stderr}");
    assert!(stdout.contains("not-json") && stdout.contains("transforms[0]"), "{stdout}");
}

#[test]
fn the_summary_for_programs_has_warnings_and_causes() {
    let (case, spec) = dirty();
    fs::write(case.path("pipeline.json"), spec.to_string()).unwrap();
    let (file, data) = (case.path("pipeline.json"), case.path("data"));
    let run = ["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap(), "--output", "json"];
    let (code, stdout, stderr) = output(&run);
    assert_eq!(code, 3, "{stderr}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(summary["warnings"][0]["records"], 2, "{summary:#}");
    let causes = &summary["deadLettersByCause"];
    assert_eq!((&causes["counted"], &causes["items"][0]["records"]), (&json!(3), &json!(2)), "{summary:#}");
    assert_eq!(causes["items"][0]["example"]["number"], 2, "{summary:#}");
}

#[test]
fn dead_letters_of_a_run_are_at_hand_without_a_node() {
    let (case, spec) = dirty();
    assert_eq!(case.run(&spec).0, 3);
    let data = case.path("data");
    let ask = |args: &[&str]| output(&[&["dead-letters"], args, &["--data-dir", data.to_str().unwrap()]].concat());
    let (code, stdout, stderr) = ask(&["get", "one", "1"]);
    assert!(code == 0 && stdout.contains("original   not json"), "{stdout}{stderr}");
    let (code, stdout, _) = ask(&["list", "one", "--after", "1", "--limit", "1", "--output", "json"]);
    let page: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &page["items"][0]["number"], &page["next"]), (0, &json!(2), &json!("2")), "{page:#}");
    let (code, stdout, _) = ask(&["causes", "one"]);
    assert!(code == 0 && stdout.contains("the first: number 2"), "{stdout}");
    let (code, stdout, stderr) = ask(&["export", "one"]);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "not json\n{\"id\":3,\"age\":\"old\"}\n{\"id\":4,\"age\":\"young\"}\n"),
        "{stderr}"
    );
    let (code, stdout, stderr) = ask(&["export", "one", "--partition", "typo"]);
    assert!(code == 1 && stdout.is_empty() && stderr.contains("no partition \"typo\""), "{stdout}{stderr}");
    assert!(stderr.contains("in.jsonl"), "{stderr}");
    for (args, expected) in [(["get", "one", "9"], "no dead letter 9"), (["get", "two", "1"], "no pipeline \"two\"")] {
        let (code, _, stderr) = ask(&args);
        assert!(code == 1 && stderr.contains(expected), "{stderr}");
    }
    assert!(!data.join("run/two").exists(), "who only asks leaves nothing behind");
}

#[test]
fn a_folder_that_a_run_has_open_is_told_with_the_process() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["source"] = json!({"type": "generate", "rate": 10, "schema": {"age": {"type": "sequence"}}});
    let (file, data) = (case.path("endless.json"), case.path("data"));
    fs::write(&file, spec.to_string()).unwrap();
    let run = ["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let mut child = dataflow(&run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while fs::read_to_string(data.join("run/one/lock")).unwrap_or_default().is_empty()
        || !data.join("run/one/journal.db").exists()
    {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, _, stderr) = output(&["dead-letters", "list", "one", "--data-dir", data.to_str().unwrap()]);
    assert!(code == 1 && stderr.contains(&format!("in use by process {}", child.id())), "{stderr}");
    signal_to(&child, "TERM");
    assert_eq!(wait(&mut child).code(), Some(143));
}

#[test]
fn a_wrong_file_ends_with_2_and_leaves_nothing_behind() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["transforms"][0]["condition"] = json!("age >");
    spec["sink"]["tabel"] = json!("x");
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("transforms[0].condition") && stderr.contains("sink.tabel"), "{stderr}");
    assert!(!case.path("data").exists());
    for (name, text) in [("pipeline.yaml", "a: [b"), ("pipeline.json", "{"), ("list.json", "[]")] {
        fs::write(case.path(name), text).unwrap();
        let (code, _, stderr) = output(&["run", case.path(name).to_str().unwrap()]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(name), "{stderr}");
    }
    assert_eq!(output(&["run", "/no/such/file.yaml"]).0, 2);
}

#[test]
fn a_source_that_needs_a_listener_is_refused() {
    let case = Case::new("");
    let mut spec = case.spec();
    spec["source"] = json!({"type": "http"});
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no listener") && stderr.contains("dataflow serve"), "{stderr}");
    assert!(!case.path("data").exists());
}

#[test]
fn a_source_that_is_not_there_ends_with_1() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["source"]["path"] = json!(case.path("missing.jsonl"));
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("missing.jsonl"), "{stderr}");
}

#[test]
fn ctrl_c_settles_and_the_next_run_goes_on() {
    let case = Case::new(GOOD);
    let file = case.path("pipeline.yaml");
    // Endless, so that it does not end by itself however late the signal comes.
    let spec = format!(
        "pipelineId: endless\nsource: {{type: generate, rate: 15000, schema: {{id: {{type: sequence}}}}}}\n\
         sink: {{type: sqlite, path: {}, table: users, mode: append}}\nbatch: {{maxRecords: 100, linger: 5ms}}\n",
        case.database().display()
    );
    fs::write(&file, spec).unwrap();
    let args = ["run", file.to_str().unwrap(), "--data-dir", case.path("data").to_str().unwrap()].map(str::to_owned);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut written = 0;
    for _ in 0..2 {
        let mut child = dataflow(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until_rows(&case.database(), written + 1_000);
        signal_to(&child, "INT");
        assert_eq!(wait(&mut child).code(), Some(130));
        written = case.rows();
        // From the first record on, each once.
        assert_eq!(query(&case.database(), "SELECT count(DISTINCT id) FROM users"), written);
        assert_eq!(query(&case.database(), "SELECT max(id) FROM users"), written - 1);
    }
}

fn until_rows(database: &Path, wanted: i64) {
    let begun = Instant::now();
    let written = || {
        let open = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        open.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0)).ok()
    };
    while written().unwrap_or(0) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(60), "{wanted} rows are not written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_csv_file_is_written_as_it_stands_however_it_is_cut() {
    let case = Case::new("");
    fs::write(case.path("in.csv"), "id,zip,phone\n1,10115,49301\n2,01067,+49351\n3,5,6\n").unwrap();
    for (name, schema, expected) in [
        // A column of numbers does not take what is more than a number.
        ("learned", json!({}), "1|10115|49301 3|5|6"),
        ("declared", json!({"zip": "text", "phone": "text"}), "1|10115|49301 2|01067|+49351 3|5|6"),
    ] {
        let spec = json!({
            "pipelineId": name,
            "batch": {"maxRecords": 1},
            "schema": schema,
            "source": {"type": "file", "path": case.path("in.csv")},
            "sink": {"type": "sqlite", "path": case.database(), "table": name},
        });
        let (code, _, stderr) = case.run(&spec);
        assert_eq!(code, if name == "learned" { 3 } else { 0 }, "{stderr}");
        let rows = format!("SELECT group_concat(id || '|' || zip || '|' || phone, ' ') FROM {name}");
        assert_eq!(text(&case.database(), &rows), expected);
    }
}

fn text(database: &Path, query: &str) -> String {
    rusqlite::Connection::open(database).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}
