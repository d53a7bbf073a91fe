//! The removal of a pipeline's chunks that nothing names any more. One that stays because the journal can't be reached is
//! found when a run has opened in a later epoch.
use crate::shard::PipelineCell;
use dataflow_core::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkName, Scope},
    id::{Epoch, Incarnation, PipelineId},
    pipeline::{Pipeline, State},
};
use dataflow_journal::Journal;
use std::collections::HashSet;

/// Removes these chunks, or leaves them for later.
pub(crate) async fn remove(journal: &Journal, pipeline: &PipelineId, chunks: &[ChunkId]) {
    if !chunks.is_empty()
        && let Err(error) = journal.remove_chunks(chunks).await
    {
        tracing::warn!(%pipeline, %error, "chunks that nothing names stay until a run opens after a restart of the node");
    }
}

/// Removes all chunks of a pipeline that was deleted.
pub(crate) async fn remove_all(journal: &Journal, pipeline: &PipelineId, incarnation: &Incarnation) {
    match journal.chunks(&Scope::Pipeline(pipeline.clone(), incarnation.clone())).await {
        Ok(chunks) => remove(journal, pipeline, &chunks).await,
        Err(error) => tracing::warn!(%pipeline, %error, "chunks of the deleted pipeline can't be listed"),
    }
}

/// Chunks of pushed batches that the checkpoint has not passed, oldest first.
pub(crate) fn pending(state: &State) -> Vec<ChunkId> {
    state.pipeline().into_iter().flat_map(pushed).cloned().collect()
}

/// Removes the chunks of pushed batches that the checkpoint has passed since they were [`pending`]; and, once a run has read and
/// adopted the tokens of all lanes of a branch (`opened`), those of lower epochs that nothing names: tokens of other branches may
/// still name some of theirs.
pub(crate) async fn collect(
    journal: &Journal,
    cell: &PipelineCell,
    epoch: Epoch,
    pending: Vec<ChunkId>,
    opened: Option<BranchNumber>,
) {
    let (mut gone, known) = {
        let state = cell.state();
        let Some(pipeline) = state.pipeline() else { return };
        let still: HashSet<&ChunkId> = pushed(pipeline).collect();
        let passed: Vec<ChunkId> = pending.into_iter().filter(|chunk| !still.contains(chunk)).collect();
        let scope = || Scope::Pipeline(pipeline.id.clone(), pipeline.incarnation.clone());
        (passed, opened.map(|branch| (branch, scope(), named(pipeline))))
    };
    if let Some((branch, scope, named)) = known {
        let is_over = |chunk: &ChunkId| is_earlier(chunk, branch, epoch) && !named.contains(chunk);
        match journal.chunks(&scope).await {
            Ok(all) => gone.extend(all.into_iter().filter(is_over)),
            Err(error) => tracing::warn!(pipeline = %cell.pipeline, %error, "chunks can't be listed"),
        }
    }
    remove(journal, &cell.pipeline, &gone).await;
}

/// Chunks of pushed batches that the checkpoint has not passed, of each source the oldest first.
fn pushed(pipeline: &Pipeline) -> impl Iterator<Item = &ChunkId> {
    pipeline.inboxes().flat_map(|(_, inbox)| &inbox.pending).map(|batch| &batch.chunk)
}

/// The chunks that a pipeline's state names.
fn named(pipeline: &Pipeline) -> HashSet<ChunkId> {
    let progress = || pipeline.branches.values().map(|branch| &branch.progress);
    let letters = progress().flat_map(|progress| &progress.dead_letters);
    let states = progress().flat_map(|progress| progress.by_lane.values()).flat_map(|lane| &lane.chunks);
    letters.chain(states).map(|chunk| &chunk.id).chain(pushed(pipeline)).cloned().collect()
}

/// Whether a chunk was made in a lower epoch, and not by another branch. One of a kind that is not known is left: a later build
/// has made it.
fn is_earlier(chunk: &ChunkId, branch: BranchNumber, epoch: Epoch) -> bool {
    let own = |name: &ChunkName| name.content.branch().is_none_or(|of| of == branch);
    chunk.name().is_some_and(|name| name.epoch < epoch && own(&name))
}
