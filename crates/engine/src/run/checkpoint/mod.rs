//! The checkpointer of a run: one event per `checkpointInterval` that covers all lanes, and one when they have ended.
//!
//! What a lane has committed is read from [`RunStatus`] without asking the lane: neither waits for the other, and a checkpoint
//! is a cut through all lanes at one moment. Where the sink is staged, a lane is first asked to seal, which it does between
//! two commits; one that has not answered within [`PATIENCE`] is left to the next checkpoint.
//!
//! A lane that fails leaves, and comes again once it is open again; the others don't notice.
mod lane;

pub(crate) use lane::{Checkpoints, Desk, Durable, Order};

use super::{failure::Failure, patience::wait_for, recover::of_token, report::Reports, versions::Versions};
use crate::{parts::Clock, status::RunStatus};
use dataflow_core::{
    id::RunId,
    pipeline::{CommandKind, event::LaneProgress},
    warned::{Notice, Warnings},
};
use dataflow_sdk::sink::DeliveryMode;
use lane::{Ask, Said, Shared, Told};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long a checkpoint waits for lanes that are to seal.
const PATIENCE: Duration = Duration::from_secs(1);

/// Journals how far the lanes of a run are.
pub(crate) struct Checkpointer {
    run: RunId,
    delivery: DeliveryMode,
    interval: Duration,
    lanes: BTreeMap<u32, Lane>,
    shared: Arc<Shared>,
    /// Of a keyed sink: each checkpoint reserves more of them.
    versions: Option<Arc<Versions>>,
    /// What was noted of source and sink, and is in the journal.
    noted: Warnings,
    /// The number of the last request to seal.
    sealing: u64,
    asks: mpsc::Receiver<Ask>,
    reports: Reports,
    live: Arc<RunStatus>,
    clock: Arc<dyn Clock>,
}

/// A lane, as the checkpointer sees it.
struct Lane {
    told: watch::Sender<Told>,
    /// What the journal knows of it.
    journalled: Arc<Durable>,
}

impl Checkpointer {
    pub(crate) fn new(
        (run, delivery, interval): (RunId, DeliveryMode, Duration),
        versions: Option<Arc<Versions>>,
        (reports, live, clock): (Reports, Arc<RunStatus>, Arc<dyn Clock>),
    ) -> (Self, Desk) {
        let (ask, asks) = mpsc::channel(1);
        let checkpointer = Self {
            run,
            delivery,
            interval,
            lanes: BTreeMap::new(),
            shared: Arc::default(),
            versions,
            noted: Warnings::default(),
            sealing: 0,
            asks,
            reports,
            live,
            clock,
        };
        (checkpointer, Desk(ask))
    }

    /// Takes charge of a lane that goes on here.
    pub(crate) fn lane(&mut self, journalled: Durable) -> Checkpoints {
        let (told, receiver) = watch::channel(Told::default());
        let lane = journalled.token.fence.lane;
        self.lanes.insert(lane, Lane { told, journalled: Arc::new(journalled) });
        self.shared.lanes().insert(lane, Said { answered: self.sealing, ..Said::default() });
        if let Some(live) = self.live.lock().lanes.get(&lane) {
            self.noted.put(&live.warned);
        }
        Checkpoints::new(lane, self.shared.clone(), receiver)
    }

    /// Takes checkpoints until all lanes have ended and are journalled.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut due = Instant::now() + self.interval;
        loop {
            let (shared, live) = (self.shared.clone(), self.live.clone());
            let at_its_time = async {
                shared.moved.notified().await;
                sleep_until(due).await;
            };
            tokio::select! {
                ask = self.asks.recv() => {
                    match ask {
                        Some(ask) => self.answer(ask).await?,
                        None => return self.checkpoint(true).await,
                    }
                    // A checkpoint may have been waited for.
                    shared.moved.notify_one();
                    continue;
                }
                () = shared.urgent.notified() => {}
                () = live.checkpoint_wanted() => {}
                () = at_its_time => {}
            }
            due = Instant::now() + self.interval;
            if self.delivery == DeliveryMode::Staged {
                self.seal().await;
            }
            self.checkpoint(false).await?;
        }
    }

    /// A lane comes or leaves.
    async fn answer(&mut self, ask: Ask) -> Result<(), Failure> {
        let heard = match ask {
            Ask::Enter(journalled, reply) => reply.send(self.lane(journalled)).is_ok(),
            Ask::Leave(lane, reply) => {
                self.checkpoint(false).await?;
                self.lanes.remove(&lane);
                self.shared.lanes().remove(&lane);
                reply.send(()).is_ok()
            }
        };
        if !heard {
            tracing::trace!("the lane was gone before it was answered");
        }
        Ok(())
    }

    /// Journals what lanes have for good and the journal does not know; at the end, also what was noted beside it.
    async fn checkpoint(&mut self, over: bool) -> Result<(), Failure> {
        let ready = self.ready();
        let progress = |(lane, Durable { token, handle }): (&u32, &Durable)| LaneProgress {
            handle: handle.clone(),
            ..of_token(*lane, token)
        };
        let mut lanes: Vec<_> = ready.iter().map(|(lane, durable)| progress((lane, durable))).collect();
        if over || !lanes.is_empty() {
            self.note(&mut lanes);
        }
        let are_few = self.versions.as_ref().is_some_and(|versions| versions.are_few());
        if lanes.is_empty() && !are_few {
            return Ok(());
        }
        let wanted = self.versions.as_ref().map(|versions| versions.wanted());
        let kind = CommandKind::ReportProgress { run: self.run, lanes, reserved_versions: wanted };
        let sending = self.reports.send(kind);
        let sent = wait_for("journal", "a checkpoint", &self.live, &*self.clock, sending).await;
        sent?;
        if let (Some(versions), Some(wanted)) = (&self.versions, wanted) {
            versions.reserved(wanted);
        }
        for (number, durable) in ready {
            if let Some(lane) = self.lanes.get_mut(&number) {
                lane.journalled = durable.clone();
                lane.told.send_modify(|told| told.journalled = Some(durable));
            }
        }
        Ok(())
    }

    /// Has the lanes seal, each between two commits. Those that were too slow the last time are not waited for.
    async fn seal(&mut self) {
        let asked: Vec<u32> = {
            let lanes = self.shared.lanes();
            let prompt = lanes.iter().filter(|(_, said)| said.answered == self.sealing && !said.quiet);
            prompt.map(|(lane, _)| *lane).collect()
        };
        self.sealing += 1;
        for lane in self.lanes.values() {
            lane.told.send_modify(|told| told.sealing = self.sealing);
        }
        let have_answered = || {
            let lanes = self.shared.lanes();
            let answered = |said: &Said| said.answered == self.sealing || said.quiet;
            asked.iter().all(|lane| lanes.get(lane).is_none_or(answered))
        };
        let all = async {
            while !have_answered() {
                self.shared.answered.notified().await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            self.shared.moved.notify_one();
        }
    }

    /// What the journal does not know yet.
    fn ready(&self) -> BTreeMap<u32, Arc<Durable>> {
        let mut ready = BTreeMap::new();
        if self.delivery != DeliveryMode::Staged {
            let live = self.live.lock();
            for (number, Lane { journalled, .. }) in &self.lanes {
                let token = live.lanes.get(number).and_then(|lane| lane.token.as_ref());
                if let Some(token) = token.filter(|token| token.sequence > journalled.token.sequence) {
                    ready.insert(*number, Arc::new(Durable { token: token.clone(), handle: None }));
                }
            }
        }
        let mut lanes = self.shared.lanes();
        ready.extend(lanes.iter_mut().filter_map(|(number, said)| Some((*number, said.durable.take()?))));
        ready
    }

    /// Adds what was noted of source and sink since; it belongs to no lane in particular, so the first one has it.
    fn note(&mut self, lanes: &mut Vec<LaneProgress>) {
        let noted = self.live.lock().noted.clone();
        let is_known =
            |noted: &&Notice| self.noted.get(noted.key()).is_some_and(|known| known.is_over() == noted.is_over());
        let news: Vec<Notice> = noted.iter().filter(|noted| !is_known(noted)).cloned().collect();
        let Some((number, first)) = self.lanes.iter().next().filter(|_| !news.is_empty()) else { return };
        if lanes.first().is_none_or(|lane| lane.lane != *number) {
            let journalled = of_token(*number, &first.journalled.token);
            lanes.insert(0, LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..journalled });
        }
        news.iter().for_each(|notice| lanes[0].warnings.add(notice));
        self.noted = noted;
    }
}
