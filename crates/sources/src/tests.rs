#![allow(clippy::unwrap_used)]
use dataflow_core::{
    pipeline::command::Change,
    position::{Partition, Position},
    spec::{Component, PipelineSpec},
};
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
fn a_source_says_whether_its_records_are_texts_without_types() {
    for (source, untyped) in [
        (json!({"type": "file", "path": "a.csv"}), true),
        (json!({"type": "file", "path": "logs/*.csv.1.gz"}), true),
        (json!({"type": "file", "path": "a", "format": "csv"}), true),
        (json!({"type": "file", "path": "a.csv", "format": "json"}), false),
        (json!({"type": "file", "path": "a.json"}), false),
        (json!({"type": "http"}), false),
        (json!({"type": "kafka", "topic": "a", "brokers": ["b:1"]}), false),
    ] {
        let component: Component = serde_json::from_value(source.clone()).unwrap();
        let spec = json!({"source": component, "sink": {"type": "none"}});
        let declared = catalog().declared(&serde_json::from_value(spec).unwrap(), &Connections::default());
        assert_eq!(declared.source.untyped, untyped, "{source}");
    }
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
        json!({"type": "file", "path": "a.log", "follow": true, "pollInterval": "50ms", "onPositionLost": "earliest"}),
        json!({"type": "http"}),
        json!({"type": "s3", "bucket": "lake", "path": "in/**/*.csv.gz", "follow": true, "pollInterval": "1m",
            "endpoint": "https://minio:9000", "accessKeyId": "id", "secretAccessKey": "${env:SECRET}"}),
        json!({"type": "jdbc", "url": "postgres://u:${env:PASSWORD}@h/d", "table": "orders", "mode": "bulk"}),
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

fn change(before: Value, after: Value, positions: &[&str]) -> Change {
    let spec = |source: Value| -> PipelineSpec {
        serde_json::from_value(json!({"source": source, "sink": {"type": "stdout"}})).unwrap()
    };
    let positions = positions.iter().map(|name| (Partition::from(*name), Position::offset(7))).collect();
    catalog().change(&spec(before), &spec(after), &positions, &Connections::default())
}

#[test]
fn a_tweak_of_a_source_changes_nothing_that_is_read() {
    let file = json!({"type": "file", "path": "in/a.jsonl"});
    let kafka = json!({"type": "kafka", "brokers": "a:1", "topic": "t"});
    let generate = json!({"type": "generate", "count": 10});
    let s3 = json!({"type": "s3", "bucket": "lake", "path": "in/"});
    let table = |table: &str| json!({"type": "jdbc", "url": "postgres://u@h/d", "table": table, "mode": "incrementing", "incrementingColumn": "id"});
    let tweaks = [
        (&file, json!({"compression": "auto", "format": null, "delimiter": ",", "header": true, "nullValues": [""]})),
        (&file, json!({"pollInterval": "5s", "follow": true, "onPositionLost": "earliest"})),
        (&kafka, json!({"brokers": ["b:2", "c:3"], "groupId": "g", "metadataInterval": "1s", "start": "latest"})),
        (
            &kafka,
            json!({"properties": {"fetch.wait.max.ms": 5}, "onPositionLost": "latest", "topic": null, "topics": ["t"]}),
        ),
        (&kafka, json!({"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN", "saslPassword": "${env:PW}"})),
        (&generate, json!({"count": 20, "rate": 5.0, "seed": 0, "partitions": 1})),
        (&json!({"type": "http"}), json!({"maxPendingBytes": 5})),
        (
            &s3,
            json!({"endpoint": "https://other:9000", "region": "eu", "accessKeyId": "a", "secretAccessKey": "${env:PW}"}),
        ),
        (&s3, json!({"follow": true, "pollInterval": "5s", "onPositionLost": "latest", "format": null, "tls": {}})),
        (&table("t"), json!({"url": "postgres://u@h2/d", "pollInterval": "1s", "fetchSize": 5, "delay": "1s"})),
    ];
    for (before, tweak) in tweaks {
        let mut after = before.clone();
        after.as_object_mut().unwrap().extend(tweak.as_object().unwrap().clone());
        for (before, after) in [(before, &after), (&after, before)] {
            let changed =
                change(before.clone(), after.clone(), &["in/a.jsonl", "t/0", "generate/0", "http", "s3://lake/in/a"]);
            assert!(!changed.source && changed.given_up.is_empty(), "{before} {after}: {changed:?}");
        }
    }
}

#[test]
fn positions_stay_with_what_is_still_read() {
    let file = |path: &str| json!({"type": "file", "path": path});
    let topics = |topics: &[&str]| json!({"type": "kafka", "topics": topics});
    let objects = |path: &str| json!({"type": "s3", "bucket": "lake", "path": path});
    // Before, after, positions, and those that are given up.
    let cases = [
        (file("in/*.jsonl"), file("in/[ab]*.jsonl"), vec!["in/a.jsonl", "in/b.jsonl", "in/c.jsonl"], vec![]),
        (file("in/a.jsonl"), file("in/*"), vec!["in/a.jsonl"], vec![]),
        (file("./in/*"), file("in/a.jsonl"), vec!["in/a.jsonl"], vec![]),
        (file("in/*"), file("out/*"), vec!["in/a.jsonl"], vec!["in/a.jsonl"]),
        (file("in/*"), file("*"), vec!["in/a.jsonl"], vec!["in/a.jsonl"]),
        (
            json!({"type": "file", "path": "a.gz", "compression": "none"}),
            json!({"type": "file", "path": "a.gz", "compression": "gzip"}),
            vec!["a.gz"],
            vec!["a.gz"],
        ),
        (
            json!({"type": "file", "path": "a.gz"}),
            json!({"type": "file", "path": "a.gz", "compression": "gzip", "format": "csv"}),
            vec!["a.gz"],
            vec![],
        ),
        (objects("in/"), objects("in/*.csv"), vec!["s3://lake/in/a.csv", "s3://lake/in/b"], vec![]),
        (objects("in/"), objects("out/"), vec!["s3://lake/in/a"], vec!["s3://lake/in/a"]),
        (
            objects("in/"),
            json!({"type": "s3", "bucket": "pond", "path": "in/"}),
            vec!["s3://lake/in/a"],
            vec!["s3://lake/in/a"],
        ),
        (topics(&["a"]), topics(&["a", "b"]), vec!["a/0", "a/1"], vec![]),
        (topics(&["a", "b"]), topics(&["b"]), vec!["a/0", "b/0"], vec![]),
        (topics(&["a"]), topics(&["b"]), vec!["a/0"], vec!["a/0"]),
        (topics(&["a"]), topics(&["a.b"]), vec!["a/0"], vec!["a/0"]),
        (
            json!({"type": "generate", "seed": 1}),
            json!({"type": "generate", "seed": 2}),
            vec!["generate/0"],
            vec!["generate/0"],
        ),
        (
            json!({"type": "generate", "seed": 1}),
            json!({"type": "generate", "partitions": 2}),
            vec!["generate/0"],
            vec!["generate/0"],
        ),
        (topics(&["a"]), json!({"type": "http"}), vec!["a/0"], vec!["a/0"]),
    ];
    for (before, after, positions, given_up) in cases {
        let changed = change(before.clone(), after.clone(), &positions);
        assert!(changed.source, "{before} {after}");
        let found: Vec<_> = changed.given_up.keys().map(|partition| &*partition.0).collect();
        assert_eq!(found, given_up, "{before} {after}");
    }
    let words =
        |start| change(topics(&["a"]), json!({"type": "kafka", "topic": "b", "start": start}), &["a/0"]).given_up;
    assert!(words("latest")["a/0"].ends_with("starts at the end"), "{:?}", words("latest"));
    assert!(words("earliest")["a/0"].ends_with("starts at the beginning"));
}

/// What a position is known by is more than what it is of: how far a file is known, the leader of a topic, what was pushed before it.
#[test]
fn a_source_says_which_positions_are_of_the_same_thing_and_in_which_order() {
    let source = |config: Value| {
        let component: Component = serde_json::from_value(config).unwrap();
        catalog().build_source(&component, &Connections::default()).unwrap()
    };
    let at = |offset, identity: &str| Position::offset(offset).of(identity);
    let kafka = source(json!({"type": "kafka", "topic": "a", "brokers": ["b:1"]}));
    let file = source(json!({"type": "file", "path": "a.json"}));
    let http = source(json!({"type": "http"}));
    for (source, one, same, another) in [
        (&kafka, "id", "id@5", Some("other@5")),
        (&file, "1:2:3:4@5:6:7:8", "1:2:3:4@9:9:9:9", Some("1:2:4:4@5:6:7:8")),
        (&http, "00ff", "11ff", None),
    ] {
        assert!(source.is_same(&at(1, one), &at(9, same)), "{source:?}");
        assert!(source.is_same(&at(1, one), &Position::offset(9)), "{source:?}: nothing is known of one");
        assert!(another.is_none_or(|another| !source.is_same(&at(1, one), &at(9, another))), "{source:?}");
        assert_eq!(source.order(&at(10, one), &at(9, same)), Some(std::cmp::Ordering::Greater));
        assert_eq!(source.between(Some(&at(7, one)), &at(9, same)), Some(2));
        assert_eq!(
            (source.between(None, &at(9, one)), source.between(Some(&at(9, one)), &at(7, one))),
            (Some(9), Some(0))
        );
    }
}
