//! What a node knows of all its pipelines without waking them.
use crate::{answers::Flow, region::ListQuery};
use dataflow_core::{
    id::PipelineId,
    pipeline::{State, Status},
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
                let (warnings, flow) =
                    all.remove(pipeline).map_or_else(Default::default, |summary| (summary.warnings, summary.flow));
                let summary = Summary { status: state.status(), labels: known.spec.labels.clone(), warnings, flow };
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
    pub(crate) fn keep_warnings(&self, pipeline: &PipelineId, warnings: Vec<Warned>) {
        if let Some(summary) = self.lock().get_mut(pipeline) {
            summary.warnings = warnings;
        }
    }

    /// What the last run has warned of.
    pub(crate) fn warnings(&self, pipeline: &PipelineId) -> Vec<Warned> {
        self.lock().get(pipeline).map_or_else(Vec::new, |summary| summary.warnings.clone())
    }

    /// Adds to what a pipeline has done. Nothing is kept of one that is gone.
    pub(crate) fn count(&self, pipeline: &PipelineId, add: impl FnOnce(&mut Flow)) {
        if let Some(summary) = self.lock().get_mut(pipeline) {
            add(&mut summary.flow);
        }
    }

    /// What each pipeline that has run has done.
    pub(crate) fn flows(&self) -> Vec<(PipelineId, Flow)> {
        let all = self.lock();
        let ran = all.iter().filter(|(_, Summary { flow, .. })| flow.failures > 0 || flow.counters.batches > 0);
        ran.map(|(id, summary)| (id.clone(), summary.flow)).collect()
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
