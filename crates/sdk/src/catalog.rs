//! The catalogue of connectors: a plain list of config types.
use crate::{Problem, sink::{Kind, Sink}, source::Source};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// The config struct of a source: its manual. Field docs are the reference docs.
pub trait SourceConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it reads.
    const SUMMARY: &'static str;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`kafka`, `postgres`), if any.
    const CONNECTION: Option<&'static str> = None;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The source. Only called when there are no findings.
    fn build(self) -> Box<dyn Source>;
}

/// The config struct of a sink: its manual. Field docs are the reference docs.
pub trait SinkConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it writes.
    const SUMMARY: &'static str;
    /// What it can promise.
    const KIND: Kind;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`postgres`), if any.
    const CONNECTION: Option<&'static str> = None;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The sink. Only called when there are no findings.
    fn build(self) -> Box<dyn Sink>;
    /// What becomes of output fields without a column, for table sinks.
    fn unknown_fields(&self) -> Option<crate::transform::UnknownFields> {
        None
    }
    /// What makes up the target: a change of it starts a new generation. By default the whole config.
    fn target_fields() -> Option<&'static [&'static str]> {
        None
    }
}

/// All connectors of a node.
#[derive(Debug, Default)]
pub struct Catalog;
