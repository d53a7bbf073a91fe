//! The body of `POST …/batches`: `{batchId, records: [{id?, data, metadata?}]}`.
#[cfg(test)]
mod tests;
mod walk;

use bytes::Bytes;
use dataflow_core::{id::BatchId, problem::Problem};
use dataflow_sdk::records::Span;
use walk::Walk;

/// The most findings about one body.
const MAX_FINDINGS: usize = 100;

/// A summary of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The id of the batch.
    pub batch_id: BatchId,
    /// Counts the records.
    pub records: u64,
    /// xxh3-128, in hex, of the raw value of `records`, brackets included: distinguishes another batch under the same
    /// id from a repetition.
    pub hash: String,
}

/// A record of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its data, within the body: any JSON value. [`Span::NULL`] for null, which is a tombstone.
    pub data: Span,
    /// Its metadata, within the body: a JSON object.
    pub metadata: Option<Span>,
}

/// Checks a body: every byte is JSON, and all required parts are there. Ids and metadata that are null count as absent.
///
/// # Errors
/// All findings (paths like `records[17].data`), at most 100; only the first one if the body is not JSON.
pub fn check(body: &[u8]) -> Result<Summary, Vec<Problem>> {
    let mut walk = Walk::new(body);
    walk.run(|_, _| {}).map_err(|problem| vec![problem])?;
    let hash = xxhash_rust::xxh3::xxh3_128(walk.array());
    let (batch_id, records) = walk.findings()?;
    Ok(Summary { batch_id, records, hash: format!("{hash:032x}") })
}

/// Returns the records of a checked body, without the first `from_record` ones.
///
/// # Errors
/// If the body would not pass [`check`].
pub fn read(body: &Bytes, from_record: u64) -> Result<Vec<Record>, Problem> {
    let mut walk = Walk::new(body);
    let mut records = Vec::new();
    walk.run(|index, record| {
        if index >= from_record {
            records.push(record());
        }
    })?;
    match walk.findings() {
        Ok(_) => Ok(records),
        Err(mut problems) => Err(problems.swap_remove(0)),
    }
}
