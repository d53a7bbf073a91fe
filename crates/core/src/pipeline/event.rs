//! The events of a pipeline.
use crate::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkRef},
    id::{Actor, BatchId, CommandId, Epoch, Generation, Incarnation, Reason, RunId, SinkName, SourceName, TraceParent},
    ledger::Counters,
    pipeline::then::Then,
    position::{Partition, Position, Positions},
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
    warned::Warnings,
};
use serde::{Deserialize, Serialize};

/// An event with the circumstances of its making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Counts all events of this id, those of deleted pipelines too, from 1 on without a gap.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Why, if the user has said so.
    pub reason: Option<Reason>,
    /// The trace of the request that it follows from.
    pub trace: Option<TraceParent>,
    /// The command it follows from.
    pub command: CommandId,
    /// Distinguishes that command's request from another one with the same id.
    pub hash: Option<u64>,
    /// Which branch it has happened to; what has happened to the pipeline as a whole bears the number of its first one.
    pub branch: BranchNumber,
    /// What.
    pub event: Event,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    PipelineCreated {
        /// What it is.
        spec: Box<PipelineSpec>,
        /// What tells it apart from others of its id.
        incarnation: Incarnation,
        /// Most bytes of pushed records that may wait; `None`: its source accepts none.
        pushes: Option<u64>,
    },
    /// It was changed.
    PipelineUpdated {
        /// What it is from now on. This event is about one of its branches, which is removed if the spec has its sink no longer.
        spec: Box<PipelineSpec>,
        /// What the sink of the branch is called from now on; none: it is the only one.
        sink: Option<SinkName>,
        /// The generation that this starts, if it changes what is read, where it goes, or the number of lanes.
        generation: Option<NewGeneration>,
        /// Where it takes effect: what is before these positions was done by the spec before; a partition that is missing
        /// was not begun. None: a generation starts, or it goes on doing the same, or what the sink has was not known.
        positions: Option<Positions>,
        /// Pushed records that the branch gives up, if it is removed.
        discarded: Option<Lost>,
        /// Most bytes of pushed records that may wait from now on; `None`: the source accepts none.
        pushes: Option<u64>,
    },
    /// An update that was to be made once it had stopped could not be made.
    UpdateRefused {
        /// Stable code, in kebab-case: that of the [`Rejected`](super::Rejected).
        code: String,
        /// Why.
        message: String,
    },
    /// It was started; from here on it is Running.
    PipelineStarted {
        /// Lanes of this generation; where it has none yet and the spec names none, 1 until its run has
        /// [found](Event::PartitionsPlanned) the partitions.
        lanes: u32,
        /// Number of restarts in a row without progress that the restart policy has made; 0: a user started it.
        attempt: u32,
    },
    /// It was asked to stop; it is Running{stopping} until records in flight are settled.
    StopRequested {
        /// What follows once it has stopped. The last command counts.
        then: Then,
    },
    /// It has stopped.
    PipelineStopped {
        /// Why not everything under way was settled first, so that the next open adopts what the sink has; none: it was.
        unsettled: Option<Cause>,
    },
    /// Records were pushed and are durable.
    BatchReceived {
        /// The source that they were pushed to, if it has a name.
        source: Option<SourceName>,
        /// Its id.
        batch_id: BatchId,
        /// Hash of the body.
        hash: String,
        /// Records before it.
        from: u64,
        /// Records with it.
        to: u64,
        /// Bytes of the body.
        bytes: u64,
        /// Where the body is.
        chunk: ChunkId,
    },
    /// A run opened its source and sink.
    RunOpened {
        /// Which run.
        run: RunId,
        /// The epoch it holds.
        epoch: Epoch,
        /// Where each lane goes on, and why.
        lanes: Vec<LaneOpened>,
        /// This run may write with versions up to this one; `None`: its sink has no versions.
        reserved_versions: Option<u64>,
    },
    /// Partitions of the source were given to lanes: all that were there at the first start, and those that appeared since.
    PartitionsPlanned {
        /// Which run found them.
        run: RunId,
        /// Which lane reads each, and from where.
        planned: Vec<Planned>,
        /// Lanes of this generation from now on, to which all partitions are given anew; none: as before.
        lanes: Option<u32>,
    },
    /// Batches were committed: covers all since the last such event. Absolute, and of all lanes, so the last one says all; but
    /// of more than [`MAX_POSITIONS_TOLD`](crate::limits::MAX_POSITIONS_TOLD) positions it says only those that have changed.
    BatchProcessed {
        /// Which run.
        run: RunId,
        /// Where all lanes are, also those that have not moved.
        lanes: Vec<LaneProgress>,
        /// This run may write with versions up to this one; `None`: unchanged.
        reserved_versions: Option<u64>,
    },
    /// Types were learned from the data.
    SchemaChanged {
        /// All that is known now.
        learned: InferredTypes,
    },
    /// Records were passed over because they are no longer there.
    RecordsLost(Lost),
    /// Chunks of dead letters that lie together were joined into one, which holds the same letters in the same order.
    DeadLettersJoined {
        /// Place of the first of them among all.
        first: u64,
        /// How many they were.
        count: u64,
        /// What has taken their place.
        into: ChunkRef,
    },
    /// It cannot continue.
    PipelineFailed {
        /// Why.
        cause: Cause,
        /// When the restart policy starts it again; `None`: it waits for a user.
        restart_at: Option<Timestamp>,
    },
    /// A bounded source has ended, and all of it is committed.
    PipelineCompleted,
    /// It continues from elsewhere.
    CheckpointReset {
        /// In the user's words.
        to: String,
        /// The generation that this starts.
        generation: NewGeneration,
    },
    /// It was deleted.
    PipelineDeleted,
}

impl Event {
    /// How a checkpoint's reset says that everything is read again.
    pub const BEGINNING: &str = "beginning";

    /// Its name, as users and histories see it: `PipelineCreated`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::PipelineCreated { .. } => "PipelineCreated",
            Self::PipelineUpdated { .. } => "PipelineUpdated",
            Self::UpdateRefused { .. } => "UpdateRefused",
            Self::PipelineStarted { .. } => "PipelineStarted",
            Self::StopRequested { .. } => "StopRequested",
            Self::PipelineStopped { .. } => "PipelineStopped",
            Self::BatchReceived { .. } => "BatchReceived",
            Self::RunOpened { .. } => "RunOpened",
            Self::PartitionsPlanned { .. } => "PartitionsPlanned",
            Self::BatchProcessed { .. } => "BatchProcessed",
            Self::SchemaChanged { .. } => "SchemaChanged",
            Self::RecordsLost(_) => "RecordsLost",
            Self::DeadLettersJoined { .. } => "DeadLettersJoined",
            Self::PipelineFailed { .. } => "PipelineFailed",
            Self::PipelineCompleted => "PipelineCompleted",
            Self::CheckpointReset { .. } => "CheckpointReset",
            Self::PipelineDeleted => "PipelineDeleted",
        }
    }

    /// Whether it is an update that starts a generation.
    pub(super) fn starts_generation(&self) -> bool {
        matches!(self, Self::PipelineUpdated { generation: Some(_), .. })
    }

    /// Whether it leaves the pipeline's version and `updatedAt` as they are: records flow, and nothing changes for a user
    /// who holds a version.
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::BatchReceived { .. }
            | Self::RunOpened { .. }
            | Self::PartitionsPlanned { .. }
            | Self::BatchProcessed { .. }
            | Self::SchemaChanged { .. }
            | Self::DeadLettersJoined { .. } => true,
            Self::PipelineCreated { .. }
            | Self::PipelineUpdated { .. }
            | Self::UpdateRefused { .. }
            | Self::PipelineStarted { .. }
            | Self::StopRequested { .. }
            | Self::PipelineStopped { .. }
            | Self::RecordsLost(_)
            | Self::PipelineFailed { .. }
            | Self::PipelineCompleted
            | Self::CheckpointReset { .. }
            | Self::PipelineDeleted => false,
        }
    }
}

/// A generation that starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewGeneration {
    /// Which.
    pub generation: Generation,
    /// Those of other histories of the pipeline that the sink had, and that a user has decided about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub met: Vec<Generation>,
    /// Where it begins; a partition that is missing begins where the source begins.
    pub positions: Positions,
    /// How far the source was read, or passed over for good, before it begins.
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    pub reached: Positions,
    /// Where the old one was, where that says nothing to the source any more and a user gave it up.
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    pub given_up: Positions,
    /// The sink's progress in the old generation when it ended; its counts stay in the ledger.
    pub settled: Vec<LaneProgress>,
    /// Nothing that earlier ones left in the target is required of it any more: it had lost some of it, and a user has decided.
    /// So many records that they had delivered are lost with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// It writes to another target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retargeted: Option<Retargeted>,
    /// Pushed records that it passes over although they were pending: they are lost, and batches of which all is lost forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<Lost>,
    /// Records that it passes over although the source still holds them: they are lost, too. Where the source can't tell how many
    /// there are, it says 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Lost>,
    /// Warnings about it.
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    pub notes: Warnings,
    /// The old one was not settled, for this reason, and a user forced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
}

/// A turn to another target. What is required of one that it returns to is what was left there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retargeted {
    /// Where it wrote, as the sink spells it.
    pub from: String,
    /// Where it writes now.
    pub to: String,
    /// Records that were delivered to other targets, and that this one lacks.
    pub records: u64,
}

/// A partition that a lane reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Which.
    pub partition: Partition,
    /// Its lane.
    pub lane: u32,
    /// Where it begins, unless its position is known already.
    pub begin: Position,
}

/// Where a lane is after its last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneProgress {
    /// Which lane.
    pub lane: u32,
    /// Its last commit's number.
    pub sequence: u64,
    /// Position of every partition of the lane; in a [`Event::BatchProcessed`], those that are left out have not changed.
    pub positions: Positions,
    /// Cumulative counts of the lane in this generation.
    pub counters: Counters,
    /// Chunks that this event makes count (those named since the last one).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<ChunkRef>,
    /// Warnings that came or were counted again since the last event, with their cumulative counts since the spec changed.
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
    /// What the sink has to find again, in its own words: a staged one's handle of what it has made durable, a table's key.
    /// None: what it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<serde_json::Value>,
}

/// Where a lane continues, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneOpened {
    /// Which lane.
    pub lane: u32,
    /// The decision.
    pub decision: Recovery,
    /// Commit number of the last checkpoint in the journal.
    pub journal_sequence: u64,
    /// Commit number of the sink's token, if the sink keeps one and had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sequence: Option<u64>,
    /// Where it goes on, adopted from the token where that is ahead. Takes the place of the lane's progress.
    pub progress: LaneProgress,
}

/// The reason for where a lane continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recovery {
    /// Nothing was ever committed in this generation.
    Fresh,
    /// The sink's token and the journal agree.
    Agreed,
    /// The sink's token was ahead of the journal: it was adopted.
    TokenAdopted,
    /// The sink keeps no token; the journal's checkpoint decides, and replaying converges (keyed) or was cut back (staged).
    Journal,
    /// The sink keeps no token and can't take anything back: what was written after the checkpoint may be written again.
    AtLeastOnce,
}

/// Records that are no longer there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Where.
    pub partition: Partition,
    /// Where the pipeline was.
    pub from: Position,
    /// Where it continues.
    pub to: Position,
    /// Number of records, as far as it can be known.
    pub records: u64,
}

impl Cause {
    /// The code of a journal that does not know what the sink has: it is older, or another one.
    pub const JOURNAL_BEHIND: &str = "journal-behind";
    /// The code of a target that has progress of another journal for the same pipeline.
    pub const TARGET_OF_ANOTHER_NODE: &str = "target-of-another-node";
    /// The code of a journal whose epoch is lower than the sink's, although nobody else has the shard: it is older.
    pub const FENCED: &str = "fenced";

    /// Whether its journal does not know what its sink has.
    pub fn is_behind(&self) -> bool {
        [Self::JOURNAL_BEHIND, Self::TARGET_OF_ANOTHER_NODE, Self::FENCED].contains(&&*self.code)
    }
}

/// Why a pipeline failed, or could not settle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Stable code, in kebab-case.
    pub code: String,
    /// Which stage: `source`, `transforms[1]`, `sink`, `journal`.
    pub stage: String,
    /// What failed and why.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether starting again by itself may help. If not, it waits for a user.
    pub retryable: bool,
}
