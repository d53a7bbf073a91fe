//! Where it all lies.
use crate::{
    range::Extent,
    stored::{Kind, Row},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// All logs and chunks.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    pub(super) logs: BTreeMap<ShardId, Log>,
    pub(super) chunks: BTreeMap<ChunkId, Bytes>,
}

impl Shelf {
    /// A shard's log; an empty one if it was never claimed.
    pub(super) fn log(&self, shard: ShardId) -> &Log {
        static EMPTY: Log = Log::EMPTY;
        self.logs.get(&shard).unwrap_or(&EMPTY)
    }
}

/// The log of one shard.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) epoch: Epoch,
    pub(super) extent: Extent,
    pub(super) rows: BTreeMap<Seq, Row>,
    pub(super) snapshots: BTreeMap<PipelineId, Bytes>,
    pub(super) snapshot_at: Seq,
}

impl Default for Log {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Log {
    const EMPTY: Self = Self {
        epoch: Epoch(0),
        extent: Extent::EMPTY,
        rows: BTreeMap::new(),
        snapshots: BTreeMap::new(),
        snapshot_at: Seq(1),
    };

    pub(super) fn append(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.extent.next = row.seq.next();
            self.rows.insert(row.seq, row);
        }
    }

    pub(super) fn history(&self, pipeline: &PipelineId, after: Seq, limit: usize) -> Vec<Row> {
        let rows = self.rows.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, row)| row);
        rows.filter(|row| is_lifecycle_of(pipeline, row)).take(limit).cloned().collect()
    }

    pub(super) fn history_before(&self, pipeline: &PipelineId, before: Option<Seq>, limit: usize) -> Vec<Row> {
        let rows = self.rows.range(..before.unwrap_or(Seq(u64::MAX))).rev().map(|(_, row)| row);
        rows.filter(|row| is_lifecycle_of(pipeline, row)).take(limit).cloned().collect()
    }

    /// Drops progress before a place, but for the last of each kind of each pipeline before it.
    pub(super) fn compact(&mut self, before: Seq) {
        let mut kept = BTreeSet::new();
        let mut gone = Vec::new();
        for (seq, row) in self.rows.range(..before).rev() {
            if row.kind != Kind::Lifecycle.code() && !kept.insert((row.pipeline.as_str(), row.kind)) {
                gone.push(*seq);
            }
        }
        for seq in gone {
            self.rows.remove(&seq);
        }
        self.extent.compacted = before;
    }
}

fn is_lifecycle_of(pipeline: &PipelineId, row: &Row) -> bool {
    row.pipeline == pipeline.as_str() && row.kind == Kind::Lifecycle.code()
}
