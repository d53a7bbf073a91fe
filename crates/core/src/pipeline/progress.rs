//! How far a pipeline is.
use super::event::{LaneProgress, NewGeneration};
use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::Generation,
    ledger::Counters,
    limits::REMEMBERED_CHUNKS,
    position::{Position, Positions},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// How far a pipeline is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The reading order that this belongs to; 1 at creation.
    pub generation: Generation,
    /// Lanes of this generation, once it was started.
    pub lanes: Option<u32>,
    /// Where this generation began.
    pub begin: Positions,
    /// Where each lane is. Their `chunks` are empty here: see [`Self::dead_letters`].
    pub by_lane: BTreeMap<u32, LaneProgress>,
    /// Counts of all earlier generations.
    pub earlier: Counters,
    /// When the last checkpoint of this generation was taken.
    pub at: Option<Timestamp>,
    /// Chunks of dead letters in the order in which they were journalled; dead letter number n (from 1) is the n-th record over all.
    pub dead_letters: Vec<ChunkRef>,
}

impl Progress {
    /// Counts over all generations and lanes.
    pub fn counters(&self) -> Counters {
        let mut sum = self.earlier;
        for lane in self.by_lane.values() {
            sum.add(&lane.counters);
        }
        sum
    }

    /// The position of every partition: the beginning, overlaid by the lanes' positions.
    pub fn positions(&self) -> Positions {
        self.positions_with(&[])
    }

    /// The position of every partition once `settled` has taken the place of what is known of those lanes.
    pub fn positions_with(&self, settled: &[LaneProgress]) -> Positions {
        let mut positions = self.begin.clone();
        for lane in self.by_lane.values().chain(settled) {
            positions.extend(lane.positions.clone());
        }
        positions
    }

    /// The position of one partition.
    pub fn position(&self, partition: &str) -> Option<&Position> {
        self.by_lane.values().find_map(|lane| lane.positions.get(partition)).or_else(|| self.begin.get(partition))
    }

    /// Whether `lane` is behind what is known of it.
    pub(super) fn is_behind(&self, lane: &LaneProgress) -> bool {
        self.by_lane.get(&lane.lane).is_some_and(|known| lane.sequence < known.sequence)
    }

    /// Whether `lane` says more than is known of it. A repeated report does not: its chunks are known as well, because
    /// a chunk belongs to a commit, and a commit has its own sequence number.
    pub(super) fn is_news(&self, lane: &LaneProgress) -> bool {
        self.by_lane.get(&lane.lane).is_none_or(|known| {
            (known.sequence, &known.positions, &known.counters, &known.handle)
                != (lane.sequence, &lane.positions, &lane.counters, &lane.handle)
        })
    }

    /// Takes in where a lane is; true if it has committed since, none if it fell back.
    pub(super) fn advance(&mut self, lane: &LaneProgress, at: Timestamp) -> Option<bool> {
        if self.is_behind(lane) {
            return None;
        }
        // A lane that was opened afresh has no checkpoint yet.
        if self.is_news(lane) && lane.sequence > 0 {
            self.at = Some(at);
        }
        self.keep(&lane.chunks);
        let known = self.by_lane.insert(lane.lane, LaneProgress { chunks: Vec::new(), ..lane.clone() });
        Some(lane.sequence > known.map_or(0, |known| known.sequence))
    }

    /// Starts a generation; none if it is not the next one.
    pub(super) fn begin(&mut self, next: &NewGeneration) -> Option<()> {
        if next.generation != self.generation.next() {
            return None;
        }
        for lane in &next.settled {
            self.keep(&lane.chunks);
            self.by_lane.insert(lane.lane, lane.clone());
        }
        let earlier = self.counters();
        let dead_letters = std::mem::take(&mut self.dead_letters);
        *self = Self {
            generation: next.generation,
            begin: next.positions.clone(),
            earlier,
            dead_letters,
            lanes: None,
            by_lane: BTreeMap::new(),
            at: None,
        };
        Some(())
    }

    /// Appends the chunks of dead letters that are not yet known. A token names all chunks since the last checkpoint its
    /// writer knew to be in the journal, so an adopted one may name some that are there already.
    fn keep(&mut self, chunks: &[ChunkRef]) {
        let dead = || chunks.iter().filter(|chunk| chunk.kind == ChunkKind::DeadLetters);
        let named: HashSet<&ChunkId> = dead().map(|chunk| &chunk.id).collect();
        if named.is_empty() {
            return;
        }
        let known = self.dead_letters.iter().rev().take(REMEMBERED_CHUNKS).map(|chunk| &chunk.id);
        let known: HashSet<ChunkId> = known.filter(|id| named.contains(id)).cloned().collect();
        self.dead_letters.extend(dead().filter(|chunk| !known.contains(&chunk.id)).cloned());
    }
}
