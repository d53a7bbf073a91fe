//! A bounded source has ended and all of it is committed.
use super::stopped::end;
use crate::{
    branch::BranchNumber,
    id::RunId,
    pipeline::{Command, Decision, Event, Rejected, State, command::Prepared},
};
use std::collections::BTreeMap;

/// Also while it is stopping: it came to its end before the stop did. Then it is changed and started as it was asked for.
pub(in crate::pipeline) fn completed(
    state: &State,
    command: &Command,
    run: RunId,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    super::reported(state, command, run)?;
    end(state, command, Event::PipelineCompleted, prepared)
}
