//! `/api/pipelines/{id}/checkpoint`: how far a pipeline is, and going on from elsewhere.
use crate::{body, error::Error, headers::Command, params::Params, path, state::ApiState, views};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataflow_core::problem::Problem;
use dataflow_engine::{
    region::{Action, Query, ResetTo},
    view::CheckpointView,
};
use dataflow_sdk::check::against_schema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::LazyLock};
use utoipa::ToSchema;

/// Where to go on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointReset {
    /// Where to go on.
    to: ResetTarget,
}

/// Where to go on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResetTarget {
    /// From the source's first record.
    Beginning,
    /// After the source's last record.
    End,
    /// From what the sink's token says.
    SinkToken,
    /// From what the journal's checkpoint says.
    Journal,
    /// From these positions; partitions that are not named keep theirs.
    Positions(Vec<ResetPosition>),
}

/// Where to go on in one partition.
#[derive(Debug, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetPosition {
    /// Which partition.
    partition: String,
    /// Where, as GET shows it.
    position: String,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| schemars::schema_for!(CheckpointReset));

/// Show a pipeline's checkpoint
///
/// Where each partition of the source goes on. The pipeline's version is the ETag.
#[utoipa::path(get, path = "/api/pipelines/{id}/checkpoint", tag = "checkpoint",
    params(("id" = String, Path, description = "The pipeline's id")), responses((status = 200, body = CheckpointView)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    params: Params,
) -> Result<Response, Error> {
    params.finish()?;
    let view = views::pipeline(&state, views::query(&state, &id, Query::State).await?)?;
    Ok(views::tagged(Json(view.checkpoint).into_response(), view.version))
}

/// Reset a pipeline's checkpoint
///
/// Only while it doesn't run. Starts a new generation.
#[utoipa::path(put, path = "/api/pipelines/{id}/checkpoint", tag = "checkpoint", request_body = CheckpointReset, params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("force" = Option<bool>, Query, description = "Even if the sink can't be asked what it has, acknowledged pushed records are lost, or records are written twice"),
        ("takeOver" = Option<bool>, Query, description = "Even if the target has progress of another node for this pipeline: it can't write there any more then"),
        ("If-Match" = Option<String>, Header, description = "Only if the pipeline is at this version (its ETag)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Once the request has changed something, the same one under the same key changes nothing more; another one is answered 422"),
        ("Reason" = Option<String>, Header, description = "Why, in the user\'s words: the history keeps it"),
    ), responses((status = 200, body = CheckpointView)))]
pub(crate) async fn reset(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    command: Command,
    mut params: Params,
    body::Json(value): body::Json,
) -> Result<Response, Error> {
    let (force, take_over) = (params.flag("force"), params.flag("takeOver"));
    params.finish()?;
    let problems = against_schema(&value, &SCHEMA, "");
    if !problems.is_empty() {
        return Err(Error::invalid(problems));
    }
    let reset: CheckpointReset = serde_json::from_value(value)
        .map_err(|error| Error::invalid(vec![Problem::new("", "invalid-value", error.to_string())]))?;
    let action = Action::ResetCheckpoint { to: place(reset.to)?, force, take_over };
    let view = views::pipeline(&state, views::ask(&state, command.envelope(&id, action)).await?)?;
    Ok(views::tagged(Json(view.checkpoint).into_response(), view.version))
}

fn place(to: ResetTarget) -> Result<ResetTo, Error> {
    let given = match to {
        ResetTarget::Beginning => return Ok(ResetTo::Beginning),
        ResetTarget::End => return Ok(ResetTo::End),
        ResetTarget::SinkToken => return Ok(ResetTo::SinkToken),
        ResetTarget::Journal => return Ok(ResetTo::Journal),
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
            problems.push(Problem::new(path, "duplicate", format!("{partition:?} is there twice")));
        }
    }
    if problems.is_empty() { Ok(ResetTo::Positions(positions)) } else { Err(Error::invalid(problems)) }
}
