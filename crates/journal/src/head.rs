//! The head of a shard's log: who may write to it, and where.
use dataflow_core::id::{Epoch, Seq};
use std::{fmt, sync::Arc};

/// The holder of a shard: one process of a node. A restarted node is another holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(Arc<str>);

impl Holder {
    /// Names a holder; no other process may ever use the same name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The head of a shard's log: the epoch that may write, its holder, and the place of the next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The current epoch; writers with a lower one are fenced.
    pub epoch: Epoch,
    /// The process that claimed this epoch; `None` if nobody ever claimed the shard, or a restore raised the epoch.
    pub holder: Option<Holder>,
    /// The place of the next event.
    pub next_seq: Seq,
}

impl Head {
    /// The head of a shard that nobody has claimed yet.
    pub const UNCLAIMED: Self = Self { epoch: Epoch(0), holder: None, next_seq: Seq(1) };

    /// Returns the head after a claim; `None` if the claim is refused, because the epoch is neither `expected` nor the
    /// result of an earlier call by the same holder.
    #[must_use]
    pub fn claimed(&self, expected: Epoch, holder: &Holder) -> Option<Self> {
        if self.epoch == expected {
            return Some(Self { epoch: expected.next(), holder: Some(holder.clone()), next_seq: self.next_seq });
        }
        let mine = self.epoch == expected.next() && self.holder.as_ref() == Some(holder);
        mine.then(|| self.clone())
    }
}

/// The result of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claimant holds the shard; nothing with a lower epoch is written from now on.
    Claimed(Head),
    /// Another process holds the shard, at another epoch than expected; nothing was changed.
    Held(Head),
}

/// The result of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Applied,
    /// Nothing was written: the head is not `(epoch, next_seq)`.
    Fenced,
    /// Nothing was written, and it never can be, for this reason.
    Refused(String),
    /// Nothing was written, nor will it be later: try again.
    NotWritten,
    /// It may or may not be durable. Only a new claim followed by reading the log shows which.
    Unknown,
}
