//! Run a pipeline, from its checkpoint on.
use super::not_allowed;
use crate::{
    limits::MAX_LANES,
    pipeline::{
        Command, Decision, Effect, Event, Rejected, State,
        state::{Failed, Pipeline},
    },
};

/// From every state but Running: a completed pipeline's source may have grown. The platform itself only starts a failed
/// one whose restart is due; that counts the attempts, which a user's start begins anew.
pub(in crate::pipeline) fn start(state: &State, command: &Command, lanes: u32) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    match state {
        State::Running(running) if running.stopping.is_some() => {
            Err(not_allowed("start", state, "it is stopping: wait until it has stopped, or restart it"))
        }
        State::Running(_) => {
            Err(not_allowed("start", state, "nothing to do; to start it again from its checkpoint, restart it"))
        }
        State::Failed(failed) if command.actor.is_system() => due(state, failed, command, lanes),
        _ if command.actor.is_system() => Err(not_allowed("start", state, "only a user can start it")),
        _ => Ok(started(pipeline, command, lanes, 0)),
    }
}

/// A restart by policy. The timer decides when; the wall clock may be changed.
fn due(state: &State, failed: &Failed, command: &Command, lanes: u32) -> Result<Decision, Rejected> {
    match failed.restart_at {
        None => Err(not_allowed("start", state, "it waits for a user")),
        Some(_) => Ok(started(&failed.pipeline, command, lanes, failed.attempt.saturating_add(1))),
    }
}

/// `lanes` only counts as long as no run was opened in this generation.
pub(super) fn started(pipeline: &Pipeline, command: &Command, lanes: u32, attempt: u32) -> Decision {
    let lanes = pipeline.progress.fixed_lanes().unwrap_or(lanes.clamp(1, MAX_LANES));
    Decision::of(command, [Event::PipelineStarted { lanes, attempt }]).then(Effect::StartRun)
}
