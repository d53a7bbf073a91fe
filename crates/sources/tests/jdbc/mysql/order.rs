//! Transactions that commit in another order than their rows were numbered, and who is waited for.
use super::database::Database;
use crate::{
    PATIENCE, context,
    interleaved::{self, WRITERS, Writer},
    open, read, source, values,
};
use dataflow_mysql::Session;
use dataflow_sdk::source::Reader;
use serde_json::{Value, json};
use std::{future::Future, time::Duration};

impl Writer for Session {
    async fn run(&mut self, statement: &str) {
        Session::run(self, "run", statement).await.unwrap();
    }

    async fn add(&mut self, version: i64) -> i64 {
        Writer::run(self, &format!("insert into orders (version) values ({version})")).await;
        self.rows("ask", "select last_insert_id()").await.unwrap().remove(0).remove(0).unwrap().parse().unwrap()
    }

    async fn change(&mut self, id: i64, version: i64) {
        Writer::run(self, &format!("update orders set version = {version} where id = {id}")).await;
    }
}

const ORDERS: &str = "create table orders (id bigint unsigned auto_increment primary key, version bigint not null, \
    at timestamp(3) not null default current_timestamp(3) on update current_timestamp(3), key (at))";

async fn none_is_missed(name: &str, table: &str, config: Value, changes: bool) {
    let Some(database) = Database::fresh(name, table).await else { return };
    let mut sessions = Vec::new();
    for _ in 0..WRITERS {
        sessions.push(database.session().await);
    }
    interleaved::none_is_missed(&database.url(), sessions, config, changes).await;
    database.remove().await;
}

#[tokio::test]
async fn numbers_that_commit_out_of_order_are_not_missed() {
    let config = json!({"table": "orders", "mode": "incrementing", "incrementingColumn": "id"});
    none_is_missed("numbers", ORDERS, config, false).await;
}

#[tokio::test]
async fn numbers_of_a_query_are_not_missed() {
    let config = json!({"query": "select id, version from orders where version > 0", "mode": "incrementing", "incrementingColumn": "id"});
    none_is_missed("query", ORDERS, config, false).await;
}

#[tokio::test]
async fn numbers_of_a_view_are_not_missed() {
    let view = format!("{ORDERS}; create view seen as select version, id from orders");
    none_is_missed("view", &view, json!({"table": "seen", "mode": "incrementing", "incrementingColumn": "id"}), false)
        .await;
}

#[tokio::test]
async fn times_that_commit_out_of_order_are_not_missed() {
    let config = json!({"table": "orders", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    none_is_missed("times", ORDERS, config, true).await;
}

#[tokio::test]
async fn seconds_are_told_apart_by_the_primary_key() {
    let table = ORDERS.replace("(3)", "");
    none_is_missed("seconds", &table, json!({"table": "orders", "mode": "timestamp", "timestampColumn": "at"}), true)
        .await;
}

/// Reads while work goes on: nothing may come.
async fn nothing_comes_before(reader: &mut dyn Reader, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        records = read(reader) => panic!("{:?} came too early", records.map(|records| values(&records))),
        () = work => {}
    }
}

/// What a reader warns of while nothing comes.
async fn warning(reader: &mut dyn Reader) -> String {
    let begun = tokio::time::Instant::now();
    loop {
        assert!(tokio::time::timeout(Duration::from_millis(20), reader.read()).await.is_err(), "nothing is safe yet");
        if let Some(warned) = reader.warnings().first().and_then(|notice| notice.holding().cloned()) {
            assert_eq!(warned.code, "waiting-for-transaction");
            return warned.message;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
}

/// A statement that has begun and waits for a lock of another session.
async fn blocked(database: &Database, mut session: Session, statement: &'static str) -> tokio::task::JoinHandle<()> {
    let id = session.id();
    let task = tokio::spawn(async move { Writer::run(&mut session, statement).await });
    let waits = format!(
        "select count(*) from information_schema.innodb_trx where trx_mysql_thread_id = {id} and trx_state = 'LOCK WAIT'"
    );
    while database.value(&waits).await == "0" {
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    task
}

/// A number is given out, and its row is not there: it waits for the lock of another one. Only the running statement tells of it.
#[tokio::test]
async fn a_statement_with_a_number_and_no_row_is_waited_for() {
    for (read, what) in [("table", "t"), ("table", "seen"), ("query", "select * from seen")] {
        number_without_row(read, what).await;
    }
}

async fn number_without_row(read_as: &str, what: &str) {
    let table = "create table t (name varchar(9) primary key, id bigint auto_increment not null, unique (id)); \
        create view seen as select id, name from t";
    let Some(database) = Database::fresh("reserved", table).await else { return };
    let config = json!({"url": database.url(), read_as: what, "mode": "incrementing", "incrementingColumn": "id"});
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let mut holder = database.session().await;
    Writer::run(&mut holder, "begin").await;
    Writer::run(&mut holder, "insert into t (name) values ('x')").await;
    let late = blocked(&database, database.session().await, "insert into t (name) values ('x')").await;
    database.run("insert into t (name) values ('y')").await;
    let message = warning(&mut *reader).await;
    assert!(message.contains("wait for the statement of session") && message.contains("user dataflow"), "{message}");
    Writer::run(&mut holder, "rollback").await;
    late.await.unwrap();
    let rows = read(&mut *reader).await.unwrap();
    assert_eq!(values(&rows), [json!({"name": "x", "id": 2}), json!({"name": "y", "id": 3})]);
    database.remove().await;
}

/// A statement has the time of its beginning, however long it waits before it writes.
#[tokio::test]
async fn a_statement_with_an_old_time_is_waited_for() {
    let rows = "insert into orders (id, version, at) values (1, 0, '2026-01-01'), (2, 0, '2026-01-01')";
    let Some(database) = Database::fresh("waits", &format!("{ORDERS}; {rows}")).await else { return };
    let config = json!({"url": database.url(), "table": "orders", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    assert_eq!(read(&mut *reader).await.unwrap().len(), 2);
    let mut holder = database.session().await;
    Writer::run(&mut holder, "begin").await;
    Writer::run(&mut holder, "select * from orders where id = 1 for update").await;
    let late = blocked(&database, database.session().await, "update orders set version = 1 where id = 1").await;
    nothing_comes_before(&mut *reader, async {
        database.run("update orders set version = 2 where id = 2").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
    Writer::run(&mut holder, "rollback").await;
    late.await.unwrap();
    let mut versions = Vec::new();
    while versions.len() < 2 {
        versions.extend(values(&read(&mut *reader).await.unwrap()).iter().map(|row| row["version"].clone()));
    }
    assert_eq!(versions, [1, 2]);
    database.remove().await;
}

#[tokio::test]
async fn an_open_transaction_holds_back_what_comes_after_its_rows() {
    let Some(database) =
        Database::fresh("holders", "create table t (id bigint auto_increment primary key, note text)").await
    else {
        return;
    };
    let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let mut slow = database.session().await;
    database.run("insert into t (note) values ('1')").await;
    Writer::run(&mut slow, "begin").await;
    Writer::run(&mut slow, "insert into t (note) values ('2')").await;
    database.run("insert into t (note) values ('3')").await;
    assert_eq!(values(&read(&mut *reader).await.unwrap()), [json!({"id": 1, "note": "1"})]);
    // It is said anew: the server's list of transactions may lag while others read it.
    let (begun, mut message) = (tokio::time::Instant::now(), warning(&mut *reader).await);
    while !message.contains("session") && begun.elapsed() < PATIENCE {
        message = warning(&mut *reader).await;
    }
    // Tests beside this one have transactions, too.
    assert!(message.contains("has changed the next one; the oldest one is that of session"), "{message}");
    Writer::run(&mut slow, "commit").await;
    let rows = read(&mut *reader).await.unwrap();
    assert_eq!(values(&rows), [json!({"id": 2, "note": "2"}), json!({"id": 3, "note": "3"})]);
    assert!(reader.warnings().iter().any(dataflow_sdk::batch::Notice::is_over));
    database.remove().await;
}

/// What only reads adds no row, however long it takes.
#[tokio::test]
async fn long_queries_hold_nothing_up() {
    let Some(database) =
        Database::fresh("reports", "create table t (id bigint auto_increment primary key); insert into t values ()")
            .await
    else {
        return;
    };
    let config = json!({"url": database.url(), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let mut report = database.session().await;
    let id = report.id();
    let report = tokio::spawn(async move { drop(report.run("report", "/* all */ select sleep(600) from t").await) });
    while database
        .value(&format!(
            "select count(*) from information_schema.processlist where id = {id} and info like '%sleep(600)%'"
        ))
        .await
        == "0"
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read(&mut *reader).await.unwrap().len(), 1);
    database.run(&format!("kill {id}")).await;
    report.await.unwrap();
    database.remove().await;
}
