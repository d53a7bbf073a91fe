//! Which errors an operation may answer with: from the kinds of errors there are, and from what the operation takes.
use crate::error::{self, Kind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Adds the errors of an operation to its answers, one entry a status.
pub(super) fn describe(path: &str, method: &str, operation: &mut Value) {
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for kind in error::KINDS.iter().filter(|kind| may_answer(kind.code, path, method, operation)) {
        by_status.entry(kind.status.as_u16()).or_default().push(kind);
    }
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, kinds) in by_status {
        let told: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code, kind.title)).collect();
        // Health answers in its own words.
        responses.entry(status.to_string()).or_insert_with(|| problem(&told.join("; ")));
    }
    responses.insert("default".into(), problem("A problem (RFC 9457), with all findings"));
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    })
}

fn may_answer(code: &str, path: &str, method: &str, operation: &Value) -> bool {
    let takes = |name: &str| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.into_iter().any(|parameter| parameter["name"] == name)
    };
    let (changes, of_one) = (method != "get", path.contains("{id}"));
    let has_body = operation.get("requestBody").is_some();
    match code {
        "host-not-allowed" | "internal" => true,
        // Whoever asks for a path or method that isn't there asks for no operation.
        "unknown-path" | "method-not-allowed" => false,
        "origin-not-allowed" => changes,
        "invalid" => path.starts_with("/api/"),
        "malformed-json" | "too-large" | "compressed" => has_body,
        "not-found" => path.contains('{'),
        "unavailable" | "journal-damaged" | "other-build" => of_one || path == "/api/pipelines",
        "already-exists" => path == "/api/pipelines" && changes,
        "batch-id-reused" | "overloaded" => path.ends_with("/batches"),
        "undelivered" => method == "delete",
        "unsettled" => method == "put",
        "sink-ahead" => method == "put" && path.ends_with("/checkpoint"),
        "reset-needed" | "retarget-needed" | "replaced" => method == "put" && path.ends_with("{id}"),
        "idempotency-key-reused" => takes("Idempotency-Key"),
        "version-mismatch" => takes("If-Match"),
        _ => changes && of_one,
    }
}

/// The codes and statuses that a problem can have.
pub(super) fn limit(problem: &mut Map<String, Value>) {
    let (mut codes, mut statuses): (Vec<&str>, Vec<u16>) = (Vec::new(), Vec::new());
    for kind in error::KINDS {
        codes.push(kind.code);
        if !statuses.contains(&kind.status.as_u16()) {
            statuses.push(kind.status.as_u16());
        }
    }
    if let Some(Value::Object(properties)) = problem.get_mut("properties") {
        properties["code"]["enum"] = json!(codes);
        properties["status"]["enum"] = json!(statuses);
    }
}
