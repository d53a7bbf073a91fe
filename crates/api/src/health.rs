//! `/health`: for whoever watches over the process.
use crate::state::{ApiState, Readiness};
use axum::{Json, extract::State, http::StatusCode};
use dataflow_api_types::HealthView;

/// Tell whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "system", responses((status = 200, body = HealthView)))]
pub(crate) async fn live() -> Json<HealthView> {
    Json(HealthView { status: "live".into(), reason: None })
}

/// Tell whether the node can serve
#[utoipa::path(get, path = "/health/ready", tag = "system", responses(
    (status = 200, description = "It can", body = HealthView), (status = 503, description = "Not ready", body = HealthView),
))]
pub(crate) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<HealthView>) {
    match (state.readiness)().await {
        Readiness::Ready => (StatusCode::OK, Json(HealthView { status: "ready".into(), reason: None })),
        Readiness::NotReady(reason) => {
            let view = HealthView { status: "not-ready".into(), reason: Some(reason) };
            (StatusCode::SERVICE_UNAVAILABLE, Json(view))
        }
    }
}
