//! A run has committed.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Fact, Rejected, State, event::LaneProgress},
};

/// Absolute, so a report may cover many commits. Lanes that say nothing new are left out; a lane never falls back.
pub(in crate::pipeline) fn progress(
    state: &State,
    command: &Command,
    run: RunId,
    lanes: &[LaneProgress],
) -> Result<Decision, Rejected> {
    let known = &super::reported(state, run)?.pipeline.progress;
    if lanes.iter().any(|lane| known.is_behind(lane)) {
        return Err(Rejected::StaleRun);
    }
    let lanes: Vec<_> = lanes.iter().filter(|lane| known.is_news(lane)).cloned().collect();
    if lanes.is_empty() {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, [Fact::BatchProcessed { run, lanes }]))
}
