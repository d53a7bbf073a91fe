//! The file's tables and settings, and the versions of it that can be read.
use crate::{
    failure,
    seen::{self, Written},
    statements,
    sums::{self, sum},
};
use dataflow_journal::{Error, WriteLevel};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use std::{path::Path, time::Duration};

/// Holds the write level. It covers the tables, too, and is read before anything is changed.
const LEVEL: &str = "PRAGMA user_version";

/// Distinguishes a journal from any other SQLite file (`PRAGMA application_id`): "DFjl".
const APPLICATION: i64 = 0x4446_6a6c;

/// How long one attempt waits for another process's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// `journal`: one row, the journal's id. `head`: one row per shard that was ever claimed; `holder` is empty if nobody
/// has claimed its epoch. `log`: one row per event, `number` counts the events of a pipeline; progress before
/// `head.compacted` is gone, and nothing else is missing. `kind` is `stored::Kind`: 0 is lifecycle, anything else
/// progress. `reader`: the position of each reader in each shard. `sum` is a row's checksum, `head.snapshots` that of
/// all snapshots of a shard, see `sums`.
const TABLES: &str = "
    CREATE TABLE journal (id TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE head (
        shard INTEGER PRIMARY KEY,
        epoch INTEGER NOT NULL,
        holder TEXT NOT NULL,
        next_seq INTEGER NOT NULL,
        snapshot_at INTEGER NOT NULL,
        compacted INTEGER NOT NULL,
        snapshots INTEGER NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log (
        shard INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        number INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        body TEXT NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (shard, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX log_history ON log (pipeline, number) WHERE kind = 0;
    CREATE TABLE snapshot (
        shard INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        state BLOB NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (shard, pipeline)
    ) STRICT;
    CREATE TABLE reader (
        shard INTEGER NOT NULL,
        name TEXT NOT NULL,
        next_seq INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (shard, name)
    ) STRICT;
    CREATE TABLE chunk (
        id TEXT PRIMARY KEY NOT NULL,
        body BLOB NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
";

/// Opens the file for writing, and creates its tables if it is new; it is not new if the marker says that something was
/// `seen` before. `newest` is the newest write level this build can read; returns the file's own write level.
pub(crate) fn open(path: &Path, seen: Option<&Written>, newest: WriteLevel) -> Result<(Connection, WriteLevel), Error> {
    let in_file = |cause| failure::of(path, "can't be opened", &cause);
    if seen.is_some() {
        seen::is_there(path)?;
    }
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(in_file)?;
    db.busy_timeout(BUSY).map_err(in_file)?;
    if is_empty(&db).map_err(in_file)? {
        if seen.is_some() {
            return Err(seen::empty(path));
        }
        create(&mut db, newest).map_err(in_file)?;
    }
    let level = check(&db, path, newest)?;
    settings(&db).map_err(in_file)?;
    Ok((db, level))
}

/// Opens another, read-only connection to the file.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let db = connect(path, OpenFlags::empty())?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "query_only", true)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Opens a connection to exactly this path: SQLite interprets some relative names as something else, `file:…` as a URI.
pub(crate) fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(path).map_err(|_| rusqlite::Error::InvalidPath(path.into()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(absolute, flags | more)
}

fn settings(db: &Connection) -> rusqlite::Result<()> {
    // A copy made by VACUUM is not in WAL mode.
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // 16 MiB between two checkpoints of the write-ahead log: each checkpoint costs a second fsync and stops the writer.
    db.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    db.pragma_update(None, "cache_size", -16_384)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn number(db: &Connection, sql: &str) -> rusqlite::Result<i64> {
    db.query_row(sql, [], |row| row.get(0))
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    Ok(number(db, "SELECT count(*) FROM sqlite_master")? == 0)
}

fn create(db: &mut Connection, level: WriteLevel) -> rusqlite::Result<()> {
    // Both are properties of the file that have to be set before its first table.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have created them first.
    if is_empty(&tx)? {
        tx.execute_batch(TABLES)?;
        let id: String = tx.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
        tx.execute("INSERT INTO journal (id, sum) VALUES (?1, ?2)", params![id, sum(&[], &id, &[])])?;
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", level.0)?;
    }
    tx.commit()
}

/// Returns a journal's write level if a build whose newest one is `newest` can read it. Only reads, so it waits for no
/// lock.
pub(crate) fn check(db: &Connection, path: &Path, newest: WriteLevel) -> Result<WriteLevel, Error> {
    let number = |sql| number(db, sql).map_err(|cause| failure::of(path, "can't be read", &cause));
    let what = path.display();
    if number("PRAGMA application_id")? != APPLICATION {
        return Err(Error::Corrupt(format!(
            "{what} is a SQLite file, but not a DataFlow journal; choose another path"
        )));
    }
    if number("SELECT count(*) FROM pragma_table_info('log') WHERE name = 'number'")? == 0 {
        return Err(Error::OtherBuild(format!(
            "{what} was written by a build from before the first release, with other tables; start with an empty folder"
        )));
    }
    let level = number(LEVEL)?;
    match u32::try_from(level).map(WriteLevel) {
        Ok(level) if level > newest => Err(Error::OtherBuild(format!(
            "{what} is at write level {level}, this build reads levels up to {newest}; run the build that wrote it, or a newer one"
        ))),
        Ok(level) if level >= WriteLevel(1) => Ok(level),
        _ => Err(Error::Corrupt(format!("{what} has an invalid write level: {level}"))),
    }
}

/// Raises the write level to at least `to`; returns the resulting level.
pub(crate) fn raise_level(db: &Connection, to: WriteLevel) -> rusqlite::Result<WriteLevel> {
    let level = WriteLevel(db.query_row(LEVEL, [], |row| row.get(0))?).max(to);
    db.pragma_update(None, "user_version", level.0)?;
    Ok(level)
}

/// Returns the journal's id and how much was written to it. A damaged head hides how much, so the marker's count
/// (`seen`) is taken then.
pub(crate) fn written(db: &Connection, path: &Path, seen: Option<&Written>) -> Result<Written, Error> {
    let written = || {
        // Both queries see the same moment.
        let tx = db.unchecked_transaction()?;
        let id = tx.query_row("SELECT id, sum FROM journal", [], |row| {
            let id: String = row.get(0)?;
            sums::check(row, 1, sum(&[], &id, &[]), format_args!("the id of {}", path.display()))?;
            Ok(id)
        })?;
        let moves = statements::moves(&tx)?.or(seen.map(|seen| seen.moves));
        Ok(Written { id, moves: moves.unwrap_or(0), lacks_heads: statements::lacks_heads(&tx)? })
    };
    written().map_err(|cause| failure::of(path, "can't be read", &cause))
}
