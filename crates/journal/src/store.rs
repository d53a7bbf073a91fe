//! The interface of a backend: it stores rows, snapshots and chunks. It contains statements and row mapping only;
//! [`Journal`](crate::Journal) interprets them.
//!
//! Every call that returns a [`Result`] can be repeated: carried out twice, it has the effect of once.
use crate::{Appended, Claim, Error, Head, Holder, WriteLevel, stored::Row};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};

/// A backend. All backends pass the same contract suite.
pub trait Store: Log + Snapshots + Chunks + Send + Sync + std::fmt::Debug {}

impl<S: Log + Snapshots + Chunks + Send + Sync + std::fmt::Debug> Store for S {}

/// A snapshot of one pipeline: its state, serialized by the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its state.
    pub state: Bytes,
}

/// Rows from one place of a shard's log on, and the end of that log at the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The place of the next event.
    pub next: Seq,
    /// Progress before this place may have been compacted away.
    pub compacted: Seq,
    /// The rows, by rising place.
    pub rows: Vec<Row>,
}

/// The direction and start of a history, by event numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Rising, from the first event after this number.
    After(u64),
    /// Falling, from the last event before this number.
    Before(u64),
}

/// The logs of all shards.
#[async_trait]
pub trait Log: Send + Sync {
    /// The journal's id, drawn when it was created. A copy has the same id.
    fn id(&self) -> &str;

    /// The stored shapes that may be written, as this handle last saw them.
    fn write_level(&self) -> WriteLevel;

    /// Raises the write level to at least `to`: builds that can't read it can no longer open the store.
    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error>;

    /// Raises the epoch by one and records `holder`, if the epoch is `expected`. Also answers [`Claim::Claimed`] if the
    /// epoch is one higher and held by `holder`: then the answer to an earlier call was lost.
    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error>;

    /// Returns the head of a shard; [`Head::UNCLAIMED`] if nobody has ever claimed it.
    async fn head(&self, shard: ShardId) -> Result<Head, Error>;

    /// Returns the epochs of those of these shards that were ever claimed, unordered. A damaged head is left out.
    async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error>;

    /// Writes rows, all or none, if the head is still `(epoch, next)`; `next` is the place of the first row.
    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended;

    /// Returns the first `limit` rows from a place on.
    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error>;

    /// Returns at most `limit` lifecycle events of one pipeline. They survive compaction.
    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error>;

    /// Drops progress before a place, which is not after the last snapshot; fenced by `epoch`. A place before the last
    /// compaction's changes nothing.
    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error>;

    /// Records the place up to which a reader has read a shard's log: compaction waits for it. `None` forgets the
    /// reader.
    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error>;

    /// Returns the readers of a shard's log and their places.
    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error>;

    /// Returns why nothing can be written now, judged by the last write and by the state of the files. May block. After
    /// a failure, each call triggers an empty write, whose result the next call returns.
    fn unwritable(&self) -> Option<String> {
        None
    }
}

/// The states of pipelines, each after all events before one place of its shard's log.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// Stores the states of a shard's changed pipelines after all events before `next`; fenced by `epoch`. `next` lies between the last snapshot's place and the head.
    async fn snapshot(&self, shard: ShardId, epoch: Epoch, next: Seq, changed: Vec<Snapshot>) -> Result<(), Error>;

    /// Returns all snapshots of a shard, and the place from which to read its log to bring them up to date.
    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error>;

    /// Returns the snapshot of one pipeline, the place of its shard's snapshots, and everything that its shard has
    /// written since, all of the same moment.
    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error>;
}

/// Chunks.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Stores a chunk durably. Storing the same content again is fine; other content under its name is
    /// [`Error::Corrupt`].
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error>;

    /// Stores a chunk that an event or a snapshot is about to name: it becomes durable with the next append or snapshot
    /// that begins after this has returned. A store that keeps chunks and log in one place saves a wait for the disk.
    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.put_chunk(id, body).await
    }

    /// Reads a chunk.
    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error>;

    /// Returns the names of the first `limit` chunks of a scope after this one, sorted by their bytes.
    async fn chunks(&self, of: &Scope, after: Option<&ChunkId>, limit: usize) -> Result<Vec<ChunkId>, Error>;

    /// Removes chunks; absent ones are ignored. A removed chunk may reappear after a power failure.
    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error>;
}
