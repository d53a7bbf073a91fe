//! `/api/pipelines/{id}/start|stop|restart`.
use crate::{
    error::Error,
    headers::{Asked, Command, Described},
    params::Params,
    views,
};
use axum::{http::StatusCode, response::Response};
use dataflow_api_types::PipelineView;
use dataflow_core::pipeline::{Rejected, Status};
use dataflow_engine::{
    answers::PipelineSnapshot,
    client::PipelineClient,
    region::{Action, AskError},
};
use std::time::Duration;

/// How long an answer waits for a stop, if nothing else is said.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// Start a pipeline
///
/// It goes on from its checkpoint. 409 if it runs already, or with `idempotent` 200 and `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/start", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that is already running is not a conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses((status = 200, body = PipelineView)))]
pub(crate) async fn start(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    params.finish()?;
    let is_so = |it: &PipelineSnapshot| it.status == Status::Running && !it.stopping;
    let started = pipeline.change(command.of(Action::Start)).await;
    answer(&pipeline, started, idempotent.then_some(is_so)).await
}

/// Stop a pipeline
///
/// What is under way is settled first. 202 with `stopping: true` if that takes longer than `wait`. 409 if it doesn't run,
/// or with `idempotent` 200 and `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/stop", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long to wait for the stop: `10s`, `500ms`; default 10s"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that is not running is not a conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It has stopped", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn stop(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let is_so = |it: &PipelineSnapshot| it.status != Status::Running;
    let stopped = pipeline.change(command.of(Action::Stop { wait })).await;
    answer(&pipeline, stopped, idempotent.then_some(is_so)).await
}

/// Restart a pipeline
///
/// Stops it if it runs, and starts it. 202 with `stopping: true` if the stop takes longer than `wait`; it starts once
/// it has stopped.
#[utoipa::path(post, path = "/api/pipelines/{id}/restart", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("wait" = Option<String>, Query, description = "How long to wait for the stop: `10s`, `500ms`; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It is running again", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn restart(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let restarted = pipeline.change(command.of(Action::Restart { wait })).await;
    answer(&pipeline, restarted, None::<fn(&PipelineSnapshot) -> bool>).await
}

/// The pipeline as it is after a command. If what was asked for may be so already, and `is_so` says that it is, it is no error.
async fn answer(
    pipeline: &PipelineClient,
    changed: Result<PipelineSnapshot, AskError>,
    is_so: Option<impl Fn(&PipelineSnapshot) -> bool>,
) -> Result<Response, Error> {
    match (changed, is_so) {
        (Err(error @ AskError::Rejected(Rejected::NotAllowed { .. })), Some(is_so)) => {
            let there = pipeline.snapshot().await.map_err(Error::of(pipeline))?;
            if !is_so(&there) {
                return Err(Error::of(pipeline)(error));
            }
            let view = views::pipeline(there);
            Ok(views::unchanged(views::answer(StatusCode::OK, &view)))
        }
        (changed, _) => {
            let changed = changed.map_err(Error::of(pipeline))?;
            Ok(views::settling(&views::pipeline(changed)))
        }
    }
}
