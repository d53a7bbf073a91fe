//! Records that are pushed.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Records that are pushed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushedBatch {
    /// Its id, yours to choose: sent again with the same records, it gets the same answer and has no second effect.
    pub batch_id: String,
    /// The records, in order.
    pub records: Vec<PushedRecord>,
}

/// A record that is pushed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PushedRecord {
    /// Its id.
    pub id: Option<String>,
    /// The record itself: a JSON object.
    #[schema(value_type = Object)]
    pub data: Value,
    /// What is known about it: `meta.` in expressions.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
}

/// The answer to a pushed batch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedView {
    /// The batch's id.
    pub batch_id: String,
    /// Number of records taken in.
    pub accepted: u64,
    /// Position after its last record.
    pub position: String,
    /// Whether all of them are through: delivered to the sink, dropped by a filter, or kept as dead letters. Only there if it
    /// was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<bool>,
    /// How many of them are dead letters; only there once all are through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
}
