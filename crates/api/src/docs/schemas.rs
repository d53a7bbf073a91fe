//! What the schemas of bodies and answers don't say by themselves: references to each other, words, limits and formats.
use super::{answers, parameters};
use crate::connectors;
use dataflow_core::{limits, spec::PipelineSpec};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Fields that hold a point in time.
const TIMES: [&str; 7] = ["createdAt", "updatedAt", "startedAt", "at", "since", "retryAt", "changed"];

/// The schema of a spec, with and without id, and those that it refers to.
pub(super) fn of_specs() -> Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let spec = generator.subschema_for::<PipelineSpec>();
    debug_assert!(spec.as_value()["$ref"] == "#/components/schemas/PipelineSpec");
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    // Each type has a schema of its own instead.
    schemas.shift_remove("Component");
    if let Some(spec) = schemas.get_mut("PipelineSpec") {
        limit_spec(spec);
    }
    if let Some(mut new) = schemas.get("PipelineSpec").cloned() {
        if let Some(Value::Object(properties)) = new.get_mut("properties") {
            let mut id = parameters::pipeline_id();
            id["description"] = "Its id.".into();
            properties.shift_insert(0, "pipelineId".into(), id);
        }
        if let Some(Value::Array(required)) = new.get_mut("required") {
            required.insert(0, "pipelineId".into());
        }
        schemas.insert("NewPipeline".into(), new);
    }
    if let Some(Value::Object(batch)) = schemas.get_mut("BatchSpec").and_then(|batch| batch.get_mut("properties")) {
        merge(&mut batch["maxRecords"], json!({"minimum": 1, "maximum": limits::MAX_BATCH_RECORDS}));
        merge(&mut batch["maxBytes"], json!({"minimum": 1, "maximum": limits::MAX_BATCH_BYTES}));
    }
    schemas
}

/// What core's check of a spec says in code.
fn limit_spec(spec: &mut Value) {
    let Some(Value::Object(properties)) = spec.get_mut("properties") else { return };
    let limits = [
        ("name", json!({"maxLength": limits::MAX_NAME})),
        ("description", json!({"maxLength": limits::MAX_DESCRIPTION})),
        ("labels", json!({"maxProperties": limits::MAX_LABELS})),
        ("source", json!({"$ref": "#/components/schemas/Source"})),
        (
            "transforms",
            json!({"maxItems": limits::MAX_TRANSFORMS, "items": {"$ref": "#/components/schemas/Transform"}}),
        ),
        ("sink", json!({"$ref": "#/components/schemas/Sink"})),
        ("lanes", json!({"minimum": 1, "maximum": limits::MAX_LANES})),
        ("maxRecordBytes", json!({"minimum": 1})),
        ("maxInFlightBytes", json!({"minimum": 1})),
    ];
    for (name, limit) in limits {
        if let Some(property) = properties.get_mut(name) {
            merge(property, limit);
        }
    }
}

/// Completes the schemas that the handlers' types have.
pub(super) fn complete(schemas: &mut Map<String, Value>) {
    if let Some(Value::Object(problem)) = schemas.get_mut("ProblemDocument") {
        answers::limit(problem);
    }
    let component = |family: &str| json!({"$ref": format!("#/components/schemas/{family}")});
    let stages = ["source", "transforms", "sink"].into_iter().zip([
        component("Source"),
        json!({"type": "array", "items": component("Transform")}),
        component("Sink"),
    ]);
    let mut more: Vec<(&str, &str, Value)> = stages.map(|(name, schema)| ("PipelineView", name, schema)).collect();
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    more.extend([
        ("PipelineView", "pipelineId", parameters::pipeline_id()),
        ("PushedBatch", "batchId", parameters::command_id()),
        ("Claims", "spec", component("PipelineSpec")),
        ("CreatedView", "status", words(&["created", "unchanged"])),
        ("DeletedView", "status", words(&["deleted", "absent"])),
        ("HealthView", "status", words(&["live", "ready", "not-ready"])),
        ("ConnectorView", "kind", words(&connectors::KINDS)),
        ("LaneRecovery", "decision", words(&["fresh", "agreed", "tokenAdopted", "journal", "atLeastOnce"])),
    ]);
    for (name, field, schema) in more {
        for properties in properties_of(schemas.get_mut(name)) {
            if let Some(Value::Object(property)) = properties.get_mut(field) {
                let description = property.shift_remove("description");
                *property = schema.as_object().cloned().unwrap_or_default();
                property.extend(description.map(|description| ("description".into(), description)));
            }
        }
    }
    for (_, schema) in schemas.iter_mut() {
        for properties in properties_of(Some(schema)) {
            for (_, property) in properties.iter_mut().filter(|(name, _)| TIMES.contains(&name.as_str())) {
                property["format"] = "date-time".into();
            }
        }
    }
}

/// Makes choices between fixed words lists of them, as generators of clients know them; what each word means goes into the
/// description.
pub(super) fn list_words(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(list_words),
        Value::Object(fields) => {
            fields.values_mut().for_each(list_words);
            let Some(branches) = fields.get("oneOf").and_then(Value::as_array) else { return };
            let Some(words) = branches.iter().map(words_of).collect::<Option<Vec<_>>>() else { return };
            let meaning = branches.iter().zip(&words).filter_map(|(branch, words)| {
                Some(format!("- `{}`: {}", words.first()?.as_str()?, branch.get("description")?.as_str()?))
            });
            let own = fields.get("description").and_then(Value::as_str).map(String::from);
            let description: Vec<String> = own.into_iter().chain(meaning).collect();
            fields.shift_remove("oneOf");
            fields.insert("type".into(), "string".into());
            fields.insert("enum".into(), words.concat().into());
            if !description.is_empty() {
                fields.insert("description".into(), description.join("\n").into());
            }
        }
        _ => {}
    }
}

/// The words that a schema allows, if it allows nothing else.
fn words_of(schema: &Value) -> Option<Vec<Value>> {
    let words = match (schema.get("const"), schema.get("enum")) {
        (Some(word), None) => vec![word.clone()],
        (None, Some(Value::Array(words))) => words.clone(),
        _ => return None,
    };
    words.iter().all(Value::is_string).then_some(words)
}

/// The properties of a schema, and of those that it is made of.
fn properties_of(schema: Option<&mut Value>) -> Vec<&mut Map<String, Value>> {
    let Some(Value::Object(schema)) = schema else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => found.push(properties),
            ("allOf", Value::Array(parts)) => found.extend(parts.iter_mut().flat_map(|part| properties_of(Some(part)))),
            _ => {}
        }
    }
    found
}

fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}
