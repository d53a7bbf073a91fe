//! The state of one pipeline in memory. Only the shard's log writer changes it, when an event is durable: so it always
//! equals the log, and a snapshot may be taken between any two appends.
use crate::{causes::Tally, status::RunStatus};
use dataflow_core::{
    branch::BranchNumber,
    id::PipelineId,
    pipeline::{CorruptHistory, RecordedEvent, State, evolve},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The state of one pipeline, and what its runs say of themselves meanwhile.
#[derive(Debug)]
pub(crate) struct PipelineCell {
    pub(crate) pipeline: PipelineId,
    state: Mutex<State>,
    live: Mutex<BTreeMap<BranchNumber, Arc<RunStatus>>>,
    changes: watch::Sender<u64>,
    /// Dead letters of its branches as far as somebody asked for their causes.
    pub(crate) causes: tokio::sync::Mutex<BTreeMap<BranchNumber, Tally>>,
}

impl PipelineCell {
    pub(crate) fn new(pipeline: PipelineId, state: State) -> Arc<Self> {
        Arc::new(Self {
            pipeline,
            state: Mutex::new(state),
            live: Mutex::default(),
            changes: watch::Sender::new(0),
            causes: tokio::sync::Mutex::default(),
        })
    }

    /// The state. Never held over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes durable events into the state.
    pub(crate) fn apply(&self, events: &[RecordedEvent]) -> Result<(), CorruptHistory> {
        {
            let mut state = self.state();
            for event in events {
                *state = evolve(&self.pipeline, std::mem::take(&mut *state), event)?;
            }
        }
        self.touch();
        Ok(())
    }

    /// What the runs of its branches say of themselves.
    pub(crate) fn live(&self) -> BTreeMap<BranchNumber, Arc<RunStatus>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_live(&self, branch: BranchNumber, live: Option<Arc<RunStatus>>) {
        {
            let mut all = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            match live {
                Some(live) => all.insert(branch, live),
                None => all.remove(&branch),
            };
        }
        self.touch();
    }

    /// Tells who watches that something changed.
    pub(crate) fn touch(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
