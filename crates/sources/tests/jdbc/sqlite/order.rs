//! Writers that hold their transactions open, roll them back and delete what they wrote, while the rows are read and the reader is lost again
//! and again: every committed version comes once.
use super::{File, JOURNALS};
use crate::{Dice, PATIENCE, context, open, read, source, values};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const WRITERS: usize = 4;
const TRANSACTIONS: usize = 100;

/// Adds and changes rows, in transactions of several statements. `pause`: for how long some of them are held open.
fn write(db: &Connection, seed: u64, version: &AtomicI64, pause: Duration, changes: bool) {
    let mut dice = Dice(seed);
    for _ in 0..TRANSACTIONS {
        db.execute_batch(if dice.roll(2) == 0 { "begin immediate" } else { "begin exclusive" }).unwrap();
        for _ in 0..=dice.roll(4) {
            let version = version.fetch_add(1, Ordering::Relaxed);
            match changes && dice.roll(2) == 0 {
                true => db.execute(
                    "update orders set version = ?1, at = current_timestamp where id = (select id from orders where id >= ?2 limit 1)",
                    [version, dice.roll(300) as i64],
                ),
                false => db.execute("insert into orders (version) values (?1)", [version]),
            }
            .unwrap();
        }
        if dice.roll(10) == 0 {
            thread::sleep(pause);
        }
        // What was added last is deleted again, too: its number is not given to another row.
        if dice.roll(8) == 0 {
            db.execute("delete from orders where id = (select max(id) from orders)", []).unwrap();
        }
        db.execute_batch(if dice.roll(6) == 0 { "rollback" } else { "commit" }).unwrap();
        thread::sleep(Duration::from_millis(dice.roll(4) as u64));
    }
}

async fn none_is_missed(journal: &str, config: Value, pause: Duration, changes: bool) {
    let file = File::fresh(journal);
    file.run("create table orders (id integer primary key autoincrement, version integer not null, at text not null default current_timestamp); create index i on orders (at, id)");
    let (version, running) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(WRITERS)));
    for seed in 0..WRITERS {
        let (db, version, running) = (file.session(), version.clone(), running.clone());
        thread::spawn(move || {
            write(&db, seed as u64, &version, pause, changes);
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    let (source, mut cx) = (source(file.source(config)), context());
    cx.batch.max_records = 7;
    let mut dice = Dice(99);
    let mut seen: Vec<(i64, i64)> = Vec::new();
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut rows: Option<BTreeMap<i64, i64>> = None;
    loop {
        if rows.is_none() && running.load(Ordering::SeqCst) == 0 {
            let mut statement = file.connection.prepare("select id, version from orders").unwrap();
            let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows = Some(found.map(Result::unwrap).collect());
        }
        if let Some(rows) = &rows {
            let last: BTreeMap<i64, i64> = seen.iter().copied().collect();
            if rows.iter().all(|row| last.get(row.0) == Some(row.1)) {
                break;
            }
        }
        if begun.elapsed() > PATIENCE {
            let last: BTreeMap<i64, i64> = seen.iter().copied().collect();
            let missing = rows.iter().flatten().filter(|row| last.get(row.0) != Some(row.1));
            let missing: Vec<_> = missing
                .map(|(id, version)| {
                    let at: String = file
                        .connection
                        .query_row("select at from orders where id = ?1", [id], |row| row.get(0))
                        .unwrap();
                    (id, version, at)
                })
                .collect();
            panic!("rows are missing: {missing:?}, {:?}, {:?}", seen.last(), reader.warnings());
        }
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
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "no version comes twice");
    assert!(rows.unwrap().len() > 200);
}

#[tokio::test]
async fn numbers_are_not_missed() {
    for journal in JOURNALS {
        let config = json!({"table": "orders", "mode": "incrementing", "incrementingColumn": "id"});
        none_is_missed(journal, config, Duration::from_millis(30), false).await;
    }
}

#[tokio::test]
async fn changes_within_a_second_are_not_missed() {
    for (journal, mode) in [
        ("wal", json!({"mode": "timestamp+incrementing", "incrementingColumn": "id"})),
        ("delete", json!({"mode": "timestamp+incrementing", "incrementingColumn": "id"})),
        ("wal", json!({"mode": "timestamp"})),
    ] {
        let mut config = mode;
        config["table"] = json!("orders");
        config["timestampColumn"] = json!("at");
        none_is_missed(journal, config, Duration::from_millis(150), true).await;
    }
}
