//! Where records go: one folder per sink. A sink's config struct is its manual.
pub mod azureblob;
pub mod blackhole;
mod blocking;
pub(crate) mod claim;
mod document;
pub mod elasticsearch;
pub mod file;
pub mod folder;
pub mod kafka;
pub mod objects;
mod on_disk;
mod owner;
pub mod postgres;
pub mod s3;
pub mod sqlite;
pub mod stdout;
mod stored;
pub mod table;

pub use azureblob::AzureBlobSink;
pub use blackhole::BlackholeSink;
pub use elasticsearch::ElasticsearchSink;
pub use file::FileSink;
pub use folder::FolderSink;
pub use kafka::KafkaSink;
pub use postgres::PostgresSink;
pub use s3::S3Sink;
pub use sqlite::SqliteSink;
pub use stdout::StdoutSink;

/// Adds all sinks to a catalogue.
pub fn register(catalog: &mut dataflow_sdk::Catalog) {
    *catalog = std::mem::take(catalog)
        .sink::<PostgresSink>()
        .sink::<SqliteSink>()
        .sink::<KafkaSink>()
        .sink::<ElasticsearchSink>()
        .sink::<S3Sink>()
        .sink::<AzureBlobSink>()
        .sink::<FolderSink>()
        .sink::<FileSink>()
        .sink::<StdoutSink>()
        .sink::<BlackholeSink>();
}
