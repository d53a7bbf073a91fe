//! `/api/system`: what this node is and holds.
use crate::{error::Error, params::Params, state::ApiState};
use axum::{Json, extract::State};
use dataflow_engine::view::RegionView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Which journal it writes: `sqlite`, `memory`.
    pub journal: String,
    /// Where its files are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    /// When it was started. RFC 3339, UTC.
    pub started_at: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
}

/// A node and what it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemView {
    /// The node.
    #[serde(flatten)]
    node: NodeView,
    /// What it holds.
    region: RegionView,
}

/// Show the system
///
/// What this node is, and which shards, pipelines and runs it holds.
#[utoipa::path(get, path = "/api/system", tag = "system", responses((status = 200, body = SystemView)))]
pub(crate) async fn system(State(state): State<ApiState>, params: Params) -> Result<Json<SystemView>, Error> {
    params.finish()?;
    Ok(Json(SystemView { node: (state.node)(), region: state.region.overview() }))
}
