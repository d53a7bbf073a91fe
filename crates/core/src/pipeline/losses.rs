//! Records that were found lost.
use super::event::Lost;
use crate::position::{Partition, Position, Positions};
use serde::{Deserialize, Serialize};

/// Records that were found lost, in the order in which they were: of each partition once for each position at which they were
/// found missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Losses(Vec<Lost>);

impl Losses {
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

    /// Notes a loss. One at the same position of the same partition is found again, because a run ended before it had committed
    /// what follows: it may have grown since, and what that run found lost after it was not committed, either.
    pub fn note(&mut self, lost: &Lost) {
        let found = |other: &Lost| other.partition == lost.partition && other.from == lost.from;
        if let Some(again) = self.0.iter().position(found) {
            let since = self.0.split_off(again);
            self.0.extend(since.into_iter().filter(|other| other.partition != lost.partition));
        }
        self.0.push(lost.clone());
    }

    /// Takes out what a checkpoint of a lane at these positions has passed.
    pub fn pass(&mut self, positions: &Positions) {
        self.0.retain(|lost| positions.get(&lost.partition).is_none_or(|at| *at == lost.from));
    }
}

impl IntoIterator for Losses {
    type Item = Lost;
    type IntoIter = std::vec::IntoIter<Lost>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(partition: &str, from: u64, to: u64) -> Lost {
        let (from_at, to_at) = (Position::offset(from), Position::offset(to));
        Lost { partition: partition.into(), from: from_at, to: to_at, records: to - from }
    }

    #[test]
    fn each_loss_of_a_partition_counts_and_one_that_is_found_again_counts_once() {
        let mut losses = Losses::default();
        for found in [("a", 10, 20), ("b", 10, 11), ("a", 30, 40), ("b", 50, 60), ("a", 30, 45)] {
            losses.note(&lost(found.0, found.1, found.2));
        }
        let all = [("a", 10, 20), ("b", 10, 11), ("b", 50, 60), ("a", 30, 45)].map(|(of, from, to)| lost(of, from, to));
        assert_eq!(losses.clone().into_iter().collect::<Vec<_>>(), all);
        // The run that found it and the next one had ended before.
        losses.note(&lost("a", 10, 50));
        let all = [("b", 10, 11), ("b", 50, 60), ("a", 10, 50)].map(|(of, from, to)| lost(of, from, to));
        assert_eq!(losses.into_iter().collect::<Vec<_>>(), all);
    }
}
