//! The state that a reader and its polling thread exchange.
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::batch::Notice;
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// What users have to know.
    pub(super) notices: Vec<Notice>,
    /// Topics that the pattern had found and that are not there at the moment.
    pub(super) gone: BTreeSet<String>,
    /// The pattern finds no topic.
    pub(super) is_idle: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
