//! The meaning of SQLite's errors.
use crate::on_disk;
use dataflow_sdk::Error;
use rusqlite::ErrorCode;
use std::{io::ErrorKind, path::Path};

/// The class and words of an error.
pub(super) fn classify(doing: &str, path: &Path, error: &rusqlite::Error) -> Error {
    let message = format!("can't {doing} {}: {error}", path.display());
    if error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_READONLY_DBMOVED) {
        return moved(path);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let holder = dataflow_locks::database_holder(path);
            Error::transient("locked", format!("can't {doing} {}: it is locked by {holder}", path.display()))
        }
        Some(ErrorCode::NotADatabase) => {
            Error::fatal("not-a-database", format!("{} is not a SQLite database", path.display()))
                .fix("give the path of a SQLite database, or of a new file")
                .for_user()
        }
        Some(ErrorCode::DatabaseCorrupt) => Error::fatal("corrupt", message)
            .fix("restore the file from a backup, or recover it with sqlite3's .recover")
            .for_user(),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::fatal("access-denied", message)
            .fix(format!("let the node's user write to {} and its folder", path.display())),
        Some(ErrorCode::CannotOpen) => match std::fs::OpenOptions::new().read(true).append(true).open(path) {
            // The folder is there, so it is the file that can't be made.
            Err(reason) if reason.kind() == ErrorKind::NotFound && folder(path).is_dir() => {
                let message = format!("can't create {}: its folder is not writable", path.display());
                Error::fatal("access-denied", message).fix("let the node's user write to its folder")
            }
            Err(reason) => on_disk::failure("open", path, &reason),
            Ok(_) => Error::fatal("access-denied", message).fix("let the node's user write to its folder"),
        },
        Some(ErrorCode::DiskFull) => Error::transient("disk-full", message),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            Error::transient("io", message)
        }
        Some(ErrorCode::SchemaChanged) => Error::transient("schema-changed", message),
        // Of a commit: each row is checked for those of its own table.
        Some(ErrorCode::ConstraintViolation) => Error::fatal("foreign-key", message)
            .fix(
                "a deferred foreign key of another table refuses what a trigger or this table's rows left there: declare it \
                 not deferred, so that the record in question is a dead letter, or add the row that it refers to",
            )
            .for_user(),
        _ => Error::fatal("sqlite", message),
    }
}

/// A table that may give back other values than it was given.
pub(super) fn not_a_table(path: &Path, table: &str, kind: &str) -> Error {
    let message = format!("{table} in {} is a {kind} table, whose module may alter or drop values", path.display());
    let fix = "write to an ordinary table, and fill the virtual one from it, for example by a trigger";
    Error::fatal("not-a-table", message).fix(fix).for_user()
}

/// A file that can't hold all texts: SQLite replaces U+FFFE and U+FFFF in it.
pub(super) fn encoding(path: &Path, encoding: &str) -> Error {
    let message = format!("{} keeps texts as {encoding}, in which SQLite alters some characters", path.display());
    let fix = "write to a file with UTF-8, SQLite's default: the output of sqlite3's .dump, without `pragma encoding`, makes one";
    Error::fatal("unsupported-encoding", message).fix(fix).for_user()
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file at this path is not the one that was opened.
pub(super) fn moved(path: &Path) -> Error {
    Error::transient("file-moved", format!("{} was moved, removed or replaced", path.display()))
}

/// The file that this pipeline wrote to is not there.
pub(super) fn gone(path: &Path) -> Error {
    Error::contradicts(
        "file-missing",
        format!("{} is gone; this pipeline has written to it", path.display()),
        "put the file back, or choose: set the checkpoint to \"beginning\" to write everything again to a new file, or \
            to \"journal\" to continue after the last checkpoint and count the missing rows as lost",
    )
}

/// What an error at the writing of a row says of that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The table refuses it, and nothing of it was written.
    Row,
    /// It came of the row, too, but something of the row may have been written, or the whole transaction may be gone: a
    /// trigger may do so.
    Deep,
    /// It came of the world around: the file, the disk, a lock.
    World,
}

/// Whether an error at the writing of a row is the row's. The statement was prepared without one, so that what is left is
/// the row, what the table's triggers and checks do with it, or the world around.
pub(super) fn blame(error: &rusqlite::Error) -> Blame {
    use ErrorCode as Code;
    let Some(cause) = error.sqlite_error() else { return Blame::World };
    match cause.code {
        Code::ConstraintViolation if cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER => Blame::Deep,
        Code::ConstraintViolation | Code::TypeMismatch | Code::TooBig => Blame::Row,
        Code::Unknown => Blame::Deep,
        _ => Blame::World,
    }
}

/// The error of a row that lacks one that it refers to: [`Blame::Deep`], because it was written.
pub(super) fn unresolved() -> rusqlite::Error {
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER);
    rusqlite::Error::SqliteFailure(error, Some("FOREIGN KEY constraint failed".into()))
}

/// SQLite's own words.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
