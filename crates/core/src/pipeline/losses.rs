//! Losses that no checkpoint has passed yet.
use super::event::Lost;
use crate::position::{Partition, Position, Positions};
use serde::{Deserialize, Serialize};

/// Records that were found lost, and that no checkpoint has passed yet: one loss at most for each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PendingLosses(Vec<Lost>);

impl PendingLosses {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this very loss is among them.
    pub fn contains(&self, lost: &Lost) -> bool {
        self.0.contains(lost)
    }

    /// Where reading continues after a loss found at this position.
    pub fn after(&self, partition: &Partition, at: &Position) -> Option<&Position> {
        let found = self.0.iter().find(|lost| lost.partition == *partition && lost.from == *at);
        found.map(|lost| &lost.to)
    }

    /// Notes a loss. One that was found at the same partition before is found again: it may have grown since.
    pub fn note(&mut self, lost: &Lost) {
        self.0.retain(|other| other.partition != lost.partition);
        self.0.push(lost.clone());
    }

    /// Takes out what a checkpoint of a lane at these positions has passed.
    pub fn pass(&mut self, positions: &Positions) -> Vec<Lost> {
        let passed = |lost: &mut Lost| positions.get(&lost.partition).is_some_and(|at| *at != lost.from);
        self.0.extract_if(.., passed).collect()
    }
}

impl IntoIterator for PendingLosses {
    type Item = Lost;
    type IntoIter = std::vec::IntoIter<Lost>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
