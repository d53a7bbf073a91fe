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
    versions: Option<u64>,
) -> Result<Decision, Rejected> {
    let pipeline = &super::reported(state, run)?.pipeline;
    let known = &pipeline.progress;
    if lanes.iter().any(|lane| known.is_behind(lane)) {
        return Err(Rejected::StaleRun);
    }
    let reserves = versions.is_some_and(|versions| versions > pipeline.versions);
    if !reserves && !lanes.iter().any(|lane| known.is_news(lane)) {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, [Event::BatchProcessed { run, lanes: known.all_lanes(lanes), versions }]))
}
