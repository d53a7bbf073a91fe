//! What becomes of pushed records: whether they may be taken in now, when they are committed, and which of them are dead.
use super::{LocalRegion, WATCH};
use crate::{dead_letters, region::AskError, shard::PipelineCell};
use dataflow_core::{
    chunk::ChunkRef,
    id::PipelineId,
    pipeline::{
        State,
        state::{Inbox, Progress},
    },
    position::Positions,
    token::Token,
};
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
            matches!(&*state, State::Running(_)) && state.is_behind() && !state.is_stopping()
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

    /// Waits until the pushed records before `position` are committed; false if that takes longer.
    pub(super) async fn delivered(&self, cell: &PipelineCell, position: u64, within: Duration) -> bool {
        let committed = || {
            let of = |positions: &Positions| Inbox::read_before(positions);
            let live = cell
                .live()
                .map_or(0, |live| live.lock().lanes.values().map(|lane| of(&lane.positions)).max().unwrap_or(0));
            let journalled = cell.state().pipeline().map_or(0, |pipeline| of(&pipeline.progress.positions()));
            live.max(journalled) >= position
        };
        let waiting = async {
            let mut changes = cell.changes();
            loop {
                changes.mark_unchanged();
                let commits = cell.live().map(|live| live.watch());
                if committed() {
                    return;
                }
                let commit = async {
                    match commits {
                        Some(mut commits) => commits.changed().await.is_ok(),
                        None => std::future::pending().await,
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
        let Some(live) = cell.live() else { return true };
        let committed: Vec<Arc<Token>> = live.lock().lanes.values().filter_map(|lane| lane.token.clone()).collect();
        let known = |token: &Arc<Token>| {
            let state = cell.state();
            let Some(Progress { generation, by_lane, .. }) = state.pipeline().map(|pipeline| &pipeline.progress) else {
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
                live.want_checkpoint();
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(WATCH) => {}
                }
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }

    /// How many of the pushed records between two positions are dead letters, also those that only the sink's token names yet.
    pub(super) async fn dead_between(&self, cell: &PipelineCell, pushed: (u64, u64)) -> Result<u64, AskError> {
        let journalled = cell.state().pipeline().map(|pipeline| pipeline.progress.dead_letters.clone());
        let mut chunks = journalled.unwrap_or_default();
        if let Some(live) = cell.live() {
            let live = live.lock();
            let named = live.lanes.values().filter_map(|lane| lane.token.as_ref()).flat_map(|token| &token.chunks);
            let new: Vec<ChunkRef> = named.filter(|chunk| !chunks.contains(chunk)).cloned().collect();
            chunks.extend(new);
        }
        Ok(dead_letters::between(&self.context.parts.journal, &chunks, Inbox::PARTITION, pushed).await?)
    }
}
