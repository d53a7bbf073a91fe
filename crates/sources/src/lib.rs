//! Sources: where records come from. One folder per connector.
//!
//! Each has a documented config struct (its manual), `check`, which never touches the network, and a reader for one
//! lane. Retry, back-off and checkpoints belong to the engine.
pub mod file;
pub mod generate;
pub mod http;
pub mod jdbc;
pub mod kafka;
pub mod rest;
pub mod s3;

mod ahead;
mod blocking;
mod column;
mod lost;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use dataflow_sdk::Catalog;

/// Adds the sources of this crate to a catalogue.
pub fn register(catalog: &mut Catalog) {
    *catalog = std::mem::take(catalog)
        .source::<file::FileSource>()
        .source::<generate::GenerateSource>()
        .source::<http::HttpSource>()
        .source::<jdbc::JdbcSource>()
        .source::<kafka::KafkaSource>()
        .source::<rest::RestSource>()
        .source::<s3::S3Source>();
}
