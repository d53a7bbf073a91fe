//! A branch of a pipeline: one of its sinks, with everything that is true of it alone. It reads the source for itself, so that
//! none waits for another.
use super::{
    command::Change,
    event::{Cause, LaneOpened, NewGeneration},
    inbox::Inbox,
    progress::Progress,
    then::{Then, Update},
};
use crate::{
    branch::BranchId,
    id::{Epoch, Generation, Incarnation, RunId, SinkName},
    pipeline::state::Status,
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
};
use serde::{Deserialize, Serialize};

/// A branch of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// Which it is.
    pub id: BranchId,
    /// Which pipeline of its id it belongs to.
    pub incarnation: Incarnation,
    /// What its sink is called; none: it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkName>,
    /// What it does: the pipeline's spec [of its sink alone](PipelineSpec::of_sink). While an update waits for its stop, still the
    /// one before.
    pub spec: PipelineSpec,
    /// Whether it runs.
    pub phase: Phase,
    /// What follows once the others have stopped that the same update changes: it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Then>,
    /// How far it is.
    pub progress: Progress,
    /// Whether the journal knows all that the sink has.
    pub settled: bool,
    /// What its data taught.
    pub learned: InferredTypes,
    /// Its last run, if it ever ran.
    pub last_run: Option<LastRun>,
    /// No version above this was ever written to a keyed sink under this id: the next run begins after it.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub reserved_versions: u64,
    /// Why its journal does not know what its sink has, until a run was opened all the same or a generation starts: what
    /// would be pushed meanwhile would bear numbers that the sink has had already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<Cause>,
}

/// The life of a branch. A variant holds only what is true in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Made, never started.
    Configured,
    /// Started, and to be kept running.
    Running(Running),
    /// Stopped by a user.
    Stopped,
    /// Could not go on.
    Failed(Failed),
    /// Its bounded source has ended and all of it is committed.
    Completed,
    /// The spec has its sink no longer. It goes on where it was if the sink comes back.
    Removed,
}

/// A branch that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// What follows once it has stopped; none: it was not told to stop.
    pub stopping: Option<Then>,
    /// Restarts in a row without progress.
    pub attempt: u32,
    /// The run that was opened last since it was started; none: none was opened yet. Only its reports count.
    pub run: Option<RunId>,
}

/// A branch that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Timestamp,
    /// When the restart policy starts it again; none: it waits for a user.
    pub restart_at: Option<Timestamp>,
    /// Restarts in a row without progress before this failure.
    pub attempt: u32,
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

/// A branch with what its pipeline knows for all of them: what its run, and whoever asks its source or sink, works on.
#[derive(Clone, Debug)]
pub struct BranchView {
    /// The branch.
    pub branch: Branch,
    /// The pipelines of its id that the journal has had before.
    pub ancestors: Vec<Incarnation>,
    /// The generations of the pipeline's other branches.
    pub siblings: Vec<Generation>,
    /// Most bytes of pushed records that may wait; `None`: the pipeline's source accepts none.
    pub pushes: Option<u64>,
    /// What was pushed to the pipeline, without the ids of batches.
    pub inbox: Inbox,
}

impl BranchView {
    /// What was pushed, if the pipeline's source accepts pushes. Only then a partition of the inbox's name is the inbox.
    pub fn pushed(&self) -> Option<&Inbox> {
        self.pushes.map(|_| &self.inbox)
    }
}

impl Branch {
    /// A new one, for a sink of a pipeline's spec.
    pub(super) fn new(id: BranchId, incarnation: Incarnation, sink: Option<SinkName>, spec: PipelineSpec) -> Self {
        Self {
            id,
            incarnation,
            sink,
            spec,
            phase: Phase::Configured,
            waits: None,
            progress: Progress { generation: Generation::FIRST, ..Progress::default() },
            settled: true,
            learned: InferredTypes::default(),
            last_run: None,
            reserved_versions: 0,
            undecided: None,
        }
    }

    /// What a user sees of it.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Configured => Status::Configured,
            Phase::Running(_) => Status::Running,
            Phase::Stopped => Status::Stopped,
            Phase::Failed(_) => Status::Failed,
            Phase::Completed => Status::Completed,
            Phase::Removed => Status::Absent,
        }
    }

    /// Whether its pipeline's spec has its sink.
    pub fn is_present(&self) -> bool {
        self.phase != Phase::Removed
    }

    /// How it runs, if it does.
    pub fn running(&self) -> Option<&Running> {
        match &self.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        }
    }

    /// The same, to be changed by an event.
    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        }
    }

    /// What follows once it has stopped, and all that are updated with it; none: it was not told to stop.
    pub fn stopping(&self) -> Option<&Then> {
        self.running().map_or(self.waits.as_ref(), |running| running.stopping.as_ref())
    }

    /// Whether it runs, or has stopped for an update and waits for others.
    pub fn is_under_way(&self) -> bool {
        self.running().is_some() || self.waits.is_some()
    }

    /// The update that it stops for, or has.
    pub fn update(&self) -> Option<&Update> {
        self.stopping()?.update.as_deref()
    }

    /// How it failed, if it did.
    pub fn failed(&self) -> Option<&Failed> {
        match &self.phase {
            Phase::Failed(failed) => Some(failed),
            _ => None,
        }
    }

    /// When the restart policy starts it again.
    pub fn restart_at(&self) -> Option<Timestamp> {
        self.failed()?.restart_at
    }

    /// The longest wait before it starts again by itself, in milliseconds.
    pub fn longest_wait(&self) -> u64 {
        let attempt = self.failed().map_or(0, |failed| failed.attempt);
        self.spec.restart.wait_ms(attempt).unwrap_or(self.spec.restart.max.0)
    }

    /// Whether a change to `spec` starts a new generation: other records, another target or number of lanes.
    pub fn starts_generation(&self, spec: &PipelineSpec, change: &Change) -> bool {
        change.source || change.sink || change.target.is_some() || spec.lanes != self.spec.lanes
    }

    /// Whether the sink must be asked what it has before a new generation starts ([`Settlement::NotNeeded`](super::command::Settlement::NotNeeded) is refused):
    /// a run was opened in this one. A run reports that it is open before its first commit.
    pub fn needs_settlement(&self) -> bool {
        !self.progress.by_lane.is_empty()
    }

    /// Dead letters that are kept.
    pub fn dead_letters(&self) -> u64 {
        self.progress.dead_letters.iter().map(|chunk| chunk.records).sum()
    }

    /// Starts a generation; none if it does not come after this one.
    pub(super) fn begin(&mut self, generation: &NewGeneration) -> Option<()> {
        self.progress.begin(generation)?;
        self.undecided = None;
        self.settled = true; // nothing is in the sink yet that this one has to know of
        Some(())
    }

    /// Whether reports of this run count.
    pub(super) fn is_current(&self, run: RunId) -> bool {
        self.running().is_some_and(|running| running.run == Some(run))
    }

    /// Whether this run was never opened, so that it may still be.
    pub(super) fn is_new(&self, run: RunId) -> bool {
        self.running().is_some() && self.last_run.as_ref().is_none_or(|last| run > last.run)
    }
}
