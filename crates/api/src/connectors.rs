//! `/api/connectors`: the catalogue of sources, transforms and sinks.
use crate::{error::Error, params::Params, path, state::ApiState};
use axum::{Json, extract::State};
use dataflow_api_types::{ConnectorList, ConnectorView};
use dataflow_core::problem::Problem;
use dataflow_sdk::{
    catalog::{Connector, Role},
    check::nearest,
};
use serde_json::Value;

/// What may stand for `{kind}`.
pub(crate) const KINDS: [&str; 3] = ["source", "transform", "sink"];

fn source_or_sink(connector: &Connector) -> ConnectorView {
    let promise = connector.delivery.and_then(|mode| serde_json::to_value(mode).ok()?.as_str().map(String::from));
    ConnectorView {
        kind: connector.role.to_string(),
        ty: connector.ty.into(),
        summary: connector.summary.into(),
        guarantee: Some(connector.guarantee.into()),
        promise,
        connection: connector.connection.map(String::from),
        schema: None,
    }
}

fn transform(ty: &str, summary: &str, schema: Option<Value>) -> ConnectorView {
    ConnectorView {
        kind: "transform".into(),
        ty: ty.into(),
        summary: summary.into(),
        guarantee: None,
        promise: None,
        connection: None,
        schema,
    }
}

/// List connectors
///
/// All sources, transforms and sinks of this node.
#[utoipa::path(get, path = "/api/connectors", tag = "connectors", responses((status = 200, body = ConnectorList)))]
pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<ConnectorList>, Error> {
    params.finish()?;
    let of = |role: Role| state.catalog.connectors().iter().filter(move |connector| connector.role == role);
    let mut items: Vec<ConnectorView> = of(Role::Source).map(source_or_sink).collect();
    items.extend(state.compiler.catalog().iter().map(|(ty, summary, _)| transform(ty, summary, None)));
    items.extend(of(Role::Sink).map(source_or_sink));
    Ok(Json(ConnectorList { items }))
}

/// Show a connector
///
/// With the JSON Schema of its settings, which is its manual.
#[utoipa::path(get, path = "/api/connectors/{kind}/{type}", tag = "connectors", params(
        ("kind" = String, Path, description = "source, transform or sink"),
        ("type" = String, Path, description = "Its `type`"),
    ), responses((status = 200, body = ConnectorView)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    path::ConnectorName(kind, ty): path::ConnectorName,
    params: Params,
) -> Result<Json<ConnectorView>, Error> {
    params.finish()?;
    let role = match kind.as_str() {
        "source" => Role::Source,
        "sink" => Role::Sink,
        "transform" => {
            let all = state.compiler.catalog();
            let found = all.iter().find(|(name, _, _)| *name == ty);
            let view = found.map(|(name, summary, schema)| transform(name, summary, Some(schema.clone().to_value())));
            return view.map(Json).ok_or_else(|| unknown("transform", &ty, all.iter().map(|(name, _, _)| *name)));
        }
        other => {
            let problem =
                Problem::new("kind", "unknown-value", format!("{other:?} is not one of {}", KINDS.join(", ")));
            let problem = match nearest(other, KINDS) {
                Some(kind) => problem.fix(format!("did you mean {kind:?}?")),
                None => problem,
            };
            return Err(Error::invalid(vec![problem]));
        }
    };
    match state.catalog.get(role, &ty) {
        Some(connector) => {
            let schema = Some(connector.schema().to_value());
            Ok(Json(ConnectorView { schema, ..source_or_sink(connector) }))
        }
        None => Err(unknown(&kind, &ty, state.catalog.connectors().iter().filter(|c| c.role == role).map(|c| c.ty))),
    }
}

fn unknown<'a>(kind: &str, ty: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let fix = match nearest(ty, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("known: {}", known.join(", ")),
    };
    Error::not_found(format!("there is no {kind} of type {ty:?}")).fix(fix)
}
