//! Copies of a journal: a backup of one that is being written, and a journal made of a backup.
use crate::{
    failure, schema,
    seen::{self, Marker, Written, marker},
    statements,
};
use dataflow_core::id::Epoch;
use dataflow_journal::{Error, WriteLevel};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes the journal at `path`, as it is at one moment, into the one file `to`, which is durable once this returns and
/// overwritten if it is there. Another process may write the journal meanwhile, and neither waits for the other.
///
/// # Errors
/// [`Error::Unavailable`] if either can't be read or written, [`Error::Corrupt`] and [`Error::NotAsLeft`] if the journal is no
/// whole one.
pub fn backup(path: &Path, to: &Path) -> Result<(), Error> {
    let seen = Written::seen(path)?;
    let partial = Partial::beside(to);
    copy(path, &partial)?;
    let copied = check(&partial.0)?;
    seen.map_or(Ok(()), |seen| copied.covers(&seen, path))?;
    put(&partial.0, to)
}

/// Makes the journal at `path` of a backup, or of any journal that no process has open. Files of a journal that are there are
/// kept under another name, which is returned.
///
/// Every shard's epoch is raised to at least `least`. Since the backup was made the node may have claimed its shards, and
/// its sinks have seen those epochs: by a lower one it would be fenced for ever. Nobody knows how often it has, but a shard
/// is claimed less than once a second on average, so the seconds since 1970 are beyond all epochs that were ever given out,
/// those after an earlier restore included.
///
/// # Errors
/// As [`backup`]. Whatever was there before is there, or under its other name.
pub fn restore(backup: &Path, path: &Path, least: Epoch) -> Result<Option<PathBuf>, Error> {
    let unfinished = Partial::beside(path);
    copy(backup, &unfinished)?;
    let partial = &unfinished.0;
    check(partial)?;
    let failed = |cause| failure::of(partial, "can't be written", &cause);
    let db = schema::connect(partial, OpenFlags::empty()).map_err(failed)?;
    statements::raise_epochs(&db, least).map_err(failed)?;
    let written = schema::written(&db, partial, None)?;
    db.close().map_err(|(_, cause)| failed(cause))?;

    let kept = keep(path, least)?;
    put(partial, path)?;
    // The old marker stays until now: should this end before, no node starts without its journal.
    Marker::keep(path, written)?;
    Ok(kept)
}

/// Whether any file of a journal is there: its write-ahead log alone would be taken for the next one's.
pub fn is_kept(path: &Path) -> bool {
    dataflow_locks::database_files(path).iter().any(|file| file.exists())
}

/// Moves what is there of a journal out of the way, and copies its marker.
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

/// Copies a journal in one read transaction.
fn copy(path: &Path, partial: &Partial) -> Result<(), Error> {
    let read = |cause| failure::of(path, "can't be read", &cause);
    let db = schema::connect(path, OpenFlags::empty()).map_err(read)?;
    db.busy_timeout(schema::BUSY).map_err(read)?;
    schema::check(&db, path, WriteLevel::NEWEST)?;
    schema::written(&db, path, None)?;
    partial.remove()?;
    let to = &partial.0;
    // What is in a journal is nobody else's business. SQLite takes an empty file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|cause| io_failure(to, "can't be made", &cause))?;
    // Of this very name: SQLite takes some relative ones for something else.
    let absolute = std::path::absolute(to).map_err(|cause| io_failure(to, "can't be made", &cause))?;
    let copied = db.execute("VACUUM INTO ?1", [absolute.to_string_lossy()]);
    copied.map(drop).map_err(|cause| failure::of(path, &format!("can't be copied to {}", to.display()), &cause))
}

/// Whether a copy is whole; what it is and how much is in it.
fn check(copy: &Path) -> Result<Written, Error> {
    let failed = |cause| failure::of(copy, "can't be read", &cause);
    let db = Connection::open(copy).map_err(failed)?;
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(Error::Corrupt(format!("the copy {} is not whole: {found}", copy.display())));
    }
    let written = schema::written(&db, copy, None)?;
    statements::check_all(&db).map_err(failed)?;
    Ok(written)
}

/// Gives a finished file its name; both it and the name are durable then.
fn put(partial: &Path, to: &Path) -> Result<(), Error> {
    remove_beside(to)?;
    let put = || {
        File::open(partial)?.sync_all()?;
        fs::rename(partial, to)?;
        seen::sync_folder(to)
    };
    put().map_err(|cause| io_failure(to, "can't be written", &cause))
}

/// A file that has no name yet under which anybody looks for it. What is left of it goes with this.
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

/// What SQLite would take for a part of the database at a path: an old one, of another database, would be its ruin.
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
