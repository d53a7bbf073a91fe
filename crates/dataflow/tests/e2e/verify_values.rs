//! `dataflow verify` compares with what the records say: values that were cut, rounded, retyped or emptied on their way
//! are found, and so are fields that never arrived.
use crate::program::{output, query};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// Runs a pipeline over these lines, does something to what it wrote, and verifies it.
fn verified(name: &str, lines: &str, more: &Value, sink: &Value, change: impl FnOnce(&TempDir)) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path(name), lines).unwrap();
    let mut spec = json!({"pipelineId": "one", "source": {"type": "file", "path": path(name)}, "sink": sink, "batch": {"maxRecords": 1}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec["sink"]["path"] = json!(path(spec["sink"]["path"].as_str().unwrap()));
    if name.ends_with(".csv") {
        spec["source"]["format"] = json!("csv");
    }
    if let Some(setup) = spec["sink"].as_object_mut().unwrap().remove("setup") {
        sql(&folder, setup.as_str().unwrap());
    }
    fs::write(path("pipeline.json"), spec.to_string()).unwrap();
    let (data, file) = (path("data").display().to_string(), path("pipeline.json").display().to_string());
    let (code, _, stderr) = output(&["run", "--data-dir", &data, &file]);
    assert!(matches!(code, 0 | 3), "{stderr}");
    change(&folder);
    let (code, stdout, stderr) = output(&["verify", "--data-dir", &data, "--output", "json", "--file", &file]);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")))
}

fn sql(folder: &TempDir, sql: &str) {
    rusqlite::Connection::open(folder.path().join("out.db")).unwrap().execute_batch(sql).unwrap();
}

const RECORDS: &str = concat!(
    r#"{"id":1,"name":"Ann Smith","zip":"00501","price":12.345,"at":"2026-01-02T03:04:05.678Z","day":"2026-01-02","ok":true,"tags":{"b":[1,2],"a":"x"},"raw":7}"#,
    "\n",
    r#"{"id":2,"name":"","zip":"1e5","price":9007199254740993,"at":"2026-01-02 03:04:05+02:00","ok":false,"tags":"x","raw":"7"}"#,
    "\n",
    r#"{"id":3,"name":null,"price":0.1,"raw":[1]}"#,
    "\n"
);
const TABLE: &str = "create table t (id integer, name text, zip text, price numeric, at timestamp, day date, ok boolean, tags json text, raw, unique (id))";

#[test]
fn what_is_as_the_records_say_is_proven() {
    for mode in ["append", "upsert"] {
        let mut sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "mode": mode, "setup": TABLE});
        if mode == "upsert" {
            sink["key"] = json!("id");
        }
        let (code, report) = verified("in.jsonl", RECORDS, &json!({}), &sink, |_| {});
        assert_eq!((code, &report["found"]), (0, &json!(3)), "{report:#}");
    }
}

#[test]
fn a_value_that_was_cut_rounded_retyped_or_emptied_is_found() {
    for (change, id, field) in [
        ("name = substr(name, 1, 3)", 1, "name"),
        ("name = null", 1, "name"),
        ("name = null", 2, "name"),
        ("name = ''", 3, "name"),
        ("name = name || ' '", 1, "name"),
        ("zip = '501'", 1, "zip"),
        ("price = round(price, 2)", 1, "price"),
        ("price = cast(price as real)", 2, "price"),
        ("price = 0", 3, "price"),
        ("at = '2026-01-02T03:04:05Z'", 1, "at"),
        ("at = '2026-01-02T03:04:05Z'", 2, "at"),
        ("day = '2026-01-03'", 1, "day"),
        ("ok = 0", 1, "ok"),
        ("tags = '{\"a\":\"x\",\"b\":[1]}'", 1, "tags"),
        ("tags = 'x'", 2, "tags"),
        ("raw = '7'", 1, "raw"),
        ("raw = 7", 2, "raw"),
        ("raw = x'07'", 2, "raw"),
    ] {
        for mode in ["append", "upsert"] {
            let mut sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "mode": mode, "setup": TABLE});
            if mode == "upsert" {
                sink["key"] = json!("id");
            }
            let change = |folder: &TempDir| sql(folder, &format!("update t set {change} where id = {id}"));
            let (code, report) = verified("in.jsonl", RECORDS, &json!({}), &sink, change);
            let altered = &report["altered"];
            assert_eq!((code, &altered["count"]), (1, &json!(1)), "{field} of {id}, {mode}: {report:#}");
            assert_eq!(altered["examples"][0]["fields"][0]["field"], field, "{report:#}");
        }
    }
}

#[test]
fn a_field_that_has_no_place_is_found_unless_it_is_left_out_on_purpose() {
    let lines = "{\"id\":1}\n{\"id\":2,\"email\":\"a@example.org\"}\n";
    let csv = json!({"type": "file", "path": "out.csv", "format": "csv"});
    let table = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": "create table t (id integer)"});
    for sink in [csv, table] {
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
        let unwritten = &report["unwritten"][0];
        assert_eq!((code, &unwritten["field"], &unwritten["records"]), (1, &json!("email"), &json!(1)), "{report:#}");
        let mut sink = sink;
        sink["unknownFields"] = json!("ignore");
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
        assert_eq!((code, &report["unwritten"][0]["field"]), (0, &json!("email")), "{report:#}");
        sink["unknownFields"] = json!("dead");
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
        assert_eq!((code, &report["deadLetters"]["found"]), (0, &json!(1)), "{report:#}");
    }
}

/// What a CSV field declared as JSON holds is what a JSON record would have there, renamed and in any column.
#[test]
fn json_in_csv_is_what_it_would_be_in_a_json_record() {
    const LINES: &str = "id,j,t\n1,null,null\n2,\"\"\"s\"\"\",\"{\"\"a\"\":1}\"\n3,\"\"\"5\"\"\",7\n4,\"{\"\"a\"\": null, \"\"b\"\":[1.0]}\",x\n5,,\n6,7.50,\"[1\"\n";
    let renamed = json!([{"type": "map", "set": {"k": "j", "inner": "j.a", "made": "coalesce(t, 'none')"}}]);
    let table = json!({"type": "sqlite", "path": "out.db", "table": "t"});
    let own = "create table t (id integer, j json text, t json text, k, inner json, made text)";
    let mut given = table.clone();
    given["setup"] = json!(own);
    let csv = json!({"type": "file", "path": "out.csv", "format": "csv"});
    for (sink, t) in [(table.clone(), "text"), (given, "text"), (csv, "text"), (table, "json")] {
        for transforms in [json!([]), renamed.clone()] {
            let more = json!({"schema": {"id": "bigint", "j": "json", "t": t}, "transforms": transforms});
            let (code, report) = verified("in.csv", LINES, &more, &sink, |folder| {
                if sink["type"] == "sqlite" {
                    let database = folder.path().join("out.db");
                    let nulls = query(&database, "select count(*) from t where j is null");
                    let texts = query(&database, "select count(*) from t where j in ('\"s\"', '\"5\"')");
                    assert_eq!((nulls, texts), (2, 2));
                }
            });
            assert_eq!((code, &report["altered"]["count"]), (0, &json!(0)), "{sink} {more}: {report:#}");
        }
    }
}

#[test]
fn csv_texts_stand_for_what_they_spell() {
    let lines = "id,zip,price\n1,10115,12.50\n2,01067,7\n";
    let sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": "create table t (id integer, zip text, price numeric)"});
    let (code, report) = verified("in.csv", lines, &json!({}), &sink, |_| {});
    assert_eq!(code, 0, "{report:#}");
    let (code, report) =
        verified("in.csv", lines, &json!({}), &sink, |folder| sql(folder, "update t set zip = '1067' where id = 2"));
    assert_eq!((code, &report["altered"]["count"]), (1, &json!(1)), "{report:#}");
}

#[test]
fn a_csv_cell_that_was_emptied_or_changed_is_found() {
    let lines = "{\"id\":1,\"a\":\"\",\"b\":null}\n{\"id\":2,\"a\":\"x, \\\"y\\\"\\n\",\"b\":\"z\"}\n";
    let sink = json!({"type": "file", "path": "out.csv", "format": "csv"});
    let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
    assert_eq!(code, 0, "{report:#}");
    for (from, to) in [("1,\"\",", "1,,"), ("1,\"\",", "1,\"\",\"\""), (",z", ","), ("\n\"", "\""), ("x, ", "x,")] {
        let change = |folder: &TempDir| {
            let path = folder.path().join("out.csv");
            fs::write(&path, fs::read_to_string(&path).unwrap().replacen(from, to, 1)).unwrap();
        };
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, change);
        assert_eq!((code, &report["altered"]["count"]), (1, &json!(1)), "{from:?}: {report:#}");
    }
}

#[test]
fn what_a_neighbour_changed_is_found() {
    let lines = "{\"id\":1,\"balance\":19.99}\n{\"id\":2,\"balance\":0.123456789}\n";
    let more = json!({"transforms": [{"type": "map", "set": {"cents": "cast(balance * 100 as bigint)"}}], "batch": {"maxRecords": 10}});
    let sink = json!({"type": "file", "path": "out.jsonl"});
    let change = |folder: &TempDir| {
        let path = folder.path().join("out.jsonl");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("1999", "1998")).unwrap();
    };
    let (code, report) = verified("in.jsonl", lines, &more, &sink, change);
    assert_eq!((code, &report["altered"]["count"]), (1, &json!(1)), "{report:#}");
    assert_eq!(report["altered"]["examples"][0]["fields"][0]["expected"], "1999", "{report:#}");
}

#[test]
fn a_later_record_that_lacks_a_field_leaves_it_as_it_was() {
    let lines = "{\"id\":1,\"name\":\"Ann\"}\n{\"id\":1,\"age\":7}\n";
    let sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "key": "id",
        "setup": "create table t (id integer primary key, name text, age integer default 3)"});
    let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
    assert_eq!(code, 0, "{report:#}");
    for change in ["name = null", "age = 3"] {
        let change = |folder: &TempDir| sql(folder, &format!("update t set {change}"));
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, change);
        assert_eq!((code, &report["altered"]["count"]), (1, &json!(1)), "{report:#}");
    }
}

/// What is in the table, in the order of the rows.
fn texts(folder: &TempDir, query: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(folder.path().join("out.db")).unwrap();
    let mut statement = db.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Untyped text goes into a column only as it is spelled, whichever way the column got its type, and as what `schema` says.
#[test]
fn text_of_csv_is_never_another_value_in_a_column() {
    let csv = "id,zip\n1,10115\n2,01067\n3,+49\n4,1e5\n5, 7\n6,-1.5\n";
    let kept = ["1 10115", "6 -1.5"];
    let all = ["1 10115", "2 1067", "3 49", "4 100000", "5 7", "6 -1.5"];
    let spelled = ["1 10115", "2 01067", "3 +49", "4 1e5", "5  7", "6 -1.5"];
    let numeric = "create table t (id integer, zip numeric)";
    let text = "create table t (id integer, zip text)";
    for (setup, columns, schema, there) in [
        (numeric, json!(null), json!({}), &kept[..]),
        (numeric, json!({"id": "bigint", "zip": "text"}), json!({}), &kept),
        (numeric, json!({"id": "bigint", "zip": "number"}), json!({}), &kept),
        (numeric, json!(null), json!({"zip": "number"}), &all),
        (numeric, json!(null), json!({"zip": "double"}), &all),
        (numeric, json!(null), json!({"zip": "text"}), &[]),
        ("", json!({"id": "bigint", "zip": "number"}), json!({}), &kept),
        ("", json!(null), json!({"zip": "text"}), &spelled),
        (text, json!(null), json!({}), &spelled),
        (text, json!(null), json!({"zip": "decimal(10,1)"}), &[]),
    ] {
        let case = format!("{setup} {columns} {schema}");
        let mut sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": setup});
        if !columns.is_null() {
            sink["columns"] = columns;
        }
        let mut found = Vec::new();
        let (code, report) = verified("in.csv", csv, &json!({"schema": schema}), &sink, |folder| {
            found = texts(folder, "select id || ' ' || zip from t where zip is not null order by id");
        });
        assert_eq!(found, there, "{case}");
        assert_eq!((code, &report["found"]), (0, &json!(there.len())), "{case} {report:#}");
    }
}

/// A column of JSON takes the text of CSV that is JSON, and a column without a type takes any text.
#[test]
fn text_of_csv_that_is_no_json_does_not_become_json() {
    let csv = "id,j\n1,\"{\"\"a\"\": 1}\"\n2,{a:1}\n3,word\n4,7\n5,\"\"\"x\"\"\"\n6,\"[1,\"\n7,true\n";
    let kept = ["1 {\"a\": 1}", "4 7", "5 \"x\"", "7 true"];
    let all = ["1 {\"a\": 1}", "2 {a:1}", "3 word", "4 7", "5 \"x\"", "6 [1,", "7 true"];
    for (declared, there) in [("json text", &kept[..]), ("json", &kept), ("", &all), ("text", &all)] {
        let setup = format!("create table t (id integer, j {declared})");
        let sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": setup});
        let mut found = Vec::new();
        let (code, report) = verified("in.csv", csv, &json!({}), &sink, |folder| {
            found = texts(folder, "select id || ' ' || j from t order by id");
        });
        assert_eq!(found, there, "{declared}");
        assert_eq!((code, &report["found"]), (0, &json!(there.len())), "{declared} {report:#}");
    }
}

/// A declared type is the type of each value, whatever the sink could hold.
#[test]
fn a_value_that_is_not_of_its_declared_type_is_refused_by_every_sink() {
    let lines = concat!(
        r#"{"id":1,"price":1.25,"at":"2026-01-02T03:04:05+02:00","in":{"n":1}}"#,
        "\n",
        r#"{"id":2,"price":1.239}"#,
        "\n",
        r#"{"id":3,"price":123456789}"#,
        "\n",
        r#"{"id":4,"price":"1.25"}"#,
        "\n",
        r#"{"id":5,"price":1,"at":"yesterday"}"#,
        "\n",
        r#"{"id":6,"price":1,"in":{"n":"x"}}"#,
        "\n",
        r#"{"id":70000,"price":1}"#,
        "\n",
        r#"{"id":8,"price":null}"#,
        "\n",
    );
    let csv = "id,price\n1,1.25\n2,1.239\n3,123456789\n4,x\n70000,1\n8,\n";
    let schema = json!({"id": "smallint", "price": "decimal(8,2)", "at": "timestamp", "in.n": "bigint"});
    let table = "create table t (id integer, price numeric, at text, \"in\" json text)";
    for (name, lines, sink, good) in [
        ("in.jsonl", lines, json!({"type": "sqlite", "path": "out.db", "table": "t"}), 2),
        ("in.jsonl", lines, json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": table}), 2),
        ("in.jsonl", lines, json!({"type": "file", "path": "out.jsonl"}), 2),
        ("in.jsonl", lines, json!({"type": "file", "path": "out.csv", "format": "csv"}), 2),
        ("in.csv", csv, json!({"type": "sqlite", "path": "out.db", "table": "t"}), 2),
        ("in.csv", csv, json!({"type": "file", "path": "out.jsonl"}), 2),
        ("in.csv", csv, json!({"type": "file", "path": "out.csv", "format": "csv"}), 2),
    ] {
        let case = format!("{name} {sink}");
        let (code, report) = verified(name, lines, &json!({"schema": schema}), &sink, |_| {});
        let all = if name == "in.csv" { 6 } else { 8 };
        assert_eq!((code, &report["found"]), (0, &json!(good)), "{case} {report:#}");
        assert_eq!(report["deadLetters"]["found"], json!(all - good), "{case} {report:#}");
        let lenient = json!({"schema": schema, "onTypeMismatch": "null"});
        let (code, report) = verified(name, lines, &lenient, &sink, |folder| {
            if let Ok(written) = fs::read_to_string(folder.path().join("out.jsonl")) {
                for wrong in ["1.239", "123456789", "\"1.25\"", "yesterday", "\"x\"", "70000"] {
                    assert!(!written.contains(wrong), "{case} {written}");
                }
            }
        });
        assert_eq!((code, &report["found"]), (0, &json!(all)), "{case} {report:#}");
    }
}

/// What the database refuses for the sake of other rows is taken at its word, and shown.
#[test]
fn a_foreign_key_that_refuses_a_row_is_not_held_against_the_pipeline() {
    let lines = "{\"id\":1,\"parent\":1}\n{\"id\":2,\"parent\":7}\n";
    let setup = "create table p (id integer primary key); insert into p values (1); \
        create table t (id integer, parent integer references p (id))";
    let sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": setup});
    let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
    assert_eq!((code, &report["deadLetters"]["found"]), (0, &json!(1)), "{report:#}");
    assert_eq!(report["atItsWord"]["count"], 1, "{report:#}");
}

/// A field without a value in any record has nothing that could be missing.
#[test]
fn a_field_that_is_null_in_all_records_needs_no_column() {
    let lines = "{\"id\":1,\"notes\":null}\n{\"id\":2,\"notes\":null}\n";
    for sink in [
        json!({"type": "sqlite", "path": "out.db", "table": "t"}),
        json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": "create table t (id integer)"}),
        json!({"type": "file", "path": "out.csv", "format": "csv", "columns": ["id"]}),
    ] {
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
        assert_eq!((code, &report["found"], &report["unwritten"]), (0, &json!(2), &json!(null)), "{sink} {report:#}");
    }
}

/// A row whose key the table fills by itself can have no other one.
#[test]
fn a_row_gets_its_number_from_the_table() {
    let lines =
        "{\"name\":\"a\"}\n{\"id\":7,\"name\":\"b\"}\n{\"name\":\"a\"}\n{\"name\":\"c\"}\n{\"id\":7,\"name\":\"d\"}\n";
    let setup = "create table t (id integer primary key, name text)";
    let sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": setup});
    let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |_| {});
    assert_eq!((code, &report["expected"], &report["found"]), (0, &json!(4), &json!(4)), "{report:#}");
    for (change, finding) in [
        ("delete from t where name = 'c'", "lost"),
        ("insert into t (name) values ('a')", "unexpected"),
        ("insert into t (name) values ('x')", "unexpected"),
        ("update t set name = 'x' where id = 7", "altered"),
    ] {
        let (code, report) = verified("in.jsonl", lines, &json!({}), &sink, |folder| sql(folder, change));
        assert_eq!((code, &report[finding]["count"]), (1, &json!(1)), "{change}: {report:#}");
    }
}

/// What a column can't hold is NULL if the spec says so, and nothing else is.
#[test]
fn a_value_that_became_null_on_purpose_is_proven() {
    let lines = "{\"id\":1,\"n\":\"x\",\"a\":{\"b\":1.5}}\n{\"id\":2,\"n\":7,\"a\":{\"b\":2}}\n{\"id\":3}\n";
    for key in [json!(null), json!("id")] {
        let setup = "create table t (id integer, n integer, \"a.b\" integer, unique (id))";
        let mut sink = json!({"type": "sqlite", "path": "out.db", "table": "t", "setup": setup});
        if !key.is_null() {
            sink["key"] = key;
        }
        for records in [1, 10] {
            let more = json!({"onTypeMismatch": "null", "batch": {"maxRecords": records}});
            let (code, report) = verified("in.jsonl", lines, &more, &sink, |_| {});
            assert_eq!((code, &report["found"]), (0, &json!(3)), "{report:#}");
            for change in ["n = null where id = 2", "n = 0 where id = 1", "\"a.b\" = null where id = 2"] {
                let change = |folder: &TempDir| sql(folder, &format!("update t set {change}"));
                let (code, report) = verified("in.jsonl", lines, &more, &sink, change);
                assert_eq!((code, &report["altered"]["count"]), (1, &json!(1)), "{report:#}");
            }
        }
    }
}
