//! Readers and writers of one file don't hold up each other.
use super::{File, JOURNALS};
use crate::{PATIENCE, context, open, read, source, values};
use dataflow_sdk::source::Reader;
use serde_json::json;
use std::time::Duration;

const ROWS: &str = "create table t (id integer primary key autoincrement, n integer); \
    with recursive n(n) as (select 1 union all select n + 1 from n where n < 100) insert into t (n) select n from n";

/// Between two parts nothing of the file is held, however long the sink takes.
#[tokio::test]
async fn a_slow_sink_holds_up_no_writer() {
    for journal in JOURNALS {
        let file = File::fresh(journal);
        file.run(ROWS);
        let mut cx = context();
        cx.batch.max_records = 10;
        let source = source(file.source(json!({"table": "t", "mode": "bulk"})));
        let mut reader = open(&*source, &cx, None).await.unwrap();
        assert_eq!(read(&mut *reader).await.unwrap().len(), 10);
        let writer = file.session();
        writer.busy_timeout(Duration::ZERO).unwrap();
        writer.execute_batch("begin exclusive; update t set n = -n; commit").unwrap();
        if journal == "wal" {
            let busy: i64 = writer.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
            assert_eq!(busy, 0, "the log can be emptied");
        }
        assert_eq!(values(&read(&mut *reader).await.unwrap())[0], json!({"id": 11, "n": -11}));
    }
}

#[tokio::test]
async fn a_locked_file_is_waited_for() {
    let file = File::fresh("delete");
    file.run(ROWS);
    let source = source(file.source(json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"})));
    let mut reader = open(&*source, &context(), None).await.unwrap();
    file.run("begin exclusive; update t set n = 0");
    assert!(tokio::time::timeout(Duration::from_millis(300), reader.read()).await.is_err());
    file.run("commit");
    assert_eq!(values(&read(&mut *reader).await.unwrap())[0], json!({"id": 1, "n": 0}));
}

/// Rows of a second that a writer may still add to are left for later; those before it are not.
#[tokio::test]
async fn the_newest_second_waits_for_who_is_writing() {
    let file = File::fresh("wal");
    file.run(
        "create table t (id integer primary key autoincrement, n integer, at text not null default current_timestamp); \
         create index i on t (at, id); insert into t (n, at) values (1, '2026-01-01 00:00:00'), (2, '2026-01-01 00:00:01')",
    );
    // A transaction that begins in the second of the one before, and changes a row that comes before that one's.
    loop {
        file.run(
            "insert into t (n) values (3); begin immediate; update t set n = -1, at = current_timestamp where id = 1",
        );
        let is_same = "select (select at from t where id = 1) = (select max(at) from t where n = 3)";
        if file.number(is_same) == 1 {
            break;
        }
        file.run("rollback; delete from t where n = 3");
    }
    let config =
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    let source = source(file.source(config));
    let mut reader = open(&*source, &context(), None).await.unwrap();
    let numbers = |records: &dataflow_sdk::Records| -> Vec<i64> {
        values(records).iter().map(|row| row["n"].as_i64().unwrap()).collect()
    };
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(numbers(&read(&mut *reader).await.unwrap()));
    }
    assert_eq!(found, [1, 2]);
    let begun = tokio::time::Instant::now();
    let named = loop {
        let early = tokio::time::timeout(Duration::from_millis(100), reader.read()).await;
        assert!(early.is_err(), "it is not safe yet: {early:?}");
        if let Some(warned) = reader.warnings().first().and_then(|notice| notice.holding().cloned()) {
            break warned;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert_eq!((named.code.as_str(), named.subject.as_str()), ("waiting-for-transaction", "t"));
    assert!(named.message.contains(dataflow_locks::THIS_PROCESS), "{named:?}");
    file.run("commit");
    assert_eq!(numbers(&read(&mut *reader).await.unwrap()), [-1, 3]);
    over(&mut *reader).await;
}

async fn over(reader: &mut dyn Reader) {
    let begun = tokio::time::Instant::now();
    while !reader.warnings().iter().any(dataflow_sdk::batch::Notice::is_over) {
        assert!(begun.elapsed() < PATIENCE);
        drop(tokio::time::timeout(Duration::from_millis(20), reader.read()).await);
    }
}
