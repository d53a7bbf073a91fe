//! Forget a pipeline. Its history stays.
use super::not_allowed;
use crate::pipeline::{Command, Decision, Fact, Rejected, State};

/// Only while it does not run.
pub(in crate::pipeline) fn delete(state: &State, command: &Command) -> Result<Decision, Rejected> {
    command.target(state)?;
    match state {
        State::Running(_) => Err(not_allowed("delete", state, "stop it first")),
        _ => Ok(Decision::of(command, [Fact::PipelineDeleted])),
    }
}
