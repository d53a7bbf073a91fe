//! The catalogue of sources, transforms and sinks.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The catalogue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorList {
    /// All connectors and transforms.
    pub items: Vec<ConnectorView>,
}

/// A source, transform or sink.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorView {
    /// `source`, `transform` or `sink`.
    pub kind: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub ty: String,
    /// What it does.
    pub summary: String,
    /// How exactly-once holds with it, and what would void it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<String>,
    /// What a sink can promise: `transactional`, `keyed`, `staged`, `unfenced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<String>,
    /// Which of the node's connections it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// JSON Schema of its settings. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
}
