//! The one writer of a shard's log: appends what entities decide, many at once, one append in flight; settles unknown
//! outcomes; takes snapshots.
use super::{Slot, stored};
use crate::parts::{Clock, Spawner};
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::Event,
    shard::ShardId,
};
use dataflow_journal::{Appended, Error, Head, Journal, Snapshot};
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
    /// The node is going down.
    #[error("the node is shutting down")]
    Closed,
}

struct Append {
    slot: Arc<Slot>,
    events: Vec<Event>,
    done: oneshot::Sender<Result<(), AppendError>>,
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
    pub(crate) changed: BTreeMap<PipelineId, Arc<Slot>>,
    /// Number of events: a node that crashes often takes its snapshots all the same.
    pub(crate) events: usize,
}

/// The door to a shard's log.
#[derive(Clone, Debug)]
pub(crate) struct ShardLog {
    requests: mpsc::Sender<Request>,
    epoch: Arc<AtomicU64>,
    /// Another node owns the shard: nothing of it may be done here any more.
    lost: CancellationToken,
    /// Pipelines that have changed since the last snapshot: their state stays in memory until the next.
    changed: Arc<Mutex<BTreeMap<PipelineId, Arc<Slot>>>>,
}

impl ShardLog {
    /// Starts the writer of a shard that was claimed.
    pub(crate) fn start(
        shard: ShardId,
        head: Head,
        tail: Tail,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        spawner: &dyn Spawner,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(256);
        let epoch = Arc::new(AtomicU64::new(head.epoch.0));
        let (changed, lost) = (Arc::new(Mutex::new(tail.changed)), CancellationToken::new());
        let writer = Writer {
            shard,
            head,
            epoch: epoch.clone(),
            changed: changed.clone(),
            journal,
            clock,
            since_snapshot: tail.events,
            snapshot_bytes: 0,
            appended_bytes: 0,
            lost: lost.clone(),
        };
        spawner.spawn("shard log", Box::pin(writer.run(inbox)));
        Self { requests, epoch, lost, changed }
    }

    /// Appends events of a pipeline and takes them into its state.
    pub(crate) async fn append(&self, slot: &Arc<Slot>, events: Vec<Event>) -> Result<(), AppendError> {
        let (done, outcome) = oneshot::channel();
        let request = Request::Append(Append { slot: slot.clone(), events, done });
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
    pub(crate) fn changed(&self, pipeline: &PipelineId) -> Option<Arc<Slot>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(pipeline).cloned()
    }
}

struct Writer {
    shard: ShardId,
    head: Head,
    epoch: Arc<AtomicU64>,
    changed: Arc<Mutex<BTreeMap<PipelineId, Arc<Slot>>>>,
    journal: Arc<dyn Journal>,
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
            let mut group = vec![first];
            let mut events = group[0].events.len();
            while events < MAX_EVENTS {
                match inbox.try_recv() {
                    Ok(Request::Append(append)) => {
                        events += append.events.len();
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
        let events: Vec<(PipelineId, Event)> = group
            .iter()
            .flat_map(|append| append.events.iter().map(|event| (append.slot.pipeline.clone(), event.clone())))
            .collect();
        if !self.write(&events).await {
            self.lost.cancel();
            tracing::warn!(shard = self.shard.0, epoch = self.head.epoch.0, "the shard was taken over by another node");
            return answer(group, |_| Err(AppendError::Fenced));
        }
        self.head.next_seq = Seq(self.head.next_seq.0 + events.len() as u64);
        self.since_snapshot += events.len();
        self.appended_bytes += events.len() * 256;
        {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            for append in &group {
                changed.insert(append.slot.pipeline.clone(), append.slot.clone());
            }
        }
        answer(group, |append| {
            append.slot.apply(&append.events).map_err(|error| {
                // What is left of the state is no snapshot's: it is read from the journal again.
                self.changed.lock().unwrap_or_else(PoisonError::into_inner).remove(&append.slot.pipeline);
                AppendError::Corrupt(error.to_string())
            })
        });
    }

    /// Writes until the outcome is known; false: fenced.
    async fn write(&mut self, events: &[(PipelineId, Event)]) -> bool {
        loop {
            match self.journal.append(self.shard, self.head.epoch, self.head.next_seq, events).await {
                Appended::Applied => return true,
                Appended::Fenced => return false,
                Appended::Unknown => match self.settle(events).await {
                    Settled::Applied => return true,
                    Settled::NotApplied => tokio::time::sleep(RETRY).await,
                    Settled::TakenOver => return false,
                },
            }
        }
    }

    /// Settles an unknown outcome: after a new claim nothing of the old epoch can be written any more, so reading the
    /// log tells. Whoever else wrote there meanwhile owns the shard.
    async fn settle(&mut self, events: &[(PipelineId, Event)]) -> Settled {
        let mut own = self.head.epoch;
        loop {
            // Who has been replaced may not take the shard back: it would only fence its successor.
            if let Ok(epochs) = self.journal.epochs().await
                && let Some((_, epoch)) = epochs.into_iter().find(|(shard, _)| *shard == self.shard)
            {
                if epoch > own {
                    return Settled::TakenOver;
                }
                own = epoch; // claims that failed so far have raised it so far
            }
            // Of this claim only the answer may be lost.
            own = own.next();
            let looked = async {
                let head = self.journal.claim(self.shard).await?;
                let run = self.journal.read(self.shard, self.head.next_seq, events.len() + 1).await?;
                Ok::<_, Error>((head, run))
            };
            match looked.await {
                Ok((head, run)) => {
                    let ours = run.entries.len() == events.len()
                        && run
                            .entries
                            .iter()
                            .zip(events)
                            .all(|(entry, (pipeline, event))| entry.pipeline == *pipeline && entry.event == *event);
                    if !ours && !run.entries.is_empty() {
                        return Settled::TakenOver;
                    }
                    self.head.epoch = head.epoch;
                    self.epoch.store(head.epoch.0, Ordering::Release);
                    return if ours { Settled::Applied } else { Settled::NotApplied };
                }
                Err(error) => {
                    // The node says once that its journal can't be written.
                    tracing::debug!(shard = self.shard.0, %error, "the outcome of an append is unknown; asking again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Stores the states of all pipelines that changed since the last snapshot. If it fails, the next one covers them.
    async fn snapshot(&mut self) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if changed.is_empty() || self.lost.is_cancelled() {
            return;
        }
        let started = self.clock.now();
        let mut snapshots = Vec::with_capacity(changed.len());
        for (pipeline, slot) in &changed {
            match stored::encode(&slot.state()) {
                Ok(state) => snapshots.push(Snapshot { pipeline: pipeline.clone(), state }),
                Err(error) => {
                    tracing::error!(%pipeline, %error, "the state can't be serialized; no snapshot is taken");
                    return;
                }
            }
        }
        let bytes = snapshots.iter().map(|snapshot| snapshot.state.len()).sum();
        match self.journal.snapshot(self.shard, self.head.epoch, self.head.next_seq, &snapshots, &[]).await {
            Ok(()) => {
                self.since_snapshot = 0;
                self.appended_bytes = 0;
                self.snapshot_bytes = bytes;
                self.changed.lock().unwrap_or_else(PoisonError::into_inner).clear();
                let took = self.clock.now().millis() - started.millis();
                tracing::debug!(shard = self.shard.0, pipelines = snapshots.len(), bytes, took, "snapshot taken");
            }
            Err(error) => {
                tracing::warn!(shard = self.shard.0, %error, "no snapshot could be taken; the log stays longer")
            }
        }
    }
}

enum Settled {
    Applied,
    NotApplied,
    TakenOver,
}

fn answer(group: Vec<Append>, outcome: impl Fn(&Append) -> Result<(), AppendError>) {
    for append in group {
        let outcome = outcome(&append);
        if append.done.send(outcome).is_err() {
            tracing::trace!("nobody waits for this append any more");
        }
    }
}
