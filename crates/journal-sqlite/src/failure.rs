//! What SQLite's errors mean to the journal.
use crate::sums::Damaged;
use dataflow_journal::Error;
use rusqlite::ErrorCode;
use std::path::Path;

/// The journal's error for one of SQLite's about the file at `path`; `what` says what could not be done.
pub(crate) fn of(path: &Path, what: &str, cause: &rusqlite::Error) -> Error {
    if let Some(damaged) = Damaged::of(cause) {
        return damaged;
    }
    let text = format!("{} {what}: {cause}", path.display());
    match cause {
        _ if is_locked(cause) => Error::Unavailable(locked(path)),
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            // Unknown is what SQLite has no code for: a header or a schema that it can't make sense of.
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
        // Its tables are not those that every statement is written for.
        rusqlite::Error::SqlInputError { .. } => Error::Broken(text),
        _ => Error::Unavailable(text),
    }
}

/// Whether another one has the file locked: nothing was done.
pub(crate) fn is_locked(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Who has it locked.
pub(crate) fn locked(path: &Path) -> String {
    format!("{} is locked by {}", path.display(), dataflow_locks::database_holder(path))
}
