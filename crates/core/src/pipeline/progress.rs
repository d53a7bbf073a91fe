//! How far a pipeline is.
use super::{
    event::{LaneProgress, Lost, NewGeneration, Retargeted},
    lane_state::keep_state,
    losses::Losses,
    plan::Plan,
};
use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::Generation,
    ledger::Counters,
    limits::{JOINED_LETTERS, MAX_POSITIONS_TOLD, NAMED_CHUNKS, REMEMBERED_CHUNKS, REMEMBERED_TARGETS},
    position::{Position, Positions},
    time::Timestamp,
    warned::Warnings,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

/// How far a pipeline is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The reading order that this belongs to.
    pub generation: Generation,
    /// Earlier generations, including those [found in the sink](NewGeneration::met). Any other generation in the sink
    /// belongs to another journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Generation>,
    /// Earlier generations in which no run was ever opened: what the sink has of them, too, belongs to another journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unopened: Vec<Generation>,
    /// Lanes of this generation, once it was started; [fixed](Self::fixed_lanes) once a run was opened.
    pub lanes: Option<u32>,
    /// Where this generation began, including each planned partition.
    pub begin: Positions,
    /// Which lane reads which partition.
    #[serde(default, skip_serializing_if = "Plan::is_empty")]
    pub plan: Plan,
    /// Where each lane is. Their `chunks` are here those that hold the state of its transforms, the whole one first.
    pub by_lane: BTreeMap<u32, LaneProgress>,
    /// Counts of all earlier generations.
    pub earlier: Counters,
    /// When the last checkpoint of this generation was taken.
    pub at: Option<Timestamp>,
    /// Chunks of dead letters in the order in which they were journalled; dead letter number n (from 1) is the n-th record over all.
    pub dead_letters: Vec<ChunkRef>,
    /// The records of earlier generations in the target.
    #[serde(default, skip_serializing_if = "Left::is_nothing")]
    pub left: Left,
    /// Their records in other targets, the last target at the end: an update may return to one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<Away>,
    /// Records of earlier generations that the target does not have from this pipeline, or that are written to it again: they
    /// went to another one, or were delivered before the source was begun anew.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub elsewhere: u64,
    /// Records that were delivered before the source was last begun anew: every target gets them again.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub again: u64,
    /// How far the source was read, or passed over for good, before this generation.
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    pub reached: Positions,
    /// Records that this generation passed over when it began. They count, unless another one begins before it commits anything.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub passed: u64,
    /// Pushed records that this generation gave up when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<Lost>,
    /// Warnings about the last change.
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    pub notes: Warnings,
    /// Records that were found lost, and that no checkpoint has passed yet.
    #[serde(default, rename = "passing", skip_serializing_if = "Losses::is_empty")]
    pub losses: Losses,
}

/// The records of earlier generations in a target: they must still exist at the first commit of the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// The generations of which it is required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Generation>,
    /// Records that they have delivered.
    pub records: u64,
    /// Rows that they have written.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub rows: u64,
    /// The last handle of a staged sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<serde_json::Value>,
    /// The last handle where the target need not be as it says: a user has decided to go on without what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<serde_json::Value>,
    /// The last handles of all lanes of the generation before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<serde_json::Value>,
}

/// A target that an update has turned away from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Away {
    /// Where it is, as the sink spells it.
    pub target: String,
    /// What must be there.
    pub left: Left,
    /// Records that it has and that a run which went on there would not have written again.
    pub held: u64,
}

impl Left {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Progress {
    /// Whether this journal has started a generation, or a user has decided about it.
    pub fn knows(&self, generation: Generation) -> bool {
        generation == self.generation || self.known.contains(&generation)
    }

    /// The generations that came before this one.
    pub fn before(&self) -> Vec<Generation> {
        self.known.iter().chain(&self.unopened).copied().collect()
    }

    /// The number of lanes, which stays once a run was opened in this generation.
    pub fn fixed_lanes(&self) -> Option<u32> {
        self.lanes.filter(|_| !self.by_lane.is_empty())
    }

    /// Counts over all generations and lanes.
    pub fn counters(&self) -> Counters {
        self.counters_with(&[])
    }

    /// Counts over all generations and lanes once `settled` has taken the place of what is known of those lanes.
    fn counters_with(&self, settled: &[LaneProgress]) -> Counters {
        let mut sum = self.earlier;
        let known = self.by_lane.values().filter(|known| settled.iter().all(|lane| lane.lane != known.lane));
        for lane in known.chain(settled) {
            sum.add(&lane.counters);
        }
        sum
    }

    /// Records that were delivered to the target and that a run which goes on from here does not write again, once `settled` has
    /// taken the place of what is known of those lanes.
    pub fn held_by_target(&self, settled: &[LaneProgress]) -> u64 {
        self.counters_with(settled).delivered.saturating_sub(self.elsewhere)
    }

    /// Records that were delivered so far, wherever to, and that another target would neither have nor get, once `settled` has
    /// taken the place of what is known of those lanes.
    pub(super) fn lacked_by(&self, target: &str, settled: &[LaneProgress]) -> u64 {
        let held = self.away.iter().rfind(|away| away.target == target).map_or(0, |away| away.held);
        self.counters_with(settled).delivered.saturating_sub(self.again + held)
    }

    /// How far the source was read, or passed over for good, once `settled` has taken the place of what is known of those lanes.
    /// Which of two positions is after the other only the source can tell.
    pub fn reached_with(&self, settled: &[LaneProgress], is_after: impl Fn(&Position, &Position) -> bool) -> Positions {
        let mut reached = self.reached.clone();
        if self.has_committed(settled) {
            for (partition, at) in self.positions_with(settled) {
                if reached.get(&partition).is_none_or(|known| !is_after(known, &at)) {
                    reached.insert(partition, at);
                }
            }
        }
        reached
    }

    /// Whether this generation has committed anything.
    fn has_committed(&self, settled: &[LaneProgress]) -> bool {
        self.by_lane.values().chain(settled).any(|lane| lane.sequence > 0)
    }

    /// Everything is read again, whatever was delivered and wherever to.
    pub(super) fn begin_anew(&mut self) {
        self.again = self.earlier.delivered;
        self.elsewhere = self.again;
        self.away.iter_mut().for_each(|away| away.held = 0);
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
            (known.sequence, &known.positions, &known.counters) != (lane.sequence, &lane.positions, &lane.counters)
                || lane.handle.is_some() && known.handle != lane.handle
                || lane.warnings.iter().any(|notice| known.warnings.get(notice.key()) != Some(notice))
        })
    }

    /// Where all lanes are once `reported` has taken the place of what is known of those: what is said once, chunks and
    /// warnings, is not said again. Of many positions only those are said that have changed.
    pub(super) fn all_lanes(&self, reported: &[LaneProgress]) -> Vec<LaneProgress> {
        let said_once =
            |known: &LaneProgress| LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..known.clone() };
        let mut all: BTreeMap<u32, _> = self.by_lane.iter().map(|(lane, known)| (*lane, said_once(known))).collect();
        for lane in reported {
            let handle = lane.handle.clone().or_else(|| all.remove(&lane.lane)?.handle);
            all.insert(lane.lane, LaneProgress { handle, ..lane.clone() });
        }
        if all.values().map(|lane| lane.positions.len()).sum::<usize>() > MAX_POSITIONS_TOLD {
            for LaneProgress { lane, positions, .. } in all.values_mut() {
                let known = self.by_lane.get(lane).map(|known| &known.positions);
                positions.retain(|partition, at| known.and_then(|known| known.get(partition)) != Some(at));
            }
        }
        all.into_values().collect()
    }

    /// Where a lane is of which positions may be left out that have not changed. Within a run none goes.
    pub(super) fn whole(&self, lane: &LaneProgress) -> LaneProgress {
        let mut positions = self.by_lane.get(&lane.lane).map(|known| known.positions.clone()).unwrap_or_default();
        positions.extend(lane.positions.clone());
        LaneProgress { positions, ..lane.clone() }
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
        self.losses.pass(&lane.positions);
        let known = self.by_lane.remove(&lane.lane);
        let before = known.as_ref().map_or(0, |known| known.sequence);
        let known = known.map(|known| (known.handle, known.warnings, known.chunks));
        let (before_it, mut warnings, mut chunks) = known.unwrap_or_default();
        keep_state(&mut chunks, &lane.chunks);
        // What a sink remembers stays until it says something else.
        let handle = lane.handle.clone().or(before_it);
        warnings.put(&lane.warnings);
        self.by_lane.insert(lane.lane, LaneProgress { chunks, handle, warnings, ..lane.clone() });
        Some(lane.sequence > before)
    }

    /// Starts a generation; none if it does not come after this one.
    pub(super) fn begin(&mut self, next: &NewGeneration) -> Option<()> {
        if next.generation.number <= self.generation.number {
            return None;
        }
        for lane in &next.settled {
            self.keep(&lane.chunks);
            self.by_lane.insert(lane.lane, lane.clone());
        }
        let (mut known, mut unopened) = (std::mem::take(&mut self.known), std::mem::take(&mut self.unopened));
        if self.by_lane.is_empty() { &mut unopened } else { &mut known }.push(self.generation);
        known.extend(&next.met);
        let (mut earlier, held) = (self.counters(), self.held_by_target(&[]));
        if !self.has_committed(&[]) {
            earlier.read -= self.passed;
            earlier.lost -= self.passed;
        }
        let mut left = std::mem::take(&mut self.left);
        left.records += earlier.delivered - self.earlier.delivered;
        left.rows += earlier.rows_written - self.earlier.rows_written;
        left.of.push(self.generation);
        left.of.extend(&next.met);
        let handles: Vec<_> = self.by_lane.values().filter_map(|lane| lane.handle.clone()).collect();
        if !handles.is_empty() {
            left.sealed.clone_from(&handles);
        }
        let handle = handles.into_iter().next();
        if let Some(lost) = next.lost {
            let lost = lost.min(earlier.delivered);
            earlier.delivered -= lost;
            earlier.lost += lost;
            let remembered = handle.or(left.handle).or(left.remembered);
            left = Left { remembered, ..Left::default() };
        } else if handle.is_some() {
            left = Left { handle, remembered: None, ..left };
        }
        if let Some(discarded) = &next.discarded {
            earlier.read += discarded.records;
            earlier.lost += discarded.records;
        }
        let passed = next.passed.iter().map(|passed| passed.records).sum();
        earlier.read += passed;
        earlier.lost += passed;
        let dead_letters = std::mem::take(&mut self.dead_letters);
        let mut elsewhere = self.elsewhere;
        if let Some(Retargeted { from, to, .. }) = &next.retargeted {
            let there = self.away.iter().rposition(|away| away.target == *to).map(|place| self.away.remove(place));
            let there = there.unwrap_or_else(|| {
                let remembered = left.handle.clone().or(left.remembered.clone());
                Away { target: to.clone(), left: Left { remembered, ..Left::default() }, held: 0 }
            });
            self.away.push(Away { target: from.clone(), left, held });
            self.away.drain(..self.away.len().saturating_sub(REMEMBERED_TARGETS));
            elsewhere = earlier.delivered.saturating_sub(there.held);
            left = there.left;
        }
        *self = Self {
            generation: next.generation,
            known,
            unopened,
            discarded: super::inbox::given_up(self.discarded.take(), next),
            begin: next.positions.clone(),
            plan: Plan::new(),
            earlier,
            dead_letters,
            lanes: None,
            by_lane: BTreeMap::new(),
            at: None,
            left,
            away: std::mem::take(&mut self.away),
            elsewhere,
            again: self.again,
            reached: next.reached.clone(),
            passed,
            notes: next.notes.clone(),
            losses: Losses::default(),
        };
        Some(())
    }

    /// Which chunks of dead letters are best joined, from a place on: neighbours of few letters each. The newest stay as
    /// they are, because a token may still name them.
    pub fn to_join(&self, from: usize) -> Option<Range<usize>> {
        let newest = NAMED_CHUNKS * self.lanes.unwrap_or(1) as usize;
        let (mut first, mut records) = (from, 0);
        for (at, chunk) in
            self.dead_letters.iter().enumerate().take(self.dead_letters.len().saturating_sub(newest)).skip(from)
        {
            if records + chunk.records > JOINED_LETTERS {
                if at - first > 1 {
                    return Some(first..at);
                }
                (first, records) = (at, 0);
            }
            records += chunk.records;
        }
        None
    }

    /// The places of the chunks that `into` is to replace; none if it doesn't hold what they do.
    pub(super) fn joined(&self, first: u64, count: u64, into: &ChunkRef) -> Option<Range<usize>> {
        let places = usize::try_from(first).ok()?..usize::try_from(first.checked_add(count)?).ok()?;
        let records: u64 = self.dead_letters.get(places.clone())?.iter().map(|chunk| chunk.records).sum();
        (count > 1 && records == into.records && into.kind == ChunkKind::DeadLetters).then_some(places)
    }

    /// Puts one chunk of dead letters in the place of several.
    pub(super) fn join(&mut self, first: u64, count: u64, into: &ChunkRef) -> Option<()> {
        let places = self.joined(first, count, into)?;
        self.dead_letters.splice(places, [into.clone()]);
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
