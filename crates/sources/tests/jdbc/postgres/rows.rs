//! Which rows come, in which order, and from where reading goes on.
use super::database::Database;
use crate::{all, context, open, read, source, values};
use dataflow_core::position::Position;
use dataflow_sdk::{Error, source::Edge};
use dataflow_testkit::conformance;
use serde_json::{Value, json};

#[tokio::test]
async fn a_table_is_read_once_from_any_position() {
    let Some(database) = Database::fresh("bulk", "create table \"Or ders\" (region text, nr int, note text, primary key (region, nr)); \
             insert into \"Or ders\" select 'r' || n % 3, n, case when n % 7 > 0 then 'it''s \\ ' || n end from generate_series(1, 200) n").await else { return };
    let config = json!({"url": format!("jdbc:{}", database.url()), "table": "Or ders", "mode": "bulk"});
    let rows = all(config.clone()).await;
    let expected =
        database.query("select row_to_json(q)::text from \"Or ders\" q order by region, nr", &[]).await.unwrap();
    let expected: Vec<Value> = expected.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
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

    let end = source.resolve(&cx, &Edge::End).await.unwrap().remove("Or ders").unwrap();
    assert_eq!((&*end.at, source.between(Some(&records.to), &end)), ("[200,\"r2\",200]", Some(150)));
    assert!(read(&mut *open(&*source, &cx, Some(end)).await.unwrap()).await.is_none());
    // A reader that has not come to its end keeps the table from being dropped.
    drop((reader, next));
    database
        .run("drop table \"Or ders\"; create table \"Or ders\" (region text, nr int, primary key (region, nr))")
        .await;
    let lost = open(&*source, &cx, Some(records.to)).await.err();
    assert!(matches!(lost, Some(Error::PositionLost { .. })), "{lost:?}");
    database.remove().await;
}

#[tokio::test]
async fn it_conforms_in_every_mode() {
    let Some(database) = Database::fresh("conforms", "create table t (id bigint generated always as identity (minvalue -5) primary key, at timestamptz not null default now(), n numeric(5,2)); \
             insert into t (at, n) select date '2026-01-01' + (n / 5) * interval '0.5 s', n * 1.25 from generate_series(1, 30) n").await else { return };
    let rows = database.query("select row_to_json(q)::text from (select id, to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || case when extract(milliseconds from at)::int % 1000 = 0 then 'Z' else '.5Z' end as at, n from t order by id) q", &[]).await.unwrap();
    let expected: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
    assert_eq!(expected[0], json!({"id": -5, "at": "2026-01-01T00:00:00Z", "n": 1.25}));
    for mode in [
        json!({"table": "t", "mode": "bulk"}),
        json!({"query": "select * from t", "mode": "bulk", "keyColumns": ["n"]}),
        json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"}),
        json!({"table": "t", "mode": "timestamp", "timestampColumn": "at"}),
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"}),
    ] {
        let mut config = mode.clone();
        config["url"] = json!(database.url());
        println!("{mode}");
        conformance::places(&*source(config), &expected).await;
    }
    database.remove().await;
}

#[tokio::test]
async fn positions_that_users_name_are_checked() {
    let Some(database) = Database::fresh(
        "named",
        "create table t (id bigserial primary key); insert into t select from generate_series(1, 100)",
    )
    .await
    else {
        return;
    };
    let source =
        source(json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"}));
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
        ("t", "[1,2,3]", "bad-position"),
        ("u", "[0]", "unknown-partition"),
    ] {
        assert_eq!(place(partition, at).await.unwrap_err()[0].code, code, "{partition} {at}");
    }
    let bad = open(&*source, &cx, Some(Position::offset(7))).await.err();
    assert!(matches!(bad, Some(Error::Fatal { code: "bad-position", .. })), "{bad:?}");
    database.remove().await;
}

#[tokio::test]
async fn keys_that_tell_no_row_are_noticed() {
    let Some(database) = Database::fresh(
        "keys",
        "create table t (a int, b text); insert into t values (1, 'x'), (2, 'y'), (2, 'z'), (null, 'n')",
    )
    .await
    else {
        return;
    };
    for (query, code) in
        [("select * from t where a is not null", "duplicate-key"), ("select * from t where b <> 'z'", "null-key")]
    {
        let source = source(json!({"url": database.url(), "query": query, "mode": "bulk", "keyColumns": ["a"]}));
        let mut reader = open(&*source, &context(), None).await.unwrap();
        let failed = reader.read().await;
        assert!(matches!(&failed, Err(Error::Fatal { code: found, .. }) if *found == code), "{query}: {failed:?}");
    }
    let query = "select b as name, count(*)::int as n from t group by b";
    let rows = all(json!({"url": database.url(), "query": query, "mode": "bulk", "keyColumns": ["name"]})).await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], json!({"name": "n", "n": 1}));
    database.remove().await;
}

#[tokio::test]
async fn wide_rows_are_asked_for_in_small_parts() {
    let Some(database) = Database::fresh("wide", "create table t (id int primary key, wide text); insert into t select n, repeat('x', 100000) from generate_series(1, 300) n").await else { return };
    let (source, mut cx) = (source(json!({"url": database.url(), "table": "t", "mode": "bulk"})), context());
    cx.batch.max_bytes = 1 << 20;
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(records) = read(&mut *reader).await {
        sizes.push(records.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 300);
    assert!(sizes[0] == 64 && sizes[1..].iter().all(|rows| *rows <= 10), "{sizes:?}");
    database.remove().await;
}
