//! A bounded source has ended and all of it is committed.
use super::stopped::end;
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Fact, Rejected, State},
};

/// Also while it is stopping: it came to its end before the stop did. It is started again if a restart was asked for.
pub(in crate::pipeline) fn completed(state: &State, command: &Command, run: RunId) -> Result<Decision, Rejected> {
    Ok(end(super::reported(state, run)?, command, Fact::PipelineCompleted))
}
