//! An owner of a shard that, like the engine, settles unknown outcomes.
use crate::{Appended, Claim, Encoded, Entry, Error, Holder, Journal};
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a call without an answer is repeated.
const PATIENCE: usize = 200;

/// Repeats a call while the journal is unavailable.
pub async fn patient<T, F: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> F) -> Result<T, Error> {
    for _ in 0..PATIENCE {
        match call().await {
            Err(Error::Unavailable(_)) => {}
            answer => return answer,
        }
    }
    Err(Error::Unavailable(format!("{PATIENCE} times in a row")))
}

/// Encodes events for an append to a journal.
///
/// # Panics
/// If one can't be encoded.
pub fn encoded(journal: &Journal, events: &[(PipelineId, RecordedEvent)]) -> Vec<Encoded> {
    let level = journal.write_level().expect("this build may write");
    events.iter().map(|(pipeline, event)| Encoded::new(pipeline, event, level).expect("encoded")).collect()
}

/// A holder with a unique name.
pub fn holder() -> Holder {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Holder::new(format!("node-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// The owner of a shard.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// The journal that it writes to.
    pub journal: &'a Journal,
    /// Its name as a holder.
    pub holder: Holder,
    /// The shard.
    pub shard: ShardId,
    /// The epoch it holds.
    pub epoch: Epoch,
    /// The place of its next event.
    pub next: Seq,
}

impl<'a> Owner<'a> {
    /// Takes a shard over.
    pub async fn claim(journal: &'a Journal, shard: ShardId) -> Self {
        let holder = holder();
        let head = patient(|| journal.take_over(shard, &holder)).await.expect("claimed");
        Self { journal, holder, shard, epoch: head.epoch, next: head.next_seq }
    }

    /// Appends once, at its own place; repeats only what was certainly not carried out or is certainly fenced. Settles
    /// an unknown outcome: claims, reads from the place on, and looks for the first event's command.
    pub async fn try_append(&mut self, events: &[(PipelineId, RecordedEvent)]) -> Appended {
        for _ in 0..PATIENCE {
            match self.journal.append(self.shard, self.epoch, self.next, &encoded(self.journal, events)).await {
                Appended::Applied => {
                    self.next = Seq(self.next.0 + events.len() as u64);
                    return Appended::Applied;
                }
                known @ (Appended::Fenced | Appended::Refused(_)) => return known,
                Appended::NotWritten => {}
                Appended::Unknown => {
                    let from = self.next;
                    let claim = || self.journal.claim(self.shard, self.epoch, &self.holder);
                    match patient(claim).await.expect("answered") {
                        Claim::Claimed(head) => (self.epoch, self.next) = (head.epoch, head.next_seq),
                        Claim::Held(_) => return Appended::Fenced,
                    }
                    let written = all(self.journal, self.shard, from).await;
                    let Some((_, first)) = events.first() else { continue };
                    if written.iter().any(|entry| entry.seq == from && entry.event.command == first.command) {
                        assert_eq!(self.next.0, from.0 + events.len() as u64, "an append is all or none");
                        return Appended::Applied;
                    }
                    assert_eq!(self.next, from, "nobody else wrote");
                }
            }
        }
        Appended::Unknown
    }

    /// Appends, and expects not to be fenced.
    pub async fn append(&mut self, events: &[(PipelineId, RecordedEvent)]) {
        assert_eq!(self.try_append(events).await, Appended::Applied);
    }

    /// Appends with an outdated head; asks again if an answer was lost, which is safe for a fenced writer.
    pub async fn append_as_zombie(&self, epoch: Epoch, next: Seq, events: &[(PipelineId, RecordedEvent)]) -> Appended {
        for _ in 0..PATIENCE {
            match self.journal.append(self.shard, epoch, next, &encoded(self.journal, events)).await {
                Appended::Unknown | Appended::NotWritten => {}
                known => return known,
            }
        }
        Appended::Unknown
    }
}

/// All entries from a place on.
pub(super) async fn all(journal: &Journal, shard: ShardId, from: Seq) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = from;
    loop {
        let run = patient(|| journal.read(shard, at, 100)).await.expect("read");
        assert!(run.entries.iter().all(|entry| entry.seq >= at && entry.seq < run.next), "a run lies in its range");
        if run.next == at {
            assert!(run.entries.is_empty(), "a run that goes nowhere is empty");
            return entries;
        }
        entries.extend(run.entries);
        at = run.next;
    }
}
