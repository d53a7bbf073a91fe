//! Stop a pipeline once what is under way is settled.
use super::not_allowed;
use crate::{
    branch::BranchNumber,
    pipeline::{
        Command, Decision, Effect, Event, Rejected, State,
        state::{Branch, Then},
    },
};

/// Its running branches; also failed ones that would be started again, which stops that. While one is stopping already, it only
/// cancels the start that was to follow; an update that was to follow is made all the same.
pub(in crate::pipeline) fn stop(
    state: &State,
    command: &Command,
    only: Option<BranchNumber>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let stopped = |(number, branch): (BranchNumber, &Branch)| {
        if branch.is_under_way() {
            return Some(ask(number, branch, command, false));
        }
        branch.restart_at().map(|_| Decision::of(command, number, [Event::PipelineStopped { unsettled: None }]))
    };
    let stopped: Vec<_> = pipeline.chosen(only).filter_map(stopped).collect();
    if stopped.is_empty() {
        return Err(not_allowed("stop", state, "nothing to do: it is not running"));
    }
    Ok(stopped.into_iter().fold(Decision::default(), Decision::and))
}

/// Has a running branch stop, and start again or not; also one that waits for others which are updated with it.
pub(super) fn ask(number: BranchNumber, branch: &Branch, command: &Command, start: bool) -> Decision {
    let stopping = branch.stopping();
    if stopping.is_some_and(|then| then.start == start) {
        return Decision::default();
    }
    let update = stopping.and_then(|then| then.update.clone());
    stop_for(number, branch, command, Then { update, start })
}

/// Has a branch stop, if it has not been told to, for what follows then.
pub(super) fn stop_for(number: BranchNumber, branch: &Branch, command: &Command, then: Then) -> Decision {
    let decision = Decision::of(command, number, [Event::StopRequested { then }]);
    if branch.stopping().is_none() { decision.then(number, Effect::StopRun) } else { decision }
}
