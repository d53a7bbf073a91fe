//! What becomes of pushed records: whether they may be taken in now, when they are committed, and which of them are dead.
use super::{LocalRegion, WATCH};
use crate::{dead_letters, region::AskError, shard::PipelineCell, status::RunStatus};
use dataflow_core::{
    branch::BranchNumber,
    chunk::ChunkRef,
    id::PipelineId,
    pipeline::{
        Branch, Pipeline,
        state::{Inbox, Progress},
    },
    position::Positions,
    token::Token,
};
use futures::future::select_all;
use std::{sync::Arc, time::Duration};

/// How long a push waits at most for a run that was started to find out whether its journal knows what its sink has.
const DECIDING: Duration = Duration::from_secs(10);

impl LocalRegion {
    /// Waits while a run that was started finds out whether its journal knows what its sink has: until then nothing may be
    /// pushed, and a start that has answered takes pushes.
    pub(super) async fn decided(&self, pipeline: &PipelineId) {
        let Some(cell) = self.awake(pipeline) else { return };
        let deciding = || {
            let state = cell.state();
            let deciding = |branch: &Branch| {
                branch.undecided.is_some() && branch.running().is_some_and(|running| running.stopping.is_none())
            };
            state.pipeline().is_some_and(|pipeline| pipeline.present().any(|(_, branch)| deciding(branch)))
        };
        if !deciding() {
            return;
        }
        let waiting = async {
            let mut changes = cell.changes();
            loop {
                changes.mark_unchanged();
                if !deciding() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(DECIDING, waiting).await.is_err() {
            tracing::debug!(%pipeline, "a push timed out waiting for the run to open");
        }
    }

    /// Waits until the pushed records before `position` are committed by all branches; false if that takes longer.
    pub(super) async fn delivered(&self, cell: &PipelineCell, position: u64, within: Duration) -> bool {
        let committed = || {
            let of = |positions: &Positions| Inbox::read_before(positions);
            let runs = cell.live();
            let live = |number| {
                let live: &Arc<RunStatus> = runs.get(&number)?;
                live.lock().lanes.values().map(|lane| of(&lane.positions)).max()
            };
            let reached = |(number, branch): (BranchNumber, &Branch)| {
                live(number).unwrap_or(0).max(of(&branch.progress.positions()))
            };
            let state = cell.state();
            state.pipeline().is_some_and(|pipeline| pipeline.present().all(|branch| reached(branch) >= position))
        };
        let waiting = async {
            let mut changes = cell.changes();
            loop {
                changes.mark_unchanged();
                let commits: Vec<_> = cell.live().values().map(|live| live.watch()).collect();
                if committed() {
                    return;
                }
                let commit = async {
                    match commits.is_empty() {
                        true => std::future::pending().await,
                        false => {
                            let each = commits
                                .into_iter()
                                .map(|mut commits| Box::pin(async move { commits.changed().await.is_ok() }));
                            select_all(each).await.0
                        }
                    }
                };
                tokio::select! {
                    _ = commit => {}
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(WATCH) => {}
                }
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }

    /// Waits until the journal has what is committed now, and asks for a checkpoint where it has not; false if that takes
    /// longer. Dead letters are numbered and can be read from then on.
    pub(super) async fn journalled(&self, cell: &PipelineCell, within: Duration) -> bool {
        let live = cell.live();
        let tokens = |live: &Arc<RunStatus>| {
            live.lock().lanes.values().filter_map(|lane| lane.token.clone()).collect::<Vec<_>>()
        };
        let committed: Vec<Arc<Token>> = live.values().flat_map(tokens).collect();
        let known = |token: &Arc<Token>| {
            let state = cell.state();
            let branch = state.branch(token.fence.branch.number());
            let Some(Progress { generation, by_lane, .. }) = branch.map(|branch| &branch.progress) else {
                return true;
            };
            let known = by_lane.get(&token.fence.lane).map_or(0, |lane| lane.sequence);
            *generation != token.fence.generation || known >= token.sequence
        };
        let waiting = async {
            let mut changes = cell.changes();
            loop {
                changes.mark_unchanged();
                if committed.iter().all(known) {
                    return;
                }
                live.values().for_each(|live| live.want_checkpoint());
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(WATCH) => {}
                }
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }

    /// How many dead letters the pushed records between two positions have become, also those that only a sink's token names yet.
    pub(super) async fn dead_between(&self, cell: &PipelineCell, pushed: (u64, u64)) -> Result<u64, AskError> {
        let of = |pipeline: &Pipeline| {
            let present = pipeline.present().flat_map(|(_, branch)| branch.progress.dead_letters.clone());
            present.collect::<Vec<ChunkRef>>()
        };
        let mut chunks = cell.state().pipeline().map(of).unwrap_or_default();
        for live in cell.live().values() {
            let live = live.lock();
            let named = live.lanes.values().filter_map(|lane| lane.token.as_ref()).flat_map(|token| &token.chunks);
            let new: Vec<ChunkRef> = named.filter(|chunk| !chunks.contains(chunk)).cloned().collect();
            chunks.extend(new);
        }
        Ok(dead_letters::between(&self.context.parts.journal, &chunks, Inbox::PARTITION, pushed).await?)
    }
}
