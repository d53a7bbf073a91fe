//! Sources: where records come from. One folder per connector.
//!
//! Each has a documented config struct (its manual), `check`, which never touches the network, and a reader for one
//! lane. Retry, back-off and checkpoints belong to the engine.
pub mod file;
pub mod generate;
//pub mod http;
//pub mod kafka;

mod ahead;
mod lost;

/// Adds the sources of this crate to a catalogue.
pub fn register(catalog: &mut dataflow_sdk::Catalog) {
    //catalog.source::<file::FileSource>();
    //catalog.source::<generate::GenerateSource>();
    //catalog.source::<http::HttpSource>();
    //catalog.source::<kafka::KafkaSource>();
}
