//! What a pipeline is now: the fold of its history.
use crate::{
    chunk::{ChunkId, ChunkRef},
    id::{BatchId, CommandId, Epoch, Generation, Incarnation, PipelineId, RunId},
    ledger::Counters,
    pipeline::event::{Cause, LaneOpened, LaneProgress},
    position::Positions,
    spec::PipelineSpec,
    time::Timestamp,
    types::Learned,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
};

/// The life of a pipeline. A variant holds only what is true in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
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
    /// Counts the changes a user can see (every event but progress and pushed batches); 1 at creation.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the version last rose.
    pub updated_at: Timestamp,
    /// How far it is.
    pub progress: Progress,
    /// What its data taught.
    pub learned: Learned,
    /// Its last run, if it ever ran.
    pub last_run: Option<LastRun>,
    /// Commands that were carried out, oldest first.
    pub commands: VecDeque<Remembered>,
    /// What was pushed to it.
    pub inbox: Inbox,
}

/// How far a pipeline is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The reading order that this belongs to.
    pub generation: Generation,
    /// Lanes of this generation, once it was started.
    pub lanes: Option<u32>,
    /// Where this generation began.
    pub begin: Positions,
    /// Where each lane is. Their `chunks` are empty here: see [`Self::dead_letters`].
    pub by_lane: BTreeMap<u32, LaneProgress>,
    /// Counts of all earlier generations.
    pub earlier: Counters,
    /// When the last checkpoint was taken.
    pub at: Option<Timestamp>,
    /// Chunks of dead letters in the order in which they were journalled; dead letter number n (from 1) is the n-th record over all.
    pub dead_letters: Vec<ChunkRef>,
}

impl Progress {
    /// Counts over all generations and lanes.
    pub fn counters(&self) -> Counters {
        let mut sum = self.earlier;
        for lane in self.by_lane.values() {
            sum.add(&lane.counters);
        }
        sum
    }

    /// The position of every partition: the beginning, overlaid by the lanes' positions.
    pub fn positions(&self) -> Positions {
        let mut positions = self.begin.clone();
        for lane in self.by_lane.values() {
            positions.extend(lane.positions.clone());
        }
        positions
    }
}

/// A pipeline that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Whether it was told to stop, and what then.
    pub stopping: Option<Stopping>,
    /// Restarts in a row without progress.
    pub attempt: u32,
}

/// A stop under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopping {
    /// Whether it is started again once it has stopped.
    pub restart: bool,
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

/// What stays of a deleted pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Which it was.
    pub incarnation: Incarnation,
    /// The version it reached; a new one of its id goes on counting from here, so that no old `If-Match` fits it.
    pub version: u64,
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

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its id.
    pub id: CommandId,
    /// When.
    pub at: Timestamp,
}

/// Records that were pushed to a pipeline with an `http` source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// Records received in all.
    pub received: u64,
    /// Batches not yet behind the checkpoint, oldest first.
    pub pending: VecDeque<Pending>,
    /// The last batches, by id.
    pub seen: HashMap<BatchId, Received>,
    /// Their ids, oldest first.
    pub order: VecDeque<BatchId>,
}

impl Inbox {
    /// Bytes that wait.
    pub fn pending_bytes(&self) -> u64 {
        self.pending.iter().map(|batch| batch.bytes).sum()
    }
}

/// A batch that waits to be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
    /// Bytes of its body.
    pub bytes: u64,
    /// Where its body is.
    pub chunk: ChunkId,
}

/// What is remembered of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Hash of its body.
    pub hash: String,
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
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
}
