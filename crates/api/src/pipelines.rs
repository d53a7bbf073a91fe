//! `/api/pipelines`: made, listed, shown, changed, deleted.
use crate::{
    body,
    error::Error,
    headers::{Asked, Command, Described},
    lifecycle::DEFAULT_WAIT,
    params::Params,
    state::ApiState,
    views,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dataflow_api_types::{CreatedView, DeletedView, PipelinePage, PipelineView};
use dataflow_core::{
    pipeline::{Rejected, Status},
    problem::Problem,
};
use dataflow_engine::region::{Action, AskError, ListQuery};
use dataflow_sdk::check;
use std::{collections::BTreeMap, time::Duration};

/// Longest wait for the causes of dead letters.
const COUNTING: Duration = Duration::from_secs(3);

/// The fields of GET beside the spec.
const SHOWN_ONLY: &[&str] = &[
    "status",
    "stopping",
    "updating",
    "opening",
    "version",
    "checkpoint",
    "metrics",
    "error",
    "warnings",
    "deadLettersByCause",
    "createdAt",
    "updatedAt",
];

/// What may stand in `?status=`.
pub(crate) const STATUSES: [(&str, Status); 5] = [
    ("configured", Status::Configured),
    ("running", Status::Running),
    ("stopped", Status::Stopped),
    ("failed", Status::Failed),
    ("completed", Status::Completed),
];

/// List pipelines
///
/// By rising id, in pages.
#[utoipa::path(get, path = "/api/pipelines", tag = "pipelines", params(
    ("limit" = Option<u64>, Query, description = "Most entries of the page, 1 to 1000; default 100"),
    ("after" = Option<String>, Query, description = "`next` of the previous page"),
    ("status" = Option<String>, Query, description = "Only those that are configured, running, stopped, failed or completed"),
    ("label" = Option<Vec<String>>, Query, description = "Only those with this label, `key=value` or `key:value`; may be repeated, then all must fit"),
), responses((status = 200, body = PipelinePage)))]
pub(crate) async fn list(State(state): State<ApiState>, mut params: Params) -> Result<Json<PipelinePage>, Error> {
    let limit = params.limit();
    let after = params.text("after");
    let status = params.one_of("status", &STATUSES);
    let mut labels = BTreeMap::new();
    for label in params.all("label") {
        match label.split_once(['=', ':']) {
            Some((key, value)) if !key.is_empty() => _ = labels.insert(key.to_owned(), value.to_owned()),
            _ => params.problem("label", format!("must be key=value or key:value, is {label:?}")),
        }
    }
    params.finish()?;
    let listing = state.region.list(ListQuery { after, limit, status, labels }).await.map_err(Error::of_list)?;
    let items = listing.pipelines.into_iter().map(views::pipeline).collect();
    Ok(Json(PipelinePage { items, next: listing.next.map(|id| id.to_string()), closed: listing.closed }))
}

/// Make a pipeline
///
/// The spec is checked as a whole, and all findings are reported at once; nothing is contacted. It doesn't run until it
/// is started.
/// 409 if the id is taken; with `idempotent`, 200 and `DataFlow-Unchanged: true` if the pipeline there is the same.
#[utoipa::path(post, path = "/api/pipelines", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", description = "The pipeline; see the schema NewPipeline"),
    params(
        ("idempotent" = Option<bool>, Query, description = "An identical pipeline with this id is not a conflict"),
        Described,
    ),
    responses(
        (status = 200, description = "An identical one already exists", body = CreatedView),
        (status = 201, description = "It is created", body = CreatedView),
    ))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    command: Command,
    mut params: Params,
    body::Json(value): body::Json,
) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    params.finish()?;
    let (id, spec) = state
        .checking(move |state| check::check_new(&value, &state.catalog, &state.connections, &*state.compiler))
        .await?
        .map_err(|problems| Error::invalid(not_settable(problems)))?;
    let spec = spec.named(&id);
    let pipeline = command.pipeline(&state, id);
    match pipeline.change(command.of(Action::Create(Box::new(spec.clone())))).await {
        Err(AskError::Rejected(Rejected::AlreadyExists)) if idempotent => {
            let there = pipeline.snapshot().await.map_err(Error::of(&pipeline))?;
            if !there.is_of(&spec) {
                return Err(Error::of(&pipeline)(Rejected::AlreadyExists.into()));
            }
            Ok(views::unchanged(made(StatusCode::OK, views::pipeline(there))))
        }
        made_one => {
            let pipeline = made_one.map_err(Error::of(&pipeline))?;
            Ok(made(StatusCode::CREATED, views::pipeline(pipeline)))
        }
    }
}

fn made(status: StatusCode, pipeline: PipelineView) -> Response {
    let (version, pipeline_id) = (pipeline.version, pipeline.pipeline_id.clone());
    let location = HeaderValue::try_from(format!("/api/pipelines/{pipeline_id}"));
    let said = if status == StatusCode::CREATED { "created" } else { "unchanged" };
    let created = CreatedView { status: said.into(), pipeline_id, pipeline };
    let mut response = views::tagged((status, Json(created)).into_response(), version);
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Show a pipeline
///
/// What it is, what it does, and its ledger: every record read has exactly one fate. The version is the ETag.
#[utoipa::path(get, path = "/api/pipelines/{id}", tag = "pipelines",
    params(("id" = String, Path, description = "The pipeline's id")), responses((status = 200, body = PipelineView)))]
pub(crate) async fn get(Asked(pipeline): Asked, params: Params) -> Result<Response, Error> {
    params.finish()?;
    let snapshot = pipeline.snapshot().await.map_err(Error::of(&pipeline))?;
    let names: Vec<_> = snapshot.sinks.iter().map(|branch| branch.sink.clone()).collect();
    let mut view = views::pipeline(snapshot);
    // Whatever keeps the journal from answering: the rest can be shown.
    let counting = pipeline.within(COUNTING);
    if view.sinks.is_empty() && view.metrics.records_dead > 0 {
        view.dead_letters_by_cause = counting.causes().await.ok().map(views::causes);
    }
    for (name, sink) in names.into_iter().zip(&mut view.sinks) {
        if sink.metrics.records_dead > 0 {
            sink.dead_letters_by_cause = counting.of_sink(name).causes().await.ok().map(views::causes);
        }
    }
    Ok(views::answer(StatusCode::OK, &view))
}

/// Change a pipeline
///
/// The body is the whole spec, or what GET shows with changes to the spec in it: `status`, `metrics` and what else GET adds
/// is passed over. Name, description and labels change at once. For any other change a running pipeline is stopped, changed
/// and started again: 202 with `stopping` and `updating` if the stop takes longer than `wait`; it is changed once it has
/// stopped.
///
/// A change of what the source reads, of what the sink writes and where, or of the number of lanes starts a new generation,
/// which goes on where the old one ended.
/// Where that is not possible, because a position says nothing to the changed source, the answer is 409 `reset-needed`
/// with all those positions, unless `reset` is given. Where the sink turns to another target after records were delivered, the
/// answer is 409 `retarget-needed` with their number, unless `retarget` is given or the checkpoint was set to the beginning before.
/// All of that is asked before a running one is stopped; what only turns out then is answered the same, and it goes on as it was.
#[utoipa::path(put, path = "/api/pipelines/{id}", tag = "pipelines",
    request_body(content = Object, content_type = "application/json", description = "The spec; see the schema PipelineSpec"),
    params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("reset" = Option<bool>, Query, description = "Even if that gives up positions: partitions without a position \
            are read from the source's beginning"),
        ("retarget" = Option<bool>, Query, description = "Even if the new target then lacks the records delivered so far: it gets only later ones"),
        ("force" = Option<bool>, Query, description = "Start a new generation even if the sink's progress in the old one can't be read"),
        ("wait" = Option<String>, Query, description = "How long to wait for a running pipeline to stop: `10s`, `500ms`; default 10s"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses(
        (status = 200, description = "It is changed", body = PipelineView),
        (status = 202, description = "It is still stopping, and is changed after that", body = PipelineView),
    ))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Asked(pipeline): Asked,
    command: Command,
    mut params: Params,
    body::Json(mut value): body::Json,
) -> Result<Response, Error> {
    let id = pipeline.id();
    let force = params.flag("force");
    let reset = params.flag("reset");
    let retarget = params.flag("retarget");
    let wait = params.duration("wait", DEFAULT_WAIT);
    params.finish()?;
    let mut problems = Vec::new();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !SHOWN_ONLY.contains(&name.as_str()));
    }
    if let Some(given) = value.as_object_mut().and_then(|fields| fields.shift_remove("pipelineId"))
        && given.as_str() != Some(id.as_str())
    {
        let message = format!("is {given}, but the path says {:?}", id.as_str());
        problems.push(Problem::new("pipelineId", "id-mismatch", message).fix("leave it out: an id can't be changed"));
    }
    let checked = state
        .checking(move |state| check::check_spec(&value, &state.catalog, &state.connections, &*state.compiler))
        .await?;
    let spec = match checked {
        Ok(spec) if problems.is_empty() => spec,
        Ok(_) => return Err(Error::invalid(problems)),
        Err(more) => {
            problems.extend(more);
            return Err(Error::invalid(problems));
        }
    };
    let action = Action::Update { spec: Box::new(spec.named(id)), reset, retarget, force, wait };
    let updated = pipeline.change(command.of(action)).await.map_err(Error::of(&pipeline))?;
    Ok(views::settling(&views::pipeline(updated)))
}

/// Delete a pipeline
///
/// Only while it doesn't run. What it wrote stays; its id may be used again. 404 if there is none; with `idempotent`, 200
/// and the status `absent`.
#[utoipa::path(delete, path = "/api/pipelines/{id}", tag = "pipelines", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("idempotent" = Option<bool>, Query, description = "A missing pipeline is not an error"),
        ("discard" = Option<bool>, Query, description = "Even if that loses dead letters, or pushed records that are not delivered yet"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses((status = 200, body = DeletedView)))]
pub(crate) async fn delete(Asked(pipeline): Asked, command: Command, mut params: Params) -> Result<Response, Error> {
    let idempotent = params.flag("idempotent");
    let discard = params.flag("discard");
    params.finish()?;
    let pipeline_id = pipeline.id().to_string();
    let said = |status: &str| Json(DeletedView { status: status.into(), pipeline_id }).into_response();
    match pipeline.delete(command.of(Action::Delete { discard })).await {
        Ok(()) => Ok(said("deleted")),
        Err(AskError::Rejected(Rejected::NotFound)) if idempotent => Ok(views::unchanged(said("absent"))),
        Err(error) => Err(Error::of(&pipeline)(error)),
    }
}

/// Whoever makes a pipeline of what GET showed is told what can't be set.
fn not_settable(problems: Vec<Problem>) -> Vec<Problem> {
    let explain = |problem: Problem| match problem.code.as_str() {
        "unknown-field" if SHOWN_ONLY.contains(&problem.path.as_str()) => {
            problem.fix("leave it out: GET shows it, but it can't be set")
        }
        _ => problem,
    };
    problems.into_iter().map(explain).collect()
}
