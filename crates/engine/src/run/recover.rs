//! Where a lane goes on: what the journal knows against what the sink has. Never a guess.
use super::failure::Failure;
use crate::{
    dead_letters::{commit_of, unnamed},
    region::ResetTo,
};
use dataflow_core::{
    chunk::{ChunkKind, ChunkRef},
    id::Generation,
    ledger::Counters,
    pipeline::{
        event::{Cause, LaneOpened, LaneProgress, Recovery},
        inbox::Inbox,
        state::Progress,
    },
    position::{Partition, Position, Positions},
    token::Token,
    warned::Warnings,
};
use dataflow_sdk::sink::Kind;

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Decides where a lane goes on.
///
/// `progress` is what the journal knows, `token` what a transactional sink has of the lane, `others` what it has of other
/// generations, `inbox` what was pushed.
pub(crate) fn recover(
    lane: u32,
    kind: Kind,
    progress: &Progress,
    token: Option<Token>,
    others: &[Token],
    inbox: &Inbox,
) -> Result<LaneOpened, Failure> {
    let fresh = LaneProgress { lane, ..LaneProgress::default() };
    let known = progress.by_lane.get(&lane).unwrap_or(&fresh);
    let known = LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..known.clone() };
    let ahead = unknown(others, progress);
    let journal_sequence = known.sequence;
    let token_sequence = token.as_ref().map(|token| token.sequence);
    let opened = |decision, progress| LaneOpened { lane, decision, journal_sequence, token_sequence, progress };
    if let Some(newest) = ahead.last() {
        let generation = newest.fence.generation;
        return Err(Failure::decide(
            Cause::JOURNAL_BEHIND,
            "sink",
            format!(
                "the journal is behind the sink: the sink has tokens of generation {generation} ({}), which this journal has \
                 never started: was the node's folder restored from a backup?",
                places(&after(&fresh, &ahead, &BTreeMap::new()).positions)
            ),
            "choose: set the checkpoint to \"sink-token\" to go on where the sink is, or to \"journal\" or \"beginning\" to \
             write again what the sink has had since; and look whether the pipeline is still what you made it",
        ));
    }
    match (kind, token) {
        (Kind::Transactional, None) if journal_sequence == 0 => {
            let nothing_since = progress.by_lane.values().all(|lane| lane.sequence == 0);
            let (left, held) = (progress.left.records, still_held(others, progress));
            if nothing_since && held < left { Err(forgotten(left, held)) } else { Ok(opened(Recovery::Fresh, known)) }
        }
        (Kind::Transactional, None) => Err(Failure::decide(
            "token-missing",
            "sink",
            format!(
                "the sink has no token of lane {lane}, but the journal has commit {journal_sequence} at {}, with {} record(s) that \
                 were delivered: is it another target by now (its address, or what a variable in it stands for), or was it made \
                 anew or restored from a backup?",
                places(&known.positions),
                progress.left.records + progress.by_lane.values().map(|lane| lane.counters.delivered).sum::<u64>()
            ),
            "choose: set the checkpoint to \"beginning\" to write everything to this target, or to \"journal\" to go on after \
             the last checkpoint, which counts what is not there as lost; or bring back the target that has it",
        )),
        (Kind::Transactional, Some(token)) if token.sequence == journal_sequence => {
            if token.positions != known.positions && journal_sequence > 0 {
                return Err(Failure::decide(
                    "token-mismatch",
                    "sink",
                    format!(
                        "the sink's token and the journal are both at commit {journal_sequence} of lane {lane}, but at \
                         different positions: {} against {}",
                        places(&token.positions),
                        places(&known.positions)
                    ),
                    "choose: set the checkpoint to \"sink-token\", \"journal\" or \"beginning\"",
                ));
            }
            let decision = if journal_sequence == 0 { Recovery::Fresh } else { Recovery::Agreed };
            Ok(opened(decision, known))
        }
        (Kind::Transactional, Some(token)) if token.sequence > journal_sequence => {
            if let Some(at) = token.positions.get(Inbox::PARTITION)
                && !inbox.has_received(at)
            {
                return Err(behind(lane, at, inbox));
            }
            Ok(opened(Recovery::TokenAdopted, since(&token, &known)))
        }
        (Kind::Transactional, Some(token)) => Err(Failure::decide(
            "token-behind",
            "sink",
            format!(
                "the sink's token of lane {lane} is at commit {} ({}), behind the journal's {journal_sequence} ({}): was \
                 the target restored from a backup?",
                token.sequence,
                places(&token.positions),
                places(&known.positions)
            ),
            "choose: set the checkpoint to \"sink-token\" to write again what the target has lost (what the source has no \
             longer is then counted as lost), or to \"journal\" to leave it lost, which the ledger then says",
        )),
        (Kind::Unfenced, _) if journal_sequence > 0 => Ok(opened(Recovery::AtLeastOnce, known)),
        (Kind::Keyed | Kind::Staged, _) if journal_sequence > 0 => Ok(opened(Recovery::Journal, known)),
        _ => Ok(opened(Recovery::Fresh, known)),
    }
}

/// The tokens of generations that this journal has never started.
pub(crate) fn unknown<'a>(others: &'a [Token], progress: &Progress) -> Vec<&'a Token> {
    others.iter().filter(|token| !progress.knows(token.fence.generation)).collect()
}

/// Records that the target holds of [those](Progress::left) that earlier generations have delivered.
pub(crate) fn still_held(others: &[Token], progress: &Progress) -> u64 {
    let counted = others.iter().filter(|token| progress.left.of.contains(&token.fence.generation));
    counted.map(|token| token.counters.delivered).sum()
}

/// The target has lost what it had before this generation began.
fn forgotten(left: u64, held: u64) -> Failure {
    Failure::decide(
        if held == 0 { "token-missing" } else { "token-behind" },
        "sink",
        format!(
            "the sink's tokens say that it holds {held} of the {left} records that this pipeline has delivered before it was \
             reset or changed: is it another target by now, or was it made anew or restored from a backup?"
        ),
        "choose: set the checkpoint to \"beginning\" to fill the target again, or to \"journal\" to leave lost what is not there, \
         which the ledger then says",
    )
}

/// The sink has records that were pushed to this node, and that its journal has never received.
fn behind(lane: u32, at: &Position, inbox: &Inbox) -> Failure {
    let (first, received) = (inbox.first(), inbox.received);
    let pending = received - first;
    Failure::decide(
        Cause::JOURNAL_BEHIND,
        "sink",
        format!(
            "the journal is behind the sink: the sink's token of lane {lane} is at pushed record {at}, but what this journal \
             has received (up to {received}) does not lead there: was the node's folder restored from a backup? {pending} \
             {} pending here, from {first}; batches that were acknowledged after the backup and had not reached \
             the sink are gone",
            if pending == 1 { "record is" } else { "records are" },
        ),
        "choose: set the checkpoint to \"journal\" to deliver all that is pending (what the sink has of it is written \
         twice), to \"end\" to deliver nothing of it, or to the position of the first record to deliver; then let \
         producers push again what was acknowledged after the backup and is not in the sink",
    )
}

/// Where a user goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) to: &'a ResetTo,
    /// Where the source begins, as far as that was asked.
    pub(crate) earliest: &'a Positions,
}

impl Choice<'_> {
    /// The first record that the source still has; none: not known, or not of what was there at `known`.
    fn first(self, partition: &Partition, known: &Position) -> Option<u64> {
        let first = self.earliest.get(partition)?;
        // Of what was there before it was made anew, nobody knows how much was not read. After `@` stands how far it is known.
        let id = |at: &Position| at.identity.as_deref().and_then(|known| known.split('@').next()).map(str::to_owned);
        let (was, is) = (id(known), id(first));
        first.as_offset().filter(|_| was.is_none() || is.is_none() || was == is)
    }

    /// The number that a user gave for a partition.
    fn named(self, partition: &Partition) -> Option<u64> {
        match self.to {
            ResetTo::Positions(named) => named.get(&*partition.0)?.parse().ok(),
            ResetTo::Beginning | ResetTo::End | ResetTo::SinkToken | ResetTo::Journal => None,
        }
    }

    /// How many records at most are between `from` and where the user goes on, of those before `known`.
    pub(crate) fn passed(self, from: &Positions, known: &Positions) -> u64 {
        let passed = known.iter().map(|(partition, known)| {
            let to = match self.to {
                ResetTo::SinkToken => return 0,
                ResetTo::Journal | ResetTo::End => None,
                ResetTo::Beginning => self.first(partition, known),
                ResetTo::Positions(_) => self.named(partition),
            };
            let from = from.get(partition).and_then(Position::as_offset).unwrap_or(0);
            to.map_or(u64::MAX, |to| to.saturating_sub(from))
        });
        passed.fold(0, u64::saturating_add)
    }

    /// Counts as lost what a lane has not read yet and the source has no longer, where the user goes on after it. Only of
    /// sources whose offsets count records the first one is ever another than 0. After a token, only an inbox goes on
    /// elsewhere than there: other sources say later what they have no longer.
    pub(crate) fn count_expired(self, lanes: Vec<LaneProgress>) -> Vec<LaneProgress> {
        let passes = |partition: &Partition, first: u64| match self.to {
            ResetTo::Beginning | ResetTo::End => true,
            ResetTo::Positions(_) => self.named(partition).is_some_and(|to| to >= first),
            ResetTo::SinkToken | ResetTo::Journal => &*partition.0 == Inbox::PARTITION,
        };
        let expired = |(partition, at): (&Partition, &Position)| {
            let (first, offset) = (self.first(partition, at)?, at.as_offset()?);
            passes(partition, first).then(|| first.saturating_sub(offset))
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

/// What is known of a lane once a user has decided between the target and the journal, which contradict each other; none if
/// the choice is the token's and there is none. `held` is what a target without a token holds of the lane.
///
/// What the target has lost by an older backup is written again from the token or from before it; where the user goes
/// on after it, the ledger counts it as lost.
pub(crate) fn decide(
    choice: Choice<'_>,
    begin: &Positions,
    journalled: &LaneProgress,
    token: Option<&Token>,
    held: &Counters,
) -> Option<LaneProgress> {
    if matches!(choice.to, ResetTo::SinkToken) {
        return token.map(|token| since(token, journalled));
    }
    let known = LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..journalled.clone() };
    let (reached, has) = match token {
        // The sink is ahead of an older journal: wherever that goes on, what the sink has had since counts.
        Some(token) if token.sequence > known.sequence => {
            let LaneProgress { counters, chunks, warnings, .. } = since(token, &known);
            return Some(LaneProgress { counters, chunks, warnings, ..known });
        }
        Some(token) if token.sequence == known.sequence => return Some(known),
        Some(token) => (token.positions.clone(), token.counters),
        None => (Positions::new(), *held),
    };
    let mut at = begin.clone();
    at.extend(reached);
    let passed = choice.passed(&at, &known.positions);
    Some(left_lost(known, &has, passed))
}

/// What a target without a token holds of a lane, of which so many rows are missing.
pub(crate) fn held(kind: Kind, journalled: &Counters, missing: u64) -> Counters {
    match kind {
        Kind::Transactional => Counters::default(), // nothing tells that it is there
        Kind::Keyed | Kind::Staged | Kind::Unfenced => Counters {
            delivered: journalled.delivered.saturating_sub(missing),
            rows_written: journalled.rows_written.saturating_sub(missing),
            ..*journalled
        },
    }
}

/// What was delivered and is in the target no longer, at most `passed` records of it, is lost.
fn left_lost(known: LaneProgress, target: &Counters, passed: u64) -> LaneProgress {
    let Counters { delivered, rows_written, lost, .. } = known.counters;
    let gone = delivered.saturating_sub(target.delivered).min(passed);
    let rows_written = if gone == 0 { rows_written } else { rows_written.min(target.rows_written) };
    let counters = Counters { delivered: delivered - gone, lost: lost + gone, rows_written, ..known.counters };
    LaneProgress { counters, ..known }
}

/// A lane that goes on after those of generations that its journal does not know, which count with it. Each of those began
/// somewhere with every partition, also with one that it has not moved.
pub(crate) fn after(lane: &LaneProgress, ahead: &[&Token], begins: &BTreeMap<Generation, Positions>) -> LaneProgress {
    let mut after = lane.clone();
    let mut last = None;
    for token in ahead {
        if last.replace(token.fence.generation) != Some(token.fence.generation) {
            after.positions.extend(begins.get(&token.fence.generation).cloned().unwrap_or_default());
        }
        let LaneProgress { positions, counters, chunks, .. } = since(token, &LaneProgress::default());
        after.positions.extend(positions);
        after.counters.add(&counters);
        after.chunks.extend(chunks);
    }
    after
}

/// A token's content as the progress of a lane of which the journal knows `journalled`.
///
/// Chunks of commits up to that are listed already, and may be joined with others by now. Of a journal that is older than
/// the token's, some may be named no more: others stand for their letters, so that letter n stays the n-th. Of one that is
/// newer than the token, all are listed: what is read again counts then, and they stay counted.
pub(crate) fn since(token: &Token, journalled: &LaneProgress) -> LaneProgress {
    let mut progress = of_token(token.fence.lane, token);
    progress.chunks.retain(|chunk| commit_of(&chunk.id).is_none_or(|commit| commit > journalled.sequence));
    let letters = |chunk: &ChunkRef| if chunk.kind == ChunkKind::DeadLetters { chunk.records } else { 0 };
    let listed = journalled.counters.dead + progress.chunks.iter().map(letters).sum::<u64>();
    let again = listed.saturating_sub(token.counters.dead);
    progress.counters.read += again;
    progress.counters.dead += again;
    progress.chunks.splice(..0, unnamed(token, progress.counters.dead - listed));
    progress
}

/// A token's content as a lane's progress.
pub(crate) fn of_token(lane: u32, token: &Token) -> LaneProgress {
    LaneProgress {
        lane,
        sequence: token.sequence,
        positions: token.positions.clone(),
        counters: token.counters,
        chunks: token.chunks.clone(),
        warnings: token.warnings.clone(),
        handle: None,
    }
}

/// Positions as a user reads them.
pub(crate) fn places(positions: &Positions) -> String {
    if positions.is_empty() {
        return "the beginning".into();
    }
    let all: Vec<_> = positions.iter().map(|(partition, position)| format!("{partition}: {position}")).collect();
    all.join(", ")
}
