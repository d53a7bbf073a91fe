//! Checks common to all backends: ranges are dense, and rows become entries again.
use crate::{Error, WriteLevel, store::Page, stored};
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use stored::Row;

/// An event of a pipeline with its place in the shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place. Places are dense within a shard.
    pub seq: Seq,
    /// The pipeline that the event belongs to.
    pub pipeline: PipelineId,
    /// The event.
    pub event: RecordedEvent,
}

/// Checks that nothing is missing among the first `limit` rows from a place on; returns the place after them.
///
/// # Errors
/// [`Error::Trimmed`] if compaction has removed progress after that place, [`Error::Corrupt`] if rows are missing.
pub(crate) fn covered(shard: ShardId, from: Seq, limit: usize, page: &Page) -> Result<Seq, Error> {
    if from < page.compacted {
        return Err(Error::Trimmed { shard, first: page.compacted });
    }
    let missing = |from: Seq, before: Seq| {
        Err(Error::Corrupt(format!("shard {shard}: events from {from} up to {before} (exclusive) are missing")))
    };
    let mut next = from;
    for row in &page.rows {
        if row.seq >= page.next {
            let (seq, head) = (row.seq, page.next);
            return Err(Error::Corrupt(format!("shard {shard}: an event at {seq} lies beyond the head at {head}")));
        }
        if row.seq > next {
            return missing(next, row.seq);
        }
        next = row.seq.next();
    }
    if page.rows.len() < limit && next < page.next {
        return missing(next, page.next);
    }
    Ok(next)
}

/// Decodes a row for a build that reads write levels up to `newest`.
pub(crate) fn entry(shard: ShardId, row: Row, newest: WriteLevel) -> Result<Entry, Error> {
    let in_row = |cause: String| format!("shard {shard}, event {} of {:?}: {cause}", row.seq, row.pipeline);
    let pipeline =
        PipelineId::try_from(row.pipeline.as_str()).map_err(|cause| Error::Corrupt(in_row(cause.to_string())))?;
    let event = stored::decode(&row.body, newest).map_err(|cause| match cause {
        Error::Corrupt(cause) => Error::Corrupt(in_row(cause)),
        Error::OtherBuild(cause) => Error::OtherBuild(in_row(cause)),
        other => other,
    })?;
    Ok(Entry { seq: row.seq, pipeline, event })
}

/// Checks the place of `what`: not before the last one, not after `most`.
///
/// # Errors
/// [`Error::Corrupt`] if it lies elsewhere.
pub fn place(shard: ShardId, what: &str, place: Seq, last: Seq, most: Seq) -> Result<(), Error> {
    if place < last || place > most {
        return Err(Error::Corrupt(format!(
            "shard {shard}: {what} at {place} does not lie between the last one at {last} and {most}"
        )));
    }
    Ok(())
}

/// The error for a chunk that exists with other content: chunks are never overwritten.
pub fn other_content(id: &dataflow_core::chunk::ChunkId) -> Error {
    Error::Corrupt(format!("chunk {id} exists with other content"))
}

#[cfg(test)]
mod tests;
