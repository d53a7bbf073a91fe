//! Stop a pipeline once what is under way is settled.
use super::not_allowed;
use crate::pipeline::{
    Command, Decision, Effect, Event, Rejected, State,
    state::{Running, Then},
};

/// A running one; also a failed one that would be started again, which stops that. While it is stopping already, it only
/// cancels the start that was to follow; an update that was to follow is made all the same.
pub(in crate::pipeline) fn stop(state: &State, command: &Command) -> Result<Decision, Rejected> {
    command.target(state)?;
    match state {
        State::Running(running) => Ok(ask(running, command, false)),
        State::Failed(failed) if failed.restart_at.is_some() => {
            Ok(Decision::of(command, [Event::PipelineStopped { settled: true }]))
        }
        _ => Err(not_allowed("stop", state, "nothing to do: it is not running")),
    }
}

/// Has a running one stop, and start again or not.
pub(super) fn ask(running: &Running, command: &Command, start: bool) -> Decision {
    let stopping = running.stopping.as_ref();
    if stopping.is_some_and(|then| then.start == start) {
        return Decision::default();
    }
    let update = stopping.and_then(|then| then.update.clone());
    stop_for(running, command, Then { update, start })
}

/// Has a running one stop for what follows then.
pub(super) fn stop_for(running: &Running, command: &Command, then: Then) -> Decision {
    let decision = Decision::of(command, [Event::StopRequested { then }]);
    if running.stopping.is_none() { decision.then(Effect::StopRun) } else { decision }
}
