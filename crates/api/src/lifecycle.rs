//! `/api/pipelines/{id}/start|stop|restart`.
use crate::{error::Error, headers::Command, params::Params, path, state::ApiState, views};
use axum::{extract::State, http::StatusCode, response::Response};
use dataflow_core::{id::PipelineId, pipeline::Status};
use dataflow_engine::{region::Action, view::PipelineView};
use std::time::Duration;

/// How long an answer waits for a stop, if nothing else is said.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// Start a pipeline
///
/// It goes on from its checkpoint. 409 if it runs already, or with `idempotent` 200 and `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/start", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that runs already is no conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Once the request has changed something, the same one under the same key changes nothing more; another one is answered 422"),
        ("Reason" = Option<String>, Header, description = "Why, in the user\'s words: the history keeps it"),
    ), responses((status = 200, body = PipelineView)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    mut params: Params,
) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    params.finish()?;
    match views::ask(&state, command.envelope(&id, Action::Start)).await {
        Err(error) if idempotent && error.code() == "not-allowed" => {
            views::already(&state, &id, error, |view| view.status == Status::Running && !view.stopping).await
        }
        reply => Ok(views::answer(StatusCode::OK, &views::pipeline(&state, reply?)?)),
    }
}

/// Stop a pipeline
///
/// What is under way is settled first. 202 with `stopping: true` if that takes longer than `wait`. 409 if it doesn't run,
/// or with `idempotent` 200 and `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/stop", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long the answer waits: `10s`, `500ms`; default 10s"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that doesn't run is no conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Once the request has changed something, the same one under the same key changes nothing more; another one is answered 422"),
        ("Reason" = Option<String>, Header, description = "Why, in the user\'s words: the history keeps it"),
    ), responses(
        (status = 200, description = "It has stopped", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn stop(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    mut params: Params,
) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    match end(&state, &id, command, params, |wait| Action::Stop { wait }).await {
        Err(error) if idempotent && error.code() == "not-allowed" => {
            views::already(&state, &id, error, |view| view.status != Status::Running).await
        }
        answer => answer,
    }
}

/// Restart a pipeline
///
/// Stops it if it runs, and starts it. 202 with `stopping: true` if the stop takes longer than `wait`; it starts once
/// it has stopped.
#[utoipa::path(post, path = "/api/pipelines/{id}/restart", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long the answer waits: `10s`, `500ms`; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Once the request has changed something, the same one under the same key changes nothing more; another one is answered 422"),
        ("Reason" = Option<String>, Header, description = "Why, in the user\'s words: the history keeps it"),
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
