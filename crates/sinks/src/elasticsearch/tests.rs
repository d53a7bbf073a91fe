//! What is found before any server is asked.
#![allow(clippy::unwrap_used)]
use super::ElasticsearchSink;
use dataflow_sdk::SinkConfig;
use serde_json::{Value, json};

fn findings(fields: Value) -> Vec<String> {
    let mut config = json!({"url": "http://localhost:9200", "index": "logs"});
    for (name, value) in fields.as_object().unwrap() {
        config[name] = value.clone();
    }
    let config: ElasticsearchSink = serde_json::from_value(config).unwrap();
    config.check().into_iter().map(|problem| format!("{} {}", problem.path, problem.code)).collect()
}

#[test]
fn settings_are_checked() {
    let cases: [(Value, &[&str]); 15] = [
        (json!({}), &[]),
        (json!({"url": ["http://a:9200/es", "https://u:p@b"], "user": "u", "password": "p"}), &[]),
        (json!({"url": null}), &["url missing-field"]),
        (json!({"url": "localhost:9200"}), &["url invalid-value"]),
        (json!({"url": " , "}), &["url missing-field"]),
        (json!({"tls": {"ca": "/ca.pem"}}), &["tls not-applicable"]),
        (json!({"url": "https://a:9200", "tls": {"ca": "/ca.pem"}}), &[]),
        (json!({"url": "https://a:9200", "tls": {"cert": "/c.pem"}}), &["tls.key missing-field"]),
        (json!({"index": "Logs"}), &["index invalid-value"]),
        (json!({"index": "logs-{"}), &["index syntax"]),
        (json!({"index": "logs-{to_char(ts, 'YYYY.MM.DD')}"}), &[]),
        (json!({"index": "{a}", "createIndex": {}}), &[]),
        (json!({"user": "u"}), &["password missing-field"]),
        (json!({"user": "u", "password": "p", "apiKey": "k"}), &["apiKey contradiction"]),
        (
            json!({"maxRequestBytes": 1, "requestTimeout": "0s"}),
            &["maxRequestBytes out-of-range", "requestTimeout out-of-range"],
        ),
    ];
    for (fields, found) in cases {
        assert_eq!(findings(fields.clone()), found, "{fields}");
    }
}

#[test]
fn a_target_has_one_spelling_and_no_login() {
    let target = |url: Value| {
        let config: ElasticsearchSink = serde_json::from_value(json!({"url": url, "index": "logs"})).unwrap();
        config.target()
    };
    assert_eq!(target(json!("https://u:secret@B:9200/ ,http://a:9200")), "http://a:9200,https://b:9200 logs");
    assert_eq!(target(json!(["http://a:9200", "https://b:9200/"])), target(json!("https://b:9200,http://a:9200")));
}
