//! A run has opened its source and sink and knows where it goes on.
use crate::{
    id::{Epoch, RunId},
    pipeline::{Command, Decision, Event, Rejected, State, event::LaneOpened},
};

/// Only a run that is newer than the last, and never behind the journal. It may come while the pipeline is stopping.
pub(in crate::pipeline) fn opened(
    state: &State,
    command: &Command,
    (run, epoch): (RunId, Epoch),
    lanes: &[LaneOpened],
    reserved_versions: Option<u64>,
) -> Result<Decision, Rejected> {
    let branch = state.branch(command.branch).filter(|branch| branch.is_new(run)).ok_or(Rejected::StaleRun)?;
    if lanes.iter().any(|lane| branch.progress.is_behind(&lane.progress)) {
        return Err(Rejected::StaleRun);
    }
    Ok(Decision::of(
        command,
        command.branch,
        [Event::RunOpened { run, epoch, lanes: lanes.to_vec(), reserved_versions }],
    ))
}
