//! Joining chunks of dead letters. Each commit that has any stores a chunk; of a pipeline that runs for ever there would
//! be more and more, each with its name in the state, in every snapshot, and in the list of those that nothing names.
use super::Entity;
use crate::{chunks, dead_letters};
use dataflow_core::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkKind, ChunkRef, Content},
    pipeline::CommandKind,
};

/// Most joins in a row: messages wait meanwhile.
const AT_ONCE: usize = 16;

impl Entity {
    /// Joins chunks of few letters each of a branch, as far as there are enough.
    pub(super) async fn join_dead_letters(&mut self, branch: BranchNumber) {
        for _ in 0..AT_ONCE {
            if !self.join_some(branch).await {
                return;
            }
        }
    }

    /// Joins some neighbours; false if there is nothing to join now. The body first, which counts once the event names it;
    /// then the chunks go that nothing names any more.
    async fn join_some(&mut self, branch: BranchNumber) -> bool {
        let Some((places, chunks)) = self.to_join(branch) else { return false };
        let joined = dead_letters::join(&self.context.parts.journal, &chunks).await;
        let (count, body) = match joined {
            Ok((count, body)) if count > 1 => (count, body),
            // The first is large by itself, or can't be read: it stays as it is.
            Ok(_) => {
                self.unjoined.insert(branch, places.start + 1);
                return true;
            }
            Err(error) => {
                tracing::debug!(pipeline = %self.cell.pipeline, %error, "dead letters are joined later");
                return false;
            }
        };
        let gone: Vec<ChunkId> = chunks[..count].iter().map(|chunk| chunk.id.clone()).collect();
        let records = chunks[..count].iter().map(|chunk| chunk.records).sum();
        let Some(id) = self.joined(branch, places.start, records) else { return false };
        let into = ChunkRef { id, kind: ChunkKind::DeadLetters, records };
        if let Err(error) = self.context.parts.journal.stage_chunk(&into.id, body).await {
            tracing::debug!(pipeline = %self.cell.pipeline, %error, "dead letters are joined later");
            return false;
        }
        let kind = CommandKind::JoinDeadLetters { first: places.start as u64, count: count as u64, into };
        if let Err(error) = self.report(branch, kind).await {
            tracing::debug!(pipeline = %self.cell.pipeline, %error, "dead letters are joined later");
            return false;
        }
        chunks::remove(&self.context.parts.journal, &self.cell.pipeline, &gone).await;
        true
    }

    /// The chunks to join, and their places.
    fn to_join(&self, branch: BranchNumber) -> Option<(std::ops::Range<usize>, Vec<ChunkRef>)> {
        let state = self.cell.state();
        let progress = &state.branch(branch)?.progress;
        let all = &progress.dead_letters;
        let places = progress.to_join(self.unjoined.get(&branch).copied().unwrap_or(0))?;
        Some((places.clone(), all[places].to_vec()))
    }

    /// The name of the chunk that takes the place of those from `place` on, with so many letters.
    fn joined(&self, branch: BranchNumber, place: usize, letters: u64) -> Option<ChunkId> {
        let state = self.cell.state();
        let before = state.branch(branch)?.progress.dead_letters[..place].iter().map(|chunk| chunk.records).sum();
        Some(self.chunk(state.pipeline()?, Content::JoinedLetters { branch, before, letters }))
    }
}
