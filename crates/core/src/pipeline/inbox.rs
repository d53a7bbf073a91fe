//! What was pushed to a pipeline with an `http` source.
use super::event::Fact;
use crate::{
    chunk::ChunkId,
    id::BatchId,
    limits::REMEMBERED_BATCHES,
    position::{Position, Positions},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Records that were pushed to a pipeline with an `http` source.
///
/// Its one partition is [`Inbox::PARTITION`], and a position in it is the number of records before it. A batch leaves
/// [`pending`](Self::pending) once the pipeline's position has passed it, and its chunk may be collected then. So a reset
/// to the beginning goes back to the first record that is still pending, not to the first that ever came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// Records received in all.
    pub received: u64,
    /// Batches not yet behind the checkpoint, oldest first.
    pub pending: VecDeque<Pending>,
    /// Bytes of [`Self::pending`] together.
    pub bytes: u64,
    /// The last batches, by id.
    pub seen: BTreeMap<BatchId, Received>,
    /// Their ids, oldest first.
    pub order: VecDeque<BatchId>,
}

/// A batch that waits to be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
    /// Bytes of its body.
    pub bytes: u64,
    /// Where its body is.
    pub chunk: ChunkId,
}

/// What is remembered of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Hash of its body.
    pub hash: String,
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
}

impl Inbox {
    /// The type of source that has an inbox.
    pub const SOURCE: &str = "http";
    /// The name of its one partition.
    pub const PARTITION: &str = "http";

    /// Bytes that wait.
    pub fn pending_bytes(&self) -> u64 {
        self.bytes
    }

    /// The position of the first record that can still be read.
    pub fn first(&self) -> u64 {
        self.pending.front().map_or(self.received, |batch| batch.from)
    }

    /// Puts the position where a new generation begins between the first record that is still here and the last one.
    pub(super) fn clamp(&self, positions: &mut Positions) {
        let wanted = positions.get(Self::PARTITION).and_then(Position::as_offset);
        let possible = wanted.unwrap_or(0).clamp(self.first(), self.received);
        if wanted != Some(possible) {
            positions.insert(Self::PARTITION.into(), Position::offset(possible));
        }
    }

    /// Takes in a [`Fact::BatchReceived`]; none if it does not continue what was received before.
    pub(super) fn receive(&mut self, fact: &Fact) -> Option<()> {
        let Fact::BatchReceived { batch_id, hash, from, to, bytes, chunk } = fact else { return None };
        if *from != self.received || to < from || self.seen.contains_key(batch_id) {
            return None;
        }
        self.received = *to;
        if to > from {
            self.pending.push_back(Pending { from: *from, to: *to, bytes: *bytes, chunk: chunk.clone() });
            self.bytes += bytes;
        }
        self.seen.insert(batch_id.clone(), Received { hash: hash.clone(), from: *from, to: *to });
        self.order.push_back(batch_id.clone());
        while self.order.len() > REMEMBERED_BATCHES {
            if let Some(oldest) = self.order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
        Some(())
    }

    /// Lets go of the batches that lie before `position`.
    pub(super) fn pass(&mut self, position: u64) {
        while let Some(batch) = self.pending.pop_front_if(|batch| batch.to <= position) {
            self.bytes = self.bytes.saturating_sub(batch.bytes);
        }
    }
}
