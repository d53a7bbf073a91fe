//! The log in memory: for tests and simulations. Deterministic; dropping the last clone loses everything.
mod shelf;

use crate::{
    Appended, Claim, Error, Head, Holder, Snapshot, WriteLevel, range,
    store::{Chunks, Log, Page, Snapshots, Span},
    stored::Row,
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use shelf::Shelf;
use std::{
    collections::Bound,
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
    /// Creates an empty log.
    pub fn new() -> Self {
        // The standard library's only source of randomness; only the id depends on it, neither logs nor decisions.
        let drawn = [0; 2].map(|_| RandomState::new().hash_one(0));
        Self { id: format!("{:016x}{:016x}", drawn[0], drawn[1]).into(), shelf: Arc::default() }
    }

    /// Copies the log with all its current content, like a backup.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { shelf: Arc::new(Mutex::new(self.shelf().clone())), ..self.clone() }
    }

    /// The names of all chunks.
    pub fn chunk_ids(&self) -> Vec<ChunkId> {
        self.shelf().chunks.keys().cloned().collect()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the log of a shard if `epoch` is still current.
    fn fenced<T>(
        &self,
        shard: ShardId,
        epoch: Epoch,
        change: impl FnOnce(&mut shelf::Log) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut shelf = self.shelf();
        let claimed = |log: &&mut shelf::Log| log.head.epoch == epoch && epoch > Epoch(0);
        let log = shelf.logs.get_mut(&shard).filter(claimed);
        change(log.ok_or(Error::Fenced { shard, epoch })?)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Log for Memory {
    fn id(&self) -> &str {
        &self.id
    }

    fn write_level(&self) -> WriteLevel {
        self.shelf().level
    }

    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error> {
        let mut shelf = self.shelf();
        shelf.level = shelf.level.max(to);
        Ok(())
    }

    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error> {
        let mut shelf = self.shelf();
        let found = shelf.log(shard).head.clone();
        let Some(head) = found.claimed(expected, holder) else { return Ok(Claim::Held(found)) };
        shelf.logs.entry(shard).or_default().head = head.clone();
        Ok(Claim::Claimed(head))
    }

    async fn head(&self, shard: ShardId) -> Result<Head, Error> {
        Ok(self.shelf().log(shard).head.clone())
    }

    async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error> {
        let shelf = self.shelf();
        let claimed =
            of.iter().map(|shard| (*shard, &shelf.log(*shard).head)).filter(|(_, head)| head.holder.is_some());
        Ok(claimed.map(|(shard, head)| (shard, head.epoch)).collect())
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended {
        let appended = self.fenced(shard, epoch, |log| {
            let is_next = log.head.next_seq == next;
            if is_next {
                log.append(rows);
            }
            Ok(is_next)
        });
        if matches!(appended, Ok(true)) { Appended::Applied } else { Appended::Fenced }
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error> {
        Ok(self.shelf().log(shard).page(from, limit))
    }

    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error> {
        Ok(self.shelf().log(ShardId::of(pipeline)).history(pipeline, span, limit))
    }

    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error> {
        self.fenced(shard, epoch, |log| {
            range::place(shard, "a compaction", before, Seq(0), log.snapshot_at)?;
            log.compact(before.max(log.compacted));
            Ok(())
        })
    }

    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error> {
        let mut shelf = self.shelf();
        let readers = &mut shelf.logs.entry(shard).or_default().readers;
        match next {
            Some(next) => readers.insert(reader.to_owned(), next),
            None => readers.remove(reader),
        };
        Ok(())
    }

    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error> {
        Ok(self.shelf().log(shard).readers.iter().map(|(name, next)| (name.clone(), *next)).collect())
    }
}

#[async_trait]
impl Snapshots for Memory {
    async fn snapshot(&self, shard: ShardId, epoch: Epoch, next: Seq, changed: Vec<Snapshot>) -> Result<(), Error> {
        self.fenced(shard, epoch, |log| {
            range::place(shard, "a snapshot", next, log.snapshot_at, log.head.next_seq)?;
            log.snapshots.extend(changed.into_iter().map(|snapshot| (snapshot.pipeline, snapshot.state)));
            log.snapshot_at = next;
            Ok(())
        })
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        let shelf = self.shelf();
        let log = shelf.log(shard);
        let all =
            log.snapshots.iter().map(|(pipeline, state)| Snapshot { pipeline: pipeline.clone(), state: state.clone() });
        Ok((all.collect(), log.snapshot_at))
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error> {
        let shelf = self.shelf();
        let log = shelf.log(ShardId::of(pipeline));
        Ok((log.snapshots.get(pipeline).cloned(), log.snapshot_at, log.page(log.snapshot_at, usize::MAX)))
    }
}

#[async_trait]
impl Chunks for Memory {
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

    async fn chunks(&self, of: &Scope, after: Option<&ChunkId>, limit: usize) -> Result<Vec<ChunkId>, Error> {
        let (shelf, prefix) = (self.shelf(), of.to_string());
        let from = after.cloned().unwrap_or(ChunkId(prefix.as_str().into()));
        let ids = shelf.chunks.range((Bound::Excluded(from), Bound::Unbounded)).map(|(id, _)| id);
        Ok(ids.take_while(|id| id.0.starts_with(&prefix)).take(limit).cloned().collect())
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        let mut shelf = self.shelf();
        for id in ids {
            shelf.chunks.remove(id);
        }
        Ok(())
    }
}
