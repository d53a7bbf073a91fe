//! Where records go: one folder per sink. A sink's config struct is its manual.
pub mod blackhole;
mod blocking;
mod document;
pub mod file;
pub mod kafka;
mod on_disk;
mod owner;
pub mod postgres;
pub mod sqlite;
pub mod stdout;
pub mod table;

pub use blackhole::BlackholeSink;
pub use file::FileSink;
pub use kafka::KafkaSink;
pub use postgres::PostgresSink;
pub use sqlite::SqliteSink;
pub use stdout::StdoutSink;

/// Adds all sinks to a catalogue.
pub fn register(catalog: &mut dataflow_sdk::Catalog) {
    *catalog = std::mem::take(catalog)
        .sink::<PostgresSink>()
        .sink::<SqliteSink>()
        .sink::<KafkaSink>()
        .sink::<FileSink>()
        .sink::<StdoutSink>()
        .sink::<BlackholeSink>();
}
