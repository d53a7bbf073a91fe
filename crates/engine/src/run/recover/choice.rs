//! Where a pipeline continues when journal and target contradict each other, and which records that loses.
use super::since;
use crate::{dead_letters::unnamed, region::ResetPoint};
use dataflow_core::{
    ledger::Counters,
    pipeline::{event::LaneProgress, inbox::Inbox},
    position::{Partition, Position, Positions},
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{sink::DeliveryMode, source::Source};
use std::cmp::Ordering;

/// The user's choice of where to continue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) to: &'a ResetPoint,
    /// Where the source begins, as far as that was asked.
    pub(crate) earliest: &'a Positions,
    /// Compares positions; `None` if the source is unavailable.
    pub(crate) source: Option<&'a dyn Source>,
}

impl<'a> Choice<'a> {
    /// The first record that the source still has; `None` if unknown, or if the source was recreated since `known`.
    /// After a recreate, the unread remainder is unknown.
    fn first(self, partition: &Partition, known: &Position) -> Option<&'a Position> {
        let first = self.earliest.get(partition)?;
        self.source?.is_same(known, first).then_some(first)
    }

    /// The position that a user gave for a partition.
    fn named(self, partition: &Partition) -> Option<Position> {
        match self.to {
            ResetPoint::Positions(named) => {
                Some(Position { at: named.get(&*partition.0)?.as_str().into(), identity: None })
            }
            ResetPoint::Beginning | ResetPoint::End | ResetPoint::SinkToken | ResetPoint::Journal => None,
        }
    }

    /// The most records that lie between `from` and the chosen position, and before `known`.
    pub(crate) fn passed(self, from: &Positions, known: &Positions) -> u64 {
        let passed = known.iter().map(|(partition, known)| {
            let to = match self.to {
                ResetPoint::SinkToken => return 0,
                ResetPoint::Journal | ResetPoint::End => None,
                ResetPoint::Beginning => self.first(partition, known).cloned(),
                ResetPoint::Positions(_) => self.named(partition),
            };
            to.and_then(|to| self.source?.between(from.get(partition), &to)).unwrap_or(u64::MAX)
        });
        passed.fold(0, u64::saturating_add)
    }

    /// What is known of a lane of which its target says what the ledger of a later journal counted. It has no position, so nobody
    /// goes on there.
    pub(crate) fn counted(self, fence: &Fence, known: &LaneProgress, later: Counters) -> Option<LaneProgress> {
        let letters = later.dead.saturating_sub(known.counters.dead);
        let chunks = unnamed(fence, known.sequence, letters).collect();
        let known = LaneProgress { counters: later, chunks, warnings: Warnings::default(), ..known.clone() };
        (!matches!(self.to, ResetPoint::SinkToken)).then_some(known)
    }

    /// Counts as lost the unread records of a lane that the source no longer has, if the user continues after them. The
    /// first position is only ever other than 0 for sources whose offsets count records. After a token, only an inbox
    /// continues elsewhere: other sources report missing records later.
    pub(crate) fn count_expired(self, lanes: Vec<LaneProgress>) -> Vec<LaneProgress> {
        let passes = |partition: &Partition, first: &Position| match self.to {
            ResetPoint::Beginning | ResetPoint::End => true,
            ResetPoint::Positions(_) => self
                .named(partition)
                .is_some_and(|to| self.source.and_then(|source| source.order(&to, first)).is_some_and(Ordering::is_ge)),
            ResetPoint::SinkToken | ResetPoint::Journal => &*partition.0 == Inbox::PARTITION,
        };
        let expired = |(partition, at): (&Partition, &Position)| {
            let first = self.first(partition, at)?;
            passes(partition, first).then(|| self.source?.between(Some(at), first)).flatten()
        };
        let counted = lanes.into_iter().map(|lane| {
            let lost: u64 = lane.positions.iter().filter_map(expired).sum();
            let counters =
                Counters { read: lane.counters.read + lost, lost: lane.counters.lost + lost, ..lane.counters };
            LaneProgress { counters, ..lane }
        });
        counted.collect()
    }
}

/// The lane's progress once a user has decided between a contradicting target and journal; `None` if the choice is the
/// token and there is none. `held` is what a target without a token holds of the lane.
///
/// Records that the target has lost by an older backup are written again from the token or from before it; if the user
/// continues after them, the ledger counts them as lost.
pub(crate) fn decide(
    choice: Choice<'_>,
    begin: &Positions,
    journalled: &LaneProgress,
    token: Option<&Token>,
    held: &Counters,
) -> Option<LaneProgress> {
    if matches!(choice.to, ResetPoint::SinkToken) {
        return token.map(|token| since(token, journalled));
    }
    let known = LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..journalled.clone() };
    let (reached, has) = match token {
        // The sink is ahead of an older journal: wherever that continues, the sink's records since then count.
        Some(token) if token.sequence > known.sequence => {
            let LaneProgress { counters, chunks, warnings, .. } = since(token, &known);
            return Some(LaneProgress { counters, chunks, warnings, ..known });
        }
        Some(token) if token.sequence == known.sequence => return Some(known),
        Some(token) => (Positions::clone(&token.positions), token.counters),
        None => (Positions::new(), *held),
    };
    let mut at = begin.clone();
    at.extend(reached);
    let passed = choice.passed(&at, &known.positions);
    Some(left_lost(known, &has, passed))
}

/// A lane's counters at a target without a token that lacks `missing` rows.
pub(crate) fn held(delivery: DeliveryMode, journalled: &Counters, missing: u64) -> Counters {
    match delivery {
        DeliveryMode::Transactional => Counters::default(), // nothing tells that it is there
        DeliveryMode::Keyed | DeliveryMode::Staged | DeliveryMode::Unfenced => Counters {
            delivered: journalled.delivered.saturating_sub(missing),
            rows_written: journalled.rows_written.saturating_sub(missing),
            ..*journalled
        },
    }
}

/// Counts delivered records that the target no longer has as lost, at most `passed` of them.
fn left_lost(known: LaneProgress, target: &Counters, passed: u64) -> LaneProgress {
    let Counters { delivered, rows_written, lost, .. } = known.counters;
    let gone = delivered.saturating_sub(target.delivered).min(passed);
    let rows_written = if gone == 0 { rows_written } else { rows_written.min(target.rows_written) };
    let counters = Counters { delivered: delivered - gone, lost: lost + gone, rows_written, ..known.counters };
    LaneProgress { counters, ..known }
}
