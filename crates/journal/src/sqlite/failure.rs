//! What SQLite's errors mean to the journal.
use crate::Error;
use rusqlite::ErrorCode;

/// The journal's error for one of SQLite's; `what` says what was done and to what.
pub(super) fn of(what: &str, cause: &rusqlite::Error) -> Error {
    let text = format!("{what}: {cause}");
    match cause {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
                Error::Corrupt(text)
            }
            ErrorCode::DiskFull => Error::Unavailable(format!("{text}; free space on its disk")),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Error::Unavailable(format!("{text}; another process holds it"))
            }
            _ => Error::Unavailable(text),
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => Error::Corrupt(text),
        _ => Error::Unavailable(text),
    }
}
