//! The head of a shard's log: who may write to it, and where.
use dataflow_core::id::{Epoch, Seq};
use std::{fmt, sync::Arc};

/// Who holds a shard: one process of a node. A node that starts again is another holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(Arc<str>);

impl Holder {
    /// The holder of this name, which no other process ever has.
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

/// The head of a shard's log: the epoch that may write, who has claimed it, and the place of the next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Who holds a lower epoch is fenced.
    pub epoch: Epoch,
    /// Who has claimed this epoch; none if nobody has ever claimed the shard, or a restore has raised the epoch.
    pub holder: Option<Holder>,
    /// Where the next event goes.
    pub next_seq: Seq,
}

impl Head {
    /// That of a shard that nobody has claimed yet.
    pub const UNCLAIMED: Self = Self { epoch: Epoch(0), holder: None, next_seq: Seq(1) };

    /// This head after a claim; none if it is refused, since the epoch is neither `expected` nor the one that an earlier call of the same
    /// holder has made of it.
    #[must_use]
    pub fn claimed(&self, expected: Epoch, holder: &Holder) -> Option<Self> {
        if self.epoch == expected {
            return Some(Self { epoch: expected.next(), holder: Some(holder.clone()), next_seq: self.next_seq });
        }
        let mine = self.epoch == expected.next() && self.holder.as_ref() == Some(holder);
        mine.then(|| self.clone())
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The shard is the claimant's; nothing with a lower epoch is written from now on.
    Claimed(Head),
    /// Somebody else holds it, at another epoch than was expected; nothing was changed.
    Held(Head),
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Applied,
    /// Nothing was written: the head is not `(epoch, next_seq)`.
    Fenced,
    /// Nothing was written, and it never can be: why.
    Refused(String),
    /// It may or may not be durable. Only a new claim, and reading the log after it, can tell.
    Unknown,
}
