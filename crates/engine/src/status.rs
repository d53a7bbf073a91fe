//! What a run says of itself while it runs: the ledger ahead of the journal, what is in flight, what is wrong.
use crate::{directory::Directory, telemetry};
use dataflow_core::{
    id::PipelineId,
    ledger::Counters,
    position::Positions,
    time::Timestamp,
    token::Token,
    warned::{Warned, Warnings},
};
use dataflow_sdk::batch::Warning;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// How far back the rate looks, in milliseconds.
const RATE_WINDOW: i64 = 10_000;

/// What a run says of itself.
#[derive(Debug)]
pub(crate) struct RunStatus {
    pipeline: PipelineId,
    directory: Arc<Directory>,
    inner: Mutex<Inner>,
    committed: watch::Sender<u64>,
    /// Somebody waits for the next checkpoint.
    checkpoint_wanted: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    /// By lane.
    pub(crate) lanes: BTreeMap<u32, LaneStatus>,
    /// What is wrong with the run as a whole, while it is tried again.
    trouble: Option<Trouble>,
    /// What is wrong with one of several lanes, while the others go on.
    of_lanes: BTreeMap<u32, Trouble>,
    /// Worth knowing of source and sink, and of no record in particular.
    pub(crate) noted: Warnings,
    /// (when, records committed) of the last seconds.
    rate: VecDeque<(Timestamp, u64)>,
}

/// One lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneStatus {
    /// Counts of this generation, all of them durable.
    pub(crate) committed: Counters,
    /// Read in this run and in no durable commit yet.
    pub(crate) in_flight: u64,
    /// What waits at the source.
    pub(crate) lag: Option<u64>,
    /// Where the lane is.
    pub(crate) positions: Arc<Positions>,
    /// What was to be said of the records committed since the spec last changed.
    pub(crate) warned: Warnings,
    /// Its last durable commit, if this run has made one.
    pub(crate) token: Option<Arc<Token>>,
}

/// What is wrong while the run tries again.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) stage: String,
    /// None: in none in particular.
    pub(crate) lane: Option<u32>,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
    pub(crate) since: Timestamp,
    pub(crate) attempts: u32,
    /// By the clock that nobody sets.
    pub(crate) retry: Option<Instant>,
}

impl Inner {
    /// Whether users were told of this, in this run or an earlier one.
    fn has_told(&self, warned: &Warned) -> bool {
        let of_lanes = self.lanes.values().map(|lane| &lane.warned);
        of_lanes.chain([&self.noted]).any(|told| told.get(&warned.code, &warned.subject).is_some())
    }
}

impl RunStatus {
    pub(crate) fn new(pipeline: PipelineId, directory: Arc<Directory>) -> Self {
        Self {
            pipeline,
            directory,
            inner: Mutex::default(),
            committed: watch::Sender::new(0),
            checkpoint_wanted: Notify::new(),
        }
    }

    /// All of it, consistently. Never held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one lane.
    pub(crate) fn lane(&self, lane: u32, change: impl FnOnce(&mut LaneStatus)) {
        change(self.lock().lanes.entry(lane).or_default());
    }

    /// Notes that a lane's records up to this token are durable.
    pub(crate) fn committed(&self, token: &Arc<Token>, now: Timestamp) {
        let before = {
            let mut inner = self.lock();
            let live = inner.lanes.entry(token.fence.lane).or_default();
            let before = std::mem::replace(&mut live.committed, token.counters);
            live.in_flight = live.in_flight.saturating_sub(token.counters.read - before.read);
            live.positions.clone_from(&token.positions);
            live.token = Some(token.clone());
            inner.note(now);
            before
        };
        self.directory.count(&self.pipeline, |flow| telemetry::count(flow, &before, &token.counters));
        self.committed.send_modify(|commits| *commits += 1);
    }

    /// Shows where a lane is when it opens. What the sink had committed without an answer counts from here on.
    pub(crate) fn opened(&self, number: u32, lane: LaneStatus, now: Timestamp) {
        let counters = lane.committed;
        let before = {
            let mut inner = self.lock();
            let before = inner.lanes.insert(number, lane);
            // What the sink or the journal had before is no rate of this run.
            inner.rate.clear();
            inner.note(now);
            before
        };
        if let Some(before) = before {
            self.directory.count(&self.pipeline, |flow| telemetry::count(flow, &before.committed, &counters));
        }
    }

    /// Tells when something was committed.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Asks for a checkpoint before its time.
    pub(crate) fn want_checkpoint(&self) {
        self.checkpoint_wanted.notify_one();
    }

    /// Waits until a checkpoint is asked for.
    pub(crate) async fn checkpoint_wanted(&self) {
        self.checkpoint_wanted.notified().await;
    }

    /// Notes what is to be said of source or sink; the next checkpoint makes it durable.
    pub(crate) fn warn(&self, warnings: Vec<Warning>) {
        if !warnings.is_empty() {
            let mut inner = self.lock();
            for warned in warnings.into_iter().map(Warned::from) {
                if !warned.is_over() || inner.has_told(&warned) {
                    inner.noted.add(&warned);
                }
            }
        }
    }

    /// Since when stays as it is where something is shown already.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        let mut inner = self.lock();
        let since = inner.trouble.as_ref().map_or(trouble.since, |shown| shown.since);
        inner.trouble = Some(Trouble { since, ..trouble });
    }

    /// The same, of one of several lanes.
    pub(crate) fn trouble_in(&self, lane: u32, trouble: Trouble) {
        self.lock().of_lanes.insert(lane, trouble);
    }

    /// Nothing is wrong any more with the run, nor with this lane.
    pub(crate) fn well(&self, lane: u32) {
        let mut inner = self.lock();
        inner.trouble = None;
        inner.of_lanes.remove(&lane);
    }

    /// What was shown with this code is over.
    pub(crate) fn answered(&self, code: &str) {
        self.lock().trouble.take_if(|trouble| trouble.code == code);
    }

    /// Whose run it is.
    pub(crate) fn pipeline(&self) -> &PipelineId {
        &self.pipeline
    }
}

impl Inner {
    /// What is wrong; of several lanes, what the first of them has.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.of_lanes.values().next().or(self.trouble.as_ref())
    }

    fn total(&self) -> u64 {
        self.lanes.values().map(|lane| lane.committed.read).sum()
    }

    fn note(&mut self, now: Timestamp) {
        let total = self.total();
        match self.rate.back_mut() {
            Some((at, count)) if now.millis() - at.millis() < 100 => *count = total,
            _ => self.rate.push_back((now, total)),
        }
        while self.rate.len() > 1 && now.millis() - self.rate[1].0.millis() > RATE_WINDOW {
            self.rate.pop_front();
        }
    }

    /// Records committed per second over the last ten seconds.
    pub(crate) fn rate(&self, now: Timestamp) -> f64 {
        let Some((start, before)) =
            self.rate.iter().rev().take_while(|(at, _)| now.millis() - at.millis() <= RATE_WINDOW).last()
        else {
            return 0.0;
        };
        let elapsed = (now.millis() - start.millis()).max(1_000) as f64 / 1_000.0;
        self.total().saturating_sub(*before) as f64 / elapsed
    }
}
