//! Chunks of dead letters are joined.
use crate::{
    chunk::ChunkRef,
    pipeline::{Command, Decision, Event, Rejected, State},
    problem::Problem,
};

/// Only neighbours, and only if nothing gets lost. Nothing changes for users: the letters keep their numbers.
pub(in crate::pipeline) fn join(
    state: &State,
    command: &Command,
    first: u64,
    count: u64,
    into: &ChunkRef,
) -> Result<Decision, Rejected> {
    let progress = &state.branch(command.branch).ok_or(Rejected::NotFound)?.progress;
    if progress.joined(first, count, into).is_none() {
        let message = format!("{count} chunks from {first} on don't hold the {} letters of {}", into.records, into.id);
        return Err(Rejected::Invalid { problems: vec![Problem::new("deadLetters", "mismatch", message)] });
    }
    Ok(Decision::of(command, command.branch, [Event::DeadLettersJoined { first, count, into: into.clone() }]))
}
