//! What happens to the table, or to its server, while it is read.
use super::database::Database;
use crate::{context, open, read, refusal, source, values};
use dataflow_core::position::Position;
use dataflow_sdk::{
    Error,
    source::{Edge, Read, Reader},
};
use serde_json::{Value, json};

/// The ids that come until it fails, and why that is.
async fn failure(reader: &mut dyn Reader) -> (Vec<Value>, Error) {
    let mut ids = Vec::new();
    loop {
        match tokio::time::timeout(crate::PATIENCE, reader.read()).await.unwrap() {
            Ok(Read::Records(records)) => ids.extend(values(&records).into_iter().map(|row| row["id"].clone())),
            Ok(Read::End) => panic!("it ends"),
            Err(error) => return (ids, error),
        }
    }
}

#[tokio::test]
async fn a_table_that_takes_its_place_is_noticed_before_a_row_of_it_is_read() {
    let Some(database) = Database::fresh("replaced", "").await else { return };
    for (table, query) in [(json!("t"), Value::Null), (Value::Null, json!("select * from t"))] {
        let table_sql = "create table t (id bigserial primary key); insert into t select from generate_series(1, 20)";
        database.run(&format!("drop table if exists t; {table_sql}")).await;
        let source = source(json!({
            "url": database.url(), "table": table, "query": query, "mode": "incrementing", "incrementingColumn": "id",
        }));
        let mut reader = open(&*source, &context(), None).await.unwrap();
        let records = read(&mut *reader).await.unwrap();
        assert_eq!(records.len(), 20);
        database.run(&format!("begin; drop table t; {table_sql}; insert into t values (21), (22); commit")).await;
        let (ids, error) = failure(&mut *reader).await;
        assert_eq!((ids.len(), error.code()), (0, "definition-changed"), "{error}");
        // Which table a query reads can change as its tables do: only a table is known by more than its name.
        let again = open(&*source, &context(), Some(records.to.clone())).await.err();
        assert_eq!(again.is_some_and(|error| matches!(error, Error::PositionLost { .. })), query.is_null());
    }
    database.remove().await;
}

#[tokio::test]
async fn what_is_no_longer_safe_is_refused_before_a_row_is_missed() {
    let Some(database) = Database::fresh("unsafe", "").await else { return };
    for change in [
        "alter sequence t_id_seq cache 50",
        "alter sequence t_id_seq increment by -1",
        "create sequence other cache 100; alter table t alter id set default nextval('other')",
    ] {
        database
            .run("drop table if exists t; create table t (id bigserial primary key); insert into t values (default)")
            .await;
        let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
        let source = source(config);
        let mut reader = open(&*source, &context(), None).await.unwrap();
        assert_eq!(read(&mut *reader).await.unwrap().len(), 1);
        database.run(change).await;
        database.run("insert into t values (1000)").await;
        let (ids, error) = failure(&mut *reader).await;
        assert_eq!((ids.len(), error.code()), (0, "unsafe-order"), "{change}: {error}");
    }
    database.remove().await;
}

/// A row without a time is not looked for; one without a number is told, also by a reader that goes on after others.
#[tokio::test]
async fn nulls_in_the_order_hide_no_other_row() {
    let Some(database) = Database::fresh(
        "nulls",
        "create table t (id bigserial, at timestamptz default now()); \
             insert into t (at) values ('2026-01-01Z'), (null), ('2026-01-02Z'), (null)",
    )
    .await
    else {
        return;
    };
    let url = database.url();
    let timed = json!({"url": url, "table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    for again in [false, true] {
        let (source, mut cx) = (source(timed.clone()), context());
        cx.again = again;
        let records = read(&mut *open(&*source, &cx, None).await.unwrap()).await.unwrap();
        assert_eq!(values(&records).iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), [1, 3], "{again}");
        let end = source.resolve(&cx, &Edge::End).await.unwrap();
        assert!(end["t"].at.contains("2026-01-02"), "{end:?}");
    }
    database.run("alter table t alter id drop not null; insert into t values (null, '2026-01-03Z')").await;
    let bulk = json!({"url": url, "query": "select id from t", "mode": "bulk", "keyColumns": ["id"]});
    let number = json!({"url": url, "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    for config in [timed, bulk, number] {
        let source = source(config.clone());
        let at = match config["mode"] == "timestamp+incrementing" {
            true => "[1,\"2026-01-01 00:00:00+00\",1]",
            false => "[1,1]",
        };
        let from = Position { at: at.into(), identity: None };
        let (ids, error) = failure(&mut *open(&*source, &context(), Some(from)).await.unwrap()).await;
        assert_eq!((ids.len(), error.code()), (0, "null-key"), "{config}: {error}");
    }
    database.remove().await;
}

#[tokio::test]
async fn what_would_pass_over_rows_is_refused() {
    let Some(database) = Database::fresh(
        "choices",
        "create table t (id bigserial primary key, day date default current_date, n int default 1)",
    )
    .await
    else {
        return;
    };
    let timed = |column: &str| json!({"url": database.url(), "table": "t", "mode": "timestamp", "timestampColumn": column, "delay": "1s"});
    let query = |query: &str| json!({"url": database.url(), "query": query, "mode": "incrementing", "incrementingColumn": "id"});
    for (config, code, part) in [
        (timed("day"), "unsupported-type", "is date"),
        (timed("n"), "unsupported-type", "is integer"),
        (query("select * from t order by id limit 3"), "bad-query", "limit"),
        (query("select * from t fetch first 3 rows only"), "bad-query", "limit"),
        (query("select * from t tablesample system (10)"), "bad-query", "tablesample"),
        (query("select t.* from t, lateral (select 1 from t u where u.id <= t.id limit 1) x"), "", ""),
    ] {
        let (found, message) = refusal(config.clone()).await;
        assert!(found == code && message.contains(part), "{config}: {found} {message}");
    }
    // That only shows when rows are asked for.
    let source = source(query("select * from t for update"));
    database.run("insert into t values (default)").await;
    let (_, error) = failure(&mut *open(&*source, &context(), None).await.unwrap()).await;
    assert!(
        matches!(&error, Error::Fatal { code: "bad-query", fix: Some(fix), .. } if fix.contains("only read")),
        "{error:?}"
    );
    database.remove().await;
}

/// What is visible before it is durable, a crash of the server could take back, and give its number to another row.
#[tokio::test]
async fn rows_are_read_once_they_are_durable() {
    let Some(database) =
        Database::fresh("durable", "create table t (id bigserial primary key); set synchronous_commit = off").await
    else {
        return;
    };
    let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    let source = source(config);
    let mut reader = open(&*source, &context(), None).await.unwrap();
    let mut durable = 0;
    for _ in 0..20 {
        database.run("insert into t values (default)").await;
        let end: String = database.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
        assert_eq!(read(&mut *reader).await.unwrap().len(), 1);
        let flushed = format!("select pg_current_wal_flush_lsn() >= '{end}'::pg_lsn");
        durable += u32::from(database.query_one(&flushed, &[]).await.unwrap().get::<_, bool>(0));
    }
    // By the server's word it takes three times its delay at most; a machine that is too busy to keep it is not what is tested.
    assert!(durable >= 15, "{durable} of 20");
    database.remove().await;
}
