//! After a disk, a cable or a person has changed a byte, each query to the journal is refused or answered as before.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{PipelineId, Seq},
    shard::ShardId,
};
use dataflow_journal::{
    Error, Holder, Journal, Snapshot,
    testing::{
        contract::Owner,
        samples::{lifecycle, opened, pipeline, progress, received},
    },
};
use dataflow_journal_sqlite::Sqlite;
use proptest::prelude::*;
use rusqlite::{Connection, types::Value};
use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

const SHARDS: [ShardId; 2] = [ShardId(3), ShardId(9)];
const PIPELINES: usize = 3;
/// The place of the snapshots: after four rounds of four events of each pipeline.
const TAIL: Seq = Seq(49);

fn chunk(shard: ShardId, number: usize) -> ChunkId {
    ChunkId(format!("{}/i/1/dead-{number}", pipeline(shard, number)).into())
}

/// The files of a closed journal that contains some of everything: the database and its marker.
static WHOLE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let folder = folder();
    let path = folder.path().join("journal.db");
    on(async {
        let journal = Journal::new(Arc::new(Sqlite::open(&path).unwrap()));
        for shard in SHARDS {
            let mut owner = Owner::claim(&journal, shard).await;
            for round in 0..6 {
                let names: Vec<_> = (0..PIPELINES).map(|number| pipeline(shard, number)).collect();
                let some = |name: &PipelineId| {
                    [lifecycle("l"), progress("p", round), received("r"), opened("o")]
                        .map(|event| (name.clone(), event))
                };
                owner.append(&names.iter().flat_map(some).collect::<Vec<_>>()).await;
                if round == 3 {
                    let state = |name: &PipelineId| Snapshot {
                        pipeline: name.clone(),
                        state: Bytes::from(format!("state of {name}")),
                    };
                    let states: Vec<_> = names.iter().map(state).collect();
                    assert_eq!(owner.next, TAIL);
                    journal.snapshot(shard, owner.epoch, TAIL, states).await.unwrap();
                }
            }
            for number in 0..PIPELINES {
                journal.put_chunk(&chunk(shard, number), vec![number as u8; 3_000].into()).await.unwrap();
            }
        }
    });
    [path.clone(), path.with_extension("seen")].map(|file| fs::read(file).unwrap())
});

/// A folder in memory if possible: there are many, and nothing in them has to last.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn lay(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("journal.db");
    fs::write(&path, &WHOLE[0]).unwrap();
    fs::write(path.with_extension("seen"), &WHOLE[1]).unwrap();
    path
}

/// A query, and its answer as text.
type Answer = (String, Result<String, Error>);

/// The queries of a node to its journal, each separate.
fn answers(path: &Path) -> Result<Vec<Answer>, Error> {
    fn said<T: std::fmt::Debug>(answer: Result<T, Error>) -> Result<String, Error> {
        answer.map(|answer| format!("{answer:?}"))
    }
    let journal = Journal::new(Arc::new(Sqlite::open(path)?));
    Ok(on(async {
        let mut all = vec![("the id".to_owned(), Ok(journal.id().to_owned()))];
        for shard in SHARDS {
            let mut told = |what: &str, answer| all.push((format!("{what} of shard {shard}"), answer));
            told("the head", said(journal.head(shard).await));
            told("the claim", said(journal.take_over(shard, &Holder::new("node")).await));
            told("the snapshots", said(journal.snapshots(shard).await));
            told("the tail", said(journal.read(shard, TAIL, 1_000).await));
            for number in 0..PIPELINES {
                let name = pipeline(shard, number);
                told(&format!("{name}"), said(journal.load(&name).await));
                let body = journal.chunk(&chunk(shard, number)).await;
                // The caller reports an absent chunk as missing.
                let there = body.and_then(|body| body.ok_or_else(|| Error::Corrupt("no chunk".into())));
                told(&format!("the chunk of {name}"), said(there));
            }
        }
        all
    }))
}

static EXPECTED: LazyLock<Vec<Answer>> = LazyLock::new(|| {
    let folder = folder();
    answers(&lay(folder.path())).unwrap()
});

/// Checks that each answer is unchanged, or an error that a retry can't resolve; returns the errors.
fn refused_or_same(path: &Path) -> Result<Vec<String>, TestCaseError> {
    // A read-only version of SQLite's format can't be distinguished from a read-only file system.
    let damage = |error: &Error| {
        matches!(error, Error::Corrupt(_) | Error::Broken(_) | Error::NotAsLeft(_))
            || error.to_string().contains("readonly")
    };
    let answers = match answers(path) {
        Ok(answers) => answers,
        Err(error) => {
            prop_assert!(damage(&error), "{error}");
            return Ok(vec![error.to_string()]);
        }
    };
    let mut refused = Vec::new();
    for ((what, before), (_, now)) in EXPECTED.iter().zip(answers) {
        match now {
            Err(error) => {
                prop_assert!(damage(&error), "{what}: {error}");
                refused.push(format!("{what}: {error}"));
            }
            Ok(now) => {
                let before = before.as_ref().unwrap();
                let short = |text: &str| text.chars().take(400).collect::<String>();
                prop_assert!(*before == now, "{what} is another: {} after {}", short(&now), short(before));
            }
        }
    }
    Ok(refused)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Flips any byte of the file, including SQLite's own.
    #[test]
    fn a_byte_of_the_file(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let folder = folder();
        let path = lay(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        fs::write(&path, bytes).unwrap();
        refused_or_same(&path)?;
    }
}

/// Flips any byte of any value in any row: SQLite itself sees nothing wrong.
#[test]
fn a_byte_of_a_row() {
    for (table, columns) in [
        ("journal", &["id", "sum"][..]),
        ("head", &["shard", "epoch", "holder", "next_seq", "snapshot_at", "compacted", "snapshots", "sum"]),
        ("log", &["shard", "seq", "pipeline", "number", "kind", "body", "sum"]),
        ("snapshot", &["shard", "pipeline", "state", "sum"]),
        ("chunk", &["id", "body", "sum"]),
    ] {
        for column in columns {
            for turn in 0..12 {
                let folder = folder();
                let path = lay(folder.path());
                let what = format!("{table}.{column}, turn {turn}");
                if !flip(&path, table, column, turn) {
                    continue;
                }
                let refused = refused_or_same(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
                // Events that a snapshot covers are history, and no state depends on them.
                assert!(!refused.is_empty() || table == "log", "{what} goes unnoticed");
            }
        }
    }
}

/// Changes a byte of a column in one of the rows; false if the table would reject such a row.
fn flip(path: &Path, table: &str, column: &str, turn: usize) -> bool {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "ignore_check_constraints", true).unwrap();
    let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    let at = (turn as i64 * 7 + 5) % rows;
    let keys = if table == "log" { "shard, seq" } else { "rowid" };
    let (keys_of, value): (Vec<i64>, Value) = db
        .query_row(&format!("SELECT {column}, {keys} FROM {table} ORDER BY {keys} LIMIT 1 OFFSET {at}"), [], |row| {
            let keys = (1..=keys.split(',').count()).map(|key| row.get(key)).collect::<Result<_, _>>()?;
            Ok((keys, row.get(0)?))
        })
        .unwrap();
    let flipped = match value {
        Value::Integer(number) => Value::Integer(number ^ (1 << (turn % 3))),
        Value::Text(text) => {
            let mut bytes = text.into_bytes();
            let at = turn * 31 % bytes.len();
            bytes[at] ^= 1;
            Value::Text(String::from_utf8(bytes).unwrap())
        }
        Value::Blob(mut bytes) => {
            let at = turn * 31 % bytes.len();
            bytes[at] ^= 1;
            Value::Blob(bytes)
        }
        other => panic!("{other:?}"),
    };
    let wheres = if table == "log" { "shard = ?2 AND seq = ?3" } else { "rowid = ?2" };
    let mut values = vec![flipped];
    values.extend(keys_of.into_iter().map(Value::Integer));
    db.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE {wheres}"), rusqlite::params_from_iter(values)).is_ok()
}

#[test]
fn what_is_said_names_the_place_and_what_to_do() {
    let folder = folder();
    let path = lay(folder.path());
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE log SET body = replace(body, '7', '8') WHERE shard = 9 AND seq = (SELECT max(seq) FROM log WHERE shard = 9)", [])
        .unwrap();
    let refused = refused_or_same(&path).unwrap();
    assert!(!refused.is_empty());
    for error in refused {
        assert!(error.contains("shard 9, event 72 of ") && error.contains("restore a backup"), "{error}");
        assert!(!error.contains("of shard 3"), "another shard has nothing to do with it: {error}");
    }
}
