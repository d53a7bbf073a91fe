//! The journal: one dense, ordered log per shard with one writer, and what belongs to it (snapshots, chunks).
//!
//! An append is one conditional write on the log's head `(epoch, next_seq)`; the log's epoch decides who may write,
//! whatever a lease says. Protocol and its pitfalls: `docs/adr/0003-shard-log.md`.
//!
//! [`Journal`] is what the engine uses; a backend implements [`Store`].
#[cfg(feature = "testing")]
pub mod fault;
mod head;
mod journal;
mod level;
pub mod memory;
mod overflow;
mod range;
mod segments;
mod snapshots;
pub mod store;
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;

pub use head::{Appended, Claim, Head, Holder};
pub use journal::{Entry, Journal, MAX_APPEND_BYTES, MAX_HELD_BACK, Run};
pub use level::WriteLevel;
pub use memory::Memory;
pub use range::{other_content, place};
pub use segments::MAX_SNAPSHOT;
pub use snapshots::Snapshot;
pub use store::Store;
pub use stored::Encoded;

use dataflow_core::{
    id::{Epoch, Seq},
    shard::ShardId,
};

/// A failure. All calls that return one can be repeated: carried out twice they have the effect of once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be reached, is busy or is full: the call was not carried out, or its answer got lost. Try again.
    #[error("the journal can't be reached: {0}")]
    Unavailable(String),
    /// The store as a whole is damaged: nothing in it can be relied on, and nothing may be written to it.
    #[error("the journal is damaged: {0}")]
    Broken(String),
    /// What is stored in one place can't be read, or contradicts the call (a snapshot before the last one, a chunk's name with other
    /// content). Nothing was changed, and trying again is no use.
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    /// The store is another one, or has less in it, than what was written in this place. Nothing was changed.
    #[error("the journal is not as it was left: {0}")]
    NotAsLeft(String),
    /// Another build has written the store, in shapes that this one can't read. Nothing was changed.
    #[error("the journal is another build's: {0}")]
    OtherBuild(String),
    /// The epoch is no longer the shard's; nothing was changed.
    #[error("shard {shard}: epoch {epoch} is fenced")]
    Fenced {
        /// The shard.
        shard: ShardId,
        /// The epoch that was held.
        epoch: Epoch,
    },
    /// The log no longer has what was asked for: the reader seeds itself from the snapshots.
    #[error("shard {shard}: progress before {first} was compacted away")]
    Trimmed {
        /// The shard.
        shard: ShardId,
        /// The first place from which the log can be read.
        first: Seq,
    },
}
