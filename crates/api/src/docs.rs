//! `/api/openapi.json`, and a page to read it.
use crate::{
    batches, checkpoint, connectors, dead_letters, error, health, history, landing, lifecycle, metrics, pipelines,
    system, validate,
};
use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};
use dataflow_core::spec::PipelineSpec;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
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
    components(schemas(error::ProblemDocument)),
    tags(
        (name = "pipelines", description = "Declared, shown, changed, deleted"),
        (name = "lifecycle", description = "Run, stopped, run again"),
        (name = "batches", description = "Records pushed to pipelines with an `http` source"),
        (name = "dead letters", description = "Records that could not be processed"),
        (name = "checkpoint", description = "How far a pipeline is, and going on from elsewhere"),
        (name = "history", description = "What happened, and why"),
        (name = "connectors", description = "Sources, transforms and sinks, with their manuals"),
        (name = "system", description = "The node itself"),
    )
)]
struct Api;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The whole description: what the handlers say, the spec's own schema, and how errors look.
pub(crate) fn document() -> Value {
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        schemas.extend(spec_schemas());
    }
    for operation in operations(&mut document) {
        operation["operationId"] = operation_id(operation).into();
        if let Some(Value::Object(responses)) = operation.get_mut("responses") {
            for (status, response) in responses.iter_mut() {
                if response.get("description").is_none_or(|text| text == "") {
                    let status = status.parse::<u16>().ok().and_then(|status| StatusCode::from_u16(status).ok());
                    response["description"] = status.and_then(|status| status.canonical_reason()).unwrap_or("").into();
                }
            }
            responses.insert("default".into(), problem_response());
        }
    }
    let bodies = [
        ("/api/pipelines", "post", "NewPipeline"),
        ("/api/pipelines/{id}", "put", "PipelineSpec"),
        ("/api/pipelines/validate", "post", "NewPipeline"),
    ];
    for (path, method, schema) in bodies {
        let body =
            document.get_mut("paths").and_then(|paths| paths.get_mut(path)?.get_mut(method)?.get_mut("requestBody"));
        if let Some(content) = body.and_then(|body| body.pointer_mut("/content/application~1json")) {
            content["schema"] = json!({"$ref": format!("#/components/schemas/{schema}")});
        }
    }
    let codes =
        error::KINDS.iter().map(|kind| json!({"code": kind.code, "status": kind.status.as_u16(), "title": kind.title}));
    document["x-problems"] = codes.collect();
    document
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    paths.filter_map(|(_, path)| path.as_object_mut()).flatten().map(|(_, operation)| operation)
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

fn problem_response() -> Value {
    json!({
        "description": "A problem (RFC 9457), with all findings",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    })
}

/// The schema of a spec, with and without id, and those that it refers to.
fn spec_schemas() -> Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let spec = generator.subschema_for::<PipelineSpec>();
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    if let Some(mut new) = schemas.get("PipelineSpec").cloned() {
        if let Some(Value::Object(properties)) = new.get_mut("properties") {
            properties.shift_insert(
                0,
                "pipelineId".into(),
                json!({"type": "string", "description": "Its id: 1 to 128 of a-z A-Z 0-9 - _ ."}),
            );
        }
        if let Some(Value::Array(required)) = new.get_mut("required") {
            required.insert(0, "pipelineId".into());
        }
        schemas.insert("NewPipeline".into(), new);
    }
    debug_assert!(spec.as_value()["$ref"] == "#/components/schemas/PipelineSpec");
    schemas
}

/// The description as JSON.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// The page that shows it.
pub(crate) async fn page() -> impl IntoResponse {
    landing::html(include_str!("docs.html"))
}
