#![allow(clippy::unwrap_used)]
use dataflow_core::spec::Component;
use dataflow_sdk::{
    Catalog, Problem,
    catalog::{Connections, Role},
};
use serde_json::{Value, json};

fn catalog() -> Catalog {
    let mut catalog = Catalog::new();
    crate::register(&mut catalog);
    catalog
}

fn check(component: Value, connections: &Connections) -> Vec<Problem> {
    let component: Component = serde_json::from_value(component).unwrap();
    catalog().check_component(Role::Source, &component, connections, "source")
}

#[test]
fn specs_as_users_write_them_pass_the_catalogue() {
    let brokers = json!({"brokers": "127.0.0.1:9092"}).as_object().unwrap().clone();
    let connections = Connections::default().with("kafka", "default", brokers);
    for spec in [
        json!({"type": "kafka", "topic": "user-events"}),
        json!({"type": "kafka", "brokers": ["a:1", "b:2"], "topics": ["a"], "onPositionLost": "latest", "start": "latest",
            "properties": {"fetch.wait.max.ms": 5, "socket.keepalive.enable": true, "client.rack": "a"}}),
        json!({"type": "kafka", "topic": "a", "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
            "saslUsername": "u", "saslPassword": "${env:PASSWORD}", "metadataInterval": "5s"}),
        json!({"type": "file", "path": "examples/*.json"}),
        json!({"type": "file", "path": "a", "format": "csv", "delimiter": ";", "header": false, "columns": ["a"],
            "nullValues": ["", "NULL"], "compression": "zstd"}),
        json!({"type": "file", "path": "a.log", "follow": true, "pollInterval": 50, "onPositionLost": "earliest"}),
        json!({"type": "http"}),
        json!({"type": "http", "maxPendingBytes": 1000}),
        json!({"type": "generate"}),
        json!({"type": "generate", "count": 10, "rate": 5, "seed": 7, "partitions": 2,
            "schema": {"a": {"type": "sequence"}, "b": {"type": "choice", "values": [1, "x"]}, "c": {"type": "name"}}}),
    ] {
        assert_eq!(check(spec.clone(), &connections), [], "{spec}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let none = Connections::default();
    let problems = check(json!({"type": "kafka", "topic": "user-events"}), &none);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "source.brokers");
    assert!(problems[0].fix.as_ref().unwrap().contains("connections.kafka.default"));
    let problems = check(json!({"type": "file", "pth": "a"}), &none);
    assert!(problems.iter().any(|problem| problem.path == "source.pth" && problem.fix.is_some()), "{problems:?}");
    let password = json!({"type": "kafka", "brokers": "a", "topic": "a", "securityProtocol": "SASL_PLAINTEXT",
        "saslMechanism": "PLAIN", "saslUsername": "u", "saslPassword": "hush"});
    let problems = check(password, &none);
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["source.saslPassword"]);
}
