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
    state::{Branch, Pipeline},
};
use crate::{
    branch::BranchNumber,
    id::{PipelineId, RunId},
    spec::{self, PipelineSpec},
};

impl Decision {
    /// These events have happened to a branch, because of `command`.
    fn of(command: &Command, branch: BranchNumber, events: impl IntoIterator<Item = Event>) -> Self {
        let event = |event| RecordedEvent {
            number: 0, // given by `decide`
            at: command.at,
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            trace: command.trace.clone(),
            command: command.id.clone(),
            hash: command.hash,
            branch,
            event,
        };
        Self { events: events.into_iter().map(event).collect(), ..Self::default() }
    }

    /// And all that another one says.
    fn and(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self.effects.extend(other.effects);
        Self { received: self.received.or(other.received), refused: self.refused.or(other.refused), ..self }
    }

    /// And this must now be done for a branch.
    fn then(mut self, branch: BranchNumber, effect: Effect) -> Self {
        self.effects.push((branch, effect));
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

/// The running branch whose open run reports.
fn reported<'a>(state: &'a State, command: &Command, run: RunId) -> Result<&'a Branch, Rejected> {
    state.branch(command.branch).filter(|branch| branch.is_current(run)).ok_or(Rejected::StaleRun)
}

/// The running branch whose run reports: the open one, or one that is not open yet and may never be.
fn under_way<'a>(state: &'a State, command: &Command, run: RunId) -> Result<&'a Branch, Rejected> {
    let branch = state.branch(command.branch).filter(|branch| branch.is_current(run) || branch.is_new(run));
    branch.ok_or(Rejected::StaleRun)
}
