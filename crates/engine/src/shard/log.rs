//! The one writer of a shard's log: appends what entities decide, many at once, one append in flight; settles unknown
//! outcomes; takes snapshots.
mod snapshot;

use super::PipelineCell;
use crate::parts::{Clock, Spawner};
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use dataflow_journal::{Appended, Claim, Encoded, Error, Head, Holder, Journal, MAX_APPEND_BYTES};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Most events in one append.
const MAX_EVENTS: usize = 200;
/// Events after which a snapshot is taken: more than these are never read when the node starts, in each of 256 shards.
const SNAPSHOT_EVENTS: usize = 250;
/// After so long without an event a snapshot is taken, too.
const QUIET: Duration = Duration::from_secs(60);
/// Wait between tries while the journal can't be reached.
const RETRY: Duration = Duration::from_millis(200);

/// Why events were not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Another node owns the shard now.
    #[error("another node has taken over this shard")]
    Fenced,
    /// The history does not fit the state: a bug, or a damaged journal.
    #[error("{0}")]
    Corrupt(String),
    /// These events can't be journalled. Nothing was written, and the state is what it was.
    #[error("it can't be journalled: {0}")]
    Refused(String),
    /// The node is going down.
    #[error("the node is shutting down")]
    Closed,
}

struct Append {
    cell: Arc<PipelineCell>,
    events: Vec<RecordedEvent>,
    encoded: Vec<Encoded>,
    done: oneshot::Sender<Result<(), AppendError>>,
}

impl Append {
    /// Bytes that it takes in the log.
    fn bytes(&self) -> usize {
        self.encoded.iter().map(Encoded::bytes).sum()
    }
}

enum Request {
    Append(Append),
    Snapshot(oneshot::Sender<()>),
    /// The journal has this epoch.
    Seen(Epoch),
}

/// What a shard's log holds beyond its last snapshot.
pub(crate) struct Tail {
    /// Pipelines that have changed.
    pub(crate) changed: BTreeMap<PipelineId, Arc<PipelineCell>>,
    /// Number of events: a node that crashes often takes its snapshots all the same.
    pub(crate) events: usize,
}

/// The door to a shard's log.
#[derive(Clone, Debug)]
pub(crate) struct ShardLog {
    journal: Journal,
    requests: mpsc::Sender<Request>,
    epoch: Arc<AtomicU64>,
    openings: Arc<AtomicU64>,
    /// Another node owns the shard: nothing of it may be done here any more.
    lost: CancellationToken,
    /// Pipelines that have changed since the last snapshot: their state stays in memory until the next.
    changed: Arc<Mutex<BTreeMap<PipelineId, Arc<PipelineCell>>>>,
}

impl ShardLog {
    /// Starts the writer of a shard that was claimed by this holder.
    pub(crate) fn start(
        shard: ShardId,
        (holder, head): (Holder, Head),
        tail: Tail,
        openings: Arc<AtomicU64>,
        journal: Journal,
        clock: Arc<dyn Clock>,
        spawner: &dyn Spawner,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(256);
        let epoch = Arc::new(AtomicU64::new(head.epoch.0));
        let (changed, lost) = (Arc::new(Mutex::new(tail.changed)), CancellationToken::new());
        let writer = Writer {
            journal: journal.clone(),
            shard,
            holder,
            head,
            epoch: epoch.clone(),
            changed: changed.clone(),
            clock,
            since_snapshot: tail.events,
            snapshot_bytes: 0,
            appended_bytes: 0,
            lost: lost.clone(),
        };
        spawner.spawn("shard log", Box::pin(writer.run(inbox)));
        Self { journal, requests, epoch, openings, lost, changed }
    }

    /// Appends events of a pipeline and takes them into its state.
    pub(crate) async fn append(&self, cell: &Arc<PipelineCell>, events: Vec<RecordedEvent>) -> Result<(), AppendError> {
        let encoded =
            self.journal.encoded(&cell.pipeline, &events).map_err(|error| AppendError::Refused(error.to_string()))?;
        let (done, outcome) = oneshot::channel();
        let request = Request::Append(Append { cell: cell.clone(), events, encoded, done });
        self.requests.send(request).await.map_err(|_| AppendError::Closed)?;
        outcome.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Takes a snapshot now, if anything has changed.
    pub(crate) async fn snapshot(&self) {
        let (done, outcome) = oneshot::channel();
        if self.requests.send(Request::Snapshot(done)).await.is_ok() && outcome.await.is_err() {
            tracing::debug!("the shard's log closed before its snapshot was taken");
        }
    }

    /// The epoch that this node holds.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// A number for whoever opens lanes of this shard next. Each is greater than all before it, as long as the node owns the
    /// shard, wherever the lanes are opened; the next owner has a higher epoch.
    pub(crate) fn opening(&self) -> u64 {
        self.openings.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The journal has this epoch. If it is not this node's, another one owns the shard.
    pub(crate) fn seen(&self, epoch: Epoch) {
        // The writer may just be claiming anew itself, so it is the one to judge. If it is busy, there is a next time.
        if epoch > self.epoch()
            && let Err(error) = self.requests.try_send(Request::Seen(epoch))
        {
            tracing::debug!(%error, "a shard's writer is too busy to be told its epoch");
        }
    }

    /// Cancelled once another node owns the shard.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// The state of a pipeline that has changed since the last snapshot.
    pub(crate) fn changed(&self, pipeline: &PipelineId) -> Option<Arc<PipelineCell>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(pipeline).cloned()
    }
}

struct Writer {
    shard: ShardId,
    holder: Holder,
    head: Head,
    epoch: Arc<AtomicU64>,
    changed: Arc<Mutex<BTreeMap<PipelineId, Arc<PipelineCell>>>>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    since_snapshot: usize,
    snapshot_bytes: usize,
    appended_bytes: usize,
    lost: CancellationToken,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(request) => request,
                None => match self.next(&mut inbox).await {
                    Some(request) => request,
                    None => return,
                },
            };
            let first = match first {
                Request::Append(append) => append,
                Request::Snapshot(done) => {
                    self.snapshot().await;
                    if done.send(()).is_err() {
                        tracing::trace!("nobody waits for the snapshot");
                    }
                    continue;
                }
                Request::Seen(epoch) => {
                    if epoch > self.head.epoch {
                        self.lost.cancel();
                    }
                    continue;
                }
            };
            let (mut events, mut bytes) = (first.events.len(), first.bytes());
            let mut group = vec![first];
            while events < MAX_EVENTS {
                match inbox.try_recv() {
                    Ok(Request::Append(append)) if bytes + append.bytes() <= MAX_APPEND_BYTES => {
                        events += append.events.len();
                        bytes += append.bytes();
                        group.push(append);
                    }
                    Ok(other) => {
                        carried = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.append(group).await;
            // Amortised: a snapshot is taken once as much was appended as it will write.
            if self.since_snapshot >= SNAPSHOT_EVENTS && self.appended_bytes >= self.snapshot_bytes {
                self.snapshot().await;
            }
        }
    }

    /// What comes next. If nothing does for a while, a snapshot is taken first: then the states of those that rest leave
    /// memory, and a node that starts after a crash has them at hand.
    async fn next(&mut self, inbox: &mut mpsc::Receiver<Request>) -> Option<Request> {
        if self.since_snapshot > 0 {
            match tokio::time::timeout(QUIET, inbox.recv()).await {
                Ok(request) => return request,
                Err(_) => self.snapshot().await,
            }
        }
        inbox.recv().await
    }

    async fn append(&mut self, group: Vec<Append>) {
        if self.lost.is_cancelled() {
            return answer(group, |_| Err(AppendError::Fenced));
        }
        let events: Vec<Encoded> = group.iter().flat_map(|append| append.encoded.clone()).collect();
        match self.write(&events).await {
            Written::Applied => {}
            Written::TakenOver => {
                self.lost.cancel();
                let epoch = self.head.epoch.0;
                tracing::warn!(shard = self.shard.0, epoch, "the shard was taken over by another node");
                return answer(group, |_| Err(AppendError::Fenced));
            }
            Written::Damaged(why) => {
                self.lost.cancel();
                tracing::error!(
                    shard = self.shard.0,
                    "releasing the shard: the outcome of its last append is unknown: {why}"
                );
                return answer(group, |_| Err(AppendError::Corrupt(why.clone())));
            }
            Written::Refused(why) if group.len() == 1 => {
                return answer(group, |_| Err(AppendError::Refused(why.clone())));
            }
            // Whoever it is of them, the others have nothing to do with it.
            Written::Refused(_) => {
                for append in group {
                    Box::pin(self.append(vec![append])).await;
                }
                return;
            }
        }
        self.head.next_seq = Seq(self.head.next_seq.0 + events.len() as u64);
        self.since_snapshot += events.len();
        self.appended_bytes += events.len() * 256;
        {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            for append in &group {
                changed.insert(append.cell.pipeline.clone(), append.cell.clone());
            }
        }
        answer(group, |append| {
            append.cell.apply(&append.events).map_err(|error| {
                // What is left of the state is no snapshot's: it is read from the journal again.
                self.changed.lock().unwrap_or_else(PoisonError::into_inner).remove(&append.cell.pipeline);
                AppendError::Corrupt(error.to_string())
            })
        });
    }

    /// Writes until the outcome is known.
    async fn write(&mut self, events: &[Encoded]) -> Written {
        loop {
            match self.journal.append(self.shard, self.head.epoch, self.head.next_seq, events).await {
                Appended::Applied => return Written::Applied,
                Appended::Fenced => return Written::TakenOver,
                Appended::Refused(why) => return Written::Refused(why),
                Appended::NotWritten => tokio::time::sleep(RETRY).await,
                Appended::Unknown => match self.settle(events).await {
                    Some(written) => return written,
                    None => tokio::time::sleep(RETRY).await,
                },
            }
        }
    }

    /// Settles an unknown outcome; none if nothing was written: after a new claim nothing of the old epoch can be written any
    /// more, so reading the log tells. Who has been replaced meanwhile can't claim, and so never fences its successor.
    async fn settle(&mut self, events: &[Encoded]) -> Option<Written> {
        loop {
            let looked = async {
                let head = match self.journal.claim(self.shard, self.head.epoch, &self.holder).await? {
                    Claim::Claimed(head) => head,
                    Claim::Held(_) => return Ok(None),
                };
                let run = self.journal.read(self.shard, self.head.next_seq, events.len() + 1).await?;
                Ok::<_, Error>(Some((head, run)))
            };
            match looked.await {
                Ok(None) => return Some(Written::TakenOver),
                Ok(Some((head, run))) => {
                    self.head.epoch = head.epoch;
                    self.epoch.store(head.epoch.0, Ordering::Release);
                    return match run.entries.len() {
                        0 => None,
                        written if written == events.len() => Some(Written::Applied),
                        // An append is all or none, and nobody else can have written.
                        other => {
                            let appended = events.len();
                            Some(Written::Damaged(format!("found {other} events where {appended} were appended")))
                        }
                    };
                }
                // The node says once that its journal can't be written.
                Err(error @ (Error::Unavailable(_) | Error::Fenced { .. })) => {
                    tracing::debug!(shard = self.shard.0, %error, "the outcome of an append is unknown; asking again");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Some(Written::Damaged(error.to_string())),
            }
        }
    }
}

/// What became of an append, once that is known.
enum Written {
    Applied,
    TakenOver,
    /// It can't be written, and never could be.
    Refused(String),
    /// What became of it can't be told.
    Damaged(String),
}

fn answer(group: Vec<Append>, outcome: impl Fn(&Append) -> Result<(), AppendError>) {
    for append in group {
        let outcome = outcome(&append);
        if append.done.send(outcome).is_err() {
            tracing::trace!("nobody waits for this append any more");
        }
    }
}

#[cfg(test)]
mod tests;
