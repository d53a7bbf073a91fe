//! Stop a pipeline if it runs, and run it again.
use super::start::start;
use crate::pipeline::{Command, Decision, Effect, Fact, Rejected, State};

/// A running one is stopped and started again once it has stopped; any other is started.
pub(in crate::pipeline) fn restart(state: &State, command: &Command, lanes: u32) -> Result<Decision, Rejected> {
    let State::Running(running) = state else { return start(state, command, lanes) };
    command.target(state)?;
    Ok(match running.stopping {
        None => Decision::of(command, [Fact::StopRequested { restart: true }]).then(Effect::StopRun),
        Some(stopping) if !stopping.restart => Decision::of(command, [Fact::StopRequested { restart: true }]),
        Some(_) => Decision::default(),
    })
}
