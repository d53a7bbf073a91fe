//! `/api/pipelines/{id}/history`, `/recovery` and `/claims`: what happened, why the last run went on where it did, and
//! what there is to verify.
use crate::{error::Error, params::Params, path, state::ApiState, views};
use axum::{Json, extract::State};
use dataflow_engine::{
    claims::Claims,
    region::{Order, Query, Reply},
    view::{HistoryPage, RecoveryView},
};
use dataflow_sdk::catalog::Role;

/// Show a pipeline's history
///
/// The events of its life, each with time, actor and command: the oldest first, or with `order=desc` the newest.
#[utoipa::path(get, path = "/api/pipelines/{id}/history", tag = "history", params(
        ("id" = String, Path, description = "The pipeline's id"),
        ("limit" = Option<u64>, Query, description = "Most entries of the page, 1 to 1000; default 100"),
        ("order" = Option<String>, Query, description = "`asc` (default): the oldest first; `desc`: the newest first"),
        ("after" = Option<u64>, Query, description = "Only those after this number, in the order asked for: `next` of the page before"),
    ), responses((status = 200, body = HistoryPage)))]
pub(crate) async fn history(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    mut params: Params,
) -> Result<Json<HistoryPage>, Error> {
    let limit = params.limit();
    let order = params.one_of("order", &[("asc", Order::Rising), ("desc", Order::Falling)]).unwrap_or_default();
    let after = params.number("after", 0..=u64::MAX);
    params.finish()?;
    match views::query(&state, &id, Query::History { order, after, limit }).await? {
        Reply::History(page) => {
            let items = page.items.into_iter().map(|item| views::shown_event(&state.catalog, item)).collect();
            Ok(Json(HistoryPage { items, next: page.next }))
        }
        _ => Err(Error::unexpected_reply()),
    }
}

/// Explain the last recovery
///
/// For each lane: what the journal and the sink said, what was decided, and where it went on.
#[utoipa::path(get, path = "/api/pipelines/{id}/recovery", tag = "history",
    params(("id" = String, Path, description = "The pipeline's id")), responses((status = 200, body = RecoveryView)))]
pub(crate) async fn recovery(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    params: Params,
) -> Result<Json<RecoveryView>, Error> {
    params.finish()?;
    match views::query(&state, &id, Query::Recovery).await? {
        Reply::Recovery(view) => Ok(Json(*view)),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Show what a pipeline claims
///
/// Spec, types, positions and counts of the present generation, as the journal has them: what `dataflow verify` proves.
#[utoipa::path(get, path = "/api/pipelines/{id}/claims", tag = "history",
    params(("id" = String, Path, description = "The pipeline's id")), responses((status = 200, body = Claims)))]
pub(crate) async fn claims(
    State(state): State<ApiState>,
    path::Pipeline(id): path::Pipeline,
    params: Params,
) -> Result<Json<Claims>, Error> {
    params.finish()?;
    match views::query(&state, &id, Query::Claims).await? {
        Reply::Claims(mut claims) => {
            let spec = &mut claims.spec;
            spec.source = state.catalog.redact(Role::Source, &spec.source);
            spec.sink = state.catalog.redact(Role::Sink, &spec.sink);
            Ok(Json(*claims))
        }
        _ => Err(Error::unexpected_reply()),
    }
}
