//! Tables that a sink makes of records that say little: a record's result never depends on those before it.
use crate::program::output;
use dataflow_testkit::servers;
use rusqlite::{Connection, types::Value as Cell};
use serde_json::{Value, json};
use std::fs;

/// Runs a pipeline of these records into a table that is made; its rows as JSON, the causes of its dead letters, and the table.
fn run(records: &[Value], batch: usize, more: &Value) -> (Vec<String>, Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(at("in.jsonl"), lines).unwrap();
    let mut spec = json!({
        "pipelineId": "nulls",
        "source": {"type": "file", "path": at("in.jsonl")},
        "sink": {"type": "sqlite", "path": at("out.db"), "table": "t"},
        "batch": {"maxRecords": batch},
    });
    for (name, value) in more.as_object().unwrap() {
        spec["sink"][name] = value.clone();
    }
    fs::write(at("spec.json"), spec.to_string()).unwrap();
    let data = at("data");
    let (code, _, stderr) = output(&["run", &at("spec.json"), "--data-dir", &data]);
    let (listed, letters, said) = output(&["dead-letters", "list", "nulls", "--data-dir", &data, "--output", "json"]);
    assert_eq!(listed, 0, "{said}");
    let letters: Value = serde_json::from_str(&letters).unwrap();
    let causes: Vec<String> = letters["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| format!("{} {}", letter["code"].as_str().unwrap(), letter["cause"].as_str().unwrap()))
        .collect();
    assert_eq!(code, if causes.is_empty() { 0 } else { 3 }, "{stderr}");
    let Ok(db) = Connection::open(at("out.db")) else { return (Vec::new(), causes, String::new()) };
    let made = db.query_row("select sql from sqlite_schema where name = 't'", [], |row| row.get(0));
    let Ok(made) = made else { return (Vec::new(), causes, String::new()) };
    let (verified, report, said) = output(&["verify", "--data-dir", &data, "--file", &at("spec.json")]);
    assert_eq!(verified, 0, "{report}{said}");
    let mut rows = db.prepare("select * from t").unwrap();
    let names: Vec<String> = rows.column_names().into_iter().map(String::from).collect();
    let cell = |cell| match cell {
        Cell::Null => Value::Null,
        Cell::Integer(value) => json!(value),
        Cell::Real(value) => json!(value),
        Cell::Text(value) => json!(value),
        Cell::Blob(value) => json!(value),
    };
    let row = |row: &rusqlite::Row<'_>| {
        let cells = names.iter().enumerate().map(|(at, name)| Ok((name.clone(), cell(row.get(at)?))));
        let mut cells = cells.collect::<rusqlite::Result<Vec<_>>>()?;
        cells.retain(|(_, cell)| !cell.is_null());
        cells.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Value::Object(cells.into_iter().collect()).to_string())
    };
    let all = rows.query_map([], row).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    (all, causes, made)
}

#[test]
fn a_record_of_nulls_is_a_row_of_nulls_whenever_it_comes() {
    let cases = [
        (vec![json!({"a": null})], vec!["{}"]),
        (vec![json!({"a": null}), json!({"a": 5}), json!({"a": 6.5})], vec!["{}", "{\"a\":5}", "{\"a\":6.5}"]),
        (vec![json!({"a": null, "b": null}), json!({"a": "01", "b": true})], vec!["{}", "{\"a\":\"01\",\"b\":1}"]),
        (vec![json!({"b": 1}), json!({"b": null, "a": null}), json!({"b": null})], vec!["{\"b\":1}", "{}", "{}"]),
    ];
    for (records, rows) in cases {
        for batch in [1, 100] {
            let (found, causes, made) = run(&records, batch, &json!({}));
            assert_eq!(
                (found, causes),
                (rows.iter().map(ToString::to_string).collect(), Vec::new()),
                "{batch}: {made}"
            );
        }
    }
}

/// A field whose values come later counts from its first null on, wherever fields get columns as they come.
#[test]
fn a_field_that_is_null_at_first_is_known() {
    let records = [json!({"x": 1}), json!({"c": null}), json!({"c": null}), json!({"c": 1})];
    for batch in [1, 2, 100] {
        let (found, causes, made) = run(&records, batch, &json!({"unknownFields": "add"}));
        assert_eq!((found.join(" "), causes.len()), ("{\"x\":1} {} {} {\"c\":1}".into(), 0), "{batch}: {made}");
    }
}

/// Which fields the first batch happened to have decides nothing, also not after another start; but a table that is there is its
/// owner's.
#[test]
fn a_field_gets_its_column_whenever_it_comes() {
    let mut records = vec![
        json!({"a": 1}),
        json!({"b": "x"}),
        json!({"a": 2, "c": {"d": [1]}}),
        json!({"z": null}),
        json!({"e": 1.5}),
    ];
    for round in 0..2 {
        let expected = ["{\"a\":1}", "{\"b\":\"x\"}", "{\"a\":2,\"c\":\"{\\\"d\\\":[1]}\"}", "{}", "{\"e\":1.5}"];
        let mut expected = expected.map(String::from);
        if round == 1 {
            expected.reverse();
        }
        for batch in [1, 2, 3, 100] {
            let (found, causes, made) = run(&records, batch, &json!({}));
            assert_eq!((&found[..], causes.len()), (&expected[..], 0), "{batch}: {made}");
        }
        records.reverse();
    }
}

#[test]
fn a_record_without_a_key_is_a_dead_letter_whenever_it_comes() {
    let records = [
        json!({"name": "x"}),
        json!({"id": null, "name": "z"}),
        json!({}),
        json!({"id": 1, "name": "y"}),
        json!({"name": "w"}),
    ];
    for batch in [1, 2, 100] {
        let (rows, causes, made) = run(&records, batch, &json!({"key": "id"}));
        assert_eq!(rows, ["{\"id\":1,\"name\":\"y\"}"], "{batch}: {made}");
        let key = |is: &str| format!("rejected key column id is {is}");
        assert_eq!(causes, [key("missing"), key("null"), key("missing"), key("missing")]);
    }
    // A field that only such records have gets no column.
    let records = [json!({"id": 1}), json!({"b": 2}), json!({"id": 2, "b": null}), json!({"id": null, "c": 3})];
    for batch in [1, 2, 100] {
        let (rows, causes, made) = run(&records, batch, &json!({"key": "id"}));
        assert_eq!((rows, causes.len()), (vec!["{\"id\":1}".into(), "{\"id\":2}".into()], 2), "{batch}: {made}");
        assert_eq!(["id", "b", "c"].map(|name| made.contains(&format!("\"{name}\""))), [true, false, false], "{made}");
    }
    let records = [json!({"a": 1}), json!({"b": 2}), json!({"a": 3, "b": 4})];
    for batch in [1, 100] {
        let (rows, causes, made) = run(&records, batch, &json!({"key": ["a", "b"]}));
        assert_eq!((rows, causes.len()), (vec!["{\"a\":3,\"b\":4}".to_owned()], 2), "{batch}: {made}");
    }
}

/// Nothing is made of records without a key, and that is no failure.
#[test]
fn records_without_a_key_alone_make_no_table() {
    let (rows, causes, made) = run(&[json!({"name": "x"}), json!({"id": null})], 1, &json!({"key": "id"}));
    assert_eq!((rows.len(), causes.len(), made.as_str()), (0, 2, ""));
}

/// SQLite would make up a number for a missing integer key: that of another record.
#[test]
fn no_key_is_made_up() {
    let (rows, causes, made) = run(&[json!({"v": "x"}), json!({"id": 1, "v": "y"})], 100, &json!({"key": "id"}));
    assert_eq!((rows.len(), causes), (1, vec!["rejected key column id is missing".to_owned()]), "{made}");
}

/// What a query says after these commands have run a file into the table `t` of a schema of its own.
async fn in_postgres(case: &str, lines: &str, commands: &[&str], query: &str) -> String {
    let name = format!("nulls_{case}_{}", std::process::id());
    let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
    let (client, connection) = tokio_postgres::connect(config, tokio_postgres::NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { connection.await.unwrap() });
    client.batch_execute(&format!("create schema {name}; set search_path to {name}")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("in.jsonl"), lines).unwrap();
    let settings = format!(
        "[connections.postgres.default]\nurl = \"postgres://dataflow:dataflow@127.0.0.1/dataflow?options=-csearch_path%3D{name}\"\n"
    );
    fs::write(at("settings.toml"), settings).unwrap();
    let spec = json!({
        "pipelineId": "nulls",
        "source": {"type": "file", "path": at("in.jsonl")},
        "sink": {"type": "postgres", "table": "t"},
        "batch": {"maxRecords": 69},
    });
    fs::write(at("spec.json"), spec.to_string()).unwrap();
    let (data, config, file) = (at("data"), at("settings.toml"), at("spec.json"));
    for command in commands {
        let mut args = vec![*command, "--data-dir", &data, "--config", &config];
        args.extend(if *command == "run" { vec![file.as_str()] } else { vec!["--file", &file] });
        let (code, stdout, stderr) = tokio::task::spawn_blocking({
            let args: Vec<String> = args.into_iter().map(String::from).collect();
            move || output(&args.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .await
        .unwrap();
        assert_eq!(code, 0, "{stdout}{stderr}");
    }
    let said: String = client.query_one(query, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("drop schema {name} cascade")).await.unwrap();
    said
}

/// In PostgreSQL a column gets its type with its first value, however many rows of nulls came before.
#[tokio::test]
async fn a_column_of_postgres_waits_for_a_value() {
    if !servers::are_up() {
        return;
    }
    let lines = "{\"a\":null,\"b\":null}\n".repeat(70) + "{\"a\":5}\n{\"a\":6,\"b\":true}\n";
    let rows = "select concat_ws(' ', count(*), sum(a), bool_or(b), max(pg_typeof(a)::text)) from t";
    assert_eq!(in_postgres("waits", &lines, &["run", "verify"], rows).await, "72 11 t bigint");
}

/// It is left out and warned of; progress, which has the warning, goes on.
#[tokio::test]
async fn a_name_that_postgres_can_not_store_holds_nothing_up() {
    if !servers::are_up() {
        return;
    }
    let lines = "{\"id\":1,\"a\\u0000b\":1}\n{\"id\":2}\n";
    assert_eq!(
        in_postgres("names", lines, &["run"], "select string_agg(t::text, ' ' order by id) from t").await,
        "(1) (2)"
    );
}

/// Whether a record writes a row or deletes one, it is refused for a key that it lacks, in the same words with and without a table.
#[test]
fn a_delete_without_a_key_is_refused_as_a_row_is() {
    let records = [
        json!({"op": "d", "name": "x"}),
        json!({"op": "d", "id": null}),
        json!({"op": "u", "name": "z"}),
        json!({"op": "d", "id": 7}),
        json!({"op": "u", "id": 3, "name": null}),
        json!({"op": "u", "id": 4, "name": null}),
        json!({"op": "u", "id": 1, "name": "y"}),
        json!({"op": "d", "name": "w"}),
        json!({"op": "d", "id": 4}),
    ];
    for batch in [1, 2, 3, 100] {
        let (rows, causes, made) = run(&records, batch, &json!({"key": "id", "op": "op"}));
        assert_eq!(rows, [r#"{"id":1,"name":"y","op":"u"}"#, r#"{"id":3,"op":"u"}"#], "{batch}: {made}");
        let key = |is: &str| format!("rejected key column id is {is}");
        assert_eq!(causes, [key("missing"), key("null"), key("missing"), key("missing")], "{batch}");
    }
}

/// A table has at most 1,000 columns by itself: its key is one of them.
#[test]
fn a_key_among_too_many_fields_has_its_column() {
    let wide = |id: u64| {
        let mut record: serde_json::Map<String, Value> = (0..1_200).map(|n| (format!("f{n:04}"), json!(n))).collect();
        record.insert("id".into(), json!(id));
        Value::Object(record)
    };
    let more = json!({"key": "id", "unknownFields": "ignore"});
    let (found, causes, made) = run(&[wide(1), wide(2), json!({"id": 3, "other": 1})], 2, &more);
    assert_eq!(causes, Vec::<String>::new());
    let found: Vec<Value> = found.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(found.iter().map(|row| row["id"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3], "{made}");
    assert_eq!(found[0].as_object().unwrap().len(), 1_000);
}
