//! Pushed batches that were taken in, so that a repeated one is known.
use crate::{id::BatchId, limits::REMEMBERED_BATCHES};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};

/// A remembered batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Hash of its body.
    pub hash: String,
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
}

/// The last batches by id. Stored in the order in which they came: a new one changes nothing of what is before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    by_id: BTreeMap<BatchId, Received>,
    /// Their ids, oldest first.
    order: VecDeque<BatchId>,
}

impl Batches {
    /// The batch of this id.
    pub fn get(&self, id: &BatchId) -> Option<&Received> {
        self.by_id.get(id)
    }

    /// Remembers one more, and forgets the oldest if they are too many.
    pub(super) fn remember(&mut self, id: BatchId, received: Received) {
        self.order.push_back(id.clone());
        self.by_id.insert(id, received);
        if self.order.len() > REMEMBERED_BATCHES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Forgets those of which all records lie between these.
    pub(super) fn forget(&mut self, from: u64, to: u64) {
        self.by_id.retain(|_, batch| batch.from < from || batch.to > to);
        self.order.retain(|id| self.by_id.contains_key(id));
    }
}

impl Serialize for Batches {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let batch = |id| self.by_id.get(id).map(|Received { hash, from, to }| (id, hash, from, to));
        serializer.collect_seq(self.order.iter().filter_map(batch))
    }
}

impl<'de> Deserialize<'de> for Batches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut batches = Self::default();
        for (id, hash, from, to) in Vec::<(BatchId, String, u64, u64)>::deserialize(deserializer)? {
            batches.remember(id, Received { hash, from, to });
        }
        Ok(batches)
    }
}
