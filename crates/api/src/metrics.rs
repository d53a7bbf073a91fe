//! `/metrics`, for Prometheus.
use crate::{pipelines::STATUSES, state::ApiState};
use axum::{extract::State, http::header, response::IntoResponse};
use dataflow_core::id::PipelineId;
use dataflow_engine::answers::Flow;
use std::fmt::Write;

type Count = fn(&Flow) -> u64;

/// What is counted of each pipeline: name, meaning, where it is.
const COUNTED: [(&str, &str, Count); 11] = [
    ("records_read", "Records read from the source and committed since the node started", |flow| flow.counters.read),
    ("records_filtered", "Records dropped on purpose by a transform", |flow| flow.counters.filtered),
    ("records_delivered", "Records whose rows the sink has committed", |flow| flow.counters.delivered),
    ("records_absorbed", "Records taken into durable state", |flow| flow.counters.absorbed),
    ("records_dead", "Records kept as dead letters", |flow| flow.counters.dead),
    ("records_lost", "Records that the source or the target has lost, and that were passed over by choice", |flow| {
        flow.counters.lost
    }),
    ("bytes_lost", "Bytes of files that were lost with records that nobody could count", |flow| {
        flow.counters.bytes_lost
    }),
    ("rows_written", "Rows that the sink has committed", |flow| flow.counters.rows_written),
    ("bytes_read", "Bytes of the records read", |flow| flow.counters.bytes_read),
    ("batches", "Commits to the sink", |flow| flow.counters.batches),
    ("run_failures", "Runs that ended by a failure", |flow| flow.failures),
];

/// Show metrics
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    let mut text = (state.metrics)() + &of_flows(&state.region.flows().await);
    text.push_str("# HELP dataflow_pipelines Pipelines of this node by status\n# TYPE dataflow_pipelines gauge\n");
    let by_status = state.region.overview().await.by_status;
    for (name, status) in STATUSES {
        let count = by_status.get(&status).copied().unwrap_or(0);
        let _written = writeln!(text, "dataflow_pipelines{{status=\"{name}\"}} {count}");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// What the pipelines that there are have done.
fn of_flows(flows: &[(PipelineId, Flow)]) -> String {
    let mut text = String::new();
    for (name, meaning, count) in COUNTED {
        let name = format!("dataflow_{name}_total");
        text.push_str(&format!("# HELP {name} {meaning}\n# TYPE {name} counter\n"));
        for (pipeline, flow) in flows {
            text.push_str(&format!("{name}{{pipeline=\"{pipeline}\"}} {}\n", count(flow)));
        }
    }
    text
}
