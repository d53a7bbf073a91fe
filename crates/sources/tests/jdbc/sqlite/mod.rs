//! Real SQLite files, in both kinds of journal.
mod lost;
mod order;
mod refused;
mod rows;
mod writers;

use rusqlite::Connection;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// A file of a test's own.
pub(crate) struct File {
    folder: tempfile::TempDir,
    connection: Connection,
}

/// The kinds of journal that readers and writers share a file with.
pub(crate) const JOURNALS: [&str; 2] = ["wal", "delete"];

impl File {
    pub(crate) fn fresh(journal: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(folder.path().join("source.db"));
        connection.pragma_update(None, "journal_mode", journal).unwrap();
        // Nothing here has to outlive the machine.
        connection.pragma_update(None, "synchronous", "off").unwrap();
        Self { folder, connection }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("source.db")
    }

    /// Another connection, as another program would have it.
    pub(crate) fn session(&self) -> Connection {
        open(self.path())
    }

    pub(crate) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// A source that reads it.
    pub(crate) fn source(&self, config: Value) -> Value {
        let mut whole = json!({"url": format!("sqlite:{}", self.path().display())});
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        whole
    }
}

fn open(path: PathBuf) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.pragma_update(None, "synchronous", "off").unwrap();
    connection
}
