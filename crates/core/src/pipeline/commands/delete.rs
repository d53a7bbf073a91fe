//! Forget a pipeline. Its history stays.
use super::not_allowed;
use crate::pipeline::{Command, Decision, Event, Rejected, State};

/// Only while it does not run. Pushed records that were acknowledged go with it, and dead letters: somebody has to give
/// them up.
pub(in crate::pipeline) fn delete(state: &State, command: &Command, discard: bool) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let (records, dead_letters) = (pipeline.undelivered(), pipeline.dead_letters());
    match () {
        () if pipeline.pending().is_some() => {
            Err(not_allowed("delete", state, "wait until its update is made, and stop it"))
        }
        () if pipeline.runs() => Err(not_allowed("delete", state, "stop it first")),
        () if records + dead_letters > 0 && !discard => Err(Rejected::Undelivered { records, dead_letters }),
        () => Ok(Decision::of(command, 0, [Event::PipelineDeleted])),
    }
}
