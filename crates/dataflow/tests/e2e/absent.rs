//! A field that a record doesn't have is not null, whatever transforms make of it and wherever it goes: what a sink has is what a model
//! says that knows nothing of ours, and `verify` agrees.
use crate::program::output;
use dataflow_testkit::servers;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs};
use tokio_postgres::NoTls;

type Record = Map<String, Value>;
type Model = fn(&Record) -> Record;

/// A field or path of a record: none where it is missing, null where something else than an object is on the way.
fn at<'a>(record: &'a Record, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(record.get(*first)?, |value, name| match value {
        Value::Object(fields) => fields.get(*name),
        _ => Some(&Value::Null),
    })
}

/// Sets a field, or leaves it out where there is no value.
fn put(record: &mut Record, name: &str, value: Option<&Value>) {
    match value.cloned() {
        Some(value) => drop(record.insert(name.into(), value)),
        None => drop(record.remove(name)),
    }
}

fn of(record: &Record, fields: &[(&str, &[&str])]) -> Record {
    let mut made = Record::new();
    fields.iter().for_each(|(name, path)| put(&mut made, name, at(record, path)));
    made
}

/// Transforms, and what they make of a record.
fn cases() -> Vec<(Value, Model)> {
    let case = |transforms: Value, model: Model| (transforms, model);
    let map = |map: Value| {
        let mut map = map;
        map["type"] = json!("map");
        json!([map])
    };
    let sql = |query: &str| json!([{"type": "sql", "query": query}]);
    vec![
        case(json!([]), Record::clone),
        case(map(json!({"set": {"b": "a"}, "remove": ["a", "o"]})), |record| {
            let mut made = record.clone();
            put(&mut made, "b", record.get("a"));
            made.remove("a");
            made.remove("o");
            made
        }),
        case(map(json!({"set": {"city": "o.c", "a": "o.e.f"}})), |record| {
            let mut made = record.clone();
            put(&mut made, "city", at(record, &["o", "c"]));
            put(&mut made, "a", at(record, &["o", "e", "f"]));
            made
        }),
        case(map(json!({"select": ["id", "a", "o"]})), |record| {
            of(record, &[("id", &["id"]), ("a", &["a"]), ("o", &["o"])])
        }),
        case(map(json!({"set": {"city": "a"}, "select": ["id", "city"]})), |record| {
            of(record, &[("id", &["id"]), ("city", &["a"])])
        }),
        case(sql("select id, a, o.c as city, o from input"), |record| {
            of(record, &[("id", &["id"]), ("a", &["a"]), ("city", &["o", "c"]), ("o", &["o"])])
        }),
        case(sql("select * exclude (o), a as b from input"), |record| {
            let mut made = record.clone();
            made.remove("o");
            put(&mut made, "b", record.get("a"));
            made
        }),
        case(
            json!([{"type": "sql", "query": "select id, a as x, o from input"}, {"type": "map", "set": {"b": "x", "city": "o.c"}, "remove": ["x"]}]),
            |record| of(record, &[("id", &["id"]), ("b", &["a"]), ("city", &["o", "c"]), ("o", &["o"])]),
        ),
        case(map(json!({"remove": ["o.c"]})), |record| {
            let mut made = record.clone();
            if let Some(Value::Object(object)) = made.get_mut("o") {
                object.remove("c");
            }
            made
        }),
        case(map(json!({"set": {"p.q": "a"}})), |record| {
            let mut made = record.clone();
            if let Some(a) = record.get("a") {
                made.insert("p".into(), json!({"q": a}));
            }
            made
        }),
        // What is computed is always there.
        case(map(json!({"set": {"b": "upper(a)", "city": "coalesce(o.c, a)"}})), |record| {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(String::from);
            let (a, c) = (text(record.get("a")), text(at(record, &["o", "c"])));
            let mut made = record.clone();
            made.insert("b".into(), json!(a.as_ref().map(|a| a.to_uppercase())));
            made.insert("city".into(), json!(c.or(a)));
            made
        }),
    ]
}

/// Records of few ids, with each kind of value in each field, in an order that looks random.
fn records(seed: u64) -> Vec<Record> {
    let texts = [None, Some(json!(null)), Some(json!("x")), Some(json!("Y y"))];
    let objects = [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!({"c": null})),
        Some(json!({"c": "u"})),
        Some(json!({"c": "v", "e": {"f": "w"}})),
        Some(json!({"e": null})),
        Some(json!({"e": {}})),
        Some(json!("text")),
        Some(json!([1])),
    ];
    let mut state = seed;
    let mut pick = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    let record = |_| {
        let mut record = Record::new();
        record.insert("id".into(), json!(pick(12)));
        put(&mut record, "a", texts[pick(4)].as_ref());
        put(&mut record, "b", texts[pick(4)].as_ref());
        put(&mut record, "o", objects[pick(10)].as_ref());
        record
    };
    (0..120).map(record).collect()
}

/// The rows of a table with these columns, of which b has a default.
fn table(made: &[Record]) -> Vec<Record> {
    let mut rows: BTreeMap<u64, Record> = BTreeMap::new();
    for record in made {
        let row = rows.entry(record["id"].as_u64().unwrap()).or_insert_with(|| {
            ["id", "a", "b", "city", "o", "p"].map(|name| (name.to_owned(), Value::Null)).into_iter().collect()
        });
        if row["id"].is_null() {
            row.insert("b".into(), json!("default"));
        }
        for (name, value) in record {
            row.insert(name.clone(), value.clone());
        }
    }
    rows.into_values().collect()
}

const COLUMNS: &str = "id integer primary key, a text, b text default 'default', city text";

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_field_is_missing_wherever_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let schema = format!("absent_{}", std::process::id());
    let mut postgres = None;
    if servers::are_up() {
        let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
        let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
        tokio::spawn(async move { connection.await.unwrap() });
        client.batch_execute(&format!("create schema {schema}; set search_path to {schema}")).await.unwrap();
        postgres = Some(client);
    }
    let url = format!("postgres://dataflow:dataflow@127.0.0.1:5432/dataflow?options=-csearch_path%3D{schema}");
    fs::write(path("dataflow.toml"), format!("[connections.postgres.default]\nurl = {url:?}\n")).unwrap();
    for (number, (transforms, model)) in cases().into_iter().enumerate() {
        let (came, name) = (records(number as u64), format!("t{number}"));
        let lines: String = came.iter().map(|record| format!("{}\n", Value::Object(record.clone()))).collect();
        fs::write(path("in.jsonl"), lines).unwrap();
        let made: Vec<Record> = came.iter().map(model).collect();
        let run = |kind: &str, sink: Value, batch: usize| {
            let spec = json!({
                "pipelineId": format!("{kind}{number}-{batch}"),
                "source": {"type": "file", "path": path("in.jsonl")},
                "transforms": transforms,
                "sink": sink,
                "batch": {"maxRecords": batch},
            });
            fs::write(path("spec.json"), spec.to_string()).unwrap();
            let (file, data, config) = (path("spec.json"), path("data"), path("dataflow.toml"));
            let of = ["--data-dir", &data, "--config", &config];
            for command in [&["run", &file][..], &["verify", "--file", &file]] {
                let (code, said, why) = tokio::task::block_in_place(|| output(&[command, &of].concat()));
                assert_eq!(code, 0, "{} {spec}: {said}{why}", command[0]);
            }
        };
        let batch = [7, 1_000][number % 2];
        let out = path(&format!("{name}-{batch}.jsonl"));
        run("file", json!({"type": "file", "path": out}), batch);
        let written = fs::read_to_string(&out).unwrap();
        let written: Vec<Record> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for ((came, made), written) in came.iter().zip(&made).zip(&written) {
            assert_eq!(written, made, "{transforms} of {came:?}");
        }
        assert_eq!(written.len(), made.len());

        let db = rusqlite::Connection::open(path("out.db")).unwrap();
        let table_name = format!("{name}_{batch}");
        db.execute_batch(&format!("create table {table_name} ({COLUMNS}, o json, p json)")).unwrap();
        run("sqlite", json!({"type": "sqlite", "path": path("out.db"), "table": table_name, "key": "id"}), batch);
        let sql = format!(
            "select json_object('id', id, 'a', a, 'b', b, 'city', city, 'o', json(o), 'p', json(p)) from {table_name} order by id"
        );
        let mut rows = db.prepare(&sql).unwrap();
        let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let rows: Vec<Record> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(rows, table(&made), "{transforms} of {came:?}");

        if let Some(client) = &postgres {
            client.batch_execute(&format!("create table {table_name} ({COLUMNS}, o jsonb, p jsonb)")).await.unwrap();
            run("postgres", json!({"type": "postgres", "table": table_name, "key": "id"}), batch);
            let rows =
                client.query(&format!("select to_json(t)::text from {table_name} t order by id"), &[]).await.unwrap();
            let rows: Vec<Record> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
            // JSON's null is no NULL, but reads like one.
            assert_eq!(rows, table(&made), "{transforms} of {came:?}");
        }
    }
    if let Some(client) = &postgres {
        client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
    }
}

/// The elements of a list are records of their own: what one lacks is missing, and one that is no object says that it has no field.
#[test]
fn a_field_that_an_element_lacks_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(
        path("in.jsonl"),
        "{\"id\":1,\"l\":[{\"sku\":\"a\"},{\"sku\":null},{},null,5]}\n{\"l\":[{\"sku\":\"b\"}]}\n",
    )
    .unwrap();
    let spec = json!({
        "pipelineId": "elements",
        "source": {"type": "file", "path": path("in.jsonl")},
        "transforms": [
            {"type": "sql", "query": "select id, unnest(l) as item from input"},
            {"type": "map", "set": {"sku": "item.sku", "upper": "upper(item.sku)"}, "remove": ["item"]},
            {"type": "filter", "condition": "id is null or id > 0"}
        ],
        "sink": {"type": "file", "path": path("out.jsonl")},
    });
    fs::write(path("spec.json"), spec.to_string()).unwrap();
    let (code, said, why) = output(&["run", &path("spec.json"), "--data-dir", &path("data")]);
    assert_eq!(code, 0, "{said}{why}");
    let expected = [
        r#"{"id":1,"sku":"a","upper":"A"}"#,
        r#"{"id":1,"sku":null,"upper":null}"#,
        r#"{"id":1,"upper":null}"#,
        r#"{"id":1,"sku":null,"upper":null}"#,
        r#"{"id":1,"sku":null,"upper":null}"#,
        r#"{"sku":"b","upper":"B"}"#,
    ];
    assert_eq!(fs::read_to_string(path("out.jsonl")).unwrap().lines().collect::<Vec<_>>(), expected);
    let (code, said, why) = output(&["verify", "--file", &path("spec.json"), "--data-dir", &path("data")]);
    assert_eq!(code, 0, "{said}{why}");
}
