//! A store that fails as real ones do: for tests of code that uses a store.
use crate::{
    Appended, Claim, Error, Head, Holder, Snapshot, Store, WriteLevel,
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
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The fault of one call. An append answers `Unknown` to all but [`Fault::Slow`], any other call `Unavailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// The answer is delayed by this time.
    Slow(Duration),
    /// The call never reaches the store.
    Before,
    /// The call is carried out, but its answer is lost.
    After,
    /// An append is carried out later: before the next claim or append through this handle. Any other call: as
    /// [`Fault::Before`].
    Late,
}

/// How often each fault is drawn, per thousand calls; together at most 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chances {
    /// [`Fault::Slow`], of 1 to 20 ms.
    pub slow: u16,
    /// [`Fault::Before`].
    pub before: u16,
    /// [`Fault::After`].
    pub after: u16,
    /// [`Fault::Late`].
    pub late: u16,
}

impl Default for Chances {
    fn default() -> Self {
        Self { slow: 50, before: 70, after: 70, late: 60 }
    }
}

#[derive(Debug)]
enum Plan {
    Seeded { state: u64, chances: Chances },
    Scripted(VecDeque<Fault>),
}

#[derive(Debug)]
struct Delayed {
    shard: ShardId,
    epoch: Epoch,
    next_seq: Seq,
    rows: Vec<Row>,
}

/// A store with faults drawn from a seed or taken from a script. The same calls in the same order get the same faults.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    plan: Mutex<Plan>,
    late: Mutex<Vec<Delayed>>,
    /// Whether the last call went wrong.
    failed: AtomicBool,
}

impl<S: Store> Faulty<S> {
    /// Draws a fault for each call from a seed.
    pub fn seeded(inner: S, seed: u64, chances: Chances) -> Self {
        Self {
            inner,
            plan: Mutex::new(Plan::Seeded { state: seed, chances }),
            late: Mutex::default(),
            failed: AtomicBool::default(),
        }
    }

    /// Takes a fault for each call from a list; calls after its end have no fault.
    pub fn scripted(inner: S, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            inner,
            plan: Mutex::new(Plan::Scripted(faults.into_iter().collect())),
            late: Mutex::default(),
            failed: AtomicBool::default(),
        }
    }

    /// The wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Replaces the list: the next calls take these faults, later ones none.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        *lock(&self.plan) = Plan::Scripted(faults.into_iter().collect());
    }

    fn draw(&self) -> Fault {
        let fault = self.next();
        self.failed.store(!matches!(fault, Fault::None | Fault::Slow(_)), Ordering::Relaxed);
        fault
    }

    fn next(&self) -> Fault {
        match &mut *lock(&self.plan) {
            Plan::Scripted(faults) => faults.pop_front().unwrap_or(Fault::None),
            Plan::Seeded { state, chances } => {
                let drawn = mix(state);
                let mut left = (drawn % 1_000) as u16;
                let choices = [
                    (chances.slow, Fault::Slow(Duration::from_millis(1 + (drawn >> 32) % 20))),
                    (chances.before, Fault::Before),
                    (chances.after, Fault::After),
                    (chances.late, Fault::Late),
                ];
                for (chance, fault) in choices {
                    if left < chance {
                        return fault;
                    }
                    left -= chance;
                }
                Fault::None
            }
        }
    }

    async fn land_late(&self) {
        let late = std::mem::take(&mut *lock(&self.late));
        for Delayed { shard, epoch, next_seq, rows } in late {
            self.inner.append(shard, epoch, next_seq, rows).await;
        }
    }

    /// Applies the next fault to a call whose outcome is known only from its answer.
    async fn meet<T>(&self, call: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let lost = |when: &str| Err(Error::Unavailable(format!("a fault was injected {when} the call")));
        match self.draw() {
            Fault::None => call.await,
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::Before | Fault::Late => lost("before"),
            Fault::After => call.await.and_then(|_| lost("after")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SplitMix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[async_trait]
impl<S: Store> Log for Faulty<S> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn write_level(&self) -> WriteLevel {
        self.inner.write_level()
    }

    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error> {
        self.meet(self.inner.raise_write_level(to)).await
    }

    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error> {
        self.land_late().await;
        self.meet(self.inner.claim(shard, expected, holder)).await
    }

    async fn head(&self, shard: ShardId) -> Result<Head, Error> {
        self.meet(self.inner.head(shard)).await
    }

    async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error> {
        self.inner.epochs(of).await
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended {
        self.land_late().await;
        match self.draw() {
            Fault::None => self.inner.append(shard, epoch, next, rows).await,
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                self.inner.append(shard, epoch, next, rows).await
            }
            Fault::Before => Appended::Unknown,
            Fault::After => {
                self.inner.append(shard, epoch, next, rows).await;
                Appended::Unknown
            }
            Fault::Late => {
                lock(&self.late).push(Delayed { shard, epoch, next_seq: next, rows });
                Appended::Unknown
            }
        }
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error> {
        self.meet(self.inner.read(shard, from, limit)).await
    }

    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error> {
        self.meet(self.inner.history(pipeline, span, limit)).await
    }

    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error> {
        self.meet(self.inner.compact(shard, epoch, before)).await
    }

    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error> {
        self.meet(self.inner.note_reader(reader, shard, next)).await
    }

    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error> {
        self.meet(self.inner.readers(shard)).await
    }

    fn unwritable(&self) -> Option<String> {
        let failed = self.failed.load(Ordering::Relaxed).then(|| "a fault was injected".to_owned());
        failed.or_else(|| self.inner.unwritable())
    }
}

#[async_trait]
impl<S: Store> Snapshots for Faulty<S> {
    async fn snapshot(&self, shard: ShardId, epoch: Epoch, next: Seq, changed: Vec<Snapshot>) -> Result<(), Error> {
        self.meet(self.inner.snapshot(shard, epoch, next, changed)).await
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        self.meet(self.inner.snapshots(shard)).await
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error> {
        self.meet(self.inner.load(pipeline)).await
    }
}

#[async_trait]
impl<S: Store> Chunks for Faulty<S> {
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.meet(self.inner.put_chunk(id, body)).await
    }

    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        self.meet(self.inner.stage_chunk(id, body)).await
    }

    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        self.meet(self.inner.chunk(id)).await
    }

    async fn chunks(&self, of: &Scope, after: Option<&ChunkId>, limit: usize) -> Result<Vec<ChunkId>, Error> {
        self.meet(self.inner.chunks(of, after, limit)).await
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        self.meet(self.inner.remove_chunks(ids)).await
    }
}
