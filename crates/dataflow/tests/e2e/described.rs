//! What a node answers is what its description says: every answer is checked against the schema that the OpenAPI document has
//! for it.
use crate::program::{Node, is, start};
use serde_json::{Value, json};
use std::fs;

/// The description of a node's API.
struct Description(Value);

impl Description {
    /// The operation of a request, by the path's template.
    fn operation(&self, method: &str, path: &str) -> &Value {
        let asked: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == asked.len()
                && parts.iter().zip(&asked).all(|(part, piece)| part == piece || part.starts_with('{'))
        };
        let paths = self.0["paths"].as_object().unwrap();
        // `validate` is no id.
        let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
        found.sort_by_key(|(template, _)| template.matches('{').count());
        let (_, operations) = found.first().unwrap_or_else(|| panic!("{path} is not described"));
        operations.get(method.to_lowercase()).unwrap_or_else(|| panic!("{method} {path} is not described"))
    }

    fn check(&self, method: &str, path: &str, status: u16, body: &Value) {
        let operation = self.operation(method, path);
        let at = format!("{method} {path}: {status}");
        let answer = operation["responses"].get(status.to_string()).unwrap_or_else(|| panic!("{at} is not described"));
        let (_, media) = answer["content"].as_object().and_then(|content| content.iter().next()).expect(&at);
        self.validate(&media["schema"], body, &at);
    }

    fn validate(&self, schema: &Value, value: &Value, at: &str) {
        let mut root = schema.clone();
        root["components"] = self.0["components"].clone();
        let validator = jsonschema::validator_for(&root).unwrap_or_else(|error| panic!("{at}: {error}"));
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
        assert!(errors.is_empty(), "{at}: {errors:#?}\n{value:#}");
    }
}

async fn ask(node: &Node, api: &Description, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
    let (answered, answer) = node.request(method, path, body).await;
    assert_eq!(answered, status, "{method} {path}: {answer:#}");
    api.check(method, path, status, &answer);
    answer
}

#[tokio::test]
async fn answers_are_as_described() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let api = Description(node.get("/api/openapi.json").await);
    fs::write(folder.path().join("in.jsonl"), "{\"id\":1,\"age\":20,\"x\":1}\nnot json\n{\"id\":2,\"age\":\"old\"}\n")
        .unwrap();
    let spec = json!({
        "pipelineId": "described", "labels": {"team": "blue"},
        "source": {"type": "file", "path": folder.path().join("in.jsonl")},
        "transforms": [{"type": "filter", "condition": "age > 18"}, {"type": "map", "set": {"n": "id + 1"}}],
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "users", "mode": "append"},
        "schema": {"age": "integer"}, "batch": {"maxRecords": 10, "linger": "5ms"}, "restart": {"maxAttempts": 0},
    });
    let pushed = json!({"pipelineId": "pushed", "source": {"type": "http"}, "sink": {"type": "blackhole"}});
    let p = "/api/pipelines/described";
    let of = |path: &str| format!("{p}{path}");
    let requests: Vec<(&str, String, Option<&Value>, u16)> = vec![
        ("POST", "/api/pipelines/validate".into(), Some(&spec), 200),
        ("POST", "/api/pipelines".into(), Some(&spec), 201),
        ("POST", "/api/pipelines?idempotent=true".into(), Some(&spec), 200),
        ("POST", "/api/pipelines".into(), Some(&spec), 409),
        ("GET", p.into(), None, 200),
        ("POST", of("/stop"), None, 409),
        ("POST", of("/start"), None, 200),
    ];
    for (method, path, body, status) in requests {
        ask(&node, &api, method, &path, body, status).await;
    }
    node.until("described", "through", is("completed")).await;
    let shown = ask(&node, &api, "GET", p, None, 200).await;
    assert_eq!(shown["deadLettersByCause"]["counted"], 2, "{shown:#}");
    let wrong = json!({"pipelineId": "a b", "source": {"type": "fil"}, "sink": {}});
    let records = json!({"batchId": "b1", "records": [{"data": {"x": 1}}]});
    let reset = json!({"to": "beginning"});
    let requests: Vec<(&str, String, Option<&Value>, u16)> = vec![
        ("POST", "/api/pipelines".into(), Some(&wrong), 400),
        ("POST", "/api/pipelines/validate".into(), Some(&wrong), 200),
        ("GET", "/api/pipelines?limit=1".into(), None, 200),
        ("GET", "/api/pipelines?limit=0".into(), None, 400),
        ("GET", of("/dead-letters"), None, 200),
        ("GET", of("/dead-letters/1"), None, 200),
        ("GET", of("/dead-letters/9"), None, 404),
        ("GET", of("/history"), None, 200),
        ("GET", of("/history?order=desc&limit=1"), None, 200),
        ("GET", of("/recovery"), None, 200),
        ("GET", of("/claims"), None, 200),
        ("GET", of("/checkpoint"), None, 200),
        ("PUT", of("/checkpoint"), Some(&reset), 409),
        ("PUT", of("/checkpoint?force=true"), Some(&reset), 200),
        ("PUT", of("/checkpoint"), Some(&wrong), 400),
        ("PUT", p.into(), Some(&spec), 200),
        ("PUT", p.into(), Some(&wrong), 400),
        ("POST", of("/batches"), Some(&records), 400),
        ("POST", of("/restart"), None, 200),
        ("POST", "/api/pipelines".into(), Some(&pushed), 201),
        ("POST", "/api/pipelines/pushed/start".into(), None, 200),
        ("POST", "/api/pipelines/pushed/start".into(), None, 409),
        ("POST", "/api/pipelines/pushed/start?idempotent=true".into(), None, 200),
        ("POST", "/api/pipelines/pushed/batches".into(), Some(&records), 200),
        ("POST", "/api/pipelines/pushed/batches?wait=delivered".into(), Some(&records), 200),
        ("POST", "/api/pipelines/pushed/batches".into(), Some(&wrong), 400),
        ("DELETE", "/api/pipelines/pushed".into(), None, 409),
        ("POST", "/api/pipelines/pushed/stop".into(), None, 200),
        ("DELETE", "/api/pipelines/pushed".into(), None, 200),
        ("DELETE", "/api/pipelines/pushed".into(), None, 404),
        ("DELETE", "/api/pipelines/pushed?idempotent=true".into(), None, 200),
        ("GET", "/api/connectors".into(), None, 200),
        ("GET", "/api/connectors/sink/postgres".into(), None, 200),
        ("GET", "/api/connectors/sink/postgre".into(), None, 404),
        ("GET", "/api/system".into(), None, 200),
        ("GET", "/health/live".into(), None, 200),
        ("GET", "/health/ready".into(), None, 200),
    ];
    for (method, path, body, status) in requests {
        ask(&node, &api, method, &path, body, status).await;
    }
}

/// The examples are what the description says of a pipeline, and a setting that no connector has isn't.
#[tokio::test]
async fn specs_are_as_described() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let api = Description(node.get("/api/openapi.json").await);
    let schema = json!({"$ref": "#/components/schemas/NewPipeline"});
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json" || extension == "yaml") {
            let spec: Value = serde_yaml_ng::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            api.validate(&schema, &spec, &path.display().to_string());
            checked += 1;
        }
    }
    assert!(checked >= 6);
    let mut root = schema;
    root["components"] = api.0["components"].clone();
    let validator = jsonschema::validator_for(&root).unwrap();
    let fine = json!({"pipelineId": "p", "source": {"type": "http"}, "sink": {"type": "blackhole"}});
    assert!(validator.is_valid(&fine));
    for (pointer, value) in [
        ("/source", json!({"type": "htp"})),
        ("/source", json!({"type": "http", "path": "x"})),
        ("/sink", json!({"type": "sqlite"})),
        ("/pipelineId", json!("a b")),
        ("/pipelineId", json!("x".repeat(129))),
    ] {
        let mut wrong = fine.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

/// What generators of clients stumble over, whose regular expressions are JavaScript's or Python's.
#[tokio::test]
async fn the_description_is_one_that_generators_of_clients_read() {
    fn walk(value: &Value, at: &str) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    assert!(name != "items" || value.is_object(), "{at}.items: {value}");
                    let is_pattern = name == "pattern" && value.is_string();
                    assert!(!is_pattern || !value.as_str().unwrap().contains("\\p{"), "{at}.pattern: {value}");
                    walk(value, &format!("{at}.{name}"));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, at)),
            _ => {}
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    walk(&node.get("/api/openapi.json").await, "");
}
