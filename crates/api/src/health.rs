//! `/health`: for whoever watches over the process.
use crate::state::{ApiState, Readiness};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a node is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct HealthView {
    /// `live`, `ready` or `not-ready`.
    status: String,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Tell whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "system", responses((status = 200, body = HealthView)))]
pub(crate) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "live".into(), reason: None })
}

/// Tell whether the node can serve
#[utoipa::path(get, path = "/health/ready", tag = "system", responses(
    (status = 200, description = "It can", body = HealthView), (status = 503, description = "It can't now", body = HealthView),
))]
pub(crate) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<HealthView>) {
    match (state.readiness)() {
        Readiness::Ready => (StatusCode::OK, Json(HealthView { status: "ready".into(), reason: None })),
        Readiness::NotReady(reason) => {
            let view = HealthView { status: "not-ready".into(), reason: Some(reason) };
            (StatusCode::SERVICE_UNAVAILABLE, Json(view))
        }
    }
}
