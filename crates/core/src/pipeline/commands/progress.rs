//! A run has committed.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Event, Rejected, State, event::LaneProgress},
};

/// Absolute, so a report may cover many commits; a lane never falls back. If any of them says something new, the event says
/// where all lanes of the pipeline are, so that whoever reads the last one alone knows everything.
pub(in crate::pipeline) fn progress(
    state: &State,
    command: &Command,
    run: RunId,
    lanes: &[LaneProgress],
    reserved_versions: Option<u64>,
) -> Result<Decision, Rejected> {
    let branch = super::reported(state, command, run)?;
    let known = &branch.progress;
    if lanes.iter().any(|lane| known.is_behind(lane)) {
        return Err(Rejected::StaleRun);
    }
    let reserves = reserved_versions.is_some_and(|reserved_versions| reserved_versions > branch.reserved_versions);
    if !reserves && !lanes.iter().any(|lane| known.is_news(lane)) {
        return Ok(Decision::default());
    }
    let processed = Event::BatchProcessed { run, lanes: known.all_lanes(lanes), reserved_versions };
    Ok(Decision::of(command, command.branch, [processed]))
}
