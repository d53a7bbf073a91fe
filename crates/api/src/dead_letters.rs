//! `/api/pipelines/{id}/dead-letters`: records that could not be processed.
use crate::{error::Error, params::Params, path, state::ApiState, views};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use dataflow_core::id::PipelineId;
use dataflow_engine::{
    region::{Query, Reply},
    view::{DeadLetter, DeadLetterPage},
};

/// List dead letters
///
/// Oldest first, without their bytes.
#[utoipa::path(get, path = "/api/pipelines/{id}/dead-letters", tag = "dead letters", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("limit" = Option<u64>, Query, description = "Most entries of the page, 1 to 1000; default 100"),
        ("after" = Option<u64>, Query, description = "Only those after this number: `next` of the page before"),
    ), responses((status = 200, body = DeadLetterPage)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    mut params: Params,
) -> Result<Json<DeadLetterPage>, Error> {
    let limit = params.limit();
    let after = params.number("after", 0..=u64::MAX).unwrap_or(0);
    params.finish()?;
    match views::query(&state, &id, Query::DeadLetters { after, limit }).await? {
        Reply::DeadLetters(page) => Ok(Json(page)),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Show a dead letter
///
/// With the original bytes: as text, or in base64 if they are not UTF-8. `?raw` gives the bytes alone.
#[utoipa::path(get, path = "/api/pipelines/{id}/dead-letters/{number}", tag = "dead letters", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("number" = u64, Path, description = "The dead letter's number, from 1"),
        ("raw" = Option<bool>, Query, description = "The original bytes alone"),
    ), responses((status = 200, body = DeadLetter)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    path::Number(number): path::Number,
    mut params: Params,
) -> Result<Response, Error> {
    let raw = params.flag("raw");
    params.finish()?;
    let letter = match views::query(&state, &id, Query::DeadLetter(number)).await {
        Ok(Reply::DeadLetter(letter)) => letter,
        Ok(_) => return Err(Error::unexpected_reply()),
        Err(error) if error.code() == "not-found" => return Err(missing(&state, &id, number).await),
        Err(error) => return Err(error),
    };
    if !raw {
        return Ok(Json(letter).into_response());
    }
    let bytes = letter.bytes().unwrap_or_default();
    let name = format!("attachment; filename=\"{id}-{number}\"");
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, bytes).into_response())
}

/// What is missing: the pipeline, or only the dead letter.
async fn missing(state: &ApiState, id: &PipelineId, number: u64) -> Error {
    match views::query(state, id, Query::State).await {
        Ok(_) => Error::not_found(format!("the pipeline {:?} has no dead letter {number}", id.as_str())).fix(format!(
            "list those there are: GET /api/pipelines/{id}/dead-letters, or `dataflow dead-letters list {id}`"
        )),
        Err(error) => error,
    }
}
