//! Which rows come, in which order, and from where reading goes on.
use super::{File, JOURNALS};
use crate::{all, context, open, read, source, values};
use dataflow_core::position::Position;
use dataflow_sdk::{Error, source::Edge};
use dataflow_testkit::conformance;
use serde_json::{Value, json};

#[tokio::test]
async fn a_table_is_read_once_from_any_position() {
    let file = File::fresh("wal");
    file.run(
        "create table \"Or \"\"ders\" (region text, nr int, note, primary key (region, nr)); \
         with recursive n(n) as (select 1 union all select n + 1 from n where n < 200) \
         insert into \"Or \"\"ders\" select 'r' || (n % 3), n, case when n % 7 > 0 then 'it''s \\ ' || n end from n",
    );
    let config = file.source(json!({"table": "Or \"ders", "mode": "bulk"}));
    let rows = all(config.clone()).await;
    let mut statement = file
        .connection
        .prepare(
            "select json_object('region', region, 'nr', nr, 'note', note) from \"Or \"\"ders\" order by region, nr",
        )
        .unwrap();
    let expected = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let expected: Vec<Value> = expected.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect();
    assert_eq!(rows, expected);

    let (source, mut cx) = (source(config), context());
    cx.batch.max_records = 50;
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let records = read(&mut *reader).await.unwrap();
    assert_eq!(records.len(), 50);
    assert_eq!(records.id(3), r#"["r0","12"]"#);
    for row in [0, 1, 49] {
        let mut again = open(&*source, &cx, Some(records.before(row))).await.unwrap();
        assert_eq!(values(&read(&mut *again).await.unwrap())[0], rows[row], "from {:?}", records.before(row));
    }
    let mut next = open(&*source, &cx, Some(records.to.clone())).await.unwrap();
    assert_eq!(values(&read(&mut *next).await.unwrap())[0], rows[50]);
    assert_eq!(&*records.to.at, "[50,\"r0\",150]");
    let end = source.resolve(&cx, &Edge::End).await.unwrap().remove("Or \"ders").unwrap();
    assert_eq!((&*end.at, source.between(Some(&records.to), &end)), ("[200,\"r2\",200]", Some(150)));
    assert!(read(&mut *open(&*source, &cx, Some(end)).await.unwrap()).await.is_none());
}

#[tokio::test]
async fn it_conforms_in_every_mode() {
    for journal in JOURNALS {
        let file = File::fresh(journal);
        file.run(
            "create table t (id integer primary key autoincrement, at text not null default current_timestamp, n real); \
             insert into t (id, at, n) values (-5, '2026-01-01 00:00:00', -1.5); \
             with recursive n(n) as (select 1 union all select n + 1 from n where n < 30) \
             insert into t (at, n) select datetime('2026-01-01', (n / 5) || ' seconds'), n * 1.25 from n",
        );
        let mut statement =
            file.connection.prepare("select json_object('id', id, 'at', at, 'n', n) from t order by id").unwrap();
        let expected = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let expected: Vec<Value> = expected.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect();
        assert_eq!(expected[0], json!({"id": -5, "at": "2026-01-01 00:00:00", "n": -1.5}));
        for mode in [
            json!({"table": "t", "mode": "bulk"}),
            json!({"query": "select * from t", "mode": "bulk", "keyColumns": ["n"]}),
            json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"}),
            json!({"query": "select t.* from t left join t u on u.id = t.id", "mode": "incrementing", "incrementingColumn": "id"}),
            json!({"table": "t", "mode": "timestamp", "timestampColumn": "at"}),
            json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"}),
            json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id", "delay": "1ms", "fetchSize": 4}),
        ] {
            println!("{journal} {mode}");
            conformance::places(&*source(file.source(mode)), &expected).await;
        }
    }
}

/// Whatever types keys have, in the order of their collation, from each part to the next.
#[tokio::test]
async fn keys_of_every_kind_are_in_sqlites_order() {
    let file = File::fresh("wal");
    file.run(
        "create table mixed (k primary key, nr integer) without rowid; \
         insert into mixed values (1, 1), (2.5, 2), (-3e300, 3), ('1', 4), ('a', 5), ('A', 6), ('', 7), (x'', 8), (x'00ff', 9), (9223372036854775807, 10), ('ä' || char(0) || 'b', 11); \
         create table folded (k text collate nocase primary key, nr integer); \
         insert into folded values ('b', 1), ('A', 2), ('C', 3), ('Ä', 4), ('ä', 5), ('_', 6); \
         create table trimmed (k text collate rtrim, nr integer, primary key (k, nr)); \
         insert into trimmed values ('a ', 2), ('a', 1), ('a  ', 3), ('b', 0); \
         create view seen as select k collate nocase as k, nr from mixed where typeof(k) = 'text' and k <> 'A'",
    );
    for (table, keys) in [
        ("mixed", json!(["k"])),
        ("folded", json!(["k"])),
        ("trimmed", json!(["k", "nr"])),
        ("seen", json!(["k"])),
        ("mixed", json!(["nr"])),
    ] {
        let order: Vec<_> = keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let sql = format!("select nr from {table} order by {}", order.join(", "));
        let mut statement = file.connection.prepare(&sql).unwrap();
        let expected: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let source = source(file.source(json!({"table": table, "mode": "bulk", "keyColumns": keys})));
        let mut cx = context();
        for most in [1, 2, 100] {
            cx.batch.max_records = most;
            let (mut found, mut at): (Vec<i64>, Option<Position>) = Default::default();
            // Each part by another reader, from its position as text.
            while let Some(records) = read(&mut *open(&*source, &cx, at.clone()).await.unwrap()).await {
                found.extend(values(&records).iter().map(|row| row["nr"].as_i64().unwrap()));
                at = Some(records.to.clone());
            }
            assert_eq!(found, expected, "{table} in parts of {most}");
        }
    }
}

#[tokio::test]
async fn keys_that_tell_no_row_are_noticed() {
    let file = File::fresh("wal");
    file.run(
        "create table t (a, b); insert into t values (1, 'x'), (2, 'y'), (2, 'z'), (null, 'n'); \
         create table folded (k text collate nocase); insert into folded values ('Ab'), ('aB'), ('c'), ('C '); \
         create table kinds (k); insert into kinds values (1), (1.0), (2); \
         create table odd (k); insert into odd values (9e999), (cast(x'ff' as text))",
    );
    for (query, key, code) in [
        ("select * from t where a > 0", "a", "duplicate-key"),
        ("select * from t where b <> 'z'", "a", "null-key"),
        ("select * from folded", "k", "duplicate-key"),
        ("select * from kinds", "k", "duplicate-key"),
        ("select * from odd", "k", "null-key"),
        ("select * from odd where k > ''", "k", "null-key"),
    ] {
        let config = file.source(json!({"query": query, "mode": "bulk", "keyColumns": [key]}));
        let source = source(config);
        for most in [1, 100] {
            let mut cx = context();
            cx.batch.max_records = most;
            let mut reader = open(&*source, &cx, None).await.unwrap();
            let failed = loop {
                match reader.read().await {
                    Ok(dataflow_sdk::source::Read::Records(_)) => {}
                    other => break other,
                }
            };
            assert!(matches!(&failed, Err(Error::Fatal { code: found, .. }) if *found == code), "{query}: {failed:?}");
        }
    }
    let case = "select k from folded where k collate binary in ('Ab', 'C ')";
    assert_eq!(all(file.source(json!({"query": case, "mode": "bulk", "keyColumns": ["k"]}))).await.len(), 2);
    let binary = "select k collate binary as k from folded";
    assert_eq!(all(file.source(json!({"query": binary, "mode": "bulk", "keyColumns": ["k"]}))).await.len(), 4);
    let query = "select b as name, count(*) as n from t group by b";
    let rows = all(file.source(json!({"query": query, "mode": "bulk", "keyColumns": ["name"]}))).await;
    assert_eq!((rows.len(), &rows[0]), (4, &json!({"name": "n", "n": 1})));
}

#[tokio::test]
async fn values_are_what_is_stored() {
    let file = File::fresh("wal");
    file.run(
        "create table t (id integer primary key, a, b boolean, d date, r real); \
         insert into t values (1, 9007199254740993, true, '2026-01-02', 1), (2, 0.1, 'yes', 20260102, 5e-324), \
           (3, 'it''s' || char(0, 10, 34) || '😀', 0, null, 9e999), (4, x'00ff10', 1.5, x'', -9e999), (5, null, 2, -0.0, -0.0), (6, 1e19, 1.0, 1.0, 1e15)",
    );
    let rows = all(file.source(json!({"table": "t", "mode": "bulk"}))).await;
    let expected = json!([
        {"id": 1, "a": 9_007_199_254_740_993_i64, "b": 1, "d": "2026-01-02", "r": 1.0},
        {"id": 2, "a": 0.1, "b": "yes", "d": 20_260_102, "r": 5e-324},
        {"id": 3, "a": "it's\0\n\"😀", "b": 0, "d": null, "r": "Infinity"},
        {"id": 4, "a": "AP8Q", "b": 1.5, "d": "", "r": "-Infinity"},
        {"id": 5, "a": null, "b": 2, "d": 0, "r": -0.0},
        {"id": 6, "a": 1e19, "b": 1, "d": 1, "r": 1e15},
    ]);
    assert_eq!(Value::from(rows), expected);
}

#[tokio::test]
async fn wide_rows_are_read_in_small_parts() {
    let file = File::fresh("wal");
    file.run("create table t (id integer primary key, wide text); with recursive n(n) as (select 1 union all select n + 1 from n where n < 300) insert into t select n, printf('%.*c', 100000, 'x') from n");
    let (source, mut cx) = (source(file.source(json!({"table": "t", "mode": "bulk"}))), context());
    cx.batch.max_bytes = 1 << 20;
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(records) = read(&mut *reader).await {
        sizes.push(records.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 300);
    assert!(sizes.iter().all(|rows| *rows <= 11), "{sizes:?}");
}

#[tokio::test]
async fn positions_that_users_name_are_checked() {
    let file = File::fresh("wal");
    file.run("create table t (id integer primary key autoincrement); with recursive n(n) as (select 1 union all select n + 1 from n where n < 100) insert into t select n from n");
    let source = source(file.source(json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"})));
    let cx = context();
    let place = async |partition: &str, at: &str| {
        source.place(&cx, &Default::default(), &[(partition.to_owned(), at.to_owned())].into()).await.unwrap()
    };
    let found = place("t", "[7,42]").await.unwrap();
    assert_eq!(&*found["t"].at, "[42,42]", "how many rows are before it, the table says");
    let records = read(&mut *open(&*source, &cx, found.get("t").cloned()).await.unwrap()).await.unwrap();
    assert_eq!(values(&records)[0], json!({"id": 43}));
    assert_eq!(&*place("t", "[0]").await.unwrap()["t"].at, "[0]");
    for (partition, at, code) in [
        ("t", "42", "bad-position"),
        ("t", "[1,\"x\"]", "bad-position"),
        ("t", "[1,2.5]", "bad-position"),
        ("t", "[1,2,3]", "bad-position"),
        ("u", "[0]", "unknown-partition"),
    ] {
        assert_eq!(place(partition, at).await.unwrap_err()[0].code, code, "{partition} {at}");
    }
    let bad = open(&*source, &cx, Some(Position::offset(7))).await.err();
    assert!(matches!(bad, Some(Error::Fatal { code: "bad-position", .. })), "{bad:?}");
}

#[tokio::test]
async fn a_key_without_an_index_is_told_of() {
    let file = File::fresh("wal");
    file.run("create table t (a integer, b integer); insert into t values (2, 1), (1, 2)");
    let source = source(file.source(json!({"table": "t", "mode": "bulk", "keyColumns": ["a", "b"]})));
    let cx = context();
    let mut reader = open(&*source, &cx, None).await.unwrap();
    assert_eq!(values(&read(&mut *reader).await.unwrap())[0], json!({"a": 1, "b": 2}));
    let told = reader.warnings();
    let told: Vec<_> = told.iter().filter_map(|notice| notice.holding()).map(|told| told.code.as_str()).collect();
    assert_eq!(told, ["no-index"]);
    file.run("create index i on t (a, b)");
    let mut reader = open(&*source, &cx, None).await.unwrap();
    read(&mut *reader).await.unwrap();
    assert!(reader.warnings().is_empty());
}
