//! The token: what a sink keeps beside its data, so that data and progress become durable together.
use crate::{
    branch::BranchId,
    chunk::ChunkRef,
    id::{Epoch, Generation, Incarnation},
    ledger::Counters,
    position::Positions,
    warned::Warnings,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who writes to a sink: the key under which its token is stored, and the epoch that fences older writers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// The branch of a pipeline.
    pub branch: BranchId,
    /// Which pipeline of that id.
    pub incarnation: Incarnation,
    /// Which reading order.
    pub generation: Generation,
    /// Which lane.
    pub lane: u32,
    /// The epoch of the shard's owner when the lane was opened.
    pub epoch: Epoch,
    /// Which opening within that epoch: each has a number of its own, and a later one a greater.
    pub opening: u64,
}

impl Fence {
    /// Of two writers of a lane, the later one has the greater rank: a sink takes nothing from the other.
    pub fn rank(&self) -> (Epoch, u64) {
        (self.epoch, self.opening)
    }
}

/// State of one lane after a commit. Absolute, so that the last one says all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Who wrote it.
    pub fence: Fence,
    /// Number of the commit within the generation, from 1; 0 stands for "nothing committed".
    pub sequence: u64,
    /// Position after this commit of every partition that the lane has moved in this generation; the others are where that began.
    /// Shared: there may be thousands, and all who have the token have them.
    pub positions: Arc<Positions>,
    /// Cumulative counts of the lane, this commit included.
    pub counters: Counters,
    /// All chunks named since the last checkpoint in the journal.
    pub chunks: Vec<ChunkRef>,
    /// Warnings that came or were counted again since then, with their cumulative counts.
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
    /// The version of what a keyed sink writes with this commit: greater than any before it, of whatever lane, run or owner.
    /// 0 for other sinks.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub version: u64,
}

impl Token {
    /// This token as it is stored with a commit that writes so many rows: whoever makes it does not know their number.
    #[must_use]
    pub fn with_rows(&self, rows: u64) -> Self {
        let mut token = self.clone();
        token.counters.rows_written += rows;
        token
    }
}
