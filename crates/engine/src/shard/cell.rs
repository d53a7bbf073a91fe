//! The state of one pipeline in memory. Only the shard's log writer changes it, when an event is durable: so it always
//! equals the log, and a snapshot may be taken between any two appends.
use crate::{causes::Tally, status::RunStatus};
use dataflow_core::{
    id::PipelineId,
    pipeline::{CorruptHistory, RecordedEvent, State, evolve},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The state of one pipeline, and what its run says of itself meanwhile.
#[derive(Debug)]
pub(crate) struct PipelineCell {
    pub(crate) pipeline: PipelineId,
    state: Mutex<State>,
    live: Mutex<Option<Arc<RunStatus>>>,
    changes: watch::Sender<u64>,
    /// Its dead letters as far as somebody asked for their causes.
    pub(crate) causes: tokio::sync::Mutex<Tally>,
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

    /// What the run says of itself, if there is one.
    pub(crate) fn live(&self) -> Option<Arc<RunStatus>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_live(&self, live: Option<Arc<RunStatus>>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live;
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
