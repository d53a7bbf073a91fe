//! An update of a branch.
use super::{forget, settle};
use crate::{
    branch::{BranchId, BranchNumber},
    id::SinkName,
    pipeline::{
        event::NewGeneration,
        inbox::BEGINS_LATE,
        state::{Branch, Phase, Pipeline},
    },
    spec::PipelineSpec,
    types::InferredTypes,
    warned::Warnings,
};

/// Changes a branch to what `spec` says of its sink: it begins with that, ends, or goes on.
pub(super) fn updated(
    pipeline: &mut Pipeline,
    number: BranchNumber,
    spec: &PipelineSpec,
    sink: Option<&SinkName>,
    (generation, pushes): (Option<&NewGeneration>, Option<u64>),
) -> Option<()> {
    pipeline.spec = spec.clone();
    pipeline.pushes = pushes;
    if let Some(branch) = pipeline.branches.get_mut(&number) {
        branch.waits = None;
    }
    match (spec.of_sink(sink), pipeline.branches.get_mut(&number)) {
        (None, None) => return None,
        (None, Some(branch)) => {
            branch.running().is_none().then_some(())?;
            branch.phase = Phase::Removed;
        }
        (Some(own), None) => {
            let id = BranchId::new(pipeline.id.clone(), number);
            let mut branch = Branch::new(id, pipeline.incarnation.clone(), sink.cloned(), own);
            if let Some(NewGeneration { generation, positions, notes, .. }) = generation {
                branch.progress.generation = *generation;
                (branch.progress.begin, branch.progress.notes) = (positions.clone(), notes.clone());
            }
            pipeline.branches.insert(number, branch);
        }
        (Some(own), Some(branch)) => {
            changed(branch, own, generation)?;
            branch.sink = sink.cloned();
        }
    }
    // What only describes it is all branches' at once.
    for branch in pipeline.branches.values_mut() {
        if let Some(own) = spec.of_sink(branch.sink.as_ref()).filter(|own| own.runs_like(&branch.spec)) {
            branch.spec = own;
        }
    }
    if let Some(generation) = generation {
        forget(pipeline, generation)?;
    }
    pipeline.collect_inbox();
    Some(())
}

fn changed(branch: &mut Branch, spec: PipelineSpec, generation: Option<&NewGeneration>) -> Option<()> {
    let described = branch.spec.runs_like(&spec);
    // What starts a generation was decided when this was written; the rules may have been others.
    if branch.running().is_some() && (!described || generation.is_some()) {
        return None;
    }
    let other = generation.is_some_and(|generation| !generation.given_up.is_empty());
    if other || branch.spec.source.kind != spec.source.kind {
        // It was learned from other data.
        branch.learned = InferredTypes::default();
    }
    if !described {
        // They may be about what was changed, but for what it has never got.
        branch.progress.by_lane.values_mut().for_each(|lane| lane.warnings = Warnings::default());
        branch.progress.notes = branch.progress.notes.coded(BEGINS_LATE);
    }
    branch.spec = spec;
    if let Some(generation) = generation {
        branch.begin(generation)?;
        settle(branch);
    }
    match &mut branch.phase {
        Phase::Removed => {
            branch.phase = if branch.last_run.is_some() { Phase::Stopped } else { Phase::Configured };
        }
        // Its start follows, if it would have been started again.
        Phase::Failed(failed) if !described => failed.restart_at = None,
        Phase::Completed if !described => branch.phase = Phase::Stopped,
        _ => {}
    }
    Some(())
}
