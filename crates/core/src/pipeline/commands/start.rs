//! Run a pipeline, from its checkpoint on.
use super::not_allowed;
use crate::{
    branch::BranchNumber,
    pipeline::{Command, Decision, Effect, Event, Rejected, State, state::Branch},
    spec::PipelineSpec,
};

/// The branches that don't run, from whatever state: a completed one's source may have grown. The platform itself only starts
/// a failed one whose restart is due; that counts the attempts, which a user's start begins anew.
pub(in crate::pipeline) fn start(
    state: &State,
    command: &Command,
    only: Option<BranchNumber>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    if command.actor.is_system() {
        let branch = state.branch(command.branch).ok_or(Rejected::NotFound)?;
        return due(state, branch, command);
    }
    if pipeline.chosen(only).any(|(_, branch)| branch.waits.is_some()) {
        let fix =
            "an update waits until other sinks have stopped: wait until it is made; \"restart\" has it start then";
        return Err(not_allowed("start", state, fix));
    }
    if pipeline.chosen(only).any(|(_, branch)| branch.stopping().is_some()) {
        return Err(not_allowed("start", state, "it is stopping: wait until it has stopped, or restart it"));
    }
    let idle = pipeline.chosen(only).filter(|(_, branch)| branch.running().is_none());
    let decision =
        idle.map(|(number, branch)| started(number, branch, command, 0)).fold(Decision::default(), Decision::and);
    if decision.events.is_empty() {
        return Err(not_allowed("start", state, "nothing to do; to start it again from its checkpoint, restart it"));
    }
    Ok(decision)
}

/// A restart by policy. The timer decides when; the wall clock may be changed.
fn due(state: &State, branch: &Branch, command: &Command) -> Result<Decision, Rejected> {
    match branch.failed() {
        Some(failed) if failed.restart_at.is_some() => {
            Ok(started(command.branch, branch, command, failed.attempt.saturating_add(1)))
        }
        _ => Err(not_allowed("start", state, "it waits for a user")),
    }
}

/// A branch that starts as it is.
pub(super) fn started(number: BranchNumber, branch: &Branch, command: &Command, attempt: u32) -> Decision {
    started_with(number, lanes(Some(branch), &branch.spec), command, attempt)
}

/// One that starts with so many lanes.
pub(super) fn started_with(number: BranchNumber, lanes: u32, command: &Command, attempt: u32) -> Decision {
    Decision::of(command, number, [Event::PipelineStarted { lanes, attempt }]).then(number, Effect::StartRun)
}

/// The lanes that a branch starts with: those of the generation that goes on, if it has any, otherwise those of the spec. Where
/// that leaves the number to the source, the run [reports](crate::pipeline::CommandKind::ReportPartitions) it.
pub(super) fn lanes(goes_on: Option<&Branch>, spec: &PipelineSpec) -> u32 {
    goes_on.and_then(|branch| branch.progress.lanes).or(spec.lanes).unwrap_or(1)
}
