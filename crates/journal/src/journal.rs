//! The journal as its users see it: events in, events out, independent of the backend.
use crate::{
    Appended, Claim, Encoded, Entry, Error, Head, Holder, MAX_APPEND_BYTES, Store, WriteLevel, listed, overflow, range,
    segments::Named, store::Span, stored::Row,
};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, PipelineId, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// The most events of a shard that a lagging reader keeps from compaction. A reader further behind gets
/// [`Error::Trimmed`].
pub const MAX_HELD_BACK: u64 = 100_000;

/// A contiguous run of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The entries, by rising place.
    pub entries: Vec<Entry>,
    /// The place to read from next: everything before it is included.
    pub next: Seq,
}

/// The log of all shards. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    pub(crate) store: Arc<dyn Store>,
    /// The segments of snapshots that are too long for a row, as far as this has stored or [recovered](Self::recover) them.
    pub(crate) segments: Arc<Mutex<HashMap<PipelineId, Named>>>,
    /// The newest write level that this build reads.
    newest: WriteLevel,
}

impl Journal {
    /// Opens the journal in this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::of_build(store, WriteLevel::NEWEST)
    }

    /// Opens it like a build whose newest write level is `newest`: for tests of two builds on one journal.
    pub fn of_build(store: Arc<dyn Store>, newest: WriteLevel) -> Self {
        Self { store, segments: Arc::default(), newest }
    }

    /// Returns this journal with its store wrapped by `wrap`.
    #[must_use]
    pub fn wrapped(self, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        Self { store: wrap(self.store), ..self }
    }

    /// The journal's id, drawn when it was created. A copy has the same id.
    pub fn id(&self) -> &str {
        self.store.id()
    }

    /// The level at which everything is written.
    ///
    /// # Errors
    /// [`Error::OtherBuild`] if it was raised above what this build reads: then nothing may be written.
    pub fn write_level(&self) -> Result<WriteLevel, Error> {
        let (level, newest) = (self.store.write_level(), self.newest);
        if level <= newest {
            return Ok(level);
        }
        Err(Error::OtherBuild(format!(
            "it is at write level {level}, this build reads levels up to {newest}; run the build that raised it, or a newer one"
        )))
    }

    /// The newest write level that this build reads.
    pub fn newest_level(&self) -> WriteLevel {
        self.newest
    }

    /// Raises the write level; call it once all nodes can read it, see [`WriteLevel`].
    ///
    /// # Errors
    /// [`Error::OtherBuild`] if this build can't read it; otherwise if it can't be written.
    pub async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error> {
        if to > self.newest {
            return Err(Error::OtherBuild(format!(
                "the write level can't be raised to {to}: this build reads levels up to {}; raise it with a newer one",
                self.newest
            )));
        }
        self.store.raise_write_level(to).await
    }

    /// Events of a pipeline, ready to be appended.
    ///
    /// # Errors
    /// [`Error::OtherBuild`] if this build may not write; [`Error::Corrupt`] if one can't be written as JSON.
    pub fn encoded(&self, pipeline: &PipelineId, events: &[RecordedEvent]) -> Result<Vec<Encoded>, Error> {
        let level = self.write_level()?;
        events.iter().map(|event| Encoded::new(pipeline, event, level)).collect()
    }

    /// Takes over a shard whose epoch is `expected`. A repeated call of the same holder takes effect once.
    ///
    /// # Errors
    /// [`Error::OtherBuild`] if this build may not write; otherwise if the store can't be asked.
    pub async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error> {
        self.write_level()?;
        self.store.claim(shard, expected, holder).await
    }

    /// Takes over a shard from any holder, for a node that was assigned the shard. A node that has only lost track of
    /// its own append [claims](Self::claim) the epoch it holds, and so never takes a shard back from its successor.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub async fn take_over(&self, shard: ShardId, holder: &Holder) -> Result<Head, Error> {
        let mut expected = self.head(shard).await?.epoch;
        loop {
            match self.claim(shard, expected, holder).await? {
                Claim::Claimed(head) => return Ok(head),
                Claim::Held(head) => expected = head.epoch,
            }
        }
    }

    /// The head of a shard.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub async fn head(&self, shard: ShardId) -> Result<Head, Error> {
        self.store.head(shard).await
    }

    /// Lists the epochs of those of these shards that were ever claimed, unordered, without claiming any. A node that finds
    /// an epoch higher than its own has been replaced.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.store.epochs(of).await
    }

    /// Appends events at `next`, all or none, if the head is still `(epoch, next)`. Events too long for the log, or too
    /// long together for one append, are first stored as chunks.
    pub async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, events: &[Encoded]) -> Appended {
        let rows = match overflow::rows(&*self.store, shard, epoch, next, events).await {
            Ok(rows) => rows,
            Err(Error::Unavailable(why)) => {
                tracing::debug!(%shard, %epoch, %next, why, "the chunks of an append could not be stored");
                return Appended::NotWritten;
            }
            Err(error) => return Appended::Refused(error.to_string()),
        };
        let bytes = overflow::bytes(&rows);
        if bytes > MAX_APPEND_BYTES {
            return Appended::Refused(format!("an append of {bytes} bytes; the limit is {MAX_APPEND_BYTES}"));
        }
        self.store.append(shard, epoch, next, rows).await
    }

    /// Reads from a place on, about `limit` events at most. An empty run whose `next` is `from` marks the end.
    ///
    /// # Errors
    /// [`Error::Trimmed`] if progress from that place on was compacted away.
    pub async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Run, Error> {
        let limit = limit.max(1);
        let page = self.store.read(shard, from, limit).await?;
        let next = range::covered(shard, from, limit, &page)?;
        Ok(Run { entries: self.entries(shard, page.rows).await?, next })
    }

    /// Reads lifecycle events of one pipeline after a number, for its history: everything but progress, see
    /// [`Kind`](crate::stored::Kind).
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn history(&self, pipeline: &PipelineId, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        self.told(pipeline, Span::After(after), limit).await
    }

    /// Reads the same events from the newest back, or from before `before` if it is given.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn history_before(
        &self,
        pipeline: &PipelineId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.told(pipeline, Span::Before(before.unwrap_or(u64::MAX)), limit).await
    }

    async fn told(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Entry>, Error> {
        let rows = self.store.history(pipeline, span, limit).await?;
        self.entries(ShardId::of(pipeline), rows).await
    }

    /// Drops progress events before `before`, limited by the slowest reader, which can hold back [`MAX_HELD_BACK`]
    /// events at most. `before` is not after the last snapshot; fenced by `epoch`. Lifecycle events stay: they are
    /// history.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Corrupt`] if the place lies elsewhere.
    pub async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error> {
        let readers = self.store.readers(shard).await?;
        let before = held_back(before, readers.into_iter().map(|(_, next)| next));
        self.store.compact(shard, epoch, before).await?;
        overflow::collect(&*self.store, shard, before).await
    }

    /// Records that a reader has read a shard's log up to `next`: events from there on are kept for it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn note_reader(&self, reader: &str, shard: ShardId, next: Seq) -> Result<(), Error> {
        self.store.note_reader(reader, shard, Some(next)).await
    }

    /// Forgets a reader: nothing is kept for it any more.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn forget_reader(&self, reader: &str, shard: ShardId) -> Result<(), Error> {
        self.store.note_reader(reader, shard, None).await
    }

    /// Stores a chunk durably. Storing the same content again is fine.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it exists with other content.
    pub async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.store.put_chunk(id, body).await
    }

    /// Stores a chunk that an event is about to name: it becomes durable with the next append that begins after this
    /// has returned. A store that keeps chunks and log in one place saves a wait for the disk.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it exists with other content.
    pub async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.store.stage_chunk(id, body).await
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        self.store.chunk(id).await
    }

    /// Returns the names of all chunks of a scope.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn chunks(&self, of: &Scope) -> Result<Vec<ChunkId>, Error> {
        listed::all(&*self.store, of).await
    }

    /// Removes chunks; absent ones are ignored. A removed chunk may reappear after a power failure.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        self.store.remove_chunks(ids).await
    }

    /// Returns why nothing can be written now, as far as known; see [`Log::unwritable`](crate::store::Log::unwritable).
    pub fn unwritable(&self) -> Option<String> {
        self.store.unwritable()
    }

    pub(crate) async fn entries(&self, shard: ShardId, rows: Vec<Row>) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let row = overflow::fetched(&*self.store, shard, row).await?;
            entries.push(range::entry(shard, row, self.newest)?);
        }
        Ok(entries)
    }
}

/// Limits `before` to what readers at these places have already read.
fn held_back(before: Seq, readers: impl Iterator<Item = Seq>) -> Seq {
    let slowest = readers.min().unwrap_or(before);
    before.min(slowest.max(Seq(before.0.saturating_sub(MAX_HELD_BACK))))
}

#[cfg(test)]
mod tests {
    use super::{MAX_HELD_BACK, held_back};
    use dataflow_core::id::Seq;

    #[test]
    fn the_slowest_reader_holds_back_up_to_a_bound() {
        let before = MAX_HELD_BACK + 500;
        for (readers, expected) in [
            (&[][..], before),
            (&[before + 7], before),
            (&[before - 1, before - 3], before - 3),
            (&[501], 501),
            (&[500], 500),
            (&[499], 500),
            (&[1, before], 500),
        ] {
            assert_eq!(held_back(Seq(before), readers.iter().copied().map(Seq)), Seq(expected), "{readers:?}");
        }
    }
}
