//! A run has ended because it was told to.
use super::{start::started, update};
use crate::{
    branch::BranchNumber,
    id::RunId,
    pipeline::{
        Command, Decision, Event, Rejected, State, command::Prepared, event::Cause, evolve::follow, state::Then,
    },
};
use std::collections::BTreeMap;

/// Stops the branch, and then changes and starts it if that is what was asked for.
pub(in crate::pipeline) fn stopped(
    state: &State,
    command: &Command,
    run: RunId,
    unsettled: Option<&Cause>,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    if super::under_way(state, command, run)?.stopping().is_none() {
        return Err(Rejected::StaleRun);
    }
    end(state, command, Event::PipelineStopped { unsettled: unsettled.cloned() }, prepared)
}

/// The end of a branch's run, and what was to follow, all at once: whatever happens in between, none of it is left undone. An
/// update follows once all have ended that it changes.
pub(super) fn end(
    state: &State,
    command: &Command,
    end: Event,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    let number = command.branch;
    let then = state.branch(number).ok_or(Rejected::StaleRun)?.stopping();
    let decision = Decision::of(command, number, [end]);
    let Some(Then { update, start }) = then else { return Ok(decision) };
    let ended = decision.events.iter().try_fold(state.clone(), |state, event| follow(&command.pipeline, state, event));
    let ended = ended.ok_or(Rejected::StaleRun)?;
    let pipeline = ended.pipeline().ok_or(Rejected::NotFound)?;
    Ok(match (update, pipeline.branches.get(&number)) {
        (Some(_), _) if pipeline.stopping_for_update().next().is_some() => decision,
        (Some(update), _) => decision.and(update::make(pipeline, command, update, prepared)?),
        (None, Some(branch)) if *start => decision.and(started(number, branch, command, 0)),
        (None, _) => decision,
    })
}
