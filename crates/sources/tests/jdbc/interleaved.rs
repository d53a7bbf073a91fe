//! Transactions that commit in another order than their rows were numbered, hundreds of them, while the rows are read and the reader
//! is lost again and again: every committed row comes once.
use crate::{Dice, PATIENCE, context, open, read, source, values};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(crate) const WRITERS: usize = 8;
const TRANSACTIONS: usize = 400;

/// A session that writes to the table `orders`.
pub(crate) trait Writer {
    async fn run(&mut self, statement: &str);
    /// Adds a row. Its id.
    async fn add(&mut self, version: i64) -> i64;
    /// Changes a row, at the present time.
    async fn change(&mut self, id: i64, version: i64);
}

/// What writers have committed: the last version of each row.
type Committed = RefCell<Option<BTreeMap<i64, i64>>>;

/// Opens transactions on all sessions, adds rows in turn, and ends them in an order that is mostly the worst: the last one first.
/// `changes`: rows are changed, too, by transactions that have not locked them.
async fn write(sessions: &mut [impl Writer], changes: bool, done: &Committed) {
    let mut dice = Dice(7);
    let mut open: Vec<(usize, BTreeMap<i64, i64>)> = Vec::new();
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut begun, mut version) = (0, 0);
    while begun < TRANSACTIONS || !open.is_empty() {
        let idle = (0..sessions.len()).find(|session| open.iter().all(|(busy, _)| busy != session));
        match (dice.roll(4), idle) {
            (0, Some(session)) if begun < TRANSACTIONS => {
                begun += 1;
                // Its time may be that of its beginning, long before it writes.
                sessions[session].run("begin").await;
                open.push((session, BTreeMap::new()));
            }
            (1, _) if !open.is_empty() => {
                let place = if dice.roll(4) == 0 { dice.roll(open.len()) } else { open.len() - 1 };
                let (session, written) = open.remove(place);
                if dice.roll(5) == 0 {
                    sessions[session].run("rollback").await;
                } else {
                    sessions[session].run("commit").await;
                    rows.extend(written);
                }
            }
            _ if !open.is_empty() => {
                version += 1;
                let place = dice.roll(open.len());
                let locked = |id: &&i64| open.iter().all(|(_, written)| !written.contains_key(*id));
                let free: Vec<i64> = rows.keys().filter(locked).copied().collect();
                let (session, written) = &mut open[place];
                let id = match changes && !free.is_empty() && dice.roll(2) == 0 {
                    true => {
                        let id = free[dice.roll(free.len())];
                        sessions[*session].change(id, version).await;
                        id
                    }
                    false => sessions[*session].add(version).await,
                };
                written.insert(id, version);
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

/// The source reads `orders`, to which these sessions write.
pub(crate) async fn none_is_missed(url: &str, mut sessions: Vec<impl Writer>, mut config: Value, changes: bool) {
    config["url"] = json!(url);
    let committed = Committed::default();
    let (seen, ()) = tokio::join!(follow(config, &committed), write(&mut sessions, changes, &committed));
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "no version comes twice");
    let rows = committed.into_inner().unwrap();
    assert!(rows.len() > 200, "{}", rows.len());
    if !changes {
        assert_eq!(distinct, rows.into_iter().collect(), "exactly what was committed");
    }
}
