//! `/api/pipelines/{id}/batches`: records pushed to a pipeline with an `http` source.
use crate::{body, error::Error, headers::Command, params::Params, path, state::ApiState, views};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dataflow_core::problem::Problem;
use dataflow_engine::{
    region::{Action, Reply},
    view::ReceivedView,
};
use dataflow_formats::pushed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use utoipa::ToSchema;

/// How long an answer waits for the sink, if nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Records that are pushed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushedBatch {
    /// Its id, yours to choose: sent again with the same records, it gets the same answer and has no second effect.
    batch_id: String,
    /// The records, in order.
    records: Vec<PushedRecord>,
}

/// A record that is pushed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PushedRecord {
    /// Its id.
    id: Option<String>,
    /// The record itself: a JSON object.
    #[schema(value_type = Object)]
    data: Value,
    /// What is known about it: `meta.` in expressions.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Push records
///
/// Answered once they are durable; with `wait=delivered` once all of them are through (delivered to the sink, dropped by a
/// filter, or kept as dead letters, which `deadLetters` counts), or with 202 and `delivered: false` if that takes longer than
/// `timeout`. At most 8 MiB a batch.
#[utoipa::path(post, path = "/api/pipelines/{id}/batches", tag = "batches", request_body = PushedBatch, params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "`received` (default) or `delivered`"),
        ("timeout" = Option<String>, Query, description = "How long to wait for the sink: `30s`, `500ms`; default 30s"),
    ), responses(
        (status = 200, description = "They are durable; if that was waited for: delivered", body = ReceivedView),
        (status = 202, description = "They are durable and not delivered yet", body = ReceivedView),
    ))]
pub(crate) async fn push(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    mut params: Params,
    body::Batch(body): body::Batch,
) -> Result<Response, Error> {
    let wait = params.one_of("wait", &[("received", false), ("delivered", true)]).unwrap_or(false);
    let timeout = params.duration("timeout", DEFAULT_TIMEOUT);
    params.finish()?;
    let batch = pushed::check(&body).map_err(refused)?;
    let action = Action::Ingest {
        batch_id: batch.batch_id,
        records: batch.records,
        hash: batch.hash,
        body,
        delivered: wait.then_some(timeout),
    };
    match views::ask(&state, command.envelope(&id, action)).await? {
        Reply::Received(view) => {
            let status = if view.delivered == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
            Ok((status, Json(view)).into_response())
        }
        _ => Err(Error::unexpected_reply()),
    }
}

/// A body that is no JSON at all has a code of its own here.
fn refused(problems: Vec<Problem>) -> Error {
    match problems.as_slice() {
        [only] if matches!(only.code.as_str(), "not-json" | "not-utf8") => Error::malformed_json(only.message.clone()),
        _ => Error::invalid(problems),
    }
}
