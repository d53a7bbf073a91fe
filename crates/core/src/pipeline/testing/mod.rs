//! Given/when/then for the pipeline's domain, with builders for what goes in.
//!
//! ```
//! use dataflow_core::pipeline::{Effect, testing::*};
//!
//! given([created(), started()])
//!     .when(stop())
//!     .then([stop_requested()])
//!     .then_effects([Effect::StopRun]);
//! ```
mod build;
mod samples;
mod table;

pub use build::*;
pub use samples::samples;
pub use table::{Cell, diagram, matrix, states, table};

use super::{Command, Decision, Effect, Event, RecordedEvent, Rejected, State, decide, evolve};
use crate::{branch::BranchNumber, id::Actor, time::Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A pipeline with a past.
#[derive(Clone, Debug)]
pub struct Given {
    /// What it is.
    pub state: State,
    /// What has happened to it.
    pub history: Vec<RecordedEvent>,
}

/// A pipeline to which these events have happened: one a second from [`EPOCH`], each by its own command
/// (`given-1`, `given-2`, …) of [`user`], those of the run by the system.
///
/// # Panics
/// If they can't follow on each other.
#[track_caller]
pub fn given(events: impl IntoIterator<Item = Event>) -> Given {
    events.into_iter().fold(Given { state: State::Empty, history: Vec::new() }, Given::and)
}

impl Given {
    /// And then this has happened.
    ///
    /// # Panics
    /// If it can't follow.
    #[must_use]
    #[track_caller]
    pub fn and(self, event: Event) -> Self {
        self.and_of(0, event)
    }

    /// And then this has happened to a branch.
    ///
    /// # Panics
    /// If it can't follow.
    #[must_use]
    #[track_caller]
    pub fn and_of(self, branch: BranchNumber, event: Event) -> Self {
        let number = self.history.len() + 1;
        let at = EPOCH.plus_millis(1_000 * i64::try_from(number).unwrap_or(i64::MAX));
        let (actor, command) = (usual_actor(&event), command_id(&format!("given-{number}")));
        let hash = (!actor.is_system()).then_some(number as u64);
        let number = self.state.events() + 1;
        let event = RecordedEvent { number, at, actor, reason: None, trace: None, command, hash, branch, event };
        self.follow(event)
    }

    #[track_caller]
    fn follow(mut self, event: RecordedEvent) -> Self {
        match evolve(&id(), self.state, &event) {
            Ok(state) => self.state = state,
            Err(corrupt) => panic!("{corrupt}: {event:?}"),
        }
        self.history.push(event);
        self
    }

    /// What follows from this, asked one hour after [`EPOCH`], by a [`user`] or, of a run's
    /// report, by the system.
    pub fn when(self, command: impl Into<Command>) -> Then {
        let mut command = command.into();
        if command.id.as_str() == UNNAMED {
            command = command.named(&format!("when-{}", self.history.len() + 1));
        }
        let outcome = decide(&self.state, &command);
        Then { given: self, command, outcome }
    }
}

/// The id of a command that got none: [`Given::when`] gives it one that was not used before.
const UNNAMED: &str = "when";

/// What followed from a command.
#[derive(Clone, Debug)]
pub struct Then {
    /// What was before.
    pub given: Given,
    /// What was asked.
    pub command: Command,
    /// What was decided.
    pub outcome: Result<Decision, Rejected>,
}

impl Then {
    /// What was decided.
    ///
    /// # Panics
    /// If the command was turned down.
    #[track_caller]
    pub fn decision(&self) -> &Decision {
        match &self.outcome {
            Ok(decision) => decision,
            Err(rejected) => panic!("turned down: {rejected} ({rejected:?})"),
        }
    }

    /// These events, and no others, have happened.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = Event>) -> Self {
        let happened: Vec<_> = self.decision().events.iter().map(|event| event.event.clone()).collect();
        assert_eq!(happened, events.into_iter().collect::<Vec<_>>());
        self
    }

    /// These events, and no others, have happened, each to its branch.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then_of(self, events: impl IntoIterator<Item = (BranchNumber, Event)>) -> Self {
        let happened: Vec<_> = self.decision().events.iter().map(|event| (event.branch, event.event.clone())).collect();
        assert_eq!(happened, events.into_iter().collect::<Vec<_>>());
        self
    }

    /// This, and nothing else, is to be done, each for its branch.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then_effects_of(self, effects: impl IntoIterator<Item = (BranchNumber, Effect)>) -> Self {
        assert_eq!(self.decision().effects, effects.into_iter().collect::<Vec<_>>());
        self
    }

    /// This, and nothing else, is to be done.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then_effects(self, effects: impl IntoIterator<Item = Effect>) -> Self {
        let done: Vec<_> = self.decision().effects.iter().map(|(_, effect)| *effect).collect();
        assert_eq!(done, effects.into_iter().collect::<Vec<_>>());
        self
    }

    /// Nothing has happened, and nothing is to be done.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then([]).then_effects([])
    }

    /// It was turned down with this code.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn then_rejected(self, code: &str) -> Rejected {
        match self.outcome {
            Ok(decision) => panic!("not turned down: {decision:?}"),
            Err(rejected) => {
                assert_eq!(rejected.code(), code, "{rejected:?}");
                rejected
            }
        }
    }

    /// The pipeline after what has happened.
    ///
    /// # Panics
    /// If the command was turned down, or its events can't follow.
    #[track_caller]
    pub fn after(self) -> Given {
        let events = self.decision().events.clone();
        events.into_iter().fold(self.given, Given::follow)
    }
}

fn usual_actor(event: &Event) -> Actor {
    match event {
        Event::RunOpened { .. }
        | Event::PartitionsPlanned { .. }
        | Event::BatchProcessed { .. }
        | Event::SchemaChanged { .. }
        | Event::RecordsLost(_)
        | Event::DeadLettersJoined { .. }
        | Event::PipelineFailed { .. }
        | Event::PipelineCompleted
        | Event::PipelineStopped { .. } => Actor::system(),
        Event::PipelineCreated { .. }
        | Event::PipelineUpdated { .. }
        | Event::UpdateRefused { .. }
        | Event::PipelineStarted { .. }
        | Event::StopRequested { .. }
        | Event::BatchReceived { .. }
        | Event::CheckpointReset { .. }
        | Event::PipelineDeleted => user(),
    }
}

impl From<super::CommandKind> for Command {
    /// Asked one hour after [`EPOCH`], by a [`user`] or, of a run's report, by the system.
    fn from(kind: super::CommandKind) -> Self {
        let actor = match &kind {
            super::CommandKind::Ingest { .. } => user(),
            kind if kind.is_remembered() => user(),
            _ => Actor::system(),
        };
        let mut hasher = DefaultHasher::new();
        format!("{kind:?}").hash(&mut hasher);
        let hash = Some(hasher.finish());
        let id = command_id(UNNAMED);
        let pipeline = self::id();
        let (reason, trace, expected_version, branch) = (None, None, None, 0);
        Self { pipeline, id, hash, actor, reason, trace, at: NOW, expected_version, branch, kind }
    }
}

impl Command {
    /// The same, under this id.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        self.id = command_id(id);
        self
    }

    /// The same, asked at this time.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// The same, of this branch.
    #[must_use]
    pub fn of_branch(mut self, branch: BranchNumber) -> Self {
        self.branch = branch;
        self
    }

    /// The same, only at this version.
    #[must_use]
    pub fn only_at_version(mut self, version: u64) -> Self {
        self.expected_version = Some(version);
        self
    }

    /// The same, asked by the platform itself.
    #[must_use]
    pub fn by_system(mut self) -> Self {
        (self.actor, self.hash) = (Actor::system(), None);
        self
    }
}
