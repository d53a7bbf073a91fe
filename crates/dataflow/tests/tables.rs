//! A record that comes as the columns of a table arrives as the one that comes as JSON does, wherever JSON can say the same; and what
//! arrived is proven.
#![allow(clippy::unwrap_used)]
mod case;

use case::Case;
use dataflow_engine::region::Action;
use dataflow_testkit::memory::{self, feed};
use serde_json::{Value, json};

/// What a database hands over: numbers with all their digits, points in time, JSON, arrays, bytes; NULL, and a column that is missing.
const ORDERS: [&str; 6] = [
    r#"{"id":1,"amount":12.50,"total":123456789012345678.25,"ratio":0.1,"paid":true,"at":"2026-01-02T03:04:05.678901Z","day":"2026-01-02","uid":"6f9619ff-8b86-d011-b42d-00cf4fc964ff","doc":{"city":"Ulm","zip":[1,2.0]},"tags":["a","b \"c\""],"bytes":"AP8=","note":"ä\\\n😀"}"#,
    r#"{"id":2,"amount":null,"total":null,"ratio":null,"paid":null,"at":null,"day":null,"uid":null,"doc":null,"tags":null,"bytes":null,"note":null}"#,
    r#"{"id":3}"#,
    r#"{"id":-9223372036854775808,"amount":-0.01,"total":0,"ratio":-1e+300,"paid":false,"at":"1969-12-31T23:59:59.999999Z","day":"1969-12-31","uid":"00000000-0000-0000-0000-000000000000","doc":[],"tags":[],"bytes":"","note":""}"#,
    r#"{"id":5,"amount":99999999.99,"note":"gone"}"#,
    r#"{"id":6,"doc":{"city":"Bonn"},"tags":[[1],null]}"#,
];

const TABLE: &str = "create table orders (id bigint primary key, amount decimal(10,2), total text, ratio double, paid boolean, \
    at timestamp, day date, uid uuid, doc json, tags json, bytes blob, note text, city text)";

fn columns() -> Value {
    let types = [
        ("id", "bigint"),
        ("amount", "decimal(10,2)"),
        ("total", "number"),
        ("ratio", "double"),
        ("paid", "boolean"),
        ("at", "timestamp"),
        ("day", "date"),
        ("uid", "uuid"),
        ("doc", "json"),
        ("tags", "json"),
        ("bytes", "binary"),
        ("note", "text"),
    ];
    types.iter().map(|(name, ty)| json!({"name": name, "type": ty})).collect()
}

/// Brings the orders to a sink, and proves that they are there.
async fn arrive(name: &str, columns: Value, sink: Value) {
    memory::forget(name);
    feed(name).push("orders", ORDERS);
    let mut case = Case::new(name, Default::default());
    case.open().await;
    let spec = json!({
        "source": {"type": "memory", "feed": name, "columns": columns},
        "transforms": [
            {"type": "filter", "condition": "note <> 'gone' or note is null"},
            {"type": "map", "set": {"city": "upper(doc.city)", "total": "cast(total as text)"}}
        ],
        "sink": sink,
        "batch": {"maxRecords": 4},
        "checkpointInterval": "10ms"
    });
    case.act(Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    let view = case.until_read(ORDERS.len() as u64).await;
    case.stop().await;
    assert_eq!((view.counters.filtered, view.counters.dead), (1, 0), "{view:#?}");
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    memory::forget(name);
}

#[tokio::test]
async fn a_table_has_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (name, columns) in [("tables-json", json!([])), ("tables-columns", columns())] {
        let path = folder.path().join(name);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(TABLE).unwrap();
        arrive(name, columns, json!({"type": "sqlite", "path": path, "table": "orders", "key": ["id"]})).await;
        let mut rows = db.prepare("select * from orders order by id").unwrap();
        let count = rows.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..count).map(|at| row.get::<_, rusqlite::types::Value>(at)).collect();
        let rows: Vec<Vec<rusqlite::types::Value>> = rows.query_map([], row).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), ORDERS.len() - 1, "{rows:?}");
        found.push(rows);
    }
    assert_eq!(found[0], found[1]);
}

#[tokio::test]
async fn a_file_has_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (name, columns) in [("documents-json", json!([])), ("documents-columns", columns())] {
        let path = folder.path().join(name);
        arrive(name, columns, json!({"type": "file", "path": path})).await;
        found.push(std::fs::read_to_string(&path).unwrap());
    }
    assert_eq!(found[0].lines().count(), ORDERS.len() - 1);
    assert_eq!(found[0], found[1]);
}

/// The types of the columns are those of the source, also of one that has had no value.
#[tokio::test]
async fn a_table_that_is_made_has_the_types_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &'static str, columns: Value| {
        let path = folder.path().join(name);
        async move {
            let sink = json!({"type": "sqlite", "path": path, "table": "orders", "createTable": true});
            arrive(name, columns, sink).await;
            let db = rusqlite::Connection::open(&path).unwrap();
            let mut types = db.prepare("select name || ' ' || lower(type) from pragma_table_info('orders')").unwrap();
            let types = types.query_map([], |row| row.get(0)).unwrap();
            types.map(Result::unwrap).collect::<Vec<String>>()
        }
    };
    let of_columns = made("made-columns", columns()).await;
    let of_json = made("made-json", json!([])).await;
    for column in ["at timestamp", "day date", "bytes blob"] {
        assert!(of_columns.iter().any(|made| made == column), "{column}: {of_columns:?}");
        assert!(!of_json.iter().any(|made| made == column), "{column}: {of_json:?}");
    }
}
