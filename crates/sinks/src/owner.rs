//! Whose progress a target has: two nodes, or two ages of one, must not write to it without knowing of each other.
use dataflow_core::{id::Incarnation, pipeline::event::Cause};
use dataflow_sdk::{
    Error,
    batch::Warning,
    sink::{OpenLane, TakeOver},
};
use serde::{Deserialize, Serialize};

/// Who has written progress of a pipeline to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    /// The id of the journal.
    pub(crate) journal: String,
    /// Which pipeline of that id.
    pub(crate) incarnation: Incarnation,
}

impl Owner {
    /// Who opens.
    pub(crate) fn of(lane: &OpenLane) -> Self {
        Self { journal: lane.journal.clone(), incarnation: lane.fence.incarnation.clone() }
    }

    /// Whether only a user can say that this one's progress is taken over.
    pub(crate) fn is_in_the_way(&self, lane: &OpenLane) -> bool {
        self.journal != lane.journal && lane.take_over < TakeOver::AnotherNode
    }

    /// Whether whoever opens takes this one's progress over. What an earlier pipeline of the same id in the same journal has
    /// left is nobody's any more. `unknown`: if it is of the very pipeline that opens, it is of a branch that the journal doesn't
    /// know.
    ///
    /// # Errors
    /// If it is in the way and may not be taken over. `target` is how users call it.
    pub(crate) fn is_taken_over(&self, lane: &OpenLane, unknown: bool, target: &str) -> Result<bool, Error> {
        let (mine, pipeline) = (Self::of(lane), lane.fence.branch.pipeline());
        let another = self.journal != mine.journal;
        let is_known = match self.incarnation == mine.incarnation {
            true => !unknown,
            false => lane.ancestors.contains(&self.incarnation),
        };
        if !another && is_known {
            return Ok(false);
        }
        let needed = if another { TakeOver::AnotherNode } else { TakeOver::Later };
        if lane.take_over >= needed {
            return Ok(true);
        }
        let goes_on = "\"sink-token\" continues where it ended (files and buckets keep no such token: name the positions to \
            continue from), \"beginning\" writes everything again";
        let refused = if another {
            let message = format!(
                "{target} is also the target of pipeline {pipeline} of another node: its progress belongs to journal {}; this node's journal is {}",
                self.journal, mine.journal
            );
            Error::fatal(Cause::TARGET_OF_ANOTHER_NODE, message).fix(format!(
                "if both have to write to it, create this pipeline under another id; otherwise set its checkpoint with --take-over (REST: ?takeOver=true), after which the other node can no longer write to it: {goes_on}"
            ))
        } else {
            let unknown = match self.incarnation == mine.incarnation {
                true => format!("a sink of pipeline {pipeline}, which this journal never added"),
                false => format!(
                    "a later pipeline {pipeline} (incarnation {}), which this journal never created",
                    self.incarnation
                ),
            };
            let message = format!(
                "the journal is behind the sink: {target} has progress of {unknown}. The node's folder may have been restored from a backup"
            );
            Error::fatal(Cause::JOURNAL_BEHIND, message)
                .fix(format!("bring back the newer data folder, or set the checkpoint: {goes_on}"))
        };
        Err(refused.for_user())
    }
}

/// Whether it is worth a look what earlier pipelines of this id have left at a target without a key: only before the first run.
pub(crate) fn may_write_again(lane: &OpenLane) -> bool {
    lane.first && lane.fence.lane == 0 && !lane.ancestors.is_empty()
}

/// What to know of a target that holds so many rows of earlier pipelines of this id.
pub(crate) fn written_before(lane: &OpenLane, target: &str, rows: u64) -> Warning {
    let pipeline = lane.fence.branch.pipeline();
    let message = format!(
        "{target} has {rows} row(s) that an earlier pipeline {pipeline}, which was deleted, has written: what this one reads again is \
         doubled there. Empty the target first, or set the checkpoint to where the earlier one ended"
    );
    Warning { code: "written-before", subject: target.into(), message, records: 0 }
}
