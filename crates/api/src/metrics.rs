//! `/metrics`, for Prometheus.
use crate::{pipelines::STATUSES, state::ApiState};
use axum::{extract::State, http::header, response::IntoResponse};
use dataflow_engine::answers::{Flow, Lag, Measured};
use std::fmt::Write;

type Count = fn(&Flow) -> u64;

/// What is counted of each branch: name, meaning, where it is.
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
    let measured = state.region.measured().await;
    let mut text = (state.metrics)() + &counted(&measured) + &statuses(&measured) + &lags(&measured);
    text.push_str("# HELP dataflow_pipelines Pipelines of this node by status\n# TYPE dataflow_pipelines gauge\n");
    let by_status = state.region.overview().await.by_status;
    for (name, status) in STATUSES {
        let count = by_status.get(&status).copied().unwrap_or(0);
        let _written = writeln!(text, "dataflow_pipelines{{status=\"{name}\"}} {count}");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// What the pipelines that there are have done.
fn counted(all: &[Measured]) -> String {
    let mut text = String::new();
    for (name, meaning, count) in COUNTED {
        let name = format!("dataflow_{name}_total");
        text.push_str(&format!("# HELP {name} {meaning}\n# TYPE {name} counter\n"));
        for (measured, flow) in all.iter().filter_map(|measured| Some((measured, measured.flow.as_ref()?))) {
            text.push_str(&format!("{name}{{{}}} {}\n", labels(measured), count(flow)));
        }
    }
    text
}

/// What each does, as a set of states of which one is 1.
fn statuses(all: &[Measured]) -> String {
    let name = "dataflow_pipeline_status";
    let mut text = format!("# HELP {name} Whether the pipeline has this status: 1, otherwise 0\n# TYPE {name} gauge\n");
    for measured in all {
        for (status, is) in STATUSES {
            let is = u8::from(measured.status == is);
            text.push_str(&format!("{name}{{{},status=\"{status}\"}} {is}\n", labels(measured)));
        }
    }
    text
}

/// How far those that run lag.
fn lags(all: &[Measured]) -> String {
    let mut text = String::new();
    for unit in ["records", "bytes"] {
        let name = format!("dataflow_source_lag_{unit}");
        text.push_str(&format!(
            "# HELP {name} What waits at the source of a running pipeline, in {unit}\n# TYPE {name} gauge\n"
        ));
        for measured in all {
            if let (Some(Lag::Records(lag)), "records") | (Some(Lag::Bytes(lag)), "bytes") = (measured.lag, unit) {
                text.push_str(&format!("{name}{{{}}} {lag}\n", labels(measured)));
            }
        }
    }
    text
}

/// Whose series it is.
fn labels(Measured { pipeline, sink, .. }: &Measured) -> String {
    let sink = sink.as_ref().map_or_else(String::new, |sink| format!(",sink=\"{sink}\""));
    format!("pipeline=\"{pipeline}\"{sink}")
}
