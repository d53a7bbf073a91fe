//! Stop a pipeline once what is under way is settled.
use super::not_allowed;
use crate::pipeline::{Command, Decision, Effect, Fact, Rejected, State};

/// A running one; also a failed one that would be started again, which stops that. While it is stopping already, it only
/// cancels the start that was to follow.
pub(in crate::pipeline) fn stop(state: &State, command: &Command) -> Result<Decision, Rejected> {
    command.target(state)?;
    match state {
        State::Running(running) => Ok(match running.stopping {
            None => Decision::of(command, [Fact::StopRequested { restart: false }]).then(Effect::StopRun),
            Some(stopping) if stopping.restart => Decision::of(command, [Fact::StopRequested { restart: false }]),
            Some(_) => Decision::default(),
        }),
        State::Failed(failed) if failed.restart_at.is_some() => {
            Ok(Decision::of(command, [Fact::PipelineStopped { settled: true }]))
        }
        _ => Err(not_allowed("stop", state, "nothing has to be done: it does not run")),
    }
}
