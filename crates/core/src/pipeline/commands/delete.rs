//! Forget a pipeline. Its history stays.
use super::not_allowed;
use crate::pipeline::{Command, Decision, Fact, Rejected, State};

/// Only while it does not run. Pushed records that were acknowledged go with it, so they have to be delivered or given up.
pub(in crate::pipeline) fn delete(state: &State, command: &Command, discard: bool) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    match state {
        State::Running(_) => Err(not_allowed("delete", state, "stop it first")),
        _ if pipeline.undelivered() > 0 && !discard => Err(Rejected::Undelivered { records: pipeline.undelivered() }),
        _ => Ok(Decision::of(command, [Fact::PipelineDeleted])),
    }
}
