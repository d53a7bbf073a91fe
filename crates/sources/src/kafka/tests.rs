#![allow(clippy::unwrap_used)]
use super::KafkaSource;
use crate::testing::{context, lane};
use dataflow_core::position::Positions;
use dataflow_sdk::{
    Context, Problem, SourceConfig,
    source::{Assignment, Read, Source},
};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use std::time::Duration;

/// One lane of all partitions, from their beginning.
async fn planned(source: &dyn Source, cx: &Context) -> Assignment {
    let positions: Positions = source.plan(cx, &Positions::new()).await.unwrap().into_iter().collect();
    let plan = positions.keys().map(|partition| (partition.clone(), 0)).collect();
    Assignment { plan, ..lane(&positions) }
}

fn check(config: Value) -> Vec<Problem> {
    serde_json::from_value::<KafkaSource>(config).unwrap().check()
}

fn paths(config: Value) -> Vec<String> {
    check(config).into_iter().map(|problem| problem.path).collect()
}

#[test]
fn the_reference_example_needs_only_a_connection() {
    assert!(check(json!({"brokers": "a:9092, b:9092", "topic": "user-events"})).is_empty());
    assert!(check(json!({"brokers": ["a:9092"], "topics": ["a", "b"]})).is_empty());
    assert!(check(json!({"brokers": "PLAINTEXT://a-b.c_d, [::1]:9092", "topic": "a"})).is_empty());
    for brokers in ["u:hush@a:9092", "a:9092,u@b", "a/b", "SASL_SSL://u:hush@a"] {
        let problems = check(json!({"brokers": brokers, "topic": "a"}));
        assert_eq!((problems.len(), problems[0].path.as_str()), (1, "brokers"), "{problems:?}");
        assert!(!format!("{problems:?}").contains("hush"), "{problems:?}");
    }
    let problems = check(json!({"topic": "user-events"}));
    assert_eq!(problems[0].path, "brokers");
    assert!(problems[0].fix.as_ref().unwrap().contains("connections.kafka.default"));
}

#[test]
fn findings_name_field_and_fix() {
    assert_eq!(paths(json!({"brokers": "a"})), ["topic"]);
    assert_eq!(paths(json!({"brokers": "a", "topic": "a", "topics": ["b"]})), ["topics"]);
    assert!(paths(json!({"brokers": "a", "topicPattern": ".*"})).is_empty());
    assert_eq!(paths(json!({"brokers": "a", "topics": ["a", "b c"]})), ["topics[1]"]);
    let with = |more: Value| {
        let mut config = json!({"brokers": "a", "topic": "a"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let properties =
        json!({"group.id": "x", "fetch.wait.max.ms": 5, "ssl.ca.location": "x", "no.such": 1, "linger.ms": "x"});
    assert_eq!(
        paths(with(json!({"properties": properties}))),
        ["properties.group.id", "properties.ssl.ca.location", "properties.no.such", "properties.linger.ms"]
    );
    for (more, expected) in [
        (json!({"securityProtocol": "SSL"}), &[][..]),
        (json!({"securityProtocol": "SSL", "tls": {"ca": "/ca.pem"}}), &[]),
        (json!({"tls": {"ca": "/ca.pem"}}), &["tls"]),
        (json!({"securityProtocol": "SSL", "tls": {"cert": "/c.pem"}}), &["tls.key"]),
        (json!({"securityProtocol": "SSL", "saslMechanism": "PLAIN"}), &["saslMechanism"]),
        (json!({"securityProtocol": "SASL_PLAINTEXT"}), &["saslMechanism"]),
        (json!({"securityProtocol": "SASL_SSL", "saslMechanism": "SCRAM-SHA-256"}), &["saslUsername", "saslPassword"]),
        (json!({"saslUsername": "u"}), &["saslUsername"]),
        (
            json!({"securityProtocol": "SASL_SSL", "saslMechanism": "OAUTHBEARER", "saslUsername": "u"}),
            &["oauth", "saslUsername"],
        ),
        (
            json!({"securityProtocol": "SASL_SSL", "saslMechanism": "OAUTHBEARER",
                "oauth": {"tokenUrl": "http://login.example.com/token", "clientId": "a", "clientSecret": "b"}}),
            &["oauth.tokenUrl"],
        ),
        (
            json!({"properties": {"sasl.oauthbearer.client.secret": "x"}}),
            &["properties.sasl.oauthbearer.client.secret"],
        ),
        (
            json!({"properties": {"enable.ssl.certificate.verification": false}}),
            &["properties.enable.ssl.certificate.verification"],
        ),
        (json!({"topicPattern": "a-.*"}), &[]),
        (json!({"topicPattern": "a-("}), &["topicPattern"]),
        (json!({"topicPattern": "b.*", "start": {"offsets": {"b1/0": 0, "c/0": 0}}}), &[r#"start.offsets["c/0"]"#]),
        (json!({"start": "latest", "isolation": "read_uncommitted"}), &[]),
        (json!({"start": {"timestamp": "2026-11-01T00:00:00+01:00"}}), &[]),
        (json!({"start": {"timestamp": "2026-11-01"}}), &["start.timestamp"]),
        (json!({"start": {"offsets": {"a/0": 0, "a/10": 7}}}), &[]),
        (json!({"start": {"offsets": {}}}), &["start.offsets"]),
        (
            json!({"start": {"offsets": {"b/0": 0, "a": 0, "a/00": 0, "a/-1": 0, "a/x": 0}}}),
            &[
                r#"start.offsets["a"]"#,
                r#"start.offsets["a/-1"]"#,
                r#"start.offsets["a/00"]"#,
                r#"start.offsets["a/x"]"#,
                r#"start.offsets["b/0"]"#,
            ],
        ),
        (json!({"properties": {"isolation.level": "read_uncommitted"}}), &["properties.isolation.level"]),
        (json!({"properties": {"ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384"}}), &[]),
    ] {
        assert_eq!(paths(with(more.clone())), expected, "{more}");
    }
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for protocol in ["SASL_PLAINTEXT", "SASL_SSL"] {
            let login = json!({"securityProtocol": protocol, "saslMechanism": mechanism, "saslUsername": "u", "saslPassword": "p"});
            assert!(check(with(login)).is_empty());
        }
    }
}

#[test]
fn debug_shows_no_password() {
    let config = json!({"brokers": "a", "topic": "a", "saslPassword": "hush", "properties": {"sasl.x": "hush"}});
    let source: KafkaSource = serde_json::from_value(config).unwrap();
    assert!(!format!("{source:?}").contains("hush"));
}

#[tokio::test]
async fn brokers_out_of_reach_are_named() {
    let source: KafkaSource = serde_json::from_value(json!({"brokers": "127.0.0.1:9", "topic": "a"})).unwrap();
    let error = source.build().open(&context(), lane(&Positions::new())).await.err().unwrap();
    assert_eq!(error.code(), "unreachable");
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// The test controls the clock: after each minute without reads, all partitions are released and assigned again.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_for_long_gets_each_record_once() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("a", 2, 1).unwrap();
    let sender: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for n in 0..400 {
        let (partition, text) = (n % 2, n.to_string());
        let record = BaseRecord::<str, str>::to("a").partition(partition).payload(&text);
        sender.send(record).map_err(|(error, _)| error).unwrap();
    }
    tokio::task::spawn_blocking(move || sender.flush(Duration::from_secs(60)).unwrap()).await.unwrap();
    let config = json!({"brokers": cluster.bootstrap_servers(), "topic": "a"});
    let source = serde_json::from_value::<KafkaSource>(config).unwrap().build();
    let mut cx = context();
    cx.batch.max_records = 10;
    let mut reader = source.open(&cx, planned(&*source, &cx).await).await.unwrap();
    let mut seen = [Vec::new(), Vec::new()];
    while seen[0].len() + seen[1].len() < 400 {
        for _ in 0..4 {
            let Read::Records(records) = reader.read().await.unwrap() else { panic!() };
            let texts = crate::testing::texts(&[records]);
            let numbers = texts.iter().map(|text| text.parse::<usize>().unwrap());
            numbers.for_each(|number| seen[number % 2].push(number));
            if seen[0].len() + seen[1].len() >= 400 {
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        // The reading thread uses the machine's time.
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(50))).await.unwrap();
    }
    for (partition, seen) in seen.iter().enumerate() {
        assert_eq!(*seen, (0..200).map(|n| 2 * n + partition).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_go_away_show() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("a", 1, 1).unwrap();
    let sender: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    sender.send(BaseRecord::<str, str>::to("a").partition(0).payload("1")).map_err(|(error, _)| error).unwrap();
    sender.flush(Duration::from_secs(10)).unwrap();
    let config = json!({"brokers": cluster.bootstrap_servers(), "topic": "a"});
    let source = serde_json::from_value::<KafkaSource>(config).unwrap().build();
    let mut reader = source.open(&context(), planned(&*source, &context()).await).await.unwrap();
    let Read::Records(records) = reader.read().await.unwrap() else { panic!() };
    assert_eq!(records.len(), 1);
    cluster.broker_down(1).unwrap();
    let error = loop {
        match tokio::time::timeout(Duration::from_secs(60), reader.read()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "unreachable", "{error}");
}
