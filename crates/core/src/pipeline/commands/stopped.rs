//! A run has ended because it was told to.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Effect, Fact, Rejected, State, state::Running},
};

/// Stops the pipeline, and starts it again if that is what was asked for.
pub(in crate::pipeline) fn stopped(
    state: &State,
    command: &Command,
    run: RunId,
    settled: bool,
) -> Result<Decision, Rejected> {
    let running = super::ended(state, run)?;
    if running.stopping.is_none() {
        return Err(Rejected::StaleRun);
    }
    Ok(end(running, command, Fact::PipelineStopped { settled }))
}

/// The end of a run, and the start that follows if a restart was asked for.
pub(super) fn end(running: &Running, command: &Command, end: Fact) -> Decision {
    if !running.stopping.is_some_and(|stopping| stopping.restart) {
        return Decision::of(command, [end]);
    }
    let lanes = running.pipeline.progress.lanes.unwrap_or(1);
    Decision::of(command, [end, Fact::PipelineStarted { lanes, attempt: 0 }]).then(Effect::StartRun)
}
