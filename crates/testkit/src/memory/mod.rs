//! A source and sinks in memory. Their content belongs to a name and outlives every run, so that a test can stop or
//! crash a node and inspect it.
pub mod columns;
pub mod fault;
pub mod feed;
pub mod keyset;
mod named;
pub mod row;
pub mod sink;
pub mod source;
pub mod staged;
pub mod store;

pub use columns::MemoryColumn;
pub use fault::Fault;
pub use feed::{Feed, feed};
pub use keyset::KeysetMemorySource;
pub use row::Row;
pub use sink::{KeyedMemorySink, MemorySink};
pub use source::MemorySource;
pub use staged::StagedMemorySink;
pub use store::{Store, store};

/// Forgets the feed and the store of a name: its next user gets new ones.
pub fn forget(name: &str) {
    feed::FEEDS.forget(name);
    store::STORES.forget(name);
}

/// Adds the memory connectors to a catalogue, as `memory` (source, transactional sink), `memoryKeyset`, `memoryKeyed` and
/// `memoryStaged`.
pub fn register(catalog: &mut dataflow_sdk::Catalog) {
    let with_source = std::mem::take(catalog).source::<MemorySource>().source::<KeysetMemorySource>();
    *catalog = with_source.sink::<MemorySink>().sink::<KeyedMemorySink>().sink::<StagedMemorySink>();
}
