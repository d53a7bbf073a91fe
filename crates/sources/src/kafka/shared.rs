//! What a reader and its polling thread tell each other.
use dataflow_core::position::{Partition, Position, Positions};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The partitions of a lane, and where to read each; none: from its beginning.
pub(super) type Mine = BTreeMap<Partition, Option<Position>>;

/// What one of them leaves for the other.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Left>);

#[derive(Debug, Default)]
pub(super) struct Left {
    /// The last checkpoint.
    pub(super) checkpointed: Option<Positions>,
    /// What the lane reads, too, from now on.
    pub(super) assigned: Mine,
    /// Partitions that are not planned, and where they begin.
    pub(super) appeared: Vec<(Partition, Position)>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
