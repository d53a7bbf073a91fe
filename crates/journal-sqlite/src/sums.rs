//! Checksums of stored rows: each covers all the values of its row, its keys too, and is compared whenever the row is read.
//!
//! A whole row that was lost is noticed by others: an event by the places around it, a snapshot by the sum of all snapshots
//! in its shard's head.
use dataflow_journal::Error;
use rusqlite::{Row, types::Type};
use std::fmt::Arguments;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The checksum of a row: of its numbers, its name and its body. Signed, as SQLite's integers are.
pub(crate) fn sum(numbers: &[u64], name: &str, body: &[u8]) -> i64 {
    let seed = numbers.iter().fold(0, |seed, number| xxh3_64_with_seed(&number.to_le_bytes(), seed));
    xxh3_64_with_seed(body, xxh3_64_with_seed(name.as_bytes(), seed)).cast_signed()
}

/// Compares the checksum that a row has in a column with that of its values; `what` names the row.
pub(crate) fn check(row: &Row<'_>, column: usize, sum: i64, what: Arguments<'_>) -> rusqlite::Result<()> {
    if row.get::<_, i64>(column)? == sum { Ok(()) } else { Err(Damaged::row(what)) }
}

/// A row that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(String);

impl Damaged {
    /// The error of a statement that came upon it; `what` names the row.
    pub(crate) fn row(what: Arguments<'_>) -> rusqlite::Error {
        let said =
            format!("{what}: it is not what was written, its checksum differs; restore a backup (`dataflow restore`)");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(Self(said)))
    }

    /// The journal's error, if it is one about such a row.
    pub(crate) fn of(cause: &rusqlite::Error) -> Option<Error> {
        let rusqlite::Error::FromSqlConversionFailure(_, _, cause) = cause else { return None };
        cause.downcast_ref::<Self>().map(|damaged| Error::Corrupt(damaged.to_string()))
    }
}
