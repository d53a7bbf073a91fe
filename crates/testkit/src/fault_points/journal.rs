//! The fault points around a journal's store.
use super::{Faults, Point, When};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Content, Scope},
    id::{Epoch, PipelineId, Seq},
    pipeline::event::Event,
    shard::ShardId,
};
use dataflow_journal::{
    Appended, Claim, Error, Head, Holder, Snapshot, Store, WriteLevel,
    store::{Chunks, Log, Page, Snapshots, Span},
    stored::{self, Row},
};
use std::sync::Arc;

/// A store with fault points around its writes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Store>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Log for Watched {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn write_level(&self) -> WriteLevel {
        self.inner.write_level()
    }

    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error> {
        self.inner.raise_write_level(to).await
    }

    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error> {
        self.faults.with(Point::Claim, self.inner.claim(shard, expected, holder)).await
    }

    async fn head(&self, shard: ShardId) -> Result<Head, Error> {
        self.inner.head(shard).await
    }

    async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.inner.epochs(of).await
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended {
        let events: Vec<_> = rows
            .iter()
            .filter_map(|row| stored::decode(&row.body, WriteLevel::NEWEST).ok())
            .map(|event| event.event)
            .collect();
        let holds = |is: fn(&Event) -> bool| events.iter().any(is);
        let points = [
            (Point::JournalAppend, true),
            (Point::SchemaChange, holds(|event| matches!(event, Event::SchemaChanged { .. }))),
            (Point::Checkpoint, holds(|event| matches!(event, Event::BatchProcessed { .. }))),
        ];
        let points = points.iter().filter(|(_, passed)| *passed).map(|(point, _)| *point);
        points.clone().for_each(|point| self.faults.pass(When::Before, point));
        let appended = self.inner.append(shard, epoch, next, rows).await;
        if appended == Appended::Applied {
            points.rev().for_each(|point| self.faults.pass(When::After, point));
        }
        appended
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error> {
        self.inner.read(shard, from, limit).await
    }

    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error> {
        self.inner.history(pipeline, span, limit).await
    }

    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error> {
        self.faults.with(Point::Compact, self.inner.compact(shard, epoch, before)).await
    }

    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error> {
        self.inner.note_reader(reader, shard, next).await
    }

    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error> {
        self.inner.readers(shard).await
    }

    fn unwritable(&self) -> Option<String> {
        self.inner.unwritable()
    }
}

#[async_trait]
impl Snapshots for Watched {
    async fn snapshot(&self, shard: ShardId, epoch: Epoch, next: Seq, changed: Vec<Snapshot>) -> Result<(), Error> {
        self.faults.with(Point::Snapshot, self.inner.snapshot(shard, epoch, next, changed)).await
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        self.inner.snapshots(shard).await
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error> {
        self.inner.load(pipeline).await
    }
}

#[async_trait]
impl Chunks for Watched {
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.faults.with(Point::Prepare, self.inner.put_chunk(id, body)).await
    }

    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        let point = match id.name().map(|name| name.content) {
            Some(Content::Pushed(_)) => Point::Ingest,
            _ => Point::Prepare,
        };
        self.faults.with(point, self.inner.stage_chunk(id, body)).await
    }

    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        self.inner.chunk(id).await
    }

    async fn chunks(&self, of: &Scope, after: Option<&ChunkId>, limit: usize) -> Result<Vec<ChunkId>, Error> {
        self.inner.chunks(of, after, limit).await
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        self.faults.with(Point::Collect, self.inner.remove_chunks(ids)).await
    }
}
