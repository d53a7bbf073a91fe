//! Where a lane goes on: what the journal knows against what the sink has. Never a guess.
use super::failure::Failure;
use crate::{dead_letters::commit_of, region::ResetTo};
use dataflow_core::{
    ledger::Counters,
    pipeline::{
        event::{Cause, LaneOpened, LaneProgress, Recovery},
        inbox::Inbox,
    },
    position::{Partition, Position, Positions},
    token::Token,
};
use dataflow_sdk::sink::Kind;

#[cfg(test)]
mod tests;

/// Decides where a lane goes on.
///
/// `journalled` is the lane's last checkpoint in this generation, `token` what a transactional sink has, `ahead` what it
/// has of a later generation, `inbox` what was pushed.
pub(crate) fn recover(
    lane: u32,
    kind: Kind,
    journalled: Option<&LaneProgress>,
    token: Option<Token>,
    ahead: &[Token],
    inbox: &Inbox,
) -> Result<LaneOpened, Failure> {
    let fresh = LaneProgress { lane, ..LaneProgress::default() };
    let known = LaneProgress { chunks: Vec::new(), ..journalled.unwrap_or(&fresh).clone() };
    let journal_sequence = known.sequence;
    let token_sequence = token.as_ref().map(|token| token.sequence);
    let opened = |decision, progress| LaneOpened { lane, decision, journal_sequence, token_sequence, progress };
    if let Some(newest) = ahead.first() {
        let generation = newest.fence.generation;
        return Err(Failure::decide(
            Cause::JOURNAL_BEHIND,
            "sink",
            format!(
                "the journal is behind the sink: the sink has tokens of generation {generation} ({}), which this journal has \
                 never started: was the node's folder restored from a backup?",
                places(&after(&fresh, ahead).positions)
            ),
            "choose: set the checkpoint to \"sink-token\" to go on where the sink is, or to \"journal\" or \"beginning\" to \
             write again what the sink has had since; and look whether the pipeline is still what you made it",
        ));
    }
    match (kind, token) {
        (Kind::Transactional, None) if journal_sequence == 0 => Ok(opened(Recovery::Fresh, known)),
        (Kind::Transactional, None) => Err(Failure::decide(
            "token-missing",
            "sink",
            format!(
                "the sink has no token of lane {lane}, but the journal has commit {journal_sequence} at {}: was the target \
                 made anew or restored from a backup?",
                places(&known.positions)
            ),
            "choose: set the checkpoint to \"beginning\" to fill the target again, or to \"journal\" to go on after the \
             last checkpoint",
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
            Ok(opened(Recovery::TokenAdopted, since(&token, journal_sequence)))
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
             records are pending here, from {first}; batches that were acknowledged after the backup and had not reached \
             the sink are gone"
        ),
        "choose: set the checkpoint to \"journal\" to deliver all that is pending (what the sink has of it is written \
         twice), to \"end\" to deliver nothing of it, or to the position of the first record to deliver; then let \
         producers push again what was acknowledged after the backup and is not in the sink",
    )
}

/// What is known of a lane once a user has decided between a token and the journal, which contradict each other; none if
/// the choice is the token's and there is none.
///
/// What the target has lost by an older backup is written again from the token or from before it; where the user goes
/// on behind it, the ledger counts it as lost.
pub(crate) fn decide(
    lane: u32,
    kind: Kind,
    to: &ResetTo,
    journalled: &LaneProgress,
    token: Option<&Token>,
) -> Option<LaneProgress> {
    let known = || LaneProgress { chunks: Vec::new(), ..journalled.clone() };
    match (to, token) {
        (ResetTo::SinkToken, token) => token.map(|token| read_again(of_token(lane, token), journalled)),
        (_, Some(token)) if token.sequence < journalled.sequence && passes(to, token) => {
            Some(left_lost(known(), &token.counters))
        }
        // Nothing is there of what was delivered.
        (ResetTo::Journal | ResetTo::End, None) if kind == Kind::Transactional => {
            Some(left_lost(known(), &Counters::default()))
        }
        (ResetTo::Beginning | ResetTo::End | ResetTo::Positions(_) | ResetTo::Journal, _) => Some(known()),
    }
}

/// Whether the place lies behind the token's anywhere.
fn passes(to: &ResetTo, token: &Token) -> bool {
    match to {
        ResetTo::Beginning | ResetTo::SinkToken => false,
        ResetTo::End | ResetTo::Journal => true,
        ResetTo::Positions(named) => !token.positions.iter().all(|(partition, at)| {
            let to = named.get(&*partition.0).and_then(|to| to.parse::<u64>().ok());
            to.is_some_and(|to| at.as_offset().is_some_and(|at| to <= at))
        }),
    }
}

/// Records behind the token are read again and count then; only their dead letters are listed already, and stay counted.
fn read_again(from: LaneProgress, journalled: &LaneProgress) -> LaneProgress {
    let listed = journalled.counters.dead.saturating_sub(from.counters.dead);
    let (read, dead) = (from.counters.read + listed, from.counters.dead + listed);
    LaneProgress { chunks: Vec::new(), counters: Counters { read, dead, ..from.counters }, ..from }
}

/// What was delivered behind the token is in the target no longer.
fn left_lost(known: LaneProgress, target: &Counters) -> LaneProgress {
    let Counters { delivered, rows_written, lost, .. } = known.counters;
    let gone = delivered.saturating_sub(target.delivered);
    let counters = Counters {
        delivered: delivered - gone,
        lost: lost + gone,
        rows_written: rows_written.min(target.rows_written),
        ..known.counters
    };
    LaneProgress { counters, ..known }
}

/// Counts as lost what a lane has not read yet and the source has no longer, where the user goes on behind it. Only of
/// sources whose offsets count records the first one is ever another than 0. After a token, only an inbox goes on
/// elsewhere than there: other sources say later what they have no longer.
pub(crate) fn count_expired(lanes: Vec<LaneProgress>, to: &ResetTo, earliest: &Positions) -> Vec<LaneProgress> {
    let passes = |partition: &Partition, first: u64| match to {
        ResetTo::Beginning | ResetTo::End => true,
        ResetTo::Positions(named) => {
            named.get(&*partition.0).and_then(|to| to.parse::<u64>().ok()).is_some_and(|to| to >= first)
        }
        ResetTo::SinkToken | ResetTo::Journal => &*partition.0 == Inbox::PARTITION,
    };
    let expired = |(partition, at): (&Partition, &Position)| {
        let (first, offset) = (earliest.get(partition)?.as_offset()?, at.as_offset()?);
        // Of what was there before it was made anew, nobody knows how much was not read. After `@` stands how far it is known.
        let id = |at: &Position| at.identity.as_deref().and_then(|known| known.split('@').next()).map(str::to_owned);
        let (was, is) = (id(at), id(earliest.get(partition)?));
        let same = was.is_none() || is.is_none() || was == is;
        (same && passes(partition, first)).then(|| first.saturating_sub(offset))
    };
    let counted = lanes.into_iter().map(|lane| {
        let lost: u64 = lane.positions.iter().filter_map(expired).sum();
        let counters = Counters { read: lane.counters.read + lost, lost: lane.counters.lost + lost, ..lane.counters };
        LaneProgress { counters, ..lane }
    });
    counted.collect()
}

/// A lane that goes on after those of a later generation, which count with it.
pub(crate) fn after(lane: &LaneProgress, ahead: &[Token]) -> LaneProgress {
    let mut after = lane.clone();
    for token in ahead {
        after.positions.extend(token.positions.clone());
        after.counters.add(&token.counters);
        after.chunks.extend(token.chunks.clone());
    }
    after
}

/// What a token says beyond a commit that the journal has. Chunks of commits up to it are counted already, and may be joined
/// with others by now.
pub(crate) fn since(token: &Token, journalled: u64) -> LaneProgress {
    let mut progress = of_token(token.fence.lane, token);
    progress.chunks.retain(|chunk| commit_of(&chunk.id).is_none_or(|commit| commit > journalled));
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
