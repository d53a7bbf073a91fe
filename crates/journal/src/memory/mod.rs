//! The log in memory: for tests and simulations. Deterministic; nothing outlives the last clone.
mod shelf;

use crate::{Appended, Entry, Error, Head, Journal, Run, Snapshot, range, stored};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    pipeline::Event,
    shard::ShardId,
};
use shelf::{Log, Shelf};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A log in memory. Clones share it, like nodes that share a store.
#[derive(Clone, Debug)]
pub struct Memory {
    id: Arc<str>,
    shelf: Arc<Mutex<Shelf>>,
}

impl Memory {
    /// An empty log.
    pub fn new() -> Self {
        // The standard library's only source of chance; whatever is logged or decided, it is not by this.
        let drawn = [0; 2].map(|_| RandomState::new().hash_one(0));
        Self { id: format!("{:016x}{:016x}", drawn[0], drawn[1]).into(), shelf: Arc::default() }
    }

    /// Another log with all that this one holds now, like a backup of it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { shelf: Arc::new(Mutex::new(self.shelf().clone())), ..self.clone() }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Journal for Memory {
    fn id(&self) -> &str {
        &self.id
    }

    async fn claim(&self, shard: ShardId) -> Result<Head, Error> {
        let mut shelf = self.shelf();
        let log = shelf.logs.entry(shard).or_default();
        log.epoch = log.epoch.next();
        Ok(Head { epoch: log.epoch, next_seq: log.extent.next })
    }

    async fn epochs(&self) -> Result<Vec<(ShardId, Epoch)>, Error> {
        Ok(self.shelf().logs.iter().map(|(shard, log)| (*shard, log.epoch)).collect())
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next_seq: Seq, events: &[(PipelineId, Event)]) -> Appended {
        let rows = match stored::rows(next_seq, events) {
            Ok(rows) => rows,
            Err(cause) => {
                tracing::error!(%shard, %cause, "append failed");
                return Appended::Unknown;
            }
        };
        let mut shelf = self.shelf();
        match shelf.logs.get_mut(&shard) {
            Some(log) if (log.epoch, log.extent.next) == (epoch, next_seq) => {
                log.append(rows);
                Appended::Applied
            }
            _ => Appended::Fenced,
        }
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Run, Error> {
        let limit = limit.max(1);
        let (extent, rows) = {
            let shelf = self.shelf();
            let log = shelf.log(shard);
            (log.extent, log.rows.range(from..).take(limit).map(|(_, row)| row.clone()).collect())
        };
        range::run(shard, from, limit, extent, rows)
    }

    async fn history(&self, pipeline: &PipelineId, after: Seq, limit: usize) -> Result<Vec<Entry>, Error> {
        let shard = ShardId::of(pipeline);
        let rows = self.shelf().log(shard).history(pipeline, after, limit);
        rows.into_iter().map(|row| range::entry(shard, row)).collect()
    }

    async fn history_before(
        &self,
        pipeline: &PipelineId,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let shard = ShardId::of(pipeline);
        let rows = self.shelf().log(shard).history_before(pipeline, before, limit);
        rows.into_iter().map(|row| range::entry(shard, row)).collect()
    }

    async fn snapshot(
        &self,
        shard: ShardId,
        epoch: Epoch,
        next: Seq,
        changed: &[Snapshot],
        gone: &[PipelineId],
    ) -> Result<(), Error> {
        let mut shelf = self.shelf();
        let log = shelf.logs.get_mut(&shard).filter(|log| log.epoch == epoch);
        let log: &mut Log = log.ok_or(Error::Fenced { shard, epoch })?;
        range::place(shard, next, log.snapshot_at, log.extent.next)?;
        for snapshot in changed {
            log.snapshots.insert(snapshot.pipeline.clone(), snapshot.state.clone());
        }
        for pipeline in gone {
            log.snapshots.remove(pipeline);
        }
        log.snapshot_at = next;
        log.compact(next);
        Ok(())
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        let shelf = self.shelf();
        let log = shelf.log(shard);
        let all =
            log.snapshots.iter().map(|(pipeline, state)| Snapshot { pipeline: pipeline.clone(), state: state.clone() });
        Ok((all.collect(), log.snapshot_at))
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Vec<Entry>), Error> {
        let shard = ShardId::of(pipeline);
        let (state, rows) = {
            let shelf = self.shelf();
            let log = shelf.log(shard);
            let since = log.rows.range(log.snapshot_at..).map(|(_, row)| row);
            let rows: Vec<_> = since.filter(|row| row.pipeline == pipeline.as_str()).cloned().collect();
            (log.snapshots.get(pipeline).cloned(), rows)
        };
        Ok((state, rows.into_iter().map(|row| range::entry(shard, row)).collect::<Result<_, _>>()?))
    }

    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        let mut shelf = self.shelf();
        match shelf.chunks.get(id) {
            Some(there) if *there != body => Err(range::other_content(id)),
            Some(_) => Ok(()),
            None => {
                shelf.chunks.insert(id.clone(), body);
                Ok(())
            }
        }
    }

    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        Ok(self.shelf().chunks.get(id).cloned())
    }

    async fn chunks(&self, prefix: &str) -> Result<Vec<ChunkId>, Error> {
        let shelf = self.shelf();
        let from = shelf.chunks.range(ChunkId(prefix.into())..);
        Ok(from.map(|(id, _)| id).take_while(|id| id.0.starts_with(prefix)).cloned().collect())
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        let mut shelf = self.shelf();
        for id in ids {
            shelf.chunks.remove(id);
        }
        Ok(())
    }
}
