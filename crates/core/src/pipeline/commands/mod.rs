//! Commands, one per file; [`decide`](super::decide()) dispatches to them.
pub(super) mod completed;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod failed;
mod generation;
pub(super) mod ingest;
pub(super) mod join;
pub(super) mod lost;
pub(super) mod opened;
pub(super) mod partitions;
pub(super) mod progress;
pub(super) mod reset_checkpoint;
pub(super) mod restart;
pub(super) mod schema;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod stopped;
pub(super) mod update;

use super::{
    Command, Decision, Effect, RecordedEvent, Rejected, State,
    event::Event,
    state::{Pipeline, Running},
    then::Update,
};
use crate::{
    id::{PipelineId, RunId},
    spec::{self, PipelineSpec},
};

impl Decision {
    /// These events have happened, because of `command`.
    fn of(command: &Command, events: impl IntoIterator<Item = Event>) -> Self {
        let event = |event| RecordedEvent {
            number: 0, // given by `decide`
            at: command.at,
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            trace: command.trace.clone(),
            command: command.id.clone(),
            hash: command.hash,
            event,
        };
        Self { events: events.into_iter().map(event).collect(), ..Self::default() }
    }

    /// And this update can't be made.
    fn refuse(mut self, update: &Update, command: &Command, rejected: Rejected) -> Self {
        let refused = Event::UpdateRefused { code: rejected.code().into(), message: rejected.to_string() };
        self.events.push(update.by.event(command.at, refused));
        Self { refused: Some(rejected), ..self }
    }

    /// And this must now be done.
    fn then(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

impl Command {
    /// The pipeline that a user's command is for, if it is at the version that the user saw.
    fn target<'a>(&self, state: &'a State) -> Result<&'a Pipeline, Rejected> {
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        match self.expected_version {
            Some(expected) if expected != pipeline.version => {
                Err(Rejected::VersionMismatch { expected, actual: pipeline.version })
            }
            _ => Ok(pipeline),
        }
    }
}

/// Why a request is turned down in this state, and what to do about it.
fn not_allowed(request: &str, state: &State, fix: &str) -> Rejected {
    Rejected::NotAllowed { request: request.into(), status: state.status(), fix: Some(fix.into()) }
}

/// The spec as it is kept: with a name, and without problems.
fn checked(spec: &PipelineSpec, id: &PipelineId) -> Result<Box<PipelineSpec>, Rejected> {
    let problems = spec::check(spec);
    if problems.is_empty() { Ok(Box::new(spec.clone().named(id))) } else { Err(Rejected::Invalid { problems }) }
}

/// The running pipeline whose open run reports.
fn reported(state: &State, run: RunId) -> Result<&Running, Rejected> {
    match state {
        State::Running(running) if running.is_current(run) => Ok(running),
        _ => Err(Rejected::StaleRun),
    }
}

/// The running pipeline whose run reports: the open one, or one that is not open yet and may never be.
fn under_way(state: &State, run: RunId) -> Result<&Running, Rejected> {
    match state {
        State::Running(running) if running.is_current(run) || running.is_new(run) => Ok(running),
        _ => Err(Rejected::StaleRun),
    }
}
