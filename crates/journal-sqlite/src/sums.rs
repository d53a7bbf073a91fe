//! Checksums of stored rows: each covers all values of its row, including its keys, and is compared whenever the row is
//! read.
//!
//! A row that is missing as a whole is noticed elsewhere: an event by the places around it, a snapshot by the sum of
//! all snapshots in its shard's head.
use dataflow_journal::Error;
use rusqlite::{Row, types::Type};
use std::fmt::Arguments;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The checksum of a row's numbers, name and body. Signed, like SQLite's integers.
pub(crate) fn sum(numbers: &[u64], name: &str, body: &[u8]) -> i64 {
    let seed = numbers.iter().fold(0, |seed, number| xxh3_64_with_seed(&number.to_le_bytes(), seed));
    xxh3_64_with_seed(body, xxh3_64_with_seed(name.as_bytes(), seed)).cast_signed()
}

/// Compares the stored checksum in `column` with `sum`, computed from the row's values; `what` names the row.
pub(crate) fn check(row: &Row<'_>, column: usize, sum: i64, what: Arguments<'_>) -> rusqlite::Result<()> {
    if row.get::<_, i64>(column)? == sum { Ok(()) } else { Err(Damaged::row(what)) }
}

/// A row whose values don't match its checksum.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(String);

impl Damaged {
    /// The error of a statement that read such a row; `what` names the row.
    pub(crate) fn row(what: Arguments<'_>) -> rusqlite::Error {
        let said = format!("{what}: the checksum differs, it was altered; restore a backup (`dataflow restore`)");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(Self(said)))
    }

    /// Whether `cause` reports a damaged row.
    pub(crate) fn is(cause: &rusqlite::Error) -> bool {
        Self::of(cause).is_some()
    }

    /// Returns the journal's error if `cause` reports a damaged row.
    pub(crate) fn of(cause: &rusqlite::Error) -> Option<Error> {
        let rusqlite::Error::FromSqlConversionFailure(_, _, cause) = cause else { return None };
        cause.downcast_ref::<Self>().map(|damaged| Error::Corrupt(damaged.to_string()))
    }
}
