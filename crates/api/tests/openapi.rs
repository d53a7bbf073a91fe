//! The description of the door: walked as a whole, so that nothing can be added without being described.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]
mod fake;

use fake::{call, door};
use serde_json::{Map, Value, json};

/// Path, method and operation of each.
fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let paths = api["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| -> Vec<_> {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| (path.clone(), method.clone(), operation.clone())).collect()
    };
    paths.iter().flat_map(of).collect()
}

async fn description() -> Value {
    call(&door(), "GET", "/api/openapi.json", Value::Null).await.body
}

#[tokio::test]
async fn every_operation_has_its_errors_described() {
    let api = description().await;
    let mut told = Vec::new();
    for (path, method, operation) in operations(&api) {
        let responses = operation["responses"].as_object().unwrap();
        let described = |status: &str| {
            let response = responses.get(status).unwrap_or_else(|| panic!("{method} {path} has no {status}"));
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {status}");
            let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert!(
                problem == "#/components/schemas/ProblemDocument" || path == "/health/ready",
                "{method} {path} {status}"
            );
        };
        let mut expected = vec!["403", "500", "default"];
        let has_body = operation.get("requestBody").is_some();
        expected.extend(path.starts_with("/api/").then_some("400"));
        expected.extend(path.contains('{').then_some("404"));
        expected.extend(path.contains("{id}").then_some("503"));
        expected.extend((path.contains("{id}") && method != "get").then_some("409"));
        expected.extend(has_body.then_some("413"));
        expected.into_iter().for_each(described);
        told.extend(responses.values().map(|response| response["description"].as_str().unwrap().to_owned()));
    }
    // Every kind of error is one of some operation, but those of no operation.
    for kind in api["x-problems"].as_array().unwrap() {
        let code = kind["code"].as_str().unwrap();
        let of_none = ["unknown-path", "method-not-allowed"].contains(&code);
        assert!(of_none || told.iter().any(|told| told.contains(&format!("`{code}`"))), "no operation has {code}");
    }
}

#[tokio::test]
async fn every_parameter_says_what_it_takes() {
    for (path, method, operation) in operations(&description().await) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let at = format!("{method} {path} {}", parameter["name"]);
            let schema = parameter["schema"].as_object().unwrap();
            let limited = |schema: &Map<String, Value>| match schema["type"].as_str().unwrap() {
                "string" => schema.contains_key("pattern") || schema.contains_key("enum"),
                "integer" => schema.contains_key("minimum"),
                "boolean" => true,
                other => panic!("{at}: {other}"),
            };
            let limited = match schema.get("items") {
                Some(items) => limited(items.as_object().unwrap()),
                // An id of a list page is whatever the page before said.
                None => limited(schema) || path == "/api/pipelines" && parameter["name"] == "after",
            };
            assert!(limited, "{at} takes anything: {schema:?}");
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
        }
        let in_path = path.matches('{').count();
        let described = operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path").count();
        assert_eq!(in_path, described, "{method} {path}");
    }
}

#[tokio::test]
async fn every_connector_has_a_schema_told_by_its_type() {
    let api = description().await;
    let schemas = &api["components"]["schemas"];
    for (family, ty) in [("Source", "lines"), ("Sink", "lines"), ("Transform", "filter")] {
        let reference = format!("#/components/schemas/{family}.{ty}");
        assert_eq!(schemas[family]["discriminator"]["mapping"][ty], reference, "{schemas:#}");
        assert!(schemas[family]["oneOf"].as_array().unwrap().contains(&json!({"$ref": reference})));
        let own = api.pointer(reference.trim_start_matches('#')).unwrap();
        assert_eq!(own["properties"]["type"]["const"], ty);
        assert!(own["required"].as_array().unwrap().contains(&json!("type")));
    }
    assert_eq!(schemas["PipelineSpec"]["properties"]["source"]["$ref"], "#/components/schemas/Source");
    assert!(schemas.get("Component").is_none());
}

/// Generators of clients make an enumeration of a list of words, and a union of many types of a choice between them.
#[tokio::test]
async fn words_are_listed() {
    fn choices(schema: &Value, at: &str, found: &mut Vec<String>) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| choices(item, at, found)),
            Value::Object(fields) => {
                let of_words = |branches: &Value| {
                    branches.as_array().is_some_and(|all| all.iter().all(|one| one["const"].is_string()))
                };
                found.extend(fields.get("oneOf").is_some_and(of_words).then(|| at.to_owned()));
                fields.iter().for_each(|(name, value)| choices(value, &format!("{at}.{name}"), found));
            }
            _ => {}
        }
    }
    let api = description().await;
    let mut found = Vec::new();
    choices(&api["components"], "components", &mut found);
    assert_eq!(found, Vec::<String>::new());
    let choice = &api["components"]["schemas"]["OnTypeMismatch"];
    assert_eq!((&choice["type"], &choice["enum"]), (&json!("string"), &json!(["dead", "null"])));
    assert!(choice["description"].as_str().unwrap().contains("- `null`: The value is taken as NULL."), "{choice:#}");
}

#[tokio::test]
async fn every_command_takes_a_key_and_a_reason() {
    for (path, method, operation) in operations(&description().await) {
        let headers = operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "header");
        let headers: Vec<&str> = headers.map(|p| p["name"].as_str().unwrap()).collect();
        let reads = method == "get" || ["/batches", "/validate"].iter().any(|end| path.ends_with(end));
        assert_eq!(!reads, headers.ends_with(&["Idempotency-Key", "Reason"]), "{method} {path}: {headers:?}");
    }
}
