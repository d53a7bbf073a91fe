//! The stored logs and chunks.
use crate::{
    Head, WriteLevel,
    store::{Page, Span},
    stored::{Kind, Row},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{PipelineId, Seq},
    shard::ShardId,
};
use std::collections::BTreeMap;

/// All logs and chunks.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub(super) level: WriteLevel,
    pub(super) logs: BTreeMap<ShardId, Log>,
    pub(super) chunks: BTreeMap<ChunkId, Bytes>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { level: WriteLevel::NEWEST, logs: BTreeMap::new(), chunks: BTreeMap::new() }
    }
}

impl Shelf {
    /// Returns a shard's log; an empty one if it was never claimed.
    pub(super) fn log(&self, shard: ShardId) -> &Log {
        static EMPTY: Log = Log::EMPTY;
        self.logs.get(&shard).unwrap_or(&EMPTY)
    }
}

/// The log of one shard.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) head: Head,
    pub(super) compacted: Seq,
    pub(super) rows: BTreeMap<Seq, Row>,
    pub(super) snapshots: BTreeMap<PipelineId, Bytes>,
    pub(super) snapshot_at: Seq,
    pub(super) readers: BTreeMap<String, Seq>,
}

impl Default for Log {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Log {
    const EMPTY: Self = Self {
        head: Head::UNCLAIMED,
        compacted: Seq(1),
        rows: BTreeMap::new(),
        snapshots: BTreeMap::new(),
        snapshot_at: Seq(1),
        readers: BTreeMap::new(),
    };

    pub(super) fn append(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.head.next_seq = row.seq.next();
            self.rows.insert(row.seq, row);
        }
    }

    pub(super) fn page(&self, from: Seq, limit: usize) -> Page {
        let rows = self.rows.range(from..).take(limit).map(|(_, row)| row.clone()).collect();
        Page { next: self.head.next_seq, compacted: self.compacted, rows }
    }

    pub(super) fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Vec<Row> {
        let of = |(_, row): &(&Seq, &Row)| row.pipeline == pipeline.as_str() && row.kind == Kind::Lifecycle.code();
        let row = |(_, row): (&Seq, &Row)| row.clone();
        let mut rows: Vec<_> = self.rows.iter().filter(of).map(row).collect();
        rows.sort_by_key(|row| row.number);
        match span {
            Span::After(number) => rows.into_iter().filter(|row| row.number > number).take(limit).collect(),
            Span::Before(number) => rows.into_iter().rev().filter(|row| row.number < number).take(limit).collect(),
        }
    }

    /// Drops progress before a place.
    pub(super) fn compact(&mut self, before: Seq) {
        self.rows.retain(|seq, row| *seq >= before || row.kind == Kind::Lifecycle.code());
        self.compacted = before;
    }
}
