//! `/api/system`: what this node is and holds.
use crate::{error::Error, params::Params, state::ApiState, views};
use axum::{Json, extract::State};
use dataflow_api_types::SystemView;

/// Show the system
///
/// What this node is, and which shards, pipelines and runs it holds.
#[utoipa::path(get, path = "/api/system", tag = "system", responses((status = 200, body = SystemView)))]
pub(crate) async fn system(State(state): State<ApiState>, params: Params) -> Result<Json<SystemView>, Error> {
    params.finish()?;
    Ok(Json(SystemView { node: (state.node)(), region: views::region(state.region.overview().await) }))
}
