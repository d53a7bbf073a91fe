//! Transactions that commit in another order than their rows were numbered, hundreds of them, while the rows are read and the reader
//! is lost again and again: every committed row comes once.
use super::database::Database;
use crate::{Dice, PATIENCE, context, open, read, source, values};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio_postgres::Client;

const WRITERS: usize = 8;
const TRANSACTIONS: usize = 400;

/// What writers have committed: the last version of each row.
type Committed = RefCell<Option<BTreeMap<i64, i64>>>;

/// Opens transactions on all sessions, adds rows in turn, and ends them in an order that is mostly the worst: the last one first.
/// `changes`: rows are changed, too, by transactions that have not locked them.
async fn write(sessions: &[Client], seed: u64, changes: bool, done: &Committed) {
    let mut dice = Dice(seed);
    let mut open: Vec<(usize, BTreeMap<i64, i64>)> = Vec::new();
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut begun, mut version) = (0, 0);
    while begun < TRANSACTIONS || !open.is_empty() {
        let idle = (0..WRITERS).find(|session| open.iter().all(|(busy, _)| busy != session));
        match (dice.roll(4), idle) {
            (0, Some(session)) if begun < TRANSACTIONS => {
                begun += 1;
                // Its time is that of its beginning, long before it writes.
                sessions[session].batch_execute("begin").await.unwrap();
                open.push((session, BTreeMap::new()));
            }
            (1, _) if !open.is_empty() => {
                let place = if dice.roll(4) == 0 { dice.roll(open.len()) } else { open.len() - 1 };
                let (session, written) = open.remove(place);
                if dice.roll(5) == 0 {
                    sessions[session].batch_execute("rollback").await.unwrap();
                } else {
                    sessions[session].batch_execute("commit").await.unwrap();
                    rows.extend(written);
                }
            }
            _ if !open.is_empty() => {
                version += 1;
                let place = dice.roll(open.len());
                let locked = |id: &&i64| open.iter().all(|(_, written)| !written.contains_key(*id));
                let free: Vec<i64> = rows.keys().filter(locked).copied().collect();
                let (session, written) = &mut open[place];
                let sql = match changes && !free.is_empty() && dice.roll(2) == 0 {
                    true => {
                        let id = free[dice.roll(free.len())];
                        format!("update orders set version = {version}, at = now() where id = {id} returning id")
                    }
                    false => format!("insert into orders (version) values ({version}) returning id"),
                };
                let row = sessions[*session].query_one(sql.as_str(), &[]).await.unwrap();
                written.insert(row.get(0), version);
            }
            _ => {}
        }
    }
    *done.borrow_mut() = Some(rows);
}

/// Reads until all that was committed has come, and loses its reader again and again.
async fn follow(config: Value, committed: &Committed) -> Vec<(i64, i64)> {
    let (source, mut cx) = (source(config), context());
    cx.batch.max_records = 7;
    let mut dice = Dice(99);
    let mut seen: Vec<(i64, i64)> = Vec::new();
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(rows) = &*committed.borrow() {
            let last: BTreeMap<i64, i64> = seen.iter().copied().collect();
            if rows.iter().all(|row| last.get(row.0) == Some(row.1)) {
                return seen;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "rows are missing: {seen:?} of {committed:?}");
        let waited = tokio::time::timeout(Duration::from_millis(30), read(&mut *reader)).await;
        let Ok(Some(records)) = waited else { continue };
        let kept = if dice.roll(6) == 0 { dice.roll(records.len()) } else { records.len() };
        let number = |value: &Value| value.as_i64().unwrap();
        seen.extend(values(&records)[..kept].iter().map(|row| (number(&row["id"]), number(&row["version"]))));
        let is_whole = kept == records.len();
        if !is_whole || dice.roll(10) == 0 {
            let at = if is_whole { records.to.clone() } else { records.before(kept) };
            reader.close().await;
            reader = open(&*source, &cx, Some(at)).await.unwrap();
        }
    }
}

async fn none_is_missed(name: &str, columns: &str, config: Value, changes: bool) {
    let Some(database) = Database::fresh(name).await else { return };
    database
        .run(&format!("create table orders ({columns}, version bigint not null); create index on orders (at)"))
        .await;
    let mut config = config;
    config["url"] = json!(database.url());
    config["table"] = json!("orders");
    let mut sessions = Vec::new();
    for _ in 0..WRITERS {
        sessions.push(database.session().await);
    }
    let committed = Committed::default();
    let (seen, ()) = tokio::join!(follow(config, &committed), write(&sessions, 7, changes, &committed));
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "no version comes twice");
    let rows = committed.into_inner().unwrap();
    assert!(rows.len() > 200, "{}", rows.len());
    if !changes {
        assert_eq!(distinct, rows.into_iter().collect(), "exactly what was committed");
    }
    database.remove().await;
}

const COLUMNS: &str = "id bigint generated by default as identity primary key, at timestamptz not null default now()";

#[tokio::test]
async fn numbers_that_commit_out_of_order_are_not_missed() {
    none_is_missed("numbers", COLUMNS, json!({"mode": "incrementing", "incrementingColumn": "id"}), false).await;
}

#[tokio::test]
async fn times_that_commit_out_of_order_are_not_missed() {
    let config = json!({"mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    none_is_missed("times", COLUMNS, config, true).await;
}

#[tokio::test]
async fn times_alone_are_told_apart_by_the_primary_key() {
    none_is_missed("moments", COLUMNS, json!({"mode": "timestamp", "timestampColumn": "at"}), true).await;
}

#[tokio::test]
async fn who_is_waited_for_is_named() {
    let Some(database) = Database::fresh("holders").await else { return };
    database.run("create table orders (id bigserial primary key, note text)").await;
    let source =
        source(json!({"url": database.url(), "table": "orders", "mode": "incrementing", "incrementingColumn": "id"}));
    let mut reader = open(&*source, &context(), None).await.unwrap();
    let slow = database.session().await;
    slow.batch_execute("set application_name = 'slow import'; begin; insert into orders (note) values ('1')")
        .await
        .unwrap();
    database.run("insert into orders (note) values ('2')").await;
    let begun = tokio::time::Instant::now();
    let named = loop {
        assert!(tokio::time::timeout(Duration::from_millis(20), reader.read()).await.is_err(), "2 is not safe yet");
        if let Some(warned) = reader.warnings().first().and_then(|notice| notice.holding().cloned()) {
            break warned;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert_eq!((named.code.as_str(), named.subject.as_str()), ("waiting-for-transaction", "orders"));
    for part in ["user dataflow", "program slow import", "which writes to orders", "idle in transaction"] {
        assert!(named.message.contains(part), "{named:?}");
    }
    slow.batch_execute("commit").await.unwrap();
    let records = read(&mut *reader).await.unwrap();
    assert_eq!(values(&records), [json!({"id": 1, "note": "1"}), json!({"id": 2, "note": "2"})]);
    assert!(reader.warnings().iter().any(dataflow_sdk::batch::Notice::is_over));
    database.remove().await;
}

#[tokio::test]
async fn writers_of_partitions_are_waited_for() {
    let Some(database) = Database::fresh("partitions").await else { return };
    database
        .run(
            "create table orders (id bigserial, note text) partition by hash (id); \
             create table one partition of orders for values with (modulus 2, remainder 0); \
             create table two partition of orders for values with (modulus 2, remainder 1)",
        )
        .await;
    for read_table in ["orders", "one"] {
        database.run("truncate orders restart identity").await;
        let config =
            json!({"url": database.url(), "table": read_table, "mode": "incrementing", "incrementingColumn": "id"});
        let source = source(config);
        let mut reader = open(&*source, &context(), None).await.unwrap();
        let slow = database.session().await;
        slow.batch_execute("begin; insert into orders (note) select 'slow' from generate_series(1, 20)").await.unwrap();
        database.run("insert into orders (note) select 'fast' from generate_series(1, 20)").await;
        let early = tokio::time::timeout(Duration::from_millis(300), read(&mut *reader)).await;
        assert!(early.is_err(), "{read_table}: none is safe yet");
        slow.batch_execute("commit").await.unwrap();
        let records = read(&mut *reader).await.unwrap();
        assert!(values(&records).iter().any(|row| row["note"] == "slow"), "{read_table}: {records:?}");
    }
    database.remove().await;
}
