//! Which rows come, in which order, and from where reading goes on.
use super::database::Database;
use crate::{all, context, open, read, source, values};
use dataflow_core::position::Position;
use dataflow_sdk::{Error, source::Edge};
use dataflow_testkit::conformance;
use serde_json::{Value, json};

#[tokio::test]
async fn a_table_is_read_once_from_any_position() {
    let table = "create table `Or ders` (region varchar(5), nr int, note text, primary key (region, nr)); \
        insert into `Or ders` select concat('r', seq % 3), seq, if(seq % 7 > 0, concat('it''s \\\\ ä ', seq), null) from seq_1_to_200";
    let Some(database) = Database::fresh("bulk", table).await else { return };
    let config = json!({"url": format!("jdbc:{}", database.url()), "table": "Or ders", "mode": "bulk"});
    let rows = all(config.clone()).await;
    let expected = database
        .rows("select json_object('region', region, 'nr', nr, 'note', note) from `Or ders` order by region, nr")
        .await;
    let expected: Vec<Value> =
        expected.iter().map(|row| serde_json::from_str(row[0].as_deref().unwrap()).unwrap()).collect();
    assert_eq!(rows, expected);

    let (source, mut cx) = (source(config), context());
    cx.batch.max_records = 50;
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let records = read(&mut *reader).await.unwrap();
    assert_eq!((records.len(), records.id(3)), (50, r#"["r0","12"]"#.into()));
    for row in [0, 1, 49] {
        let mut again = open(&*source, &cx, Some(records.before(row))).await.unwrap();
        assert_eq!(values(&read(&mut *again).await.unwrap())[0], rows[row], "from {:?}", records.before(row));
    }
    assert_eq!(&*records.to.at, "[50,\"r0\",150]");
    let end = source.resolve(&cx, &Edge::End).await.unwrap().remove("Or ders").unwrap();
    assert_eq!((&*end.at, source.between(Some(&records.to), &end)), ("[200,\"r2\",200]", Some(150)));
    assert!(read(&mut *open(&*source, &cx, Some(end)).await.unwrap()).await.is_none());
    drop(reader);
    database.remove().await;
}

/// All parts of a bulk are of one moment, whatever happens meanwhile.
#[tokio::test]
async fn a_bulk_is_of_one_moment() {
    let table = "create table t (id int primary key, n int); insert into t select seq, 0 from seq_1_to_300";
    let Some(database) = Database::fresh("moment", table).await else { return };
    let config = json!({"url": database.url(), "table": "t", "mode": "bulk", "fetchSize": 100});
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let mut rows = values(&read(&mut *reader).await.unwrap());
    database.run("update t set n = 1; delete from t where id > 200; insert into t values (1000, 1)").await;
    while let Some(records) = read(&mut *reader).await {
        rows.extend(values(&records));
    }
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().all(|row| row["n"] == 0), "{rows:?}");
    database.remove().await;
}

#[tokio::test]
async fn it_conforms_in_every_mode() {
    let table = "create table t (id bigint auto_increment primary key, at timestamp(1) not null default current_timestamp(1), n decimal(5,2)); \
        insert into t (at, n) select '2026-01-01' + interval floor(seq / 5) * 500000 microsecond, seq * 1.25 from seq_1_to_30";
    let Some(database) = Database::fresh("conforms", table).await else { return };
    let rows = database
        .rows("select id, concat(replace(trim(trailing '.0' from at), ' ', 'T'), 'Z'), n from t order by id")
        .await;
    let text = |cell: &Option<String>| cell.clone().unwrap();
    let expected = rows.iter().map(|row| json!({"id": text(&row[0]).parse::<i64>().unwrap(), "at": text(&row[1]), "n": text(&row[2]).parse::<f64>().unwrap()}));
    let expected: Vec<Value> = expected.collect();
    assert_eq!(expected[0], json!({"id": 1, "at": "2026-01-01T00:00:00Z", "n": 1.25}));
    for mut config in [
        json!({"table": "t", "mode": "bulk"}),
        json!({"query": "select * from t", "mode": "bulk", "keyColumns": ["n"]}),
        json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"}),
        json!({"table": "t", "mode": "timestamp", "timestampColumn": "at"}),
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"}),
    ] {
        println!("{config}");
        config["url"] = json!(database.url());
        conformance::places(&*source(config), &expected).await;
    }
    database.remove().await;
}

#[tokio::test]
async fn positions_that_users_name_are_checked() {
    let table = "create table t (id bigint unsigned auto_increment primary key); insert into t select seq from seq_1_to_100; \
        insert into t values (18446744073709551000)";
    let Some(database) = Database::fresh("named", table).await else { return };
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
    assert_eq!(&*records.to.at, "[101,\"18446744073709551000\"]");
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
async fn wide_rows_are_asked_for_in_small_parts() {
    let table = "create table t (id int primary key, other longtext, wide longtext); \
        insert into t select seq, null, repeat('x', 100000) from seq_1_to_300; \
        insert into t values (1000, repeat('y', 9000000), repeat('z', 9000000))";
    let Some(database) = Database::fresh("wide", table).await else { return };
    let (source, mut cx) = (source(json!({"url": database.url(), "table": "t", "mode": "bulk"})), context());
    (cx.batch.max_bytes, cx.max_record_bytes) = (1 << 20, 32 << 20);
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let (mut sizes, mut last) = (Vec::new(), 0);
    while let Some(records) = read(&mut *reader).await {
        sizes.push(records.len());
        last = values(&records).last().unwrap()["wide"].as_str().unwrap().len();
    }
    assert_eq!((sizes.iter().sum::<usize>(), last), (301, 9_000_000));
    assert!(sizes[0] == 64 && sizes[1..].iter().all(|rows| *rows <= 10), "{sizes:?}");
    database.remove().await;
}

#[tokio::test]
async fn a_key_without_an_index_is_told_of() {
    let table = "create table t (id int primary key, n int not null); insert into t values (1, 1)";
    let Some(database) = Database::fresh("unindexed", table).await else { return };
    for (key, expected) in [("id", 0), ("n", 1)] {
        let config = json!({"url": database.url(), "table": "t", "mode": "bulk", "keyColumns": [key]});
        let mut reader = open(&*source(config), &context(), None).await.unwrap();
        read(&mut *reader).await.unwrap();
        let warned = reader.warnings();
        let told =
            warned.iter().filter_map(|notice| notice.holding()).filter(|warned| warned.code == "no-index").count();
        assert_eq!(told, expected, "{key}: {warned:?}");
    }
    database.remove().await;
}
