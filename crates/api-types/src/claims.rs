//! What a pipeline claims to have done, for those who verify it.
use crate::Status;
use dataflow_core::{
    branch::BranchId,
    id::{Generation, Incarnation, PipelineId, SinkName},
    ledger::Counters,
    pipeline::event::{LaneProgress, Lost},
    position::Positions,
    spec::PipelineSpec,
    types::InferredTypes,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a pipeline claims to have done in its present generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The pipeline.
    #[schema(value_type = String)]
    pub pipeline_id: PipelineId,
    /// Its branch, as targets know it.
    #[schema(value_type = String)]
    pub branch: BranchId,
    /// The sink, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub sink: Option<SinkName>,
    /// Which one of that id.
    #[schema(value_type = String)]
    pub incarnation: Incarnation,
    /// What it is doing.
    pub status: Status,
    /// Whether nothing more happens to it by itself.
    pub at_rest: bool,
    /// What it is.
    #[schema(value_type = Object)]
    pub spec: PipelineSpec,
    /// What was learned of the types of its fields.
    #[schema(value_type = Object)]
    pub learned: InferredTypes,
    /// The reading order.
    #[schema(value_type = String)]
    pub generation: Generation,
    /// Number of lanes; none: it was never started in this generation.
    pub lanes: Option<u32>,
    /// Where the generation began. A partition that is missing began at its beginning.
    #[schema(value_type = Object)]
    pub begin: Positions,
    /// Where each lane is, and what it has counted in this generation.
    #[schema(value_type = Vec<Object>)]
    pub by_lane: Vec<LaneProgress>,
    /// Counts of all earlier generations. So many dead letters at the head of the list are theirs.
    #[schema(value_type = Object)]
    pub earlier: Counters,
    /// What was passed over in this generation, by an explicit choice; or will be, where a lane is still at its `from`.
    #[schema(value_type = Vec<Object>)]
    pub lost: Vec<Lost>,
    /// What specs before the present one have done of this generation, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// When its transforms or types were changed in the middle of the generation (RFC 3339), while it was not known how far it
    /// was: which spec has done what can't be told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
}

/// What one spec has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stretch {
    /// The spec.
    #[schema(value_type = Object)]
    pub spec: PipelineSpec,
    /// Where it ends. Nothing is of it in a partition that is missing.
    #[schema(value_type = Object)]
    pub until: Positions,
}
