//! What a pipeline is now: the fold of its history.
use super::remembered;
pub use super::{
    batches::{Batches, Received},
    branch::{Branch, BranchView, Failed, LastRun, Phase, Running},
    inbox::{Inbox, Pending},
    progress::Progress,
    remembered::Remembered,
    then::Then,
};
use crate::{
    branch::BranchNumber,
    id::{CommandId, Incarnation, PipelineId, SinkName, SourceName},
    limits::REMEMBERED_PIPELINES,
    pipeline::{event::Cause, then::Update},
    position::Position,
    spec::PipelineSpec,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// What there is of an id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// There has never been a pipeline of this id.
    #[default]
    Empty,
    /// There is one.
    Present(Box<Pipeline>),
    /// It was deleted; its id may be used again.
    Deleted(Deleted),
}

/// The status a user sees: of several branches, the first of these that one of them has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not there, or deleted.
    Absent,
    /// Could not go on.
    Failed,
    /// To be kept running.
    Running,
    /// Stopped by a user.
    Stopped,
    /// Made, never started.
    Configured,
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

/// A pipeline: what its branches have in common, and they themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// What tells it apart from others of its id.
    pub incarnation: Incarnation,
    /// Those of its id before it, the last ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Incarnation>,
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
    /// Users' commands that have changed something, oldest first. A command that was turned down, or found nothing to
    /// change, is not among them: sent again, it is decided afresh.
    pub commands: VecDeque<Remembered>,
    /// What was pushed to it.
    pub inbox: Inbox,
    /// What was pushed to its sources, where these have names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inboxes: BTreeMap<SourceName, Inbox>,
    /// One for each sink that it has or had.
    pub branches: BTreeMap<BranchNumber, Branch>,
}

/// What stays of a deleted pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Which it was.
    pub incarnation: Incarnation,
    /// Those of its id before it, the last ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Incarnation>,
    /// Events of its id so far.
    pub events: u64,
    /// The version it reached; a new one of its id goes on counting from here, so that no old `If-Match` fits it.
    pub version: u64,
    /// The [versions](Branch::reserved_versions) that its branches had reserved; a new one of its id may write to the same target.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub reserved_versions: u64,
    /// When.
    pub at: Timestamp,
    /// The commands it had carried out, so that a repeated one is still known.
    pub commands: VecDeque<Remembered>,
}

impl Deleted {
    /// The pipelines of its id that the journal has had, it among them.
    pub(super) fn with_ancestors(&self) -> Vec<Incarnation> {
        [&self.incarnation].into_iter().chain(&self.ancestors).take(REMEMBERED_PIPELINES).cloned().collect()
    }
}

impl Pipeline {
    /// The branches of the sinks that its spec has.
    pub fn present(&self) -> impl Iterator<Item = (BranchNumber, &Branch)> {
        self.branches.iter().filter(|(_, branch)| branch.is_present()).map(|(number, branch)| (*number, branch))
    }

    /// Those that a command is about: one alone, or all.
    pub(super) fn chosen(&self, only: Option<BranchNumber>) -> impl Iterator<Item = (BranchNumber, &Branch)> {
        self.present().filter(move |(number, _)| only.is_none_or(|only| only == *number))
    }

    /// The branch of a sink. Without a name: of the only one.
    pub fn find(&self, sink: Option<&SinkName>) -> Option<(BranchNumber, &Branch)> {
        self.present().find(|(_, branch)| branch.sink.as_ref() == sink)
    }

    /// A branch with what it needs to know of its pipeline.
    pub fn view(&self, number: BranchNumber) -> Option<BranchView> {
        let branch = self.branches.get(&number)?.clone();
        let others = self.branches.iter().filter(|(other, _)| **other != number).map(|(_, other)| &other.progress);
        let siblings = others.flat_map(|progress| progress.before().into_iter().chain([progress.generation])).collect();
        let (ancestors, inbox) = (self.ancestors.clone(), self.inbox.without_ids());
        Some(BranchView { branch, ancestors, siblings, pushes: self.pushes, inbox })
    }

    /// Which branch each sink of a spec has. A sink keeps its branch, and one that was removed gets it back; so does one
    /// that only its name tells from one that the spec has no longer. Another one begins a new branch.
    pub fn assign(&self, spec: &PipelineSpec) -> BTreeMap<BranchNumber, Option<SinkName>> {
        let names = spec.sink_names();
        let (mut assigned, mut others) = (BTreeMap::new(), Vec::new());
        for name in &names {
            let known = self.present().chain(self.branches.iter().map(|(number, branch)| (*number, branch)));
            match known.into_iter().find(|(_, branch)| branch.sink == *name) {
                Some((number, _)) => drop(assigned.insert(number, name.clone())),
                None => others.push(name),
            }
        }
        let mut next = self.branches.keys().next_back().map_or(0, |last| last + 1);
        for name in others {
            let wanted = spec.of_sink(name.as_ref());
            let alike = |branch: &Branch| {
                let after = spec.of_sink(branch.sink.as_ref()).is_none().then_some(&branch.spec);
                let conditions =
                    |spec: &PipelineSpec, all: &PipelineSpec| spec.transforms.get(all.transforms.len()).cloned();
                after.zip(wanted.as_ref()).is_some_and(|(before, wanted)| {
                    before.sink == wanted.sink && conditions(before, &self.spec) == conditions(wanted, spec)
                })
            };
            let renamed = self.present().find(|(number, branch)| !assigned.contains_key(number) && alike(branch));
            let number = renamed.map_or(next, |(number, _)| number);
            next = next.max(number + 1);
            assigned.insert(number, name.clone());
        }
        assigned
    }

    /// The branches that an update to `spec` may touch, and what their sinks are called then: those that begin before those that go on,
    /// and these before those that end, so that what is pushed is kept for one that begins.
    pub fn after(&self, spec: &PipelineSpec) -> Vec<(BranchNumber, Option<SinkName>)> {
        let assigned = self.assign(spec);
        let ends = self.present().filter(|(number, _)| !assigned.contains_key(number));
        let ends: Vec<_> = ends.map(|(number, branch)| (number, branch.sink.clone())).collect();
        let is_here = |number: &BranchNumber| self.branches.get(number).is_some_and(Branch::is_present);
        let (go_on, begin): (Vec<_>, Vec<_>) = assigned.into_iter().partition(|(number, _)| is_here(number));
        begin.into_iter().chain(go_on).chain(ends).collect()
    }

    /// The status a user sees.
    pub fn status(&self) -> Status {
        self.present().map(|(_, branch)| branch.status()).min().unwrap_or(Status::Absent)
    }

    /// Whether a branch was told to stop and has not stopped yet, or waits for others that are updated with it.
    pub fn is_stopping(&self) -> bool {
        self.branches.values().any(|branch| branch.stopping().is_some())
    }

    /// Whether a branch runs, or has stopped for an update and waits for others.
    pub fn runs(&self) -> bool {
        self.branches.values().any(Branch::is_under_way)
    }

    /// The update that is made once all branches have stopped that it changes.
    pub fn pending(&self) -> Option<&Update> {
        self.branches.values().find_map(Branch::update)
    }

    /// The command of that update.
    pub fn awaited(&self) -> Option<&CommandId> {
        self.pending().map(|update| &update.by.command)
    }

    /// The branches that still have to stop before an update is made.
    pub fn stopping_for_update(&self) -> impl Iterator<Item = BranchNumber> {
        let stopping = |branch: &Branch| branch.running().is_some() && branch.update().is_some();
        self.branches.iter().filter(move |(_, branch)| stopping(branch)).map(|(number, _)| *number)
    }

    /// Why the journal does not know what sinks have.
    pub fn undecided(&self) -> impl Iterator<Item = &Cause> {
        self.present().filter_map(|(_, branch)| branch.undecided.as_ref())
    }

    /// Pushed records that are not known to be delivered by all branches.
    pub fn undelivered(&self) -> u64 {
        let of = |(source, inbox): (Option<&SourceName>, &Inbox)| {
            let at = self.passed(source).unwrap_or(0).max(inbox.first());
            inbox.pending.back().map_or(0, |last| last.to.saturating_sub(at))
        };
        self.inboxes().map(of).sum()
    }

    /// Dead letters that are kept.
    pub fn dead_letters(&self) -> u64 {
        self.branches.values().map(Branch::dead_letters).sum()
    }

    /// What was pushed to each of its sources.
    pub fn inboxes(&self) -> impl Iterator<Item = (Option<&SourceName>, &Inbox)> {
        std::iter::once((None, &self.inbox)).chain(self.inboxes.iter().map(|(source, inbox)| (Some(source), inbox)))
    }

    /// What was pushed to one of its sources.
    pub(super) fn inbox_mut(&mut self, source: Option<&SourceName>) -> &mut Inbox {
        match source {
            None => &mut self.inbox,
            Some(name) => self.inboxes.entry(name.clone()).or_default(),
        }
    }

    /// Takes in a batch that was pushed to one of its sources.
    pub(super) fn receive(&mut self, source: Option<&SourceName>, batch: &super::event::Event) -> Option<()> {
        self.inbox_mut(source).receive(batch)
    }

    /// How far all branches have read what was pushed to a source; none: one has not begun.
    fn passed(&self, source: Option<&SourceName>) -> Option<u64> {
        let partition = Inbox::partition(source);
        let at = |branch: &Branch| branch.progress.position(&partition.0).and_then(Position::as_offset);
        self.present().map(|(_, branch)| at(branch)).min().flatten()
    }

    /// Lets go of pushed batches that lie behind the checkpoints of all branches.
    pub(super) fn collect_inbox(&mut self) {
        if self.pushes.is_none() {
            return;
        }
        let passed = |source: Option<&SourceName>| Some((source.cloned(), self.passed(source)?));
        let passed: Vec<_> = self.inboxes().filter_map(|(source, _)| passed(source)).collect();
        for (source, at) in passed {
            self.inbox_mut(source.as_ref()).pass(at);
        }
    }
}

impl State {
    /// The pipeline, if there is one.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        match self {
            Self::Present(pipeline) => Some(pipeline),
            Self::Empty | Self::Deleted(_) => None,
        }
    }

    /// The pipeline, if there is one, to be changed by an event.
    pub(crate) fn pipeline_mut(&mut self) -> Option<&mut Pipeline> {
        match self {
            Self::Present(pipeline) => Some(pipeline),
            Self::Empty | Self::Deleted(_) => None,
        }
    }

    /// A branch of the pipeline.
    pub fn branch(&self, number: BranchNumber) -> Option<&Branch> {
        self.pipeline()?.branches.get(&number)
    }

    /// Events of this id so far: the number of the last one.
    pub fn events(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Deleted(deleted) => deleted.events,
            Self::Present(pipeline) => pipeline.events,
        }
    }

    /// So many events of this id have happened.
    pub(super) fn count(&mut self, events: u64) {
        match self {
            Self::Empty => {}
            Self::Deleted(deleted) => deleted.events = events,
            Self::Present(pipeline) => pipeline.events = events,
        }
    }

    /// Whether a branch was told to stop and has not stopped yet, or waits for others that are updated with it.
    pub fn is_stopping(&self) -> bool {
        self.pipeline().is_some_and(Pipeline::is_stopping)
    }

    /// What a user sees of it.
    pub fn status(&self) -> Status {
        self.pipeline().map_or(Status::Absent, Pipeline::status)
    }

    /// The user's command of this id that was carried out before, on this pipeline or a deleted one of its id.
    pub fn carried_out(&self, command: &CommandId) -> Option<&Remembered> {
        match self {
            Self::Empty => None,
            Self::Deleted(deleted) => remembered::find(&deleted.commands, command),
            Self::Present(pipeline) => remembered::find(&pipeline.commands, command),
        }
    }
}
