//! A run has met types that were not known yet.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Event, Rejected, State},
    types::InferredTypes,
};

/// Types only widen: what is known and what the run has learned are merged.
pub(in crate::pipeline) fn schema(
    state: &State,
    command: &Command,
    run: RunId,
    learned: &InferredTypes,
) -> Result<Decision, Rejected> {
    let mut merged = super::reported(state, command, run)?.learned.clone();
    if !merged.merge(learned) {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, command.branch, [Event::SchemaChanged { learned: merged }]))
}
