//! How far a pipeline is, and where to go on.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a pipeline is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointView {
    /// The reading order.
    pub generation: u64,
    /// When the last checkpoint was taken.
    pub at: Option<String>,
    /// Where each partition goes on.
    pub positions: Vec<PositionView>,
}

/// Where a partition goes on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PositionView {
    /// Which partition.
    pub partition: String,
    /// Where.
    pub position: String,
}

/// Where to go on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointReset {
    /// Where to go on.
    pub to: ResetTarget,
}

/// Where to go on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResetTarget {
    /// From the source's first record.
    Beginning,
    /// After the source's last record.
    End,
    /// From what the sink's token says.
    SinkToken,
    /// From what the journal's checkpoint says.
    Journal,
    /// From these positions; partitions that are not named keep theirs.
    Positions(Vec<ResetPosition>),
}

/// Where to go on in one partition.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPosition {
    /// Which partition.
    pub partition: String,
    /// Where, as GET shows it.
    pub position: String,
}
