//! What a pipeline is now: the fold of its history.
use super::remembered;
pub use super::{
    batches::{Batches, Received},
    inbox::{Inbox, Pending},
    progress::Progress,
    remembered::Remembered,
    then::Then,
};
use crate::{
    id::{CommandId, Epoch, Incarnation, PipelineId, RunId},
    pipeline::{
        command::Change,
        event::{Cause, LaneOpened, NewGeneration},
        then::Update,
    },
    position::Position,
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, fmt};

/// The life of a pipeline. A variant holds only what is true in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// There has never been one of this id.
    #[default]
    Empty,
    /// Made, never started.
    Configured(Box<Pipeline>),
    /// Started, and to be kept running.
    Running(Box<Running>),
    /// Stopped by a user.
    Stopped(Box<Pipeline>),
    /// Could not go on.
    Failed(Box<Failed>),
    /// Its bounded source has ended and all of it is committed.
    Completed(Box<Pipeline>),
    /// Deleted; its id may be used again.
    Deleted(Deleted),
}

/// The status a user sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not there, or deleted.
    Absent,
    /// Made, never started.
    Configured,
    /// To be kept running.
    Running,
    /// Stopped by a user.
    Stopped,
    /// Could not go on.
    Failed,
    /// All of a bounded source is committed.
    Completed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Configured => "configured",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Completed => "completed",
        })
    }
}

/// What is true of every pipeline that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// What tells it apart from others of its id.
    pub incarnation: Incarnation,
    /// What it is.
    pub spec: PipelineSpec,
    /// Most bytes of pushed records that may wait; `None`: its source accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u64>,
    /// Events of its id so far, those of earlier pipelines too.
    pub events: u64,
    /// Counts the changes a user can see (every event but those of [`Event::is_quiet`](super::event::Event::is_quiet)); 1 at creation.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the version last rose.
    pub updated_at: Timestamp,
    /// How far it is.
    pub progress: Progress,
    /// Whether the journal knows all that the sink has.
    pub settled: bool,
    /// What its data taught.
    pub learned: InferredTypes,
    /// Its last run, if it ever ran.
    pub last_run: Option<LastRun>,
    /// No version above this was ever written to a keyed sink under this id: the next run begins after it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub versions: u64,
    /// Users' commands that have changed something, oldest first. A command that was turned down, or found nothing to
    /// change, is not among them: sent again, it is decided afresh.
    pub commands: VecDeque<Remembered>,
    /// What was pushed to it.
    pub inbox: Inbox,
    /// Why its journal does not know what its sink has, until a run was opened all the same or a generation starts: what
    /// would be pushed meanwhile would bear numbers that the sink has had already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<Cause>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A pipeline that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// What follows once it has stopped; none: it was not told to stop.
    pub stopping: Option<Then>,
    /// Restarts in a row without progress.
    pub attempt: u32,
    /// The run that was opened last since it was started; none: none was opened yet. Only its reports count.
    pub run: Option<RunId>,
}

/// A pipeline that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Timestamp,
    /// When the restart policy starts it again; none: it waits for a user.
    pub restart_at: Option<Timestamp>,
    /// Restarts in a row without progress before this failure.
    pub attempt: u32,
}

impl Failed {
    /// The longest wait before it starts again by itself, in milliseconds.
    pub fn longest_wait(&self) -> u64 {
        let policy = &self.pipeline.spec.restart;
        policy.wait_ms(self.attempt).unwrap_or(policy.max.0)
    }
}

/// What stays of a deleted pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Which it was.
    pub incarnation: Incarnation,
    /// Events of its id so far.
    pub events: u64,
    /// The version it reached; a new one of its id goes on counting from here, so that no old `If-Match` fits it.
    pub version: u64,
    /// The [versions](Pipeline::versions) it had reserved; a new one of its id may write to the same target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub versions: u64,
    /// When.
    pub at: Timestamp,
    /// The commands it had carried out, so that a repeated one is still known.
    pub commands: VecDeque<Remembered>,
}

/// The last run and how it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Which.
    pub run: RunId,
    /// The epoch it held.
    pub epoch: Epoch,
    /// When it was opened.
    pub at: Timestamp,
    /// Where each lane went on, and why.
    pub lanes: Vec<LaneOpened>,
}

impl Pipeline {
    /// Whether a change to `spec` starts a new generation: other records, another target or number of lanes.
    pub fn starts_generation(&self, spec: &PipelineSpec, change: &Change) -> bool {
        change.source || change.sink || spec.lanes != self.spec.lanes
    }

    /// Whether the sink must be asked what it has before a new generation starts ([`Settlement::NotNeeded`](super::command::Settlement::NotNeeded) is refused):
    /// a run was opened in this one. A run reports that it is open before its first commit.
    pub fn needs_settlement(&self) -> bool {
        !self.progress.by_lane.is_empty()
    }

    /// Starts a generation; none if it does not come after this one.
    pub(super) fn begin(&mut self, generation: &NewGeneration) -> Option<()> {
        self.progress.begin(generation)?;
        if let Some(discarded) = &generation.discarded {
            self.inbox.forget(discarded)?;
        }
        self.undecided = None;
        self.settled = true; // nothing is in the sink yet that this one has to know of
        self.collect_inbox();
        Some(())
    }

    /// Pushed records that are not known to be delivered.
    pub fn undelivered(&self) -> u64 {
        let at = self.progress.position(Inbox::PARTITION).and_then(Position::as_offset).unwrap_or(0);
        self.inbox.pending.back().map_or(0, |last| last.to.saturating_sub(at.max(self.inbox.first())))
    }

    /// Dead letters that are kept.
    pub fn dead_letters(&self) -> u64 {
        self.progress.dead_letters.iter().map(|chunk| chunk.records).sum()
    }

    /// Lets go of pushed batches that lie behind the checkpoint.
    pub(super) fn collect_inbox(&mut self) {
        if self.pushes.is_some()
            && let Some(at) = self.progress.position(Inbox::PARTITION).and_then(Position::as_offset)
        {
            self.inbox.pass(at);
        }
    }
}

impl Running {
    /// Whether reports of this run count.
    pub(super) fn is_current(&self, run: RunId) -> bool {
        self.run == Some(run)
    }

    /// Whether this run was never opened, so that it may still be.
    pub(super) fn is_new(&self, run: RunId) -> bool {
        self.pipeline.last_run.as_ref().is_none_or(|last| run > last.run)
    }
}

impl State {
    /// The pipeline, if there is one.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        match self {
            Self::Configured(pipeline) | Self::Stopped(pipeline) | Self::Completed(pipeline) => Some(pipeline),
            Self::Running(running) => Some(&running.pipeline),
            Self::Failed(failed) => Some(&failed.pipeline),
            Self::Empty | Self::Deleted(_) => None,
        }
    }

    /// The pipeline, if there is one, to be changed by an event.
    pub(crate) fn pipeline_mut(&mut self) -> Option<&mut Pipeline> {
        match self {
            Self::Configured(pipeline) | Self::Stopped(pipeline) | Self::Completed(pipeline) => Some(pipeline),
            Self::Running(running) => Some(&mut running.pipeline),
            Self::Failed(failed) => Some(&mut failed.pipeline),
            Self::Empty | Self::Deleted(_) => None,
        }
    }

    /// Events of this id so far: the number of the last one.
    pub fn events(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Deleted(deleted) => deleted.events,
            Self::Configured(_) | Self::Running(_) | Self::Stopped(_) | Self::Failed(_) | Self::Completed(_) => {
                self.pipeline().map_or(0, |pipeline| pipeline.events)
            }
        }
    }

    /// So many events of this id have happened.
    pub(super) fn count(&mut self, events: u64) {
        if let Self::Deleted(deleted) = self {
            deleted.events = events;
        } else if let Some(pipeline) = self.pipeline_mut() {
            pipeline.events = events;
        }
    }

    /// Whether it was told to stop and has not stopped yet.
    pub fn is_stopping(&self) -> bool {
        matches!(self, Self::Running(running) if running.stopping.is_some())
    }

    /// The update that is made once it has stopped.
    pub fn pending(&self) -> Option<&Update> {
        match self {
            Self::Running(running) => running.stopping.as_ref()?.update.as_deref(),
            _ => None,
        }
    }

    /// Whether its journal does not know what its sink has.
    pub fn is_behind(&self) -> bool {
        self.pipeline().is_some_and(|pipeline| pipeline.undecided.is_some())
    }

    /// What a user sees of it.
    pub fn status(&self) -> Status {
        match self {
            Self::Empty | Self::Deleted(_) => Status::Absent,
            Self::Configured(_) => Status::Configured,
            Self::Running(_) => Status::Running,
            Self::Stopped(_) => Status::Stopped,
            Self::Failed(_) => Status::Failed,
            Self::Completed(_) => Status::Completed,
        }
    }

    /// The user's command of this id that was carried out before, on this pipeline or a deleted one of its id.
    pub fn carried_out(&self, command: &CommandId) -> Option<&Remembered> {
        match self {
            Self::Empty => None,
            Self::Deleted(deleted) => remembered::find(&deleted.commands, command),
            Self::Configured(_) | Self::Running(_) | Self::Stopped(_) | Self::Failed(_) | Self::Completed(_) => {
                self.pipeline().and_then(|pipeline| remembered::find(&pipeline.commands, command))
            }
        }
    }
}
