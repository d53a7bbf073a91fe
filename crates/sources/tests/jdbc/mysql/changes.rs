//! What happens to the table while it is read, and what its rows may hold.
use super::database::Database;
use crate::{context, open, read, refusal, source, values};
use dataflow_core::position::Position;
use dataflow_sdk::{
    Error,
    source::{Edge, Read, Reader},
};
use serde_json::{Value, json};

/// Why a reader fails, before a row comes.
async fn failure(reader: &mut dyn Reader) -> Error {
    match tokio::time::timeout(crate::PATIENCE, reader.read()).await.unwrap() {
        Ok(Read::Records(records)) => panic!("{:?}", values(&records)),
        Ok(Read::End) => panic!("it ends"),
        Err(error) => error,
    }
}

const TABLE: &str = "create table t (id bigint auto_increment primary key, note varchar(20)); insert into t (note) values ('a'), ('b'), ('c')";

#[tokio::test]
async fn a_table_whose_numbers_begin_anew_is_noticed() {
    let Some(database) = Database::fresh("anew", TABLE).await else { return };
    for change in ["truncate t", &format!("drop table t; {TABLE}")] {
        let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
        database.run("delete from t; alter table t auto_increment = 100; insert into t (note) values ('x')").await;
        let source = source(config);
        let mut reader = open(&*source, &context(), None).await.unwrap();
        let records = read(&mut *reader).await.unwrap();
        database.run(change).await;
        let error = failure(&mut *reader).await;
        assert_eq!(error.code(), "table-changed", "{change}: {error}");
        let again = open(&*source, &context(), Some(records.to)).await.err();
        assert!(matches!(again, Some(Error::PositionLost { .. })), "{change}: {again:?}");
    }
    database.remove().await;
}

#[tokio::test]
async fn what_is_no_longer_safe_is_refused_before_a_row_is_missed() {
    for change in ["alter table t modify id bigint", "alter table t engine = myisam"] {
        let Some(database) = Database::fresh("unsafe", TABLE).await else { return };
        let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
        let source = source(config.clone());
        let mut reader = open(&*source, &context(), None).await.unwrap();
        assert_eq!(read(&mut *reader).await.unwrap().len(), 3);
        database.run(change).await;
        database.run("insert into t values (1000, 'late')").await;
        assert_eq!(failure(&mut *reader).await.code(), "definition-changed", "{change}");
        assert_eq!(refusal(config).await.0, "unsafe-order", "{change}");
        database.remove().await;
    }
}

/// A row without a time is not looked for; one without a number is told.
#[tokio::test]
async fn nulls_in_the_order_hide_no_other_row() {
    let table = "create table t (id bigint, at timestamp null default current_timestamp); \
                 insert into t values (1, '2026-01-01'), (2, null), (3, '2026-01-02'), (4, null)";
    let Some(database) = Database::fresh("nulls", table).await else { return };
    let timed = json!({"url": database.url(), "table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    let (source_of, cx) = (source(timed.clone()), context());
    let records = read(&mut *open(&*source_of, &cx, None).await.unwrap()).await.unwrap();
    assert_eq!(values(&records).iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), [1, 3]);
    let end = source_of.resolve(&cx, &Edge::End).await.unwrap();
    assert_eq!(&*end["t"].at, "[2,\"2026-01-02 00:00:00\",3]");
    database.run("insert into t values (null, '2026-01-03')").await;
    let bulk = json!({"url": database.url(), "query": "select id from t", "mode": "bulk", "keyColumns": ["id"]});
    for config in [timed, bulk] {
        let at = match config["mode"] == "bulk" {
            true => "[1,1]",
            false => "[1,\"2026-01-01 00:00:00\",1]",
        };
        let from = Position { at: at.into(), identity: None };
        let error = failure(&mut *open(&*source(config.clone()), &context(), Some(from)).await.unwrap()).await;
        assert_eq!(error.code(), "null-key", "{config}: {error}");
    }
    database.remove().await;
}

#[tokio::test]
async fn rows_that_the_server_takes_for_the_same_are_not_passed_over() {
    let table = "create table t (a varchar(9), n int); insert into t values ('a', 1), ('A', 2), ('b', 3)";
    let Some(database) = Database::fresh("same", table).await else { return };
    for key in [json!(["a"]), json!(["a", "n"])] {
        let config = json!({"url": database.url(), "table": "t", "mode": "bulk", "keyColumns": key});
        let (source, mut cx) = (source(config), context());
        cx.batch.max_records = 1;
        let mut reader = open(&*source, &cx, None).await.unwrap();
        let mut found = Vec::new();
        let failed: Option<Error> = loop {
            match reader.read().await {
                Ok(Read::Records(records)) => found.extend(values(&records)),
                Ok(Read::End) => break None,
                Err(error) => break Some(error),
            }
        };
        match failed {
            Some(error) => assert!(error.code() == "duplicate-key" && key.as_array().unwrap().len() == 1, "{error}"),
            None => assert_eq!(found.len(), 3),
        }
    }
    let missing: Value = json!({"url": database.url(), "table": "T_", "mode": "bulk", "keyColumns": ["a"]});
    assert_eq!(refusal(missing).await.0, "table-missing");
    database.remove().await;
}
