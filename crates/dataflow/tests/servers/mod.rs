//! Connections to servers that nobody has to run: a spec is only checked with them.
use dataflow_sdk::catalog::Connections;
use serde_json::{Value, json};

/// One of each kind, so that a spec need not say where its servers are.
pub(crate) fn connections() -> Connections {
    let fields = |value: Value| value.as_object().unwrap().clone();
    Connections::default()
        .with("elasticsearch", "default", fields(json!({"url": "http://127.0.0.1:9200"})))
        .with("jdbc", "default", fields(json!({"url": "postgres://dataflow@127.0.0.1/dataflow"})))
        .with("kafka", "default", fields(json!({"brokers": "127.0.0.1:9092"})))
        .with("s3", "default", fields(json!({"endpoint": "http://127.0.0.1:9000", "allowHttp": true})))
        .with("postgres", "default", fields(json!({"url": "postgres://dataflow@127.0.0.1/dataflow"})))
}
