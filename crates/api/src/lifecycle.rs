//! `/api/pipelines/{id}/start|stop|restart`.
use crate::{error::Error, headers::Command, params::Params, path, state::ApiState, views};
use axum::{extract::State, http::StatusCode, response::Response};
use dataflow_core::id::PipelineId;
use dataflow_engine::{region::Action, view::PipelineView};
use std::time::Duration;

/// How long an answer waits for a stop, if nothing else is said.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// Start a pipeline
///
/// It goes on from its checkpoint. 409 if it runs already.
#[utoipa::path(post, path = "/api/pipelines/{id}/start", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeated with the same key, the request changes nothing"),
    ), responses((status = 200, body = PipelineView)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    params: Params,
) -> Result<Response, Error> {
    params.finish()?;
    let view = views::pipeline(&state, views::ask(&state, command.envelope(&id, Action::Start)).await?)?;
    Ok(views::answer(StatusCode::OK, &view))
}

/// Stop a pipeline
///
/// What is under way is settled first. 202 with `stopping: true` if that takes longer than `wait`. 409 if it doesn't run.
#[utoipa::path(post, path = "/api/pipelines/{id}/stop", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long the answer waits: `10s`, `500ms`, or a number of seconds; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeated with the same key, the request changes nothing"),
    ), responses(
        (status = 200, description = "It has stopped", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn stop(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    params: Params,
) -> Result<Response, Error> {
    end(&state, &id, command, params, |wait| Action::Stop { wait }).await
}

/// Restart a pipeline
///
/// Stops it if it runs, and starts it. 202 with `stopping: true` if the stop takes longer than `wait`; it starts once
/// it has stopped.
#[utoipa::path(post, path = "/api/pipelines/{id}/restart", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long the answer waits: `10s`, `500ms`, or a number of seconds; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeated with the same key, the request changes nothing"),
    ), responses(
        (status = 200, description = "It runs again", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn restart(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    params: Params,
) -> Result<Response, Error> {
    end(&state, &id, command, params, |wait| Action::Restart { wait }).await
}

/// Ends the run that there is, and answers once it has ended or the user's patience has.
async fn end(
    state: &ApiState,
    id: &PipelineId,
    command: Command,
    mut params: Params,
    action: impl FnOnce(Duration) -> Action,
) -> Result<Response, Error> {
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let view = views::pipeline(state, views::ask(state, command.envelope(id, action(wait))).await?)?;
    Ok(views::answer(if view.stopping { StatusCode::ACCEPTED } else { StatusCode::OK }, &view))
}
