//! What has happened to a pipeline, and why the last run went on where it did.
use crate::PositionView;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A page of a pipeline's lifecycle.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// Events, in the order that was asked for.
    pub items: Vec<HistoryItem>,
    /// What to give as `after` for the next page.
    pub next: Option<u64>,
}

/// An event of a pipeline's lifecycle.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// Its number among the events of this id, which counts those of progress, too, that are not shown. `after` resumes by it.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why, if the user has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The W3C `traceparent` of the request that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The command it follows from.
    pub command: String,
    /// Its type: `PipelineCreated`, …
    pub event: String,
    /// What it has happened to, if that is one of several sinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// What it says.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// Why the last run went on where it did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryView {
    /// The run; none: it never ran.
    pub run: Option<u64>,
    /// When it was opened.
    pub at: Option<String>,
    /// The epoch it holds.
    pub epoch: Option<u64>,
    /// The reading order.
    pub generation: u64,
    /// Each lane.
    pub lanes: Vec<LaneRecovery>,
}

/// Why a lane went on where it did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaneRecovery {
    /// Which lane.
    pub lane: u32,
    /// What decided: `fresh`, `agreed`, `tokenAdopted`, `journal`, `atLeastOnce`.
    pub decision: String,
    /// In words.
    pub explanation: String,
    /// Commit number of the journal's checkpoint.
    pub journal_sequence: u64,
    /// Commit number of the sink's token.
    pub token_sequence: Option<u64>,
    /// Where it went on.
    pub positions: Vec<PositionView>,
}
