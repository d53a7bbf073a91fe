//! What a backend is: places for rows, snapshots and chunks. It holds statements and row mapping only; what they mean is decided
//! once, by [`Journal`](crate::Journal).
//!
//! All calls that return a [`Result`] can be repeated: carried out twice they have the effect of once.
use crate::{Appended, Claim, Error, Head, Holder, Snapshot, WriteLevel, stored::Row};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};

/// A backend. Every one passes the same contract suite.
pub trait Store: Log + Snapshots + Chunks + Send + Sync + std::fmt::Debug {}

impl<S: Log + Snapshots + Chunks + Send + Sync + std::fmt::Debug> Store for S {}

/// Rows from one place of a shard's log on, and how far that log goes, of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the next event goes.
    pub next: Seq,
    /// Progress before this place may have been compacted away.
    pub compacted: Seq,
    /// The rows that were found, by rising place.
    pub rows: Vec<Row>,
}

/// From which end a history is told, by the numbers of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Rising, from the first event after this number on.
    After(u64),
    /// Falling, from the last event before this number on.
    Before(u64),
}

/// The logs of all shards.
#[async_trait]
pub trait Log: Send + Sync {
    /// What tells this journal from any other: drawn when it was made. A copy has the same.
    fn id(&self) -> &str;

    /// Which shapes may be written, as this handle has seen it last.
    fn write_level(&self) -> WriteLevel;

    /// Raises the write level to at least this one: builds that can't read it can't open the store any more.
    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error>;

    /// Raises the epoch by one and makes `holder` its holder, if it is `expected`. [`Claim::Claimed`] also where it is one higher
    /// and `holder` holds it: then an earlier answer to this call got lost.
    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error>;

    /// The head of a shard; that of [`Head::UNCLAIMED`] if nobody has ever claimed it.
    async fn head(&self, shard: ShardId) -> Result<Head, Error>;

    /// The epochs of all shards that were ever claimed, in no order.
    async fn epochs(&self) -> Result<Vec<(ShardId, Epoch)>, Error>;

    /// Writes rows, all or none, if the head is still `(epoch, next)`; `next` is the first one's place.
    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended;

    /// The first `limit` rows from a place on.
    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error>;

    /// Lifecycle events of one pipeline, at most `limit`. They survive compaction.
    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error>;

    /// Drops progress before a place, which is not after that of the last snapshot; fenced by `epoch`. A place before that of the last
    /// compaction changes nothing.
    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error>;

    /// Notes up to where a reader has read a shard's log: compaction waits for it. None: forgets the reader.
    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error>;

    /// How far the readers of a shard's log are, by name.
    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error>;

    /// Why nothing can be written now, as far as is known: how the last write went, and what a look at the files tells. May
    /// block. After a failure, each call has a write tried that changes nothing; how that went, the next call tells.
    fn unwritable(&self) -> Option<String> {
        None
    }
}

/// The states of pipelines, each as it was after all events before one place of its shard's log.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// Stores the changed pipelines of a shard as they are after all events before `next`, and removes the snapshots of
    /// `gone`; fenced by `epoch`. `next` lies between the last snapshot's place and the head.
    async fn snapshot(
        &self,
        shard: ShardId,
        epoch: Epoch,
        next: Seq,
        changed: Vec<Snapshot>,
        gone: Vec<PipelineId>,
    ) -> Result<(), Error>;

    /// All snapshots of a shard, and the place from which its log has to be read to be up to date.
    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error>;

    /// The snapshot of one pipeline, the place of its shard's snapshots, and all that its shard has written since, of one moment.
    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error>;
}

/// Chunks.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Stores a chunk durably. Storing the same again is fine; other content under its name is [`Error::Corrupt`].
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error>;

    /// Stores a chunk that an event or a snapshot is about to name: it is durable once an append or a snapshot is that begins
    /// after this has returned. A store that keeps chunks and log in one place saves a wait for the disk.
    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.put_chunk(id, body).await
    }

    /// Reads a chunk.
    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error>;

    /// Names of all chunks that begin so.
    async fn chunks(&self, prefix: &str) -> Result<Vec<ChunkId>, Error>;

    /// Removes chunks; those that are not there are fine. One may be there again after a power cut.
    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error>;
}
