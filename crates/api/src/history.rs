//! `/api/pipelines/{id}/history`, `/recovery` and `/claims`: what happened, why the last run went on where it did, and
//! what there is to verify.
use crate::{error::Error, headers::Asked, params::Params, state::ApiState, views};
use axum::{Json, extract::State};
use dataflow_api_types::{Claims, HistoryPage, RecoveryView};
use dataflow_engine::region::Order;

/// Show a pipeline's history
///
/// The events of its life, each with time, actor and command: the oldest first, or with `order=desc` the newest.
#[utoipa::path(get, path = "/api/pipelines/{id}/history", tag = "history", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("limit" = Option<u64>, Query, description = "Most entries of the page, 1 to 1000; default 100"),
        ("order" = Option<String>, Query, description = "`asc` (default): the oldest first; `desc`: the newest first"),
        ("after" = Option<u64>, Query, description = "Only those after this number, in the requested order: `next` of the previous page"),
    ), responses((status = 200, body = HistoryPage)))]
pub(crate) async fn history(
    State(state): State<ApiState>,
    Asked(pipeline): Asked,
    mut params: Params,
) -> Result<Json<HistoryPage>, Error> {
    let limit = params.limit();
    let order = params.one_of("order", &[("asc", Order::Rising), ("desc", Order::Falling)]).unwrap_or_default();
    let after = params.number("after", 0..=u64::MAX);
    params.finish()?;
    let found = pipeline.history(order, after, limit).await.map_err(Error::of(&pipeline))?;
    Ok(Json(views::history(found, &state.catalog)))
}

/// Explain the last recovery
///
/// For each lane: what the journal and the sink said, what was decided, and where it went on.
#[utoipa::path(get, path = "/api/pipelines/{id}/recovery", tag = "history",
    params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "The name of the sink; required where there are several"),
    ), responses((status = 200, body = RecoveryView)))]
pub(crate) async fn recovery(Asked(pipeline): Asked, mut params: Params) -> Result<Json<RecoveryView>, Error> {
    let sink = params.sink();
    params.finish()?;
    let recovery = pipeline.of_sink(sink).recovery().await.map_err(Error::of(&pipeline))?;
    Ok(Json(views::recovery(recovery)))
}

/// Show what a pipeline claims
///
/// Spec, types, positions and counts of the present generation, as the journal has them: what `dataflow verify` proves.
#[utoipa::path(get, path = "/api/pipelines/{id}/claims", tag = "history",
    params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("sink" = Option<String>, Query, description = "The name of the sink; required where there are several"),
    ), responses((status = 200, body = Claims)))]
pub(crate) async fn claims(
    State(state): State<ApiState>,
    Asked(pipeline): Asked,
    mut params: Params,
) -> Result<Json<Claims>, Error> {
    let sink = params.sink();
    params.finish()?;
    let claims = pipeline.of_sink(sink).claims().await.map_err(Error::of(&pipeline))?;
    Ok(Json(views::claims(claims, Some(&state.catalog))))
}
