//! The points around a journal.
use super::{Faults, Point, When};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    pipeline::{Event, event::Fact},
    shard::ShardId,
};
use dataflow_journal::{Appended, Entry, Error, Head, Journal, Run, Snapshot};
use std::sync::Arc;

/// A journal with points around what it writes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Journal>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Journal for Watched {
    fn id(&self) -> &str {
        self.inner.id()
    }

    async fn claim(&self, shard: ShardId) -> Result<Head, Error> {
        self.faults.with(Point::Claim, self.inner.claim(shard)).await
    }

    async fn epochs(&self) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.inner.epochs().await
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next_seq: Seq, events: &[(PipelineId, Event)]) -> Appended {
        let holds = |is: fn(&Fact) -> bool| events.iter().any(|(_, event)| is(&event.fact));
        let points = [
            (Point::JournalAppend, true),
            (Point::SchemaChange, holds(|fact| matches!(fact, Fact::SchemaChanged { .. }))),
            (Point::Checkpoint, holds(|fact| matches!(fact, Fact::BatchProcessed { .. }))),
        ];
        let points = points.iter().filter(|(_, passed)| *passed).map(|(point, _)| *point);
        points.clone().for_each(|point| self.faults.pass(When::Before, point));
        let appended = self.inner.append(shard, epoch, next_seq, events).await;
        if appended == Appended::Applied {
            points.rev().for_each(|point| self.faults.pass(When::After, point));
        }
        appended
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Run, Error> {
        self.inner.read(shard, from, limit).await
    }

    async fn history(&self, pipeline: &PipelineId, after: Seq, limit: usize) -> Result<Vec<Entry>, Error> {
        self.inner.history(pipeline, after, limit).await
    }

    async fn history_before(
        &self,
        pipeline: &PipelineId,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.inner.history_before(pipeline, before, limit).await
    }

    async fn snapshot(
        &self,
        shard: ShardId,
        epoch: Epoch,
        next: Seq,
        changed: &[Snapshot],
        gone: &[PipelineId],
    ) -> Result<(), Error> {
        self.faults.with(Point::Snapshot, self.inner.snapshot(shard, epoch, next, changed, gone)).await
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        self.inner.snapshots(shard).await
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Vec<Entry>), Error> {
        self.inner.load(pipeline).await
    }

    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.faults.with(Point::Prepare, self.inner.put_chunk(id, body)).await
    }

    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        // The engine names the chunk of a pushed batch …/in-NAME.
        let pushed = id.0.rsplit('/').next().is_some_and(|name| name.starts_with("in-"));
        let point = if pushed { Point::Ingest } else { Point::Prepare };
        self.faults.with(point, self.inner.stage_chunk(id, body)).await
    }

    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        self.inner.chunk(id).await
    }

    async fn chunks(&self, prefix: &str) -> Result<Vec<ChunkId>, Error> {
        self.inner.chunks(prefix).await
    }

    fn unwritable(&self) -> Option<String> {
        self.inner.unwritable()
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        self.faults.with(Point::Collect, self.inner.remove_chunks(ids)).await
    }
}
