//! Maps SQLite's errors to the journal's.
use crate::sums::Damaged;
use dataflow_journal::Error;
use rusqlite::ErrorCode;
use std::path::Path;

/// Maps an error of SQLite about the file at `path`; `what` names the operation that failed.
pub(crate) fn of(path: &Path, what: &str, cause: &rusqlite::Error) -> Error {
    if let Some(damaged) = Damaged::of(cause) {
        return damaged;
    }
    let text = format!("{} {what}: {cause}", path.display());
    match cause {
        _ if is_locked(cause) => Error::Unavailable(locked(path)),
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            // SQLite reports `Unknown` for a header or a schema that it can't parse.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => Error::Broken(text),
            ErrorCode::ConstraintViolation => Error::Corrupt(text),
            ErrorCode::DiskFull => Error::Unavailable(format!("{text}; free space on its disk")),
            _ => Error::Unavailable(text),
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => Error::Corrupt(text),
        // The tables differ from those the statements are written for.
        rusqlite::Error::SqlInputError { .. } => Error::Broken(text),
        _ => Error::Unavailable(text),
    }
}

/// Returns whether another process holds the file's lock; nothing was done then.
pub(crate) fn is_locked(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The message that names the holder of the lock.
pub(crate) fn locked(path: &Path) -> String {
    format!("{} is locked by {}", path.display(), dataflow_locks::database_holder(path))
}
