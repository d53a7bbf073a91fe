//! `/metrics`, for Prometheus.
use crate::state::ApiState;
use axum::{extract::State, http::header, response::IntoResponse};

/// Show metrics
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)())
}
