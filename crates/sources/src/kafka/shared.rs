//! The state that a reader and its polling thread exchange.
use dataflow_core::position::{Partition, Position, Positions};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The partitions of a lane, and where to begin in each; `None`: at its beginning.
pub(super) type Mine = BTreeMap<Partition, Option<Position>>;

/// Messages from one to the other.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Left>);

#[derive(Debug, Default)]
pub(super) struct Left {
    /// The last checkpoint.
    pub(super) checkpointed: Option<Positions>,
    /// Partitions that the lane has to read from now on, too.
    pub(super) assigned: Mine,
    /// Partitions that are not planned, and where they begin.
    pub(super) appeared: Vec<(Partition, Position)>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
