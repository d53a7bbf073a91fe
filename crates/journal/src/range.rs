//! What every backend owes its readers, decided once: density of ranges, and rows back into entries.
use crate::{Entry, Error, Run, stored};
use dataflow_core::{
    id::{PipelineId, Seq},
    shard::ShardId,
};
use stored::Row;

/// What a backend knows of a shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where the next event goes.
    pub(crate) next: Seq,
    /// Progress before this place may have been compacted away: gaps are fine before it, damage after it.
    pub(crate) compacted: Seq,
}

impl Extent {
    /// The log of a shard that nobody has claimed yet.
    pub(crate) const EMPTY: Self = Self { next: Seq(1), compacted: Seq(1) };
}

/// Makes a [`Run`] of the first `limit` rows from a place on; `rows` are those found, by rising place.
pub(crate) fn run(shard: ShardId, from: Seq, limit: usize, extent: Extent, rows: Vec<Row>) -> Result<Run, Error> {
    let next = covered(shard, from, limit, extent, &rows)?;
    let entries = rows.into_iter().map(|row| entry(shard, row)).collect::<Result<_, _>>()?;
    Ok(Run { entries, next })
}

/// Checks that nothing is missing among the first `limit` rows from a place on; the place up to which they go.
pub(crate) fn covered(shard: ShardId, from: Seq, limit: usize, extent: Extent, rows: &[Row]) -> Result<Seq, Error> {
    let mut next = from;
    for row in rows {
        if row.seq >= extent.next {
            return Err(Error::Corrupt(format!(
                "shard {shard}: an event at {} lies beyond the head at {}",
                row.seq, extent.next
            )));
        }
        dense(shard, next, row.seq, extent)?;
        next = row.seq.next();
    }
    if rows.len() < limit && next < extent.next {
        dense(shard, next, extent.next, extent)?;
        next = extent.next;
    }
    Ok(next)
}

/// Checks that whatever lies between `next` and `found` was compacted away.
fn dense(shard: ShardId, next: Seq, found: Seq, extent: Extent) -> Result<(), Error> {
    if found > next && found > extent.compacted.max(next) {
        return Err(Error::Corrupt(format!(
            "shard {shard}: events from {} to before {found} are missing, though only those before {} were compacted",
            next.max(extent.compacted),
            extent.compacted
        )));
    }
    Ok(())
}

/// Reads a row back.
pub(crate) fn entry(shard: ShardId, row: Row) -> Result<Entry, Error> {
    let at = |cause: String| Error::Corrupt(format!("shard {shard}, event {} of {:?}: {cause}", row.seq, row.pipeline));
    let pipeline = PipelineId::try_from(row.pipeline.as_str()).map_err(|cause| at(cause.to_string()))?;
    let event = stored::decode(&row.body).map_err(|cause| match cause {
        Error::Corrupt(cause) => at(cause),
        other => other,
    })?;
    Ok(Entry { seq: row.seq, pipeline, event })
}

/// Checks the place of a snapshot: not beyond the head, not before the last one.
pub(crate) fn place(shard: ShardId, next: Seq, last: Seq, head: Seq) -> Result<(), Error> {
    if next < last || next > head {
        return Err(Error::Corrupt(format!(
            "shard {shard}: a snapshot at {next} does not lie between the last one at {last} and the head at {head}"
        )));
    }
    Ok(())
}

/// Checks that a chunk is never overwritten with other content.
pub(crate) fn other_content(id: &dataflow_core::chunk::ChunkId) -> Error {
    Error::Corrupt(format!("the chunk {id} is there with other content"))
}

#[cfg(test)]
mod tests;
