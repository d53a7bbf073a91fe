//! What a lane and the checkpointer say to each other.
use crate::run::{failure::Failure, report::Refused};
use dataflow_core::token::Token;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What a lane has in the sink for good, so that the journal may say it.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) token: Arc<Token>,
    /// Of a staged sink: what it has sealed.
    pub(crate) handle: Option<serde_json::Value>,
}

/// What lanes and checkpointer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// A lane has something for the next checkpoint.
    pub(super) moved: Notify,
    /// The next checkpoint is due now.
    pub(super) urgent: Notify,
    /// A lane has answered to a request to seal.
    pub(super) answered: Notify,
    lanes: Mutex<BTreeMap<u32, Said>>,
}

/// What a lane has said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What it has sealed, or its last state.
    pub(super) durable: Option<Arc<Durable>>,
    /// The last request to seal that it has answered.
    pub(super) answered: u64,
    /// It commits nothing any more, unless it is opened again.
    pub(super) quiet: bool,
}

/// What a lane is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) journalled: Option<Arc<Durable>>,
    /// The number of the last request to seal.
    pub(super) sealing: u64,
}

impl Shared {
    pub(super) fn lanes(&self) -> MutexGuard<'_, BTreeMap<u32, Said>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of the checkpointer between two checkpoints.
#[derive(Debug)]
pub(super) enum Ask {
    /// A lane goes on here; it is told what it commits to.
    Enter(Durable, oneshot::Sender<Checkpoints>),
    /// A lane has failed: what it has for good is journalled, and nothing of it is after that.
    Leave(u32, oneshot::Sender<()>),
}

/// The checkpointer has failed, and says why.
fn gone() -> Failure {
    Refused::because("its checkpointer has ended").into()
}

/// Where lanes come to the checkpointer and leave it while the others go on. It ends once nobody is left who may come.
#[derive(Clone, Debug)]
pub(crate) struct Desk(pub(super) mpsc::Sender<Ask>);

impl Desk {
    /// Has the checkpointer take charge of a lane that goes on here, which is in the journal.
    pub(crate) async fn enter(&self, journalled: Durable) -> Result<Checkpoints, Failure> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Ask::Enter(journalled, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Has what a lane that failed leaves for good journalled. No report of it is under way once this comes back.
    pub(crate) async fn leave(&self, lane: u32) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Ask::Leave(lane, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

/// The checkpointer, as a lane sees it.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    lane: u32,
    shared: Arc<Shared>,
    told: watch::Receiver<Told>,
    /// What it has taken note of.
    seen: Told,
    /// The number of the last commit that it has said to be sealed.
    sealed: u64,
}

/// What a lane is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// This is in the journal.
    Journalled(Arc<Durable>),
    /// A checkpoint is due: seal, and [answer](Checkpoints::sealed).
    Seal,
}

impl Checkpoints {
    pub(super) fn new(lane: u32, shared: Arc<Shared>, told: watch::Receiver<Told>) -> Self {
        Self { lane, shared, told, seen: Told::default(), sealed: 0 }
    }

    /// The lane has something for the next checkpoint.
    pub(crate) fn moved(&self) {
        self.shared.moved.notify_one();
    }

    /// The lane waits for a checkpoint.
    pub(crate) fn hurry(&self) {
        self.shared.urgent.notify_one();
    }

    /// What to do next. Nothing is lost if something else comes first.
    pub(crate) async fn next(&mut self) -> Order {
        loop {
            {
                let told = self.told.borrow_and_update();
                if let Some(journalled) = &told.journalled
                    && !self.seen.journalled.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, journalled))
                {
                    self.seen.journalled = Some(journalled.clone());
                    return Order::Journalled(journalled.clone());
                }
                if told.sealing > self.seen.sealing {
                    self.seen.sealing = told.sealing;
                    return Order::Seal;
                }
            }
            if self.told.changed().await.is_err() {
                std::future::pending::<()>().await; // the run is over, and with it this lane
            }
        }
    }

    /// Answers that so much is sealed; none: nothing more than before. It may be too late for the checkpoint that asked.
    pub(crate) fn sealed(&mut self, durable: Option<Durable>) {
        let is_news = durable.is_some();
        {
            let mut lanes = self.shared.lanes();
            let said = lanes.entry(self.lane).or_default();
            said.answered = self.seen.sealing;
            if let Some(durable) = durable {
                self.sealed = durable.token.sequence;
                said.durable = Some(Arc::new(durable));
            }
        }
        self.shared.answered.notify_one();
        if is_news {
            self.moved();
        }
    }

    /// The same as before is published. That is nothing to say where the lane has sealed more since: the journal may know that
    /// already, and never goes back.
    pub(crate) fn published(&self, durable: Arc<Durable>) {
        if durable.token.sequence >= self.sealed {
            self.shared.lanes().entry(self.lane).or_default().durable = Some(durable);
            self.moved();
        }
    }

    /// The lane commits nothing more. If this is what it ends with, it waits until that is journalled.
    pub(crate) fn quiet(&self, last: Option<Arc<Durable>>) {
        let all = {
            let mut lanes = self.shared.lanes();
            let said = lanes.entry(self.lane).or_default();
            said.quiet = true;
            if last.is_some() {
                said.durable = last;
            }
            lanes.values().all(|said| said.quiet)
        };
        self.shared.answered.notify_one();
        if all { self.hurry() } else { self.moved() }
    }
}
