//! `/metrics`, for Prometheus.
use crate::{pipelines::STATUSES, state::ApiState};
use axum::{extract::State, http::header, response::IntoResponse};
use std::fmt::Write;

/// Show metrics
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    let mut text = (state.metrics)();
    text.push_str("# HELP dataflow_pipelines Pipelines of this node by status\n# TYPE dataflow_pipelines gauge\n");
    let by_status = state.region.overview().by_status;
    for (status, _) in STATUSES {
        let count = by_status.get(status).copied().unwrap_or(0);
        let _written = writeln!(text, "dataflow_pipelines{{status=\"{status}\"}} {count}");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
