//! What a node knows of all its pipelines without waking them.
use crate::{
    answers::{Flow, Measured},
    region::ListQuery,
};
use dataflow_core::{
    branch::{BranchId, BranchNumber},
    id::{PipelineId, SinkName},
    pipeline::{Branch, State, Status},
    shard::ShardId,
    warned::Warned,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Id, status and labels of every pipeline, for listing; what the last run of each warned of, and what it has counted since
/// the node started.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<BTreeMap<PipelineId, Summary>>);

#[derive(Debug)]
struct Summary {
    status: Status,
    labels: BTreeMap<String, String>,
    branches: BTreeMap<BranchNumber, BranchSummary>,
}

#[derive(Debug)]
struct BranchSummary {
    sink: Option<SinkName>,
    status: Status,
    warnings: Vec<Warned>,
    flow: Flow,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PipelineId, Summary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a pipeline's entry up to date.
    pub(crate) fn note(&self, pipeline: &PipelineId, state: &State) {
        match state.pipeline() {
            Some(known) => {
                let mut all = self.lock();
                let mut before = all.remove(pipeline).map(|summary| summary.branches).unwrap_or_default();
                let branch = |(number, branch): (BranchNumber, &Branch)| {
                    let kept = before.remove(&number).map(|before| (before.warnings, before.flow));
                    let (warnings, flow) = kept.unwrap_or_default();
                    (number, BranchSummary { sink: branch.sink.clone(), status: branch.status(), warnings, flow })
                };
                let branches = known.present().map(branch).collect();
                let summary = Summary { status: state.status(), labels: known.spec.labels.clone(), branches };
                all.insert(pipeline.clone(), summary);
            }
            None => {
                self.lock().remove(pipeline);
            }
        }
    }

    /// Forgets the pipelines of a shard that this node owns no longer.
    pub(crate) fn forget(&self, shard: ShardId) {
        self.lock().retain(|pipeline, _| ShardId::of(pipeline) != shard);
    }

    /// Keeps what a run has warned of until the next one.
    pub(crate) fn keep_warnings(&self, branch: &BranchId, warnings: Vec<Warned>) {
        self.change(branch, |summary| summary.warnings = warnings);
    }

    /// What the last run has warned of.
    pub(crate) fn warnings(&self, branch: &BranchId) -> Vec<Warned> {
        let all = self.lock();
        let known = all.get(branch.pipeline()).and_then(|summary| summary.branches.get(&branch.number()));
        known.map_or_else(Vec::new, |summary| summary.warnings.clone())
    }

    /// Adds to what a branch has done.
    pub(crate) fn count(&self, branch: &BranchId, add: impl FnOnce(&mut Flow)) {
        self.change(branch, |summary| add(&mut summary.flow));
    }

    /// Nothing is kept of one that is gone.
    fn change(&self, branch: &BranchId, change: impl FnOnce(&mut BranchSummary)) {
        if let Some(summary) = self.lock().get_mut(branch.pipeline())
            && let Some(known) = summary.branches.get_mut(&branch.number())
        {
            change(known);
        }
    }

    /// What is known of each branch; of its lag, its run knows.
    pub(crate) fn measured(&self) -> Vec<(BranchNumber, Measured)> {
        let all = self.lock();
        let branches = all.iter().flat_map(|(id, summary)| summary.branches.iter().map(move |branch| (id, branch)));
        let measured = branches.map(|(id, (number, branch))| {
            let flow = Some(branch.flow).filter(|flow| flow.failures > 0 || flow.counters.batches > 0);
            let (pipeline, sink) = (id.clone(), branch.sink.clone());
            (*number, Measured { pipeline, sink, status: branch.status, flow, lag: None })
        });
        measured.collect()
    }

    /// Ids of the pipelines that a query is for, one more than its limit.
    pub(crate) fn find(&self, query: &ListQuery) -> Vec<PipelineId> {
        let all = self.lock();
        all.iter()
            .filter(|(id, _)| query.after.as_deref().is_none_or(|after| id.as_str() > after))
            .filter(|(_, summary)| query.status.is_none_or(|status| summary.status == status))
            .filter(|(_, summary)| query.labels.iter().all(|(key, value)| summary.labels.get(key) == Some(value)))
            .map(|(id, _)| id.clone())
            .take(query.limit + 1)
            .collect()
    }

    /// Number of pipelines by status.
    pub(crate) fn by_status(&self) -> BTreeMap<Status, usize> {
        let mut counts = BTreeMap::new();
        for summary in self.lock().values() {
            *counts.entry(summary.status).or_default() += 1;
        }
        counts
    }
}
