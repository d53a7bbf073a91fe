//! An open SQLite file, which is only read.
use super::failure;
use dataflow_sdk::{Error, paths::Paths};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long is waited for a writer that has locked the whole file.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    inode: u64,
}

impl File {
    /// Opens a file that is there, for reading alone.
    pub(super) fn open(path: &Path, paths: &Paths) -> Result<Self, Error> {
        paths.admit(path)?;
        // A path that begins at the root is taken for nothing else, as `file:…` and `:memory:` would be.
        let path = std::path::absolute(path).map_err(|error| failure::unopened(path, &error))?;
        let found = metadata(&path)?;
        if found.is_dir() {
            return Err(failure::unopened(&path, &std::io::ErrorKind::IsADirectory.into()));
        }
        let failed = |error| failure::classify("open", &path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let encoding: String = connection.pragma_query_value(None, "encoding", |row| row.get(0)).map_err(failed)?;
        // Whatever that says of an empty file, this reads it.
        connection.pragma_query_value(None, "schema_version", |_| Ok(())).map_err(failed)?;
        if encoding != "UTF-8" {
            return Err(failure::encoding(&path, &encoding));
        }
        Ok(Self { connection, inode: found.ino(), path })
    }

    /// What the file is known by, whatever its name. Devices have other numbers after the machine has started again.
    pub(super) fn identity(&self) -> Arc<str> {
        self.inode.to_string().into()
    }

    /// Makes sure that the file is still the one at its path.
    pub(super) fn is_in_place(&self) -> Result<(), Error> {
        if metadata(&self.path)?.ino() == self.inode {
            return Ok(());
        }
        Err(Error::transient("file-moved", format!("{} was replaced by another file", self.path.display())))
    }

    /// Runs what reads, all of it from one state of the file, and lets go of that.
    pub(super) fn at_once<T>(&self, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        let failed = |error| self.failed("read", &error);
        self.connection.execute_batch("begin").map_err(failed)?;
        let done = work(self);
        // There is nothing to be kept.
        let ended = self.connection.execute_batch("rollback").map_err(failed);
        let done = done?;
        ended.map(|()| done)
    }

    pub(super) fn failed(&self, doing: &str, error: &rusqlite::Error) -> Error {
        failure::classify(doing, &self.path, error)
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        format!("SQLite at {}", self.path.display())
    }
}

fn metadata(path: &Path) -> Result<Metadata, Error> {
    std::fs::metadata(path).map_err(|error| failure::unopened(path, &error))
}
