//! Files and tables that are not what they were.
use super::File;
use crate::{context, open, read, source, values};
use dataflow_sdk::{Error, source::Reader};
use serde_json::json;
use std::fs;

async fn failure(reader: &mut dyn Reader) -> Error {
    loop {
        if let Err(error) = reader.read().await {
            return error;
        }
    }
}

const NUMBERS: &str =
    "create table t (id integer primary key autoincrement, n integer); insert into t (n) values (1), (2), (3)";

#[tokio::test]
async fn a_file_that_was_replaced_is_noticed() {
    let (file, other) = (File::fresh("delete"), File::fresh("delete"));
    file.run(NUMBERS);
    other.run(NUMBERS);
    let source = source(file.source(json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"})));
    let cx = context();
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let records = read(&mut *reader).await.unwrap();
    fs::rename(other.path(), file.path()).unwrap();
    let failed = failure(&mut *reader).await;
    assert!(matches!(failed, Error::Transient { code: "file-moved", .. }), "{failed:?}");
    let lost = open(&*source, &cx, Some(records.to.clone())).await.err();
    let Some(Error::PositionLost { latest, reason, .. }) = lost else { panic!("{lost:?}") };
    assert!(&*latest.at == "[3,3]" && reason.contains("replaced"), "{latest:?} {reason}");
    // A position that a user names is one of the file that is there.
    let named = [("t".to_owned(), records.to.at.to_string())].into();
    let named = source.place(&cx, &Default::default(), &named).await.unwrap().unwrap();
    open(&*source, &cx, named.get("t").cloned()).await.unwrap();
    fs::remove_file(file.path()).unwrap();
    let missing = open(&*source, &cx, None).await.err();
    assert!(matches!(missing, Some(Error::Fatal { code: "file-missing", .. })), "{missing:?}");
    assert!(!file.path().exists(), "none is made by reading");
}

#[tokio::test]
async fn numbers_that_begin_anew_are_noticed() {
    let highest = "create table t (id integer primary key, n integer); insert into t (n) values (1), (2), (3)";
    for (made, change) in [
        (
            NUMBERS,
            "drop table t; create table t (id integer primary key autoincrement, n integer); insert into t (n) values (7)",
        ),
        (NUMBERS, "delete from t; delete from sqlite_sequence"),
        (highest, "delete from t where id > 1"),
    ] {
        let file = File::fresh("wal");
        file.run(made);
        let config = json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id", "delay": "1ms"});
        let source = source(file.source(config));
        let cx = context();
        let mut reader = open(&*source, &cx, None).await.unwrap();
        let records = read(&mut *reader).await.unwrap();
        assert_eq!(records.len(), 3);
        file.run(change);
        let failed = failure(&mut *reader).await;
        assert!(matches!(failed, Error::Transient { code: "table-changed", .. }), "{change}: {failed:?}");
        let lost = open(&*source, &cx, Some(records.to)).await.err();
        assert!(matches!(lost, Some(Error::PositionLost { .. })), "{change}: {lost:?}");
    }
}

#[tokio::test]
async fn changes_that_leave_the_same_to_be_read_stop_nothing() {
    let file = File::fresh("wal");
    file.run(NUMBERS);
    let source = source(file.source(json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"})));
    let cx = context();
    let mut reader = open(&*source, &cx, None).await.unwrap();
    read(&mut *reader).await.unwrap();
    file.run("delete from t; create table other (a); insert into t (n) values (4); create index i on t (n); vacuum");
    let records = read(&mut *reader).await.unwrap();
    assert_eq!(values(&records), [json!({"id": 4, "n": 4})]);
    file.run("alter table t add column more text default 'x'; insert into t (n) values (5)");
    let failed = failure(&mut *reader).await;
    assert!(matches!(failed, Error::Transient { code: "table-changed", .. }), "{failed:?}");
    let mut reader = open(&*source, &cx, Some(records.to)).await.unwrap();
    assert_eq!(values(&read(&mut *reader).await.unwrap()), [json!({"id": 5, "n": 5, "more": "x"})]);
    file.run("drop table t");
    let failed = failure(&mut *reader).await;
    assert!(matches!(failed, Error::Fatal { code: "table-missing", .. }), "{failed:?}");
}
