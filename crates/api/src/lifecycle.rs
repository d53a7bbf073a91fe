//! `/api/pipelines/{id}/start|stop|restart`.
use crate::{
    error::Error,
    headers::{Asked, Command, Described},
    params::Params,
    views,
};
use axum::{http::StatusCode, response::Response};
use dataflow_api_types::PipelineView;
use dataflow_core::{
    id::SinkName,
    pipeline::{Rejected, Status},
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    client::PipelineClient,
    region::{Action, AskError},
};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long an answer waits for a start or stop, if nothing else is said.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// How often is looked whether a start is over; at the beginning more often.
const LOOK: Duration = Duration::from_millis(500);

/// Start a pipeline
///
/// It goes on from its checkpoint. 200 once source and sink are open; 202 with `opening: true` if that takes longer than
/// `wait`, or fails and is tried again, as `error` says. 409 if it runs already, or with `idempotent` 200 and
/// `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/start", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "Only the branch of this sink"),
        ("wait" = Option<String>, Query, description = "How long to wait until source and sink are open: `10s`, `500ms`; default 10s"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that is already running is not a conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It is running; or has failed or completed, as `status` says", body = PipelineView),
        (status = 202, description = "Its source and sink are not open yet", body = PipelineView),
    ))]
pub(crate) async fn start(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let (sink, idempotent) = (params.sink(), params.flag("idempotent"));
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let is_so = |status: Status, stopping: bool| status == Status::Running && !stopping;
    let until = Instant::now() + wait;
    let started = pipeline.change(command.of(Action::Start { sink: sink.clone() })).await;
    let pipeline = pipeline.of_sink(sink.clone());
    answer(&pipeline, opened(&pipeline, sink.as_ref(), started, until).await, idempotent.then_some(is_so)).await
}

/// Stop a pipeline
///
/// What is under way is settled first. 202 with `stopping: true` if that takes longer than `wait`. 409 if it doesn't run,
/// or with `idempotent` 200 and `DataFlow-Unchanged: true`.
#[utoipa::path(post, path = "/api/pipelines/{id}/stop", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "Only the branch of this sink"),
        ("wait" = Option<String>, Query, description = "How long to wait for the stop: `10s`, `500ms`; default 10s"),
        ("idempotent" = Option<bool>, Query, description = "A pipeline that is not running is not a conflict"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It has stopped", body = PipelineView),
        (status = 202, description = "It is still stopping", body = PipelineView),
    ))]
pub(crate) async fn stop(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let (sink, idempotent) = (params.sink(), params.flag("idempotent"));
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let is_so = |status: Status, _: bool| status != Status::Running;
    let stopped = pipeline.change(command.of(Action::Stop { sink: sink.clone(), wait })).await;
    answer(&pipeline.of_sink(sink), stopped, idempotent.then_some(is_so)).await
}

/// Restart a pipeline
///
/// Stops it if it runs, and starts it. 202 with `stopping: true` if the stop takes longer than `wait`: it starts once
/// it has stopped. 202 with `opening: true` as for a start.
#[utoipa::path(post, path = "/api/pipelines/{id}/restart", tag = "lifecycle", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "Only the branch of this sink"),
        ("wait" = Option<String>, Query, description = "How long to wait until it is running again: `10s`, `500ms`; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It is running again", body = PipelineView),
        (status = 202, description = "It is still stopping, or its source and sink are not open yet", body = PipelineView),
    ))]
pub(crate) async fn restart(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let (sink, wait) = (params.sink(), params.duration("wait", DEFAULT_WAIT));
    params.finish()?;
    let until = Instant::now() + wait;
    let restarted = pipeline.change(command.of(Action::Restart { sink: sink.clone(), wait })).await;
    let restarted = opened(&pipeline, sink.as_ref(), restarted, until).await;
    answer(&pipeline, restarted, None::<fn(Status, bool) -> bool>).await
}

/// The pipeline once source and sink are open, of one branch or of all, or what is in the way is known.
async fn opened(
    pipeline: &PipelineClient,
    sink: Option<&SinkName>,
    started: Result<PipelineSnapshot, AskError>,
    until: Instant,
) -> Result<PipelineSnapshot, AskError> {
    let (mut now, mut pause) = (started?, LOOK / 32);
    let waits = |now: &PipelineSnapshot| {
        let named = now.sinks.iter().find(|branch| sink.is_some() && branch.sink.as_ref() == sink);
        let of = named.unwrap_or(&now.whole);
        of.opening && of.error.is_none()
    };
    while waits(&now) && Instant::now() < until {
        sleep_until(until.min(Instant::now() + pause)).await;
        now = pipeline.snapshot().await?;
        pause = LOOK.min(2 * pause);
    }
    Ok(now)
}

/// The pipeline as it is after a command. If what was asked for may be so already, and `is_so` says that of the status, and whether
/// it is stopping, it is no error.
async fn answer(
    pipeline: &PipelineClient,
    changed: Result<PipelineSnapshot, AskError>,
    is_so: Option<impl Fn(Status, bool) -> bool>,
) -> Result<Response, Error> {
    match (changed, is_so) {
        (Err(error @ AskError::Rejected(Rejected::NotAllowed { .. })), Some(is_so)) => {
            let there = pipeline.snapshot().await.map_err(Error::of(pipeline))?;
            let named = there.sinks.iter().find(|branch| branch.sink.as_ref() == pipeline.sink());
            let (status, stopping) =
                named.map_or((there.status, there.stopping), |branch| (branch.status, branch.stopping));
            if !is_so(status, stopping) {
                return Err(Error::of(pipeline)(error));
            }
            let view = views::pipeline(there);
            Ok(views::unchanged(views::answer(StatusCode::OK, &view)))
        }
        (changed, _) => {
            let view = views::pipeline(changed.map_err(Error::of(pipeline))?);
            let is_over = !view.stopping && !view.opening;
            Ok(views::answer(if is_over { StatusCode::OK } else { StatusCode::ACCEPTED }, &view))
        }
    }
}
