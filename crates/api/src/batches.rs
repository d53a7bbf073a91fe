//! `/api/pipelines/{id}/batches`: records pushed to a pipeline with an `http` source.
use crate::{
    body,
    error::Error,
    headers::{Asked, Command},
    params::Params,
    views,
};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dataflow_api_types::{PushedBatch, ReceivedView};
use dataflow_core::problem::Problem;
use dataflow_engine::region::Action;
use dataflow_formats::pushed;
use std::time::Duration;

/// How long an answer waits for the sink, if nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Push records
///
/// Answered once they are durable; with `wait=delivered` once all of them are through (delivered to the sink, dropped by a
/// filter, or kept as dead letters, which `deadLetters` counts and which can be read by then), or with 202 and `delivered: false` if that takes longer than
/// `timeout`. At most 8 MiB a batch.
#[utoipa::path(post, path = "/api/pipelines/{id}/batches", tag = "batches", request_body = PushedBatch, params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "`received` (default) or `delivered`"),
        ("timeout" = Option<String>, Query, description = "How long to wait for the sink: `30s`, `500ms`; default 30s"),
        ("replay" = Option<bool>, Query, description = "The batch was pushed after the backup that the node was restored from, and comes again in its old order: it is taken although pushes are refused (`journal-behind`)"),
    ), responses(
        (status = 200, description = "The records are durable and, if requested, delivered", body = ReceivedView),
        (status = 202, description = "The records are durable but not delivered yet", body = ReceivedView),
    ))]
pub(crate) async fn push(
    Asked(pipeline): Asked,
    command: Command,
    mut params: Params,
    body::Batch(body): body::Batch,
) -> Result<Response, Error> {
    let wait = params.one_of("wait", &[("received", false), ("delivered", true)]).unwrap_or(false);
    let timeout = params.duration("timeout", DEFAULT_TIMEOUT);
    let replay = params.flag("replay");
    params.finish()?;
    let batch = pushed::check(&body).map_err(refused)?;
    let action = Action::Ingest {
        batch_id: batch.batch_id,
        records: batch.records,
        hash: batch.hash,
        body,
        delivered: wait.then_some(timeout),
        replay,
    };
    let received = pipeline.push(command.of(action)).await.map_err(Error::of(&pipeline))?;
    let status = if received.delivered == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(views::received(received))).into_response())
}

/// A body that is no JSON at all has a code of its own here.
fn refused(problems: Vec<Problem>) -> Error {
    match problems.as_slice() {
        [only] if matches!(only.code.as_str(), "not-json" | "not-utf8") => Error::malformed_json(only.message.clone()),
        _ => Error::invalid(problems),
    }
}
