//! The journal: one dense, ordered log per shard with one writer, and what belongs to it (snapshots, chunks).
//!
//! An append is one conditional write on the log's head `(epoch, next_seq)`; the log's epoch decides who may write,
//! whatever a lease says. Protocol and its pitfalls: `docs/adr/0003-shard-log.md`.
#[cfg(feature = "testing")]
pub mod fault;
pub mod memory;
mod range;
pub mod sqlite;
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;

pub use memory::Memory;
pub use sqlite::Sqlite;

use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    pipeline::Event,
    shard::ShardId,
};

/// The head of a shard's log: the epoch that may write, and the place of the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Who holds a lower epoch is fenced.
    pub epoch: Epoch,
    /// Where the next event goes.
    pub next_seq: Seq,
}

/// An event of a pipeline with its place in the shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place. Compaction leaves gaps: density is of ranges, see [`Run`].
    pub seq: Seq,
    /// The pipeline it happened to.
    pub pipeline: PipelineId,
    /// What happened.
    pub event: Event,
}

/// A contiguous run of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The entries, by rising place.
    pub entries: Vec<Entry>,
    /// Where to read on: everything before it is in here or was compacted away.
    pub next: Seq,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Applied,
    /// Nothing was written: the head is not `(epoch, next_seq)`.
    Fenced,
    /// It may or may not be durable. Only a new claim, and reading the log after it, can tell.
    Unknown,
}

/// A failure. All calls that return one can be repeated: carried out twice they have the effect of once (a claim raises
/// the epoch once more).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be reached, is busy or is full: the call was not carried out, or its answer got lost. Try again.
    #[error("the journal can't be reached: {0}")]
    Unavailable(String),
    /// The store as a whole is damaged: nothing in it can be relied on, and nothing may be written to it.
    #[error("the journal is damaged: {0}")]
    Broken(String),
    /// What is stored in one place can't be read, or contradicts the call (a snapshot behind the last one, a chunk's name with other
    /// content). Nothing was changed, and trying again is no use.
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    /// The store is another one, or has less in it, than what was written in this place. Nothing was changed.
    #[error("the journal is not as it was left: {0}")]
    NotAsLeft(String),
    /// The epoch is no longer the shard's; nothing was changed.
    #[error("shard {shard}: epoch {epoch} is fenced")]
    Fenced {
        /// The shard.
        shard: ShardId,
        /// The epoch that was held.
        epoch: Epoch,
    },
}

/// A snapshot of one pipeline: its state, serialized by the engine, after all events before `next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its state.
    pub state: Bytes,
}

/// The log of all shards. Every backend passes the same contract suite.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// What tells this journal from any other: drawn when it was made. A copy has the same.
    fn id(&self) -> &str;

    /// Takes over a shard: raises its epoch by one and returns the head. From then on, nothing with a lower epoch is written.
    async fn claim(&self, shard: ShardId) -> Result<Head, Error>;

    /// The epochs of all shards that were ever claimed, in no order, without claiming any: who finds a higher one than its
    /// own has been replaced.
    async fn epochs(&self) -> Result<Vec<(ShardId, Epoch)>, Error>;

    /// Appends events at `next_seq`, all or none, if the head is still `(epoch, next_seq)`.
    async fn append(&self, shard: ShardId, epoch: Epoch, next_seq: Seq, events: &[(PipelineId, Event)]) -> Appended;

    /// Reads from a place on, at most about `limit` events. An empty run whose `next` is `from` says: that is all.
    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Run, Error>;

    /// Lifecycle events of one pipeline after a place, for its history: all but what is progress, see [`stored::Kind`].
    /// They survive compaction.
    async fn history(&self, pipeline: &PipelineId, after: Seq, limit: usize) -> Result<Vec<Entry>, Error>;

    /// The same events from the newest on, before a place if there is one.
    async fn history_before(
        &self,
        pipeline: &PipelineId,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error>;

    /// Stores the changed pipelines of a shard as they are after all events before `next`, and removes the snapshots of
    /// `gone`; fenced by `epoch`. `next` lies between the last snapshot's and the head. Of progress before it, the last
    /// event of each [kind](stored::Kind) of each pipeline is kept, the rest is let go.
    async fn snapshot(
        &self,
        shard: ShardId,
        epoch: Epoch,
        next: Seq,
        changed: &[Snapshot],
        gone: &[PipelineId],
    ) -> Result<(), Error>;

    /// All snapshots of a shard, and the place from which its log has to be read to be up to date.
    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error>;

    /// The snapshot of one pipeline, and its own events since: what others of its shard did meanwhile is not read.
    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Vec<Entry>), Error>;

    /// Stores a chunk durably. Storing the same again is fine.
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error>;

    /// Stores a chunk that an event is about to name: it is durable once an append is that begins after this has
    /// returned. A store that keeps chunks and log in one place saves a wait for the disk.
    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.put_chunk(id, body).await
    }

    /// Reads a chunk.
    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error>;

    /// Names of all chunks that begin so.
    async fn chunks(&self, prefix: &str) -> Result<Vec<ChunkId>, Error>;

    /// Why nothing can be written now, as far as is known: how the last write went, and what a look at the files tells. May
    /// block. After a failure, each call has a write tried that changes nothing; how that went, the next call tells.
    fn unwritable(&self) -> Option<String> {
        None
    }

    /// Removes chunks; those that are not there are fine. One may be there again after a power cut.
    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error>;
}
