//! `/api/pipelines/{id}/dead-letters`: records that could not be processed.
use crate::{error::Error, headers::Asked, params::Params, path, views};
use axum::{
    Json,
    http::header,
    response::{IntoResponse, Response},
};
use dataflow_api_types::{DeadLetter, DeadLetterPage};
use dataflow_core::pipeline::Rejected;
use dataflow_engine::{answers::LetterPlace, client::PipelineClient, region::AskError};

/// List dead letters
///
/// Oldest first, without their bytes; with `bytes`, as `get` shows them but for `line`, and perhaps fewer than `limit`. Each of
/// several sinks has its own: they come one sink after the other, those of removed sinks too, as far as there are any.
#[utoipa::path(get, path = "/api/pipelines/{id}/dead-letters", tag = "dead letters", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "Only those of this sink"),
        ("limit" = Option<u64>, Query, description = "Most entries of the page, 1 to 1000; default 100"),
        ("bytes" = Option<bool>, Query, description = "With the original bytes"),
        ("after" = Option<String>, Query, description = "Only those after this one: `next` of the previous page, or a number"),
    ), responses((status = 200, body = DeadLetterPage)))]
pub(crate) async fn list(Asked(pipeline): Asked, mut params: Params) -> Result<Json<DeadLetterPage>, Error> {
    let (sink, limit, bytes) = (params.sink(), params.limit(), params.flag("bytes"));
    let after: LetterPlace = params.parsed("after").unwrap_or_default();
    if after.sink.is_some() && sink.is_some() && after.sink != sink {
        params.problem("after", "is of another sink");
    }
    params.finish()?;
    let found = pipeline.of_sink(sink).dead_letters(bytes, after, limit).await.map_err(Error::of(&pipeline))?;
    Ok(Json(views::dead_letters(found)))
}

/// Show a dead letter
///
/// With the original bytes: as text, or in base64 if they are not UTF-8. `?raw` gives the bytes alone.
#[utoipa::path(get, path = "/api/pipelines/{id}/dead-letters/{number}", tag = "dead letters", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("number" = u64, Path, description = "The dead letter's number, from 1"),
        ("sink" = Option<String>, Query, description = "The name of the sink; required where there are several"),
        ("raw" = Option<bool>, Query, description = "The original bytes alone"),
    ), responses((status = 200, body = DeadLetter)))]
pub(crate) async fn get(
    Asked(pipeline): Asked,
    path::Number(number): path::Number,
    mut params: Params,
) -> Result<Response, Error> {
    let (sink, raw) = (params.sink(), params.flag("raw"));
    params.finish()?;
    let pipeline = pipeline.of_sink(sink);
    let letter = match pipeline.dead_letter(number).await {
        Err(AskError::Rejected(Rejected::NotFound)) => return Err(missing(&pipeline, number).await),
        letter => letter.map_err(Error::of(&pipeline))?,
    };
    if !raw {
        return Ok(Json(views::dead_letter(letter)).into_response());
    }
    let bytes = letter.original.unwrap_or_default();
    let name = format!("attachment; filename=\"{}-{number}\"", pipeline.id());
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, bytes).into_response())
}

/// What is missing: the pipeline, or only the dead letter.
async fn missing(pipeline: &PipelineClient, number: u64) -> Error {
    let id = pipeline.id();
    match pipeline.snapshot().await {
        Ok(_) => Error::not_found(format!("the pipeline {:?} has no dead letter {number}", id.as_str())).fix(format!(
            "list the existing ones: GET /api/pipelines/{id}/dead-letters, or `dataflow dead-letters list {id}`"
        )),
        Err(error) => Error::of(pipeline)(error),
    }
}
