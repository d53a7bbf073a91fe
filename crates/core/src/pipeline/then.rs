//! What follows once branches of a pipeline have stopped.
use super::{Command, Event, RecordedEvent};
use crate::{
    branch::BranchNumber,
    id::{Actor, CommandId, Reason, TraceParent},
    spec::PipelineSpec,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What follows once a branch has stopped: its pipeline is changed, it is started again, both, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Then {
    /// What its pipeline is changed to first, once all branches have stopped that this changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Box<Update>>,
    /// Whether it is started again.
    pub start: bool,
}

/// An update that waits until all branches have stopped that it changes: it is made of all of them at once, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// What is asked.
    pub wanted: Wanted,
    /// By whom.
    pub by: Asked,
}

/// What a user wants a pipeline to be, and what may be left behind with that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// What it is from then on.
    pub spec: Box<PipelineSpec>,
    /// Even if positions are given up.
    pub reset: bool,
    /// Even if another target goes on without what was delivered so far.
    pub retarget: bool,
    /// Even if the sink can't be asked what it has.
    pub force: bool,
}

/// Who has asked, and why, with what tells the request apart from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Who.
    pub actor: Actor,
    /// Why, if the user has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The trace of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// The command.
    pub command: CommandId,
    /// What tells its request apart from another one under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u64>,
}

impl Asked {
    /// By whom a command is.
    pub(super) fn of(command: &Command) -> Self {
        let Command { actor, reason, trace, id, hash, .. } = command.clone();
        Self { actor, reason, trace, command: id, hash }
    }

    /// What has happened at last because of it.
    pub(super) fn event(&self, at: Timestamp, branch: BranchNumber, event: Event) -> RecordedEvent {
        let Self { actor, reason, trace, command, hash } = self.clone();
        RecordedEvent { number: 0, at, actor, reason, trace, command, hash, branch, event } // numbered by `decide`
    }
}
