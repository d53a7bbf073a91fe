//! What parameters may hold: patterns, limits and defaults, each said once for all operations.
use crate::{connectors, params, pipelines};
use dataflow_core::limits::{MAX_COMMAND_ID, MAX_PIPELINE_ID, MAX_REASON};
use serde_json::{Value, json};

/// What a pipeline's id looks like.
pub(super) fn pipeline_id() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "minLength": 1, "maxLength": MAX_PIPELINE_ID})
}

/// What the id of a command or batch looks like.
pub(super) fn command_id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": MAX_COMMAND_ID})
}

/// Gives each parameter of an operation its schema.
pub(super) fn describe(path: &str, operation: &mut Value) {
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else { return };
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap_or_default();
        if let Some(schema) = schema(name, path) {
            parameter["schema"] = schema;
        }
    }
}

fn schema(name: &str, path: &str) -> Option<Value> {
    let duration = |default: &str| json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "default": default});
    Some(match name {
        "id" | "sink" => pipeline_id(),
        "number" => json!({"type": "integer", "format": "int64", "minimum": 1}),
        "kind" => json!({"type": "string", "enum": connectors::KINDS}),
        "type" => json!({"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}),
        "limit" => {
            json!({"type": "integer", "minimum": 1, "maximum": params::MAX_PAGE, "default": params::DEFAULT_PAGE})
        }
        "after" if path == "/api/pipelines" => json!({"type": "string"}),
        "after" if path.ends_with("/dead-letters") => {
            json!({"type": "string", "pattern": "^([^/]+/)?[0-9]+$", "default": "0"})
        }
        "after" => json!({"type": "integer", "format": "int64", "minimum": 0}),
        "order" => json!({"type": "string", "enum": ["asc", "desc"], "default": "asc"}),
        "status" => json!({"type": "string", "enum": pipelines::STATUSES.map(|(status, _)| status)}),
        "label" => json!({"type": "array", "items": {"type": "string", "pattern": "^[^=:]+[=:]"}}),
        "wait" if path.ends_with("/batches") => {
            json!({"type": "string", "enum": ["received", "delivered"], "default": "received"})
        }
        "wait" => duration("10s"),
        "timeout" => duration("30s"),
        "force" | "raw" | "idempotent" | "reset" | "retarget" | "discard" | "bytes" | "replay" => {
            json!({"type": "boolean", "default": false})
        }
        "Idempotency-Key" => {
            json!({"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": MAX_COMMAND_ID})
        }
        "Reason" => {
            json!({"type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f]+$", "minLength": 1, "maxLength": MAX_REASON})
        }
        "If-Match" => json!({"type": "string", "pattern": "^(\\*|(W/)?\"?[0-9]+\"?)$"}),
        _ => return None,
    })
}
