//! The meaning of SQLite's errors, for one who only reads.
use dataflow_sdk::Error;
use rusqlite::{ErrorCode, ffi};
use std::{io::ErrorKind, path::Path};

/// The class and words of an error.
pub(super) fn classify(doing: &str, path: &Path, error: &rusqlite::Error) -> Error {
    let message = format!("can't {doing} SQLite at {}: {}", path.display(), words(error));
    let rights = || {
        format!(
            "let the node's user read {} and write to its folder, where SQLite keeps files for the readers of a database in WAL mode",
            path.display()
        )
    };
    let extended = error.sqlite_error().map(|cause| cause.extended_code);
    if matches!(extended, Some(ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY)) {
        let message = format!(
            "can't {doing} SQLite at {}: a program has ended in the middle of a transaction, which only one that may write can undo",
            path.display()
        );
        return Error::transient("unavailable", message)
            .fix("start the program again that writes to it, or open it once with sqlite3");
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let holder = dataflow_locks::database_holder(path);
            Error::transient("locked", format!("can't {doing} SQLite at {}: it is locked by {holder}", path.display()))
        }
        Some(ErrorCode::NotADatabase) => {
            Error::fatal("not-a-database", format!("{} is not a SQLite database", path.display()))
                .fix("give the path of a SQLite database")
                .for_user()
        }
        Some(ErrorCode::DatabaseCorrupt) => Error::fatal("corrupt", message)
            .fix("restore the file from a backup, or recover it with sqlite3's .recover")
            .for_user(),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            Error::fatal("access-denied", message).fix(rights())
        }
        Some(ErrorCode::CannotOpen) => match std::fs::File::open(path) {
            Err(reason) => unopened(path, &reason),
            Ok(_) => Error::fatal("access-denied", message).fix(rights()),
        },
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => {
            Error::transient("io", message)
        }
        Some(ErrorCode::SchemaChanged) => Error::transient("schema-changed", message),
        _ => Error::fatal("sqlite", message).for_user(),
    }
}

/// Why a file can't be opened.
pub(super) fn unopened(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("can't open SQLite at {}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let message = format!("there is no file {}", path.display());
            Error::fatal("file-missing", message).fix("name a SQLite file that is there; none is made by reading")
        }
        ErrorKind::PermissionDenied => {
            Error::fatal("access-denied", message).fix(format!("let the node's user read {}", path.display()))
        }
        ErrorKind::IsADirectory => Error::fatal("is-a-directory", message).fix("give the path of a file"),
        _ => Error::transient("io", message),
    }
}

/// A file in which SQLite would alter some texts on their way.
pub(super) fn encoding(path: &Path, encoding: &str) -> Error {
    let message =
        format!("{} keeps texts as {encoding}, of which SQLite alters some when they are read", path.display());
    let fix = "read from a file with UTF-8, SQLite's default: the output of sqlite3's .dump, without `pragma encoding`, makes one";
    Error::fatal("unsupported-encoding", message).fix(fix).for_user()
}

/// SQLite's own words.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}
