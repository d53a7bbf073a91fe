//! The journal: one dense, ordered log per shard with one writer, and its snapshots and chunks.
//!
//! An append is one conditional write on the log's head `(epoch, next_seq)`; the log's epoch decides who may write,
//! regardless of leases. Protocol and its pitfalls: `docs/adr/0003-shard-log.md`.
//!
//! The engine uses [`Journal`]; a backend implements [`Store`].
#[cfg(feature = "testing")]
pub mod fault;
mod head;
mod journal;
mod listed;
pub mod memory;
mod overflow;
mod range;
mod segments;
mod snapshots;
pub mod store;
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;

pub use dataflow_core::level::WriteLevel;
pub use head::{Appended, Claim, Head, Holder};
pub use journal::{Journal, MAX_HELD_BACK, Run};
pub use memory::Memory;
pub use range::{Entry, other_content, place};
pub use segments::MAX_SNAPSHOT;
pub use store::{Snapshot, Store};
pub use stored::{Encoded, MAX_APPEND_BYTES};

use dataflow_core::{
    id::{Epoch, Seq},
    shard::ShardId,
};

/// A failure. Every call that returns one can be repeated: carried out twice, it has the effect of once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be reached, is busy or is full: the call was not carried out, or its answer was lost. Try again.
    #[error("the journal can't be reached: {0}")]
    Unavailable(String),
    /// The store as a whole is damaged: nothing in it can be relied on, and nothing may be written to it.
    #[error("the journal is damaged: {0}")]
    Broken(String),
    /// One stored item can't be read, or contradicts the call (a snapshot before the last one, a chunk with other
    /// content). Nothing was changed, and a retry can't succeed.
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    /// The store is not the one that was written here, or contains less. Nothing was changed.
    #[error("the journal is not as it was left: {0}")]
    NotAsLeft(String),
    /// Another build has written the store, in shapes that this one can't read. Nothing was changed.
    #[error("the journal was written by another build: {0}")]
    OtherBuild(String),
    /// The epoch is no longer the shard's; nothing was changed.
    #[error("shard {shard}: epoch {epoch} is fenced")]
    Fenced {
        /// The shard.
        shard: ShardId,
        /// The epoch that was held.
        epoch: Epoch,
    },
    /// The requested progress is no longer in the log: the reader has to start from the snapshots.
    #[error("shard {shard}: progress before {first} was compacted away")]
    Trimmed {
        /// The shard.
        shard: ShardId,
        /// The first readable place of the log.
        first: Seq,
    },
}
