//! What users see, made of what a region answers: a file per resource.
mod claims;
mod dead_letters;
mod history;
mod pipeline;
mod recovery;

pub use claims::claims;
pub use dead_letters::{causes, dead_letter, dead_letters};
pub(crate) use history::history;
pub use pipeline::{checkpoint, pipeline};
pub(crate) use pipeline::{received, region};
pub(crate) use recovery::recovery;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dataflow_api_types::{PipelineView, PositionView};
use dataflow_core::{
    position::Positions,
    spec::{NamedSink, PipelineSpec},
};
use dataflow_sdk::{Catalog, catalog::Role};

fn positions(positions: &Positions) -> Vec<PositionView> {
    positions
        .iter()
        .map(|(partition, position)| PositionView { partition: partition.to_string(), position: position.to_string() })
        .collect()
}

/// The same spec without secrets.
fn redacted(catalog: &Catalog, spec: &PipelineSpec) -> PipelineSpec {
    PipelineSpec {
        source: catalog.redact(Role::Source, &spec.source),
        sink: catalog.redact(Role::Sink, &spec.sink),
        sinks: spec
            .sinks
            .iter()
            .map(|named| NamedSink { sink: catalog.redact(Role::Sink, &named.sink), ..named.clone() })
            .collect(),
        ..spec.clone()
    }
}

/// Says that a request changed nothing, as what it asked for is so already (`?idempotent=true`).
pub(crate) const UNCHANGED: &str = "dataflow-unchanged";

/// The same answer, marked as one to a request that changed nothing.
pub(crate) fn unchanged(mut response: Response) -> Response {
    response.headers_mut().insert(UNCHANGED, HeaderValue::from_static("true"));
    response
}

/// A pipeline as an answer, its version as ETag.
pub(crate) fn answer(status: StatusCode, view: &PipelineView) -> Response {
    tagged((status, Json(view)).into_response(), view.version)
}

/// The same to a request that may have stopped it: 202 while that is not over.
pub(crate) fn settling(view: &PipelineView) -> Response {
    answer(if view.stopping { StatusCode::ACCEPTED } else { StatusCode::OK }, view)
}

/// The same answer with a version as its ETag.
pub(crate) fn tagged(mut response: Response, version: u64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
