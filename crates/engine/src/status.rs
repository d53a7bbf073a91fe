//! What a run says of itself while it runs: the ledger ahead of the journal, what is in flight, what is wrong.
use crate::{answers::Lag, directory::Directory, telemetry};
use dataflow_core::{
    branch::BranchId,
    id::{PipelineId, SinkName},
    ledger::Counters,
    pipeline::{Branch, event::Cause},
    position::Positions,
    time::Timestamp,
    token::Token,
    warned::{Notice, Warnings},
};
use dataflow_sdk::source::LagUnit;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
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
    branch: BranchId,
    sink: Option<SinkName>,
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
    /// What waits at the source for all lanes, since one of them can't read; and when that was asked last.
    pub(crate) waiting: Option<u64>,
    asked: Option<Instant>,
    /// What that counts.
    lag_unit: LagUnit,
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
    /// Its source is open, and its sink.
    pub(crate) open: bool,
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
    fn has_told(&self, notice: &Notice) -> bool {
        let of_lanes = self.lanes.values().map(|lane| &lane.warned);
        of_lanes.chain([&self.noted]).any(|told| told.get(notice.key()).is_some())
    }
}

impl RunStatus {
    pub(crate) fn new(branch: &Branch, directory: Arc<Directory>) -> Self {
        Self {
            branch: branch.id.clone(),
            sink: branch.sink.clone(),
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

    /// Notes how far a lane that reads lags.
    pub(crate) fn lags(&self, lane: u32, lag: impl FnOnce(&LaneStatus) -> Option<u64>) {
        let mut inner = self.lock();
        let live = inner.lanes.entry(lane).or_default();
        live.lag = lag(live);
        if inner.trouble().is_none() {
            inner.waiting = None;
        }
    }

    /// Source and sink are opened, whose lag counts this.
    pub(crate) fn opens(&self, unit: LagUnit) {
        let mut inner = self.lock();
        inner.lag_unit = unit;
        inner.lanes.values_mut().for_each(|lane| lane.open = false);
    }

    /// What waits at the source, if that can be told.
    pub(crate) fn measured_lag(&self) -> Option<Lag> {
        let inner = self.lock();
        let measured = match inner.lag_unit {
            LagUnit::Records => Lag::Records,
            LagUnit::Bytes => Lag::Bytes,
        };
        inner.lag().map(measured)
    }

    /// Whether it is time to ask the source what waits there: once for all lanes.
    pub(crate) fn asks_source(&self, every: Duration) -> bool {
        let mut inner = self.lock();
        let is_time = inner.asked.is_none_or(|asked| asked.elapsed() >= every);
        if is_time {
            inner.asked = Some(Instant::now());
        }
        is_time
    }

    /// So much waits at the source for all lanes.
    pub(crate) fn waits(&self, lag: Option<u64>) {
        self.lock().waiting = lag;
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
        self.directory.count(&self.branch, |flow| telemetry::count(flow, &before, &token.counters));
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
            self.directory.count(&self.branch, |flow| telemetry::count(flow, &before.committed, &counters));
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
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = impl Into<Notice>>) {
        let mut inner = self.lock();
        for notice in warnings.into_iter().map(Into::into) {
            if !notice.is_over() || inner.has_told(&notice) {
                inner.noted.add(&notice);
            }
        }
    }

    /// Since when stays as it is where something is shown already.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        let mut inner = self.lock();
        let since = inner.trouble.as_ref().map_or(trouble.since, |shown| shown.since);
        inner.trouble = Some(Trouble { since, ..trouble });
    }

    /// Why a run leaves something unsettled: this, and what is shown as wrong.
    pub(crate) fn unsettled(&self, code: &str, message: &str) -> Cause {
        let cause = unsettled(code, message);
        match self.lock().trouble() {
            Some(Trouble { stage, message: wrong, fix, .. }) => {
                let message = format!("{message}: {wrong}");
                Cause { stage: stage.clone(), message, fix: fix.clone(), ..cause }
            }
            None => cause,
        }
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

    /// Of which branch it is.
    pub(crate) fn branch(&self) -> &BranchId {
        &self.branch
    }

    /// Whose run it is.
    pub(crate) fn pipeline(&self) -> &PipelineId {
        self.branch.pipeline()
    }

    /// What the sink is called, if there are several.
    pub(crate) fn sink(&self) -> Option<&str> {
        self.sink.as_ref().map(SinkName::as_str)
    }
}

/// Why a run leaves something unsettled.
pub(crate) fn unsettled(code: &str, message: &str) -> Cause {
    Cause { code: code.into(), stage: "run".into(), message: message.into(), fix: None, retryable: true }
}

impl Inner {
    /// What waits at the source, if that can be told.
    pub(crate) fn lag(&self) -> Option<u64> {
        let read = self.lanes.values().filter_map(|lane| lane.lag).reduce(|all, more| all + more);
        self.waiting.or(read)
    }

    /// Whether all of so many lanes are open.
    pub(crate) fn is_open(&self, lanes: u32) -> bool {
        (0..lanes).all(|lane| self.lanes.get(&lane).is_some_and(|lane| lane.open))
    }

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
