//! Stop a pipeline if it runs, and run it again.
use super::{start::start, stop};
use crate::pipeline::{Command, Decision, Rejected, State};

/// A running one is stopped and started again once it has stopped; any other is started.
pub(in crate::pipeline) fn restart(state: &State, command: &Command, lanes: u32) -> Result<Decision, Rejected> {
    let State::Running(running) = state else { return start(state, command, lanes) };
    command.target(state)?;
    Ok(stop::ask(running, command, true))
}
