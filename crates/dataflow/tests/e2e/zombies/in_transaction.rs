//! A node that is frozen in the middle of a transaction of SQLite, of the journal or of a sink: nobody can take its lock
//! from it. The next one says which file it is and who has it, waits, and goes on once the first one wakes or is gone.
use super::house::{Feed, House, Target, freeze_where};
use rusqlite::Connection;
use std::path::Path;

async fn is_waited_for(target: Target, database: &str) {
    const JOURNAL: &str = "data/node/journal.db";
    for wake in [true, false] {
        let mut house = House::new(Feed::File, target).busy(8_000);
        let first = house.node("");
        first.create_and_start(&house.spec()).await;
        house.write(100);
        house.through(&first).await;
        let path = house.path(database);
        // Where both are locked, the journal would be waited for first.
        let journal = house.path(JOURNAL);
        let free = (database != JOURNAL).then_some((journal.as_path(), false));
        let databases: Vec<_> = [(path.as_path(), true)].into_iter().chain(free).collect();
        freeze_where(&first, &databases, || house.write(200)).await;
        let (second, waited) = house.take_over(first, wake).await;
        let name = Path::new(database).file_name().unwrap().to_str().unwrap();
        assert!(waited.contains(name), "{name} was locked, it was waited for {waited:?}");
        house.assert_exact(&second).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_frozen_in_a_transaction_of_the_journal_is_waited_for() {
    is_waited_for(Target::File, "data/node/journal.db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_frozen_in_a_transaction_of_a_sqlite_sink_is_waited_for() {
    is_waited_for(Target::Sqlite, "out.db").await;
}

/// Somebody else's lock on the file, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_is_waited_for_and_its_holder_named() {
    let mut house = House::new(Feed::File, Target::Sqlite);
    let node = house.node("");
    node.create_and_start(&house.spec()).await;
    house.write(100);
    house.through(&node).await;
    let holder = Connection::open(house.path("out.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    house.write(100);
    let again =
        |view: &serde_json::Value| view["error"]["code"] == "locked" && view["error"]["attempts"].as_u64() > Some(2);
    let view = node.until("haunted", "locked out", again).await;
    let message = view["error"]["message"].as_str().unwrap();
    let holder_pid = format!("process {}", std::process::id());
    assert!(message.contains("out.db") && message.contains(&holder_pid), "{message}");
    // However often it is tried, each cause is logged once.
    let log = std::fs::read_to_string(house.path("node.log")).unwrap();
    let causes =
        log.lines().filter_map(|line| line.split_once("; retrying in")?.0.split_once("WARN")).map(|(_, cause)| cause);
    let causes: Vec<&str> = causes.filter(|cause| cause.contains("locked")).collect();
    assert!(
        !causes.is_empty() && causes.iter().all(|cause| causes.iter().filter(|other| *other == cause).count() == 1),
        "{causes:?}"
    );
    holder.execute_batch("ROLLBACK").unwrap();
    house.assert_exact(&node).await;
}
