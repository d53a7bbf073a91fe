//! Backs up a journal, also while it is being written, and restores one from a backup.
use crate::{
    failure, schema,
    seen::{self, Marker, Written, marker},
    statements,
};
use dataflow_core::{id::Epoch, shard::ShardId};
use dataflow_journal::{Error, WriteLevel};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes a consistent copy of the journal at `path` into the single file `to`, which is overwritten if it exists and
/// durable once this returns. Another process may write the journal meanwhile; neither waits for the other.
///
/// # Errors
/// [`Error::Unavailable`] if either can't be read or written, [`Error::Corrupt`] and [`Error::NotAsLeft`] if the
/// journal is not complete.
pub fn backup(path: &Path, to: &Path) -> Result<(), Error> {
    let seen = Written::seen(path)?;
    let partial = Partial::beside(to);
    copy(path, &partial)?;
    let copied = check(&partial.0)?;
    seen.map_or(Ok(()), |seen| copied.covers(&seen, path))?;
    put(&partial.0, to)
}

/// Restores the journal at `path` from a backup, or from any journal that no process has open. Existing files of a
/// journal are kept under another name, which is returned.
///
/// Raises every shard's epoch to at least `least`, and above those of the journal that is replaced. Since the backup was
/// made, the node may have claimed its shards and its sinks have seen those epochs; with a lower epoch it would stay
/// fenced forever. Where that journal is gone, the number of those claims is unknown, but no shard is claimed a thousand
/// times a second, so the milliseconds since 1970 exceed every epoch ever given out, including those after an earlier
/// restore, unless the clock was set back.
///
/// # Errors
/// As [`backup`]. The files that existed before are still there, possibly under their other name.
pub fn restore(backup: &Path, path: &Path, least: Epoch) -> Result<Option<PathBuf>, Error> {
    let unfinished = Partial::beside(path);
    copy(backup, &unfinished)?;
    let partial = &unfinished.0;
    check(partial)?;
    let failed = |cause| failure::of(partial, "can't be written", &cause);
    let least = newest_epoch(path).map_or(least, |newest| least.max(Epoch(newest.0 + 1)));
    let db = schema::connect(partial, OpenFlags::empty()).map_err(failed)?;
    statements::raise_epochs(&db, least).map_err(failed)?;
    let written = schema::written(&db, partial, None)?;
    db.close().map_err(|(_, cause)| failed(cause))?;

    let kept = keep(path, least)?;
    put(partial, path)?;
    // The old marker stays until here: if the process ends earlier, no node starts without its journal.
    Marker::keep(path, written)?;
    Ok(kept)
}

/// Returns whether `file`, however it is written, is one of the files of the journal at `path`.
pub fn is_part_of(path: &Path, file: &Path) -> bool {
    let whole = |file: &Path| file.canonicalize().ok();
    whole(file)
        .is_some_and(|file| dataflow_locks::database_files(path).iter().any(|own| whole(own) == Some(file.clone())))
}

/// The highest epoch of the journal at `path`, if there is one that can be read.
fn newest_epoch(path: &Path) -> Option<Epoch> {
    let db = path.exists().then(|| open(path).ok()).flatten()?;
    statements::epochs(&db, &ShardId::all().collect::<Vec<_>>()).ok()?.into_iter().map(|(_, epoch)| epoch).max()
}

/// Returns whether any file of a journal exists. A leftover write-ahead log alone would be read as part of the next
/// journal.
pub fn is_kept(path: &Path) -> bool {
    dataflow_locks::database_files(path).iter().any(|file| file.exists())
}

/// Moves existing files of a journal out of the way, and copies its marker.
fn keep(path: &Path, least: Epoch) -> Result<Option<PathBuf>, Error> {
    if !is_kept(path) {
        return Ok(None);
    }
    let free = |number: u64| path.with_extension(format!("replaced-{number}.db"));
    let other = (least.0..).map(free).find(|other| !is_kept(other)).unwrap_or_else(|| free(0));
    let moved = dataflow_locks::database_files(path).into_iter().zip(dataflow_locks::database_files(&other));
    for (from, to) in moved.filter(|(from, _)| from.exists()) {
        fs::rename(&from, to).map_err(|cause| io_failure(&from, "can't be moved", &cause))?;
    }
    let seen = marker(path);
    if seen.exists() {
        fs::copy(&seen, marker(&other)).map_err(|cause| io_failure(&seen, "can't be copied", &cause))?;
    }
    Ok(Some(other))
}

/// Checks that a file is a journal that this build can restore.
///
/// # Errors
/// [`Error::Unavailable`] if it can't be read, [`Error::Corrupt`] if it is no journal, [`Error::OtherBuild`] if only
/// another build can read it.
pub fn check_backup(path: &Path) -> Result<(), Error> {
    open(path).map(drop)
}

fn open(path: &Path) -> Result<Connection, Error> {
    let read = |cause| failure::of(path, "can't be read", &cause);
    let db = schema::connect(path, OpenFlags::empty()).map_err(read)?;
    db.busy_timeout(schema::BUSY).map_err(read)?;
    schema::check(&db, path, WriteLevel::NEWEST)?;
    schema::written(&db, path, None)?;
    Ok(db)
}

/// Copies a journal in one read transaction.
fn copy(path: &Path, partial: &Partial) -> Result<(), Error> {
    let db = open(path)?;
    partial.remove()?;
    let to = &partial.0;
    // Only the owner may read a journal. SQLite accepts an empty file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|cause| io_failure(to, "can't be created", &cause))?;
    // An absolute path: SQLite interprets some relative names as something else.
    let absolute = std::path::absolute(to).map_err(|cause| io_failure(to, "can't be created", &cause))?;
    let copied = db.execute("VACUUM INTO ?1", [absolute.to_string_lossy()]);
    copied.map(drop).map_err(|cause| failure::of(path, &format!("can't be copied to {}", to.display()), &cause))
}

/// Checks that a copy is complete; returns its id and how much it contains.
fn check(copy: &Path) -> Result<Written, Error> {
    let failed = |cause| failure::of(copy, "can't be read", &cause);
    let db = Connection::open(copy).map_err(failed)?;
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(Error::Corrupt(format!("the copy {} is damaged: {found}", copy.display())));
    }
    let written = schema::written(&db, copy, None)?;
    statements::check_all(&db).map_err(failed)?;
    Ok(written)
}

/// Renames a finished file to its final name; file and name are durable when this returns.
fn put(partial: &Path, to: &Path) -> Result<(), Error> {
    remove_beside(to)?;
    let put = || {
        File::open(partial)?.sync_all()?;
        fs::rename(partial, to)?;
        seen::sync_folder(to)
    };
    put().map_err(|cause| io_failure(to, "can't be written", &cause))
}

/// A file under a temporary name, removed on drop.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        Self(name.into())
    }

    fn remove(&self) -> Result<(), Error> {
        remove(&self.0)?;
        remove_beside(&self.0)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(cause) = self.remove() {
            tracing::warn!(%cause, "an unfinished file is left");
        }
    }
}

/// Removes files that SQLite would take for a part of the database at `path`: one left by another database would
/// corrupt it.
fn remove_beside(path: &Path) -> Result<(), Error> {
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        remove(Path::new(&file))?;
    }
    Ok(())
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(io_failure(file, "can't be removed", &cause)),
        _ => Ok(()),
    }
}

fn io_failure(path: &Path, what: &str, cause: &io::Error) -> Error {
    Error::Unavailable(format!("{} {what}: {cause}", path.display()))
}
