//! Views as they leave the door: secrets hidden, the version as ETag.
use crate::{error::Error, state::ApiState};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dataflow_core::{id::PipelineId, spec::Component};
use dataflow_engine::{
    region::{Message, Query, Reply, ShardingEnvelope},
    view::{HistoryItem, PipelineView},
};
use dataflow_sdk::{Catalog, catalog::Role};
use serde_json::Value;

/// Sends a message and takes the answer.
pub(crate) async fn ask(state: &ApiState, envelope: ShardingEnvelope) -> Result<Reply, Error> {
    let pipeline = envelope.pipeline.clone();
    state.region.ask(envelope).await.map_err(|error| Error::of_ask(error, pipeline.as_str()))
}

/// Asks a pipeline.
pub(crate) async fn query(state: &ApiState, pipeline: &PipelineId, query: Query) -> Result<Reply, Error> {
    ask(state, ShardingEnvelope { pipeline: pipeline.clone(), message: Message::Query(query) }).await
}

/// The pipeline in an answer, fit to be shown.
pub(crate) fn pipeline(state: &ApiState, reply: Reply) -> Result<PipelineView, Error> {
    match reply {
        Reply::Pipeline(view) => Ok(shown(&state.catalog, *view)),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Says that a request changed nothing, as what it asked for is so already (`?idempotent=true`).
pub(crate) const UNCHANGED: &str = "dataflow-unchanged";

/// The answer where what was asked for may be so already: if `is` says so of the pipeline, it is no error.
pub(crate) async fn already(
    state: &ApiState,
    id: &PipelineId,
    error: Error,
    is: impl Fn(&PipelineView) -> bool,
) -> Result<Response, Error> {
    let view = pipeline(state, query(state, id, Query::State).await?)?;
    if is(&view) { Ok(unchanged(answer(StatusCode::OK, &view))) } else { Err(error) }
}

/// The same answer, marked as one to a request that changed nothing.
pub(crate) fn unchanged(mut response: Response) -> Response {
    response.headers_mut().insert(UNCHANGED, HeaderValue::from_static("true"));
    response
}

/// The same view without secrets.
pub(crate) fn shown(catalog: &Catalog, mut view: PipelineView) -> PipelineView {
    view.source = catalog.redact(Role::Source, &view.source);
    view.sink = catalog.redact(Role::Sink, &view.sink);
    view
}

/// The same event without secrets.
pub(crate) fn shown_event(catalog: &Catalog, mut item: HistoryItem) -> HistoryItem {
    for (role, name) in [(Role::Source, "source"), (Role::Sink, "sink")] {
        let Some(component) = item.detail.get_mut("spec").and_then(|spec| spec.get_mut(name)) else { continue };
        if let Ok(known) = serde_json::from_value::<Component>(component.clone()) {
            *component = serde_json::to_value(catalog.redact(role, &known)).unwrap_or(Value::Null);
        }
    }
    item
}

/// A pipeline as an answer, its version as ETag.
pub(crate) fn answer(status: StatusCode, view: &PipelineView) -> Response {
    tagged((status, Json(view)).into_response(), view.version)
}

/// The same answer with a version as its ETag.
pub(crate) fn tagged(mut response: Response, version: u64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
