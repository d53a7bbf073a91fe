//! Snapshots of a shard: the states of its pipelines at one place of its log, taken between two appends.
use super::Writer;
use crate::shard::stored;
use dataflow_journal::Snapshot;
use std::sync::PoisonError;

impl Writer {
    /// Stores the states of all pipelines that changed since the last snapshot. If it fails, the next one covers them.
    pub(super) async fn snapshot(&mut self) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if changed.is_empty() || self.lost.is_cancelled() {
            return;
        }
        let level = match self.journal.write_level() {
            Ok(level) => level,
            Err(error) => return tracing::warn!(shard = self.shard.0, %error, "no snapshot is taken"),
        };
        let started = self.clock.now();
        let mut snapshots = Vec::with_capacity(changed.len());
        for (pipeline, cell) in &changed {
            match stored::encode(&cell.state(), level) {
                Ok(state) => snapshots.push(Snapshot { pipeline: pipeline.clone(), state }),
                Err(error) => {
                    tracing::error!(%pipeline, %error, "the state can't be serialized; no snapshot is taken");
                    return;
                }
            }
        }
        let bytes = snapshots.iter().map(|snapshot| snapshot.state.len()).sum();
        let (epoch, next, count) = (self.head.epoch, self.head.next_seq, snapshots.len());
        match self.journal.snapshot(self.shard, epoch, next, snapshots).await {
            Ok(()) => {
                self.since_snapshot = 0;
                self.appended_bytes = 0;
                self.snapshot_bytes = bytes;
                self.changed.lock().unwrap_or_else(PoisonError::into_inner).clear();
                let took = self.clock.now().millis() - started.millis();
                tracing::debug!(shard = self.shard.0, pipelines = count, bytes, took, "snapshot taken");
                if let Err(error) = self.journal.compact(self.shard, epoch, next).await {
                    tracing::warn!(shard = self.shard.0, %error, "the log could not be compacted; it stays longer");
                }
            }
            Err(error) => {
                tracing::warn!(shard = self.shard.0, %error, "no snapshot could be taken; the log stays longer")
            }
        }
    }
}
