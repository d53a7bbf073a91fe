//! Where a lane continues: compares the journal's progress with the sink's. Never a guess.
use super::failure::Failure;
use crate::dead_letters::{commit_of, unnamed};
use dataflow_core::{
    chunk::{ChunkKind, ChunkRef},
    id::Generation,
    pipeline::{
        event::{Cause, LaneOpened, LaneProgress, Recovery},
        inbox::Inbox,
        state::Progress,
    },
    position::{Position, Positions},
    token::Token,
    warned::Warnings,
};
use dataflow_sdk::sink::DeliveryMode;
use std::collections::BTreeMap;

mod choice;
#[cfg(test)]
mod tests;

pub(crate) use choice::{Choice, decide, held};

/// Decides where a lane continues.
///
/// `progress` is what the journal knows, `token` what a transactional sink has of the lane, `others` what it has of other
/// generations, `pushed` what was pushed to a source that takes pushes.
pub(crate) fn recover(
    lane: u32,
    delivery: DeliveryMode,
    progress: &Progress,
    token: Option<Token>,
    others: &[Token],
    pushed: Option<&Inbox>,
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
        let what = match generation == progress.generation {
            true => format!("lane {} of generation {generation}", newest.fence.lane),
            false => format!("generation {generation}"),
        };
        return Err(Failure::decide(
            Cause::JOURNAL_BEHIND,
            "sink",
            format!(
                "the journal is behind the sink: the sink has tokens of {what} ({}), which this \
                    journal never started. The node's folder may have been restored from a backup",
                places(&after(&fresh, &ahead, &BTreeMap::new()).positions)
            ),
            "choose: set the checkpoint to \"sink-token\" to continue from the sink's position, or to \"journal\" or \
                \"beginning\" to write again what the sink has received since; and check that the pipeline's spec is \
                still the current one",
        ));
    }
    match (delivery, token) {
        (DeliveryMode::Transactional, None) if journal_sequence == 0 => {
            let nothing_since = progress.by_lane.values().all(|lane| lane.sequence == 0);
            let (left, held) = (progress.left.records, still_held(others, progress));
            if nothing_since && held < left { Err(forgotten(left, held)) } else { Ok(opened(Recovery::Fresh, known)) }
        }
        (DeliveryMode::Transactional, None) => Err(Failure::decide(
            "token-missing",
            "sink",
            format!(
                "lane {lane} has no token in the sink, but the journal is at commit {journal_sequence} ({}), with {} \
                    record(s) delivered. The target may have been changed (its address, or a variable in it), recreated \
                    or restored",
                places(&known.positions),
                progress.left.records + progress.by_lane.values().map(|lane| lane.counters.delivered).sum::<u64>()
            ),
            "choose: set the checkpoint to \"beginning\" to write everything to this target, or to \"journal\" to \
                continue from the last checkpoint (missing records are counted as lost); or bring back the previous target",
        )),
        (DeliveryMode::Transactional, Some(token)) if token.sequence == journal_sequence => {
            if *token.positions != known.positions && journal_sequence > 0 {
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
        (DeliveryMode::Transactional, Some(token)) if token.sequence > journal_sequence => {
            if let Some(inbox) = pushed
                && let Some(at) = token.positions.get(Inbox::PARTITION)
                && !inbox.has_received(at)
            {
                return Err(behind(lane, at, inbox));
            }
            Ok(opened(Recovery::TokenAdopted, since(&token, &known)))
        }
        (DeliveryMode::Transactional, Some(token)) => Err(Failure::decide(
            "token-behind",
            "sink",
            format!(
                "the sink's token for lane {lane} is at commit {} ({}); the journal is at commit {journal_sequence} ({}). \
                    The target may have been restored from a backup",
                token.sequence,
                places(&token.positions),
                places(&known.positions)
            ),
            match pushed {
                None => {
                    "choose: set the checkpoint to \"sink-token\" to write again what the target has lost (records that the \
                        source no longer has are counted as lost), or to \"journal\" to count all of it as lost"
                }
                Some(_) => {
                    "set the checkpoint to \"sink-token\": pushed records that the target has lost are no longer here and are \
                        counted as lost; then push their batches again, with the same ids"
                }
            },
        )),
        (DeliveryMode::Unfenced, _) if journal_sequence > 0 => Ok(opened(Recovery::AtLeastOnce, known)),
        (DeliveryMode::Keyed | DeliveryMode::Staged, _) if journal_sequence > 0 => Ok(opened(Recovery::Journal, known)),
        _ => Ok(opened(Recovery::Fresh, known)),
    }
}

/// The tokens of generations that this journal has never started, or of lanes that its own has not.
pub(crate) fn unknown<'a>(others: &'a [Token], progress: &Progress) -> Vec<&'a Token> {
    let is_known = |generation| generation != progress.generation && progress.knows(generation);
    others.iter().filter(|token| !is_known(token.fence.generation)).collect()
}

/// Records that the target holds of [those](Progress::left) that earlier generations have delivered.
pub(crate) fn still_held(others: &[Token], progress: &Progress) -> u64 {
    let counted = others.iter().filter(|token| progress.left.of.contains(&token.fence.generation));
    counted.map(|token| token.counters.delivered).sum()
}

/// The target has lost records from before this generation.
fn forgotten(left: u64, held: u64) -> Failure {
    Failure::decide(
        if held == 0 { "token-missing" } else { "token-behind" },
        "sink",
        format!(
            "by its tokens the sink holds {held} of the {left} records that this pipeline delivered before it was reset or changed. The target may have been changed, recreated or restored"
        ),
        "choose: set the checkpoint to \"beginning\" to fill the target again, or to \"journal\" to count the missing records as lost",
    )
}

/// The sink has pushed records that this journal has never received.
fn behind(lane: u32, at: &Position, inbox: &Inbox) -> Failure {
    let (first, received) = (inbox.first(), inbox.received);
    let pending = received - first;
    let differs = if inbox.has_as_many(at) {
        "received other batches than the sink has, or the same ones in another order"
    } else {
        "has not received"
    };
    Failure::decide(
        Cause::JOURNAL_BEHIND,
        "sink",
        format!(
            "the journal is behind the sink: the sink's token of lane {lane} is at pushed record {at}, up to which this \
                journal {differs} (its last is {received}). The node's folder may have been restored from a \
                backup. {pending} {} pending here, from {first}; batches that were acknowledged after the backup but \
                had not reached the sink are gone",
            if pending == 1 { "record is" } else { "records are" },
        ),
        "push again what was acknowledged after the backup, in its old order and with ?replay=true, and start the pipeline: \
            each of its sinks then goes on where it is, and none loses or doubles a record. Or choose: set the checkpoint to \
            \"journal\" to deliver all pending records (with force: those that the sink already has are written twice), to \"end\" to \
            deliver none of them, or to the position of the first record to deliver; then let producers push again what was \
            acknowledged after the backup and is not in the sink. Whatever is pushed goes to each of its sinks, also to one \
            that has it already",
    )
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
    progress.chunks.splice(..0, unnamed(&token.fence, token.sequence, progress.counters.dead - listed));
    progress
}

/// A token's content as a lane's progress.
pub(crate) fn of_token(lane: u32, token: &Token) -> LaneProgress {
    LaneProgress {
        lane,
        sequence: token.sequence,
        positions: Positions::clone(&token.positions),
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
