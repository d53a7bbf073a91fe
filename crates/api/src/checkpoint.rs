//! `/api/pipelines/{id}/checkpoint`: how far a pipeline is, and going on from elsewhere.
use crate::{
    body,
    error::Error,
    headers::{Asked, Command, Described},
    params::Params,
    views,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use dataflow_api_types::{CheckpointReset, CheckpointView, ResetPosition, ResetTarget};
use dataflow_core::{id::SinkName, problem::Problem};
use dataflow_engine::{
    answers::PipelineSnapshot,
    region::{Action, ResetPoint},
};
use dataflow_sdk::check::against_schema;
use schemars::Schema;
use std::{collections::BTreeMap, sync::LazyLock};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| schemars::schema_for!(CheckpointReset));

/// Show a pipeline's checkpoint
///
/// Where each partition of the source goes on. The pipeline's version is the ETag.
#[utoipa::path(get, path = "/api/pipelines/{id}/checkpoint", tag = "checkpoint",
    params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "The name of the sink, where there are several"),
    ), responses((status = 200, body = CheckpointView)))]
pub(crate) async fn get(Asked(pipeline): Asked, mut params: Params) -> Result<Response, Error> {
    let sink = params.sink();
    params.finish()?;
    answer(&pipeline.snapshot().await.map_err(Error::of(&pipeline))?, sink.as_ref())
}

/// Reset a pipeline's checkpoint
///
/// Only while it doesn't run. Starts a new generation.
#[utoipa::path(put, path = "/api/pipelines/{id}/checkpoint", tag = "checkpoint", request_body = CheckpointReset, params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "Only that of this sink; left out: of all"),
        ("force" = Option<bool>, Query, description = "Even if the sink's progress can't be read, acknowledged pushed \
            records are lost, or records are written twice"),
        ("takeOver" = Option<bool>, Query, description = "Even if the target has another node's progress for this \
            pipeline: that node can then no longer write there"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        Described,
    ), responses((status = 200, body = CheckpointView)))]
pub(crate) async fn reset(
    Asked(pipeline): Asked,
    command: Command,
    mut params: Params,
    body::Json(value): body::Json,
) -> Result<Response, Error> {
    let (sink, force, take_over) = (params.sink(), params.flag("force"), params.flag("takeOver"));
    params.finish()?;
    let problems = against_schema(&value, &SCHEMA, "");
    if !problems.is_empty() {
        return Err(Error::invalid(problems.into_iter().map(with_form).collect()));
    }
    let reset: CheckpointReset = serde_json::from_value(value)
        .map_err(|error| Error::invalid(vec![Problem::new("", "invalid-value", error.to_string())]))?;
    let action = Action::ResetCheckpoint { to: place(reset.to)?, sink: sink.clone(), force, take_over };
    answer(&pipeline.change(command.of(action)).await.map_err(Error::of(&pipeline))?, sink.as_ref())
}

/// A finding about where to go on, with the forms that this has.
fn with_form(problem: Problem) -> Problem {
    match problem.path.as_str() {
        "to" | "to.positions" => problem.fix(
            "write \"beginning\", \"end\", \"journal\" or \"sink-token\", or positions: \
             {\"to\": {\"positions\": [{\"partition\": \"orders/0\", \"position\": \"1000\"}]}}",
        ),
        _ => problem,
    }
}

/// Of several sinks, positions are only those of one.
fn answer(pipeline: &PipelineSnapshot, sink: Option<&SinkName>) -> Result<Response, Error> {
    let checkpoint = match sink {
        None => views::checkpoint(pipeline),
        Some(name) => {
            let found = pipeline.sinks.iter().find(|branch| branch.sink.as_ref() == Some(name));
            let unknown =
                || Problem::new("sink", "unknown-sink", format!("the pipeline has no sink {:?}", name.as_str()));
            views::checkpoint(found.ok_or_else(|| Error::invalid(vec![unknown()]))?)
        }
    };
    Ok(views::tagged(Json(checkpoint).into_response(), pipeline.version))
}

fn place(to: ResetTarget) -> Result<ResetPoint, Error> {
    let given = match to {
        ResetTarget::Beginning => return Ok(ResetPoint::Beginning),
        ResetTarget::End => return Ok(ResetPoint::End),
        ResetTarget::SinkToken => return Ok(ResetPoint::SinkToken),
        ResetTarget::Journal => return Ok(ResetPoint::Journal),
        ResetTarget::Positions(given) => given,
    };
    let (mut positions, mut problems) = (BTreeMap::new(), Vec::new());
    if given.is_empty() {
        problems.push(
            Problem::new("to.positions", "too-few", "names no position").fix("give at least one, or \"beginning\""),
        );
    }
    for (index, ResetPosition { partition, position }) in given.into_iter().enumerate() {
        if positions.insert(partition.clone(), position).is_some() {
            let path = format!("to.positions[{index}].partition");
            problems.push(Problem::new(path, "duplicate", format!("{partition:?} is given twice")));
        }
    }
    if problems.is_empty() { Ok(ResetPoint::Positions(positions)) } else { Err(Error::invalid(problems)) }
}
