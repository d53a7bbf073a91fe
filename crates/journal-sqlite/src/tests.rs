#![allow(clippy::unwrap_used)]
use crate::{Sqlite, backup, restore, writer::Durable};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, Seq},
    shard::ShardId,
};
use dataflow_journal::{
    Appended, Error, Holder, Journal, WriteLevel,
    testing::{
        contract::{Owner, encoded},
        samples::{lifecycle, pipeline, progress},
    },
};
use futures::future::join_all;
use rusqlite::Connection;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;

const SHARD: ShardId = ShardId(9);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    (folder, path)
}

/// Opens the store at a path, with a journal on it.
fn open(path: &std::path::Path) -> (Arc<Sqlite>, Journal) {
    let store = Arc::new(Sqlite::open(path).unwrap());
    (store.clone(), Journal::new(store))
}

fn refusal(path: &std::path::Path) -> String {
    Sqlite::open(path).unwrap_err().to_string().replace(&path.display().to_string(), "[path]")
}

#[tokio::test]
async fn reopened_it_has_everything() {
    let (_folder, path) = place();
    let name = pipeline(SHARD, 0);
    let chunk = ChunkId("p/i/1/x".into());
    let epoch = {
        let (store, journal) = open(&path);
        let mut owner = Owner::claim(&journal, SHARD).await;
        owner.append(&[(name.clone(), progress("1", 1)), (name.clone(), progress("2", 2))]).await;
        journal.snapshot(SHARD, owner.epoch, Seq(3), vec![]).await.unwrap();
        journal.compact(SHARD, owner.epoch, Seq(2)).await.unwrap();
        owner.append(&[(name.clone(), lifecycle("3"))]).await;
        journal.put_chunk(&chunk, Bytes::from_static(b"body")).await.unwrap();
        let [database, wal, index] = store.own_files();
        assert!(database.exists() && wal.exists() && index.exists());
        owner.epoch
    };
    assert!(!path.with_extension("db-wal").exists(), "closed, it is one file");
    let (_, journal) = open(&path);
    let run = journal.read(SHARD, Seq(2), 10).await.unwrap();
    assert_eq!(run.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(run.next, Seq(4));
    assert_eq!(journal.snapshots(SHARD).await.unwrap().1, Seq(3));
    assert_eq!(journal.chunk(&chunk).await.unwrap(), Some(Bytes::from_static(b"body")));
    let owner = Owner::claim(&journal, SHARD).await;
    assert_eq!((owner.epoch, owner.next), (epoch.next(), Seq(4)));
}

/// Every append that was reported as applied is in the files at that moment: a copy of them, as after a crash, contains
/// it.
#[tokio::test]
async fn what_is_applied_is_in_the_files() {
    let (folder, path) = place();
    let (store, journal) = open(&path);
    let mut owner = Owner::claim(&journal, SHARD).await;
    for round in 1..=5_u64 {
        owner.append(&[(pipeline(SHARD, 0), lifecycle("c"))]).await;
        let copy = folder.path().join(format!("copy-{round}.db"));
        for (file, suffix) in store.own_files().iter().zip(["", "-wal"]) {
            std::fs::copy(file, format!("{}{suffix}", copy.display())).unwrap();
        }
        let (_, crashed) = open(&copy);
        assert_eq!(crashed.read(SHARD, Seq(1), 10).await.unwrap().entries.len() as u64, round);
    }
}

/// Whatever the clock says: those who write to sinks with the epochs of the journal that is replaced are fenced.
#[tokio::test]
async fn a_restore_is_above_the_epochs_that_it_replaces() {
    let (folder, path) = place();
    let saved = folder.path().join("backup.db");
    let (store, journal) = open(&path);
    Owner::claim(&journal, SHARD).await;
    backup(&path, &saved).unwrap();
    for _ in 0..3 {
        Owner::claim(&journal, SHARD).await;
    }
    drop((store, journal));
    let before = journal_epoch(&path).await;
    restore(&saved, &path, Epoch(0)).unwrap();
    assert!(journal_epoch(&path).await > before);
}

async fn journal_epoch(path: &std::path::Path) -> Epoch {
    open(path).1.head(SHARD).await.unwrap().epoch
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let (folder, path) = place();
    std::fs::write(&path, "just text, and longer than the sixteen bytes of a header").unwrap();
    insta::assert_snapshot!(refusal(&path), @"the journal is damaged: [path] can't be opened: file is not a database");

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
    insta::assert_snapshot!(refusal(&other), @"the journal is damaged: [path] is a SQLite file, but not a DataFlow journal; choose another path");

    let newer = folder.path().join("newer.db");
    drop(Sqlite::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let before = std::fs::read(&newer).unwrap();
    insta::assert_snapshot!(refusal(&newer), @"the journal was written by another build: [path] is at write level 2, this build reads levels up to 1; run the build that wrote it, or a newer one");
    assert!(std::fs::read(&newer).unwrap() == before, "nothing of it was touched");

    let nowhere = folder.path().join("none/journal.db");
    assert!(matches!(Sqlite::open(&nowhere), Err(Error::Unavailable(_))));
}

/// A build that can write more than the journal's level and one that can't open it alternately, until the level is
/// raised.
#[tokio::test]
async fn two_builds_take_turns_until_the_level_is_raised() {
    let (_folder, path) = place();
    let [older, newer] = [WriteLevel(1), WriteLevel(2)];
    let append = async |build: WriteLevel, command: &str| {
        let journal = Journal::of_build(Arc::new(Sqlite::open_as(&path, build).unwrap()), build);
        Owner::claim(&journal, SHARD).await.append(&[(pipeline(SHARD, 0), lifecycle(command))]).await;
        (journal.write_level().unwrap(), journal.read(SHARD, Seq(1), 10).await.unwrap().entries.len())
    };
    assert_eq!(append(older, "1").await, (older, 1));
    assert_eq!(append(newer, "2").await, (older, 2));
    assert_eq!(append(older, "3").await, (older, 3));
    {
        let journal = Journal::of_build(Arc::new(Sqlite::open_as(&path, newer).unwrap()), newer);
        journal.raise_write_level(newer).await.unwrap();
        journal.raise_write_level(older).await.unwrap();
        assert!(matches!(journal.raise_write_level(WriteLevel(3)).await, Err(Error::OtherBuild(_))));
        assert_eq!(journal.write_level().unwrap(), newer, "it never falls");
    }
    assert!(matches!(Sqlite::open_as(&path, older), Err(Error::OtherBuild(_))));
    assert_eq!(append(newer, "4").await, (newer, 4));
    let db = Connection::open(&path).unwrap();
    let mut rows = db.prepare("SELECT body ->> '$.v' FROM log ORDER BY seq").unwrap();
    let levels: Vec<u32> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(levels, [1, 1, 1, 2], "each event is written at the level that the journal had");
}

/// A gap in the log is damage, never skipped.
#[tokio::test]
async fn a_lost_row_is_noticed() {
    let (_folder, path) = place();
    let (_, journal) = open(&path);
    let mut owner = Owner::claim(&journal, SHARD).await;
    for n in 0..5 {
        owner.append(&[(pipeline(SHARD, 0), lifecycle(&format!("{n}")))]).await;
    }
    Connection::open(&path).unwrap().execute("DELETE FROM log WHERE seq = 3", []).unwrap();
    assert!(matches!(journal.read(SHARD, Seq(1), 10).await, Err(Error::Corrupt(_))));
    assert_eq!(journal.read(SHARD, Seq(4), 10).await.unwrap().next, Seq(6));
}

/// On a full disk, appends are unknown and everything else is unavailable; nothing half-written stays, and with free
/// space it continues.
#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let (_folder, path) = place();
    let (store, journal) = open(&path);
    let mut owner = Owner::claim(&journal, SHARD).await;
    let name = pipeline(SHARD, 0);
    owner.append(&[(name.clone(), lifecycle("before"))]).await;
    let pages = async |most: u32| {
        let set = move |db: &Connection| db.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()));
        store.writer.submit(Durable::AtOnce, 0, set).await.unwrap();
    };
    pages(1).await;
    let many: Vec<_> = (0..200).map(|n| (name.clone(), progress(&format!("full {n}"), n))).collect();
    assert_eq!(journal.append(SHARD, owner.epoch, owner.next, &encoded(&journal, &many)).await, Appended::Unknown);
    let large = Bytes::from(vec![7; 1 << 20]);
    let refused = journal.put_chunk(&ChunkId("p/i/1/large".into()), large.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("free space on its disk"), "{refused}");
    assert_eq!(journal.read(SHARD, Seq(1), 1_000).await.unwrap().next, Seq(2));

    pages(1 << 30).await;
    let mut owner = Owner::claim(&journal, SHARD).await;
    assert_eq!(owner.next, Seq(2));
    owner.append(&many).await;
    journal.put_chunk(&ChunkId("p/i/1/large".into()), large).await.unwrap();
    assert_eq!(journal.read(SHARD, Seq(1), 1_000).await.unwrap().entries.len(), 201);
}

/// Only work that has to be durable at once waits for the disk.
#[tokio::test]
async fn what_may_be_durable_later_is_not_synced_by_itself() {
    let (_folder, path) = place();
    let (store, _) = open(&path);
    let level = |db: &Connection| db.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
    const NORMAL: i64 = 1;
    const FULL: i64 = 2;
    for _ in 0..2 {
        assert_eq!(store.writer.submit(Durable::Later, 0, level).await.unwrap(), NORMAL);
        assert_eq!(store.writer.submit(Durable::AtOnce, 0, level).await.unwrap(), FULL);
    }
}

/// A failing job doesn't fail the others of its group.
#[tokio::test]
async fn a_failed_job_harms_no_other() {
    let (_folder, path) = place();
    let (store, journal) = open(&path);
    let shards: Vec<_> = (0..40).map(ShardId).collect();
    let mut owners = join_all(shards.iter().map(|shard| Owner::claim(&journal, *shard))).await;
    let writes = owners.iter_mut().map(async |owner| owner.append(&[(pipeline(owner.shard, 0), lifecycle("c"))]).await);
    let bad = (0..5).map(async |_| {
        // Writes, then fails: the write has to be rolled back.
        let job = |db: &Connection| {
            db.execute("DELETE FROM head", [])?;
            db.execute("INSERT INTO no_such_table VALUES (1)", [])
        };
        assert!(store.writer.submit(Durable::AtOnce, 0, job).await.is_err());
    });
    tokio::join!(join_all(writes), join_all(bad));
    for shard in shards {
        assert_eq!(journal.read(shard, Seq(1), 10).await.unwrap().entries.len(), 1);
    }
}

/// The space of removed chunks is returned to the file system.
#[tokio::test]
async fn removed_chunks_give_their_space_back() {
    let (_folder, path) = place();
    let (_, journal) = open(&path);
    let ids: Vec<_> = (0..20).map(|n| ChunkId(format!("p/i/1/{n}").into())).collect();
    for id in &ids {
        journal.put_chunk(id, vec![1; 1 << 20].into()).await.unwrap();
    }
    journal.remove_chunks(&ids).await.unwrap();
    // Space is returned in steps while no job waits; the file shrinks when the write-ahead log is moved into it.
    let free = || Connection::open(&path).unwrap().query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    for _ in 0..1_000 {
        if free().unwrap() <= 256 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(journal);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 4 << 20, "{size} bytes");
}

/// Every frequent statement finds its rows by an index.
#[test]
fn statements_use_their_indexes() {
    let (_folder, path) = place();
    drop(Sqlite::open(&path).unwrap());
    let db = Connection::open(&path).unwrap();
    let plan = |sql: &str| {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
    };
    insta::assert_snapshot!(plan(crate::statements::READ), @"SEARCH log USING PRIMARY KEY (shard=? AND seq>?)");
    insta::assert_snapshot!(plan(crate::statements::HISTORY), @"SEARCH log USING INDEX log_history (pipeline=? AND number>?)");
    insta::assert_snapshot!(plan(crate::statements::HISTORY_BEFORE), @"SEARCH log USING INDEX log_history (pipeline=? AND number<?)");
    insta::assert_snapshot!(plan(crate::statements::COMPACT), @"SEARCH log USING PRIMARY KEY (shard=? AND seq>? AND seq<?)");
    insta::assert_snapshot!(plan(crate::statements::CHUNKS), @"SEARCH chunk USING COVERING INDEX sqlite_autoindex_chunk_1 (id>? AND id<?)");
}

/// A process frozen in the middle of a transaction doesn't block readers.
#[tokio::test]
async fn a_locked_journal_can_be_opened_and_read() {
    let (_folder, path) = place();
    let (_, first) = open(&path);
    Owner::claim(&first, SHARD).await.append(&[(pipeline(SHARD, 0), lifecycle("1"))]).await;
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (_, second) = open(&path);
    assert_eq!(second.read(SHARD, Seq(1), 10).await.unwrap().entries.len(), 1);
    let node = Holder::new("node");
    let mut claiming = std::pin::pin!(second.take_over(SHARD, &node));
    let claims = tokio::time::timeout(Duration::from_millis(200), &mut claiming);
    assert!(claims.await.is_err(), "somebody has it locked");
    holder.execute_batch("ROLLBACK").unwrap();
    claiming.await.unwrap();
}

/// Nobody writes to a journal that is reported as unwritable, so it has to notice its recovery by itself.
#[tokio::test]
async fn a_failure_is_over_although_nobody_writes() {
    let (_folder, path) = place();
    let (store, journal) = open(&path);
    let full = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
    let failed = store.writer.submit(Durable::AtOnce, 0, move |_| Err::<(), _>(full())).await;
    assert!(failed.unwrap_err().to_string().contains("free space"));
    assert!(journal.unwritable().unwrap().contains("free space"));
    for _ in 0..3_000 {
        if journal.unwritable().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}", journal.unwritable());
}

/// The owner of one of all shards, which a node claims before anything else.
async fn claimed_by_a_node(journal: &Journal) -> Owner<'_> {
    let holder = Holder::new("node");
    let others = ShardId::all().filter(|shard| *shard != SHARD);
    join_all(others.map(|shard| journal.take_over(shard, &holder)))
        .await
        .into_iter()
        .for_each(|claim| drop(claim.unwrap()));
    Owner::claim(journal, SHARD).await
}

/// A missing head affects only its own shard; a journal that has lost everything is refused as an older one.
#[tokio::test]
async fn a_deleted_head_closes_its_shard_alone() {
    let (_kept, path) = killed("left").await;
    drop(Sqlite::open(&path).unwrap());
    let delete = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    for other in [ShardId(3), SHARD] {
        delete(&format!("DELETE FROM head WHERE shard = {}", other.0));
        for _ in 0..2 {
            let (_, journal) = open(&path);
            for shard in ShardId::all() {
                let claimed = journal.take_over(shard, &Holder::new("node")).await;
                // A head is not missed if nothing was ever written to its shard.
                let closed = shard == SHARD && other == SHARD;
                assert_eq!(matches!(claimed, Err(Error::Corrupt(_))), closed, "{shard}: {claimed:?}");
            }
        }
    }
    delete("DELETE FROM head; DELETE FROM log");
    assert!(matches!(Sqlite::open(&path), Err(Error::NotAsLeft(_))));
}

/// A journal with some events, as after a kill: the files are copied while it is open.
async fn killed(name: &str) -> (TempDir, PathBuf) {
    let (folder, path) = place();
    let left = folder.path().join(name);
    std::fs::create_dir(&left).unwrap();
    let (_, journal) = open(&path);
    let mut owner = claimed_by_a_node(&journal).await;
    for n in 0..5 {
        owner.append(&[(pipeline(SHARD, 0), lifecycle(&format!("{n}")))]).await;
    }
    for file in ["journal.db", "journal.db-wal", "journal.seen"] {
        std::fs::copy(folder.path().join(file), left.join(file)).unwrap();
    }
    let left = left.join("journal.db");
    (folder, left)
}

/// Every loss of something written here is noticed; a complete journal opens, wherever it lies.
#[tokio::test]
async fn what_was_taken_away_is_noticed() {
    let id = |path: &std::path::Path| open(path).1.id().to_owned();
    let (_kept, path) = killed("whole").await;
    assert_eq!(id(&path), id(&path), "all is there, and it stays the same journal");

    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm, &str); 6] = [
        ("no file", |path| std::fs::remove_file(path).unwrap(), "is missing"),
        ("an empty file", |path| std::fs::write(path, "").unwrap(), "is empty"),
        ("no -wal", |path| std::fs::remove_file(path.with_extension("db-wal")).unwrap(), ""),
        (
            "another journal",
            |path| {
                let (_folder, other) = place();
                drop(Sqlite::open(&other).unwrap());
                std::fs::remove_file(path.with_extension("db-wal")).unwrap();
                std::fs::copy(other, path).unwrap();
            },
            "is another journal",
        ),
        (
            "an older copy",
            |path| {
                drop(Sqlite::open(path).unwrap());
                let db = Connection::open(path).unwrap();
                db.execute("DELETE FROM log WHERE seq = 5", []).unwrap();
                let holder: String =
                    db.query_row("SELECT holder FROM head WHERE shard = 9", [], |row| row.get(0)).unwrap();
                let sum = crate::sums::sum(&[SHARD.0.into(), 1, 5, 1, 1, 0], &holder, &[]);
                db.execute("UPDATE head SET next_seq = 5, sum = ?1 WHERE shard = 9", [sum]).unwrap();
            },
            "lacks changes that were written to it",
        ),
        (
            "a damaged marker",
            |path| std::fs::write(path.with_extension("seen"), "x").unwrap(),
            "journal.seen can't be read",
        ),
    ];
    for (what, harm, says) in harms {
        let (_kept, path) = killed("left").await;
        harm(&path);
        let refused = Sqlite::open(&path).map(drop).expect_err(what);
        assert!(matches!(refused, Error::NotAsLeft(_)), "{what}: {refused}");
        assert!(refused.to_string().contains(says), "{what}: {refused}");
        assert!(matches!(Sqlite::open(&path), Err(Error::NotAsLeft(_))), "{what}: the first look changed nothing");
        // Without the marker, only the file's content counts.
        std::fs::remove_file(crate::marker(&path)).unwrap();
        Sqlite::open(&path).unwrap();
    }
}

/// The marker counts each event and claim that was written, and none that was refused.
#[tokio::test]
async fn the_marker_is_never_ahead() {
    let (_folder, path) = place();
    let (_, journal) = open(&path);
    let moves = || crate::seen::Written::seen(&path).unwrap().unwrap().moves;
    let mut owner = Owner::claim(&journal, SHARD).await;
    assert_eq!(moves(), 1);
    owner.append(&[(pipeline(SHARD, 0), lifecycle("1")), (pipeline(SHARD, 0), lifecycle("2"))]).await;
    assert_eq!(moves(), 3);
    let refused =
        journal.append(SHARD, owner.epoch, Seq(1), &encoded(&journal, &[(pipeline(SHARD, 0), lifecycle("x"))])).await;
    assert_eq!((refused, moves()), (Appended::Fenced, 3));
    journal.put_chunk(&ChunkId("p/i/1/x".into()), Bytes::from_static(b"body")).await.unwrap();
    assert_eq!(moves(), 3);
    drop(journal);
    drop(Sqlite::open(&path).unwrap());
    assert_eq!(moves(), 3);
}

#[test]
fn a_journal_with_other_tables_is_refused() {
    for old in ["DROP TABLE log", "DROP INDEX log_history; ALTER TABLE log DROP COLUMN number"] {
        let (_folder, path) = place();
        drop(Sqlite::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch(old).unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(refusal(&path), @"the journal was written by another build: [path] was written by a build from before the first release, with other tables; start with an empty folder");
        }
    }
}
