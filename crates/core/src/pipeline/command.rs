//! The commands of a pipeline.
use crate::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkRef},
    id::{Actor, BatchId, CommandId, Epoch, Generation, Incarnation, PipelineId, Reason, RunId, TraceParent},
    pipeline::{
        event::{Cause, LaneOpened, LaneProgress, Lost},
        then::Wanted,
    },
    position::{Partition, Position, Positions},
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A command: who asks what of which pipeline, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// The pipeline it is for.
    pub pipeline: PipelineId,
    /// Its id: repeated, the command changes nothing.
    pub id: CommandId,
    /// Distinguishes its request from another one with the same id; `None`: the platform itself sends it, and never
    /// twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u64>,
    /// Who sent it.
    pub actor: Actor,
    /// Why, in the user's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The trace of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// When it was asked.
    pub at: Timestamp,
    /// Only if the pipeline is at this version (`If-Match`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    /// Of what a run reports, the run's branch; users' commands are about the pipeline as a whole.
    #[serde(default, skip_serializing_if = "is_first")]
    pub branch: BranchNumber,
    /// What is asked.
    pub kind: CommandKind,
}

fn is_first(branch: &BranchNumber) -> bool {
    *branch == 0
}

/// What a command asks for. The first group comes from users, the second from the pipeline itself and its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CommandKind {
    /// Make a new pipeline. `incarnation` is random.
    Create {
        /// What it is.
        spec: Box<PipelineSpec>,
        /// Distinguishes it from earlier pipelines of the same id.
        incarnation: Incarnation,
        /// Most bytes of pushed records that may wait; `None`: its source accepts none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushes: Option<u64>,
    },
    /// Change what it is. While it runs, anything but name, description and labels has to wait until it has stopped.
    Update {
        /// The requested update.
        wanted: Wanted,
        /// Its effect on each branch that it may change, and on those that begin with it.
        prepared: BTreeMap<BranchNumber, Prepared>,
    },
    /// Run it, from the checkpoint on.
    Start {
        /// Only this branch.
        only: Option<BranchNumber>,
    },
    /// Stop it once what is under way is settled.
    Stop {
        /// Only this branch.
        only: Option<BranchNumber>,
    },
    /// Stop it if it runs, and run it again.
    Restart {
        /// Only this branch.
        only: Option<BranchNumber>,
    },
    /// Go on from elsewhere: starts a new generation of these branches.
    ResetCheckpoint {
        /// In the user's words: `beginning`, `end`, `positions`, `sink-token`, `journal`.
        to: String,
        /// What that comes to for each.
        resets: BTreeMap<BranchNumber, Reset>,
    },
    /// Forget it. Its history stays.
    Delete {
        /// Even if dead letters, or pushed records that are not delivered yet, are lost with it.
        discard: bool,
    },
    /// Take in records that were pushed; their body is already in `chunk`.
    Ingest {
        /// The batch's id: repeated with the same hash, it gets the same answer.
        batch_id: BatchId,
        /// Hash of the body.
        hash: String,
        /// Number of records.
        records: u64,
        /// Bytes of the body.
        bytes: u64,
        /// Where the body is.
        chunk: ChunkId,
        /// Whether it is pushed again in its old place, to a journal that was restored from before it.
        replay: bool,
    },

    /// A run has opened its source and sink and knows where it continues.
    ReportOpened {
        /// Which run.
        run: RunId,
        /// The epoch it holds.
        epoch: Epoch,
        /// Where each lane goes on, and why.
        lanes: Vec<LaneOpened>,
        /// Up to which version it wants to write, if its sink has versions.
        reserved_versions: Option<u64>,
    },
    /// A run has found partitions of its source.
    ReportPartitions {
        /// Which run.
        run: RunId,
        /// Partitions that are there, in the source's order, and where each begins that is not in the plan yet.
        found: Vec<(Partition, Position)>,
        /// Lanes to use, unless the generation has fixed them; none: as before.
        lanes: Option<u32>,
    },
    /// A run has committed.
    ReportProgress {
        /// Which run.
        run: RunId,
        /// Where its lanes are: only those that moved.
        lanes: Vec<LaneProgress>,
        /// Up to which version it wants to write from here on.
        reserved_versions: Option<u64>,
    },
    /// A run has met types that were not known yet.
    ReportSchema {
        /// Which run.
        run: RunId,
        /// All that it has learned.
        learned: InferredTypes,
    },
    /// A run continues after records that no longer exist, as the spec allows.
    ReportLost {
        /// Which run.
        run: RunId,
        /// The skipped records.
        lost: Lost,
    },
    /// Chunks of dead letters that lie together were joined into one, which is stored.
    JoinDeadLetters {
        /// Place of the first of them among all.
        first: u64,
        /// How many they are.
        count: u64,
        /// What is to take their place.
        into: ChunkRef,
    },
    /// A run has ended because it was stopped.
    ReportStopped {
        /// Which run.
        run: RunId,
        /// Why not everything under way was settled first; none: it was.
        unsettled: Option<Cause>,
        /// What the update comes to, for each branch that it may touch, if none but this run was waited for.
        prepared: BTreeMap<BranchNumber, Prepared>,
    },
    /// A run cannot continue.
    ReportFailed {
        /// Which run.
        run: RunId,
        /// Why.
        cause: Cause,
        /// Wait of the restart policy with jitter, in milliseconds; `None`: no more restarts.
        restart_in: Option<u64>,
        /// What the update comes to, for each branch that it may touch, if none but this run was waited for.
        prepared: BTreeMap<BranchNumber, Prepared>,
    },
    /// A bounded source has ended and all of it is committed.
    ReportCompleted {
        /// Which run.
        run: RunId,
        /// What the update comes to, for each branch that it may touch, if none but this run was waited for.
        prepared: BTreeMap<BranchNumber, Prepared>,
    },
}

impl CommandKind {
    /// Whether its command is remembered by its id. What runs report is known by their run, and a batch by its own id.
    pub fn is_remembered(&self) -> bool {
        match self {
            Self::Create { .. }
            | Self::Update { .. }
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::Restart { .. }
            | Self::ResetCheckpoint { .. }
            | Self::Delete { .. } => true,
            Self::Ingest { .. }
            | Self::ReportOpened { .. }
            | Self::ReportPartitions { .. }
            | Self::ReportProgress { .. }
            | Self::ReportSchema { .. }
            | Self::ReportLost { .. }
            | Self::JoinDeadLetters { .. }
            | Self::ReportStopped { .. }
            | Self::ReportFailed { .. }
            | Self::ReportCompleted { .. } => false,
        }
    }
}

/// Where a branch goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// Where each partition continues; a missing one starts at its beginning.
    pub positions: Positions,
    /// What lies between there and where it is, as far as the source [can tell](super::event::NewGeneration::passed).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Lost>,
    /// How far the source was read, or passed over for good.
    pub reached: Positions,
    /// How the generation that ends was settled.
    pub settlement: Settlement,
    /// Random: tells the new one from others of its number.
    pub nonce: u64,
}

/// What an update comes to for a branch, as source and sink see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// What it changes in what is read and written.
    pub change: Change,
    /// Most bytes of pushed records that may wait from then on; `None`: the source accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u64>,
    /// How the spec so far was settled. While the pipeline runs: where it is known to be, if its sink can be asked at all.
    pub settlement: Settlement,
    /// How far the source was read, or passed over for good.
    pub reached: Positions,
    /// The target that its sink gets with the update, as the sink spells it; none: it keeps the one that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The other branches that write to that target, or did when they ended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shares: BTreeSet<BranchNumber>,
    /// Random: tells a generation that starts from others of its number.
    pub nonce: u64,
}

/// What another spec changes in what is read and written, by the reckoning of source and sink: the domain doesn't know
/// their settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The source reads other records, or makes others of the same bytes.
    pub source: bool,
    /// The sink writes other rows, wherever it does.
    pub sink: bool,
    /// The sink writes elsewhere: where it wrote, and where it writes then, as sinks spell it.
    pub target: Option<(String, String)>,
    /// Partitions whose positions say nothing to the source any more, and where it goes on instead, in words.
    pub given_up: BTreeMap<Partition, String>,
}

/// How the generation that ends was settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Settlement {
    /// The sink was not asked: no new generation starts, or nothing was ever written in this one.
    NotNeeded,
    /// The sink was opened and this is what it has.
    Settled {
        /// Where its lanes are.
        lanes: Vec<LaneProgress>,
        /// Generations that the sink has and this journal has never started: the next one comes after them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        met: Vec<Generation>,
        /// The target no longer held what earlier generations had left in it, and a user has decided: so many of their
        /// records are lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
    },
    /// The sink was out of reach.
    Unsettled {
        /// Why.
        reason: String,
        /// The user wants it nevertheless.
        forced: bool,
    },
}

impl Settlement {
    /// Where the sink has the lanes; none of them is known otherwise.
    pub fn lanes(&self) -> &[LaneProgress] {
        match self {
            Self::Settled { lanes, .. } => lanes,
            Self::NotNeeded | Self::Unsettled { .. } => &[],
        }
    }
}
