//! `/api/openapi.json`, and a page to read it.
mod answers;
mod components;
mod parameters;
mod schemas;

use crate::{
    batches, checkpoint, connectors, dead_letters, error, health, history, landing, lifecycle, metrics, pipelines,
    state::ApiState, system, validate,
};
use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "DataFlow",
        description = "Declare data pipelines — source, transforms, sink — and run them: nothing lost, nothing doubled.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        pipelines::list, pipelines::create, validate::validate, pipelines::get, pipelines::update, pipelines::delete,
        lifecycle::start, lifecycle::stop, lifecycle::restart, batches::push, dead_letters::list, dead_letters::get,
        history::history, history::recovery, history::claims, checkpoint::get, checkpoint::reset, connectors::list, connectors::get,
        system::system, metrics::metrics, health::live, health::ready,
    ),
    components(schemas(dataflow_api_types::ProblemDocument)),
    tags(
        (name = "pipelines", description = "Declared, shown, changed, deleted"),
        (name = "lifecycle", description = "Run, stopped, run again"),
        (name = "batches", description = "Records pushed to pipelines with an `http` source"),
        (name = "dead letters", description = "Records that could not be processed"),
        (name = "checkpoint", description = "A pipeline's progress, and continuing from elsewhere"),
        (name = "history", description = "What has happened, and why"),
        (name = "connectors", description = "Sources, transforms and sinks, with their manuals"),
        (name = "system", description = "The node itself"),
    )
)]
struct Api;

/// The whole description: what the handlers say, the schemas of specs and of this node's connectors, and how errors look.
fn document(state: &ApiState) -> Value {
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    if let Some(Value::Object(all)) = document.pointer_mut("/components/schemas") {
        all.extend(schemas::of_specs());
        all.extend(components::schemas(&state.catalog, &*state.compiler));
        schemas::complete(all);
        all.values_mut().for_each(schemas::list_words);
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            operation["operationId"] = operation_id(operation).into();
            name_answers(operation);
            parameters::describe(path, operation);
            answers::describe(path, method, operation);
            if let Some((_, _, schema)) = BODIES.iter().find(|(of, by, _)| of == path && by == method)
                && let Some(content) = operation.pointer_mut("/requestBody/content/application~1json")
            {
                content["schema"] = json!({"$ref": format!("#/components/schemas/{schema}")});
            }
        }
    }
    let codes =
        error::KINDS.iter().map(|kind| json!({"code": kind.code, "status": kind.status.as_u16(), "title": kind.title}));
    document["x-problems"] = codes.collect();
    document
}

/// Bodies whose schema no type of a handler has.
const BODIES: [(&str, &str, &str); 3] = [
    ("/api/pipelines", "post", "NewPipeline"),
    ("/api/pipelines/{id}", "put", "PipelineSpec"),
    ("/api/pipelines/validate", "post", "NewPipeline"),
];

/// Answers without a description get the words of their status.
fn name_answers(operation: &mut Value) {
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, response) in responses {
        if response.get("description").is_none_or(|text| text == "") {
            let status = status.parse::<u16>().ok().and_then(|status| StatusCode::from_u16(status).ok());
            response["description"] = status.and_then(|status| status.canonical_reason()).unwrap_or("").into();
        }
    }
}

/// `listPipelines` for "List pipelines": unlike the names of handlers, summaries are unique.
fn operation_id(operation: &Value) -> String {
    let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default();
    let words = summary.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1);
    let mut id = String::new();
    for word in words {
        let (first, rest) = word.split_at(1);
        id += &if id.is_empty() { first.to_lowercase() } else { first.to_uppercase() };
        id += rest;
    }
    id
}

/// The description as JSON.
pub(crate) async fn openapi(State(state): State<ApiState>) -> impl IntoResponse {
    Json(document(&state))
}

/// The page that shows it.
pub(crate) async fn page() -> impl IntoResponse {
    landing::html(include_str!("docs.html"))
}
