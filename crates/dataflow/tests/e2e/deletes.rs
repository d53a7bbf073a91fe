//! Kafka tombstones and a change feed's `op` delete rows of real tables, through kill -9 at the fault points around a commit.
use crate::program::{Node, assert_balanced, count, dataflow, program};
use dataflow_testkit::{fault_points::VARIABLE, servers};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};
use tokio_postgres::{Client, NoTls};

const KAFKA: &str = "127.0.0.1:9092";
const PARTITIONS: u64 = 3;
const KEYS: u64 = 30;
const RECORDS: u64 = 6_000;

/// A kill on each side of what a commit takes.
const FAULTS: [&str; 8] = [
    "after:sink-open@1=kill",
    "before:define@1=kill",
    "after:define@1=kill",
    "before:sink-commit@7=kill",
    "after:sink-commit@7=kill",
    "before:checkpoint@2=kill",
    "after:checkpoint@2=kill",
    "before:sink-commit@20=kill+1ms",
];

/// What record `number` does to which row: `None`: it deletes it. The same each time.
fn change(number: u64) -> (u64, Option<u64>) {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    // The first ones delete what is not there, before there is a table.
    (random % KEYS, (number >= 40 && !(random / KEYS).is_multiple_of(3)).then_some(number))
}

/// The rows that are left.
fn expected() -> BTreeMap<i64, i64> {
    let mut rows = BTreeMap::new();
    for number in 0..RECORDS {
        let (key, value) = change(number);
        match value {
            Some(value) => rows.insert(key as i64, value as i64),
            None => rows.remove(&(key as i64)),
        };
    }
    rows
}

/// Half of the deletes are tombstones, the others say so.
async fn fill(topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA).set("enable.idempotence", "true").set("linger.ms", "5");
    let admin: AdminClient<_> = config.create().unwrap();
    let new = NewTopic::new(topic, PARTITIONS as i32, TopicReplication::Fixed(1));
    assert!(admin.create_topics([&new], &AdminOptions::new()).await.unwrap().iter().all(Result::is_ok));
    let sender: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    for number in 0..RECORDS {
        let (row, value) = change(number);
        let (key, partition) = (row.to_string(), (row % PARTITIONS) as i32);
        let payload = match value {
            Some(value) => Some(json!({"op": "u", "n": value}).to_string()),
            None => (number % 2 == 0).then(|| json!({"op": "d", "n": "no number", "other": 1}).to_string()),
        };
        let record = BaseRecord::to(topic).partition(partition).key(&key);
        let record = match &payload {
            Some(payload) => record.payload(payload),
            None => record,
        };
        assert!(sender.send(record).is_ok());
    }
    sender.flush(std::time::Duration::from_secs(30)).unwrap();
}

fn spec(id: &str, sink: Value) -> Value {
    let lanes = if sink["type"] == "sqlite" { 1 } else { 2 };
    json!({
        "pipelineId": id,
        "source": {"type": "kafka", "topic": id},
        "transforms": [{"type": "map", "set": {"id": "cast(meta.key as bigint)"}}],
        "sink": sink,
        "lanes": lanes,
        "batch": {"maxRecords": 40, "linger": "1ms"},
        "checkpointInterval": "10ms",
    })
}

/// Runs a pipeline to its end through all faults, and proves it.
async fn through_kills(id: &str, folder: &Path, settings: &Path, sink: Value) -> Value {
    let args = ["--config", settings.to_str().unwrap()];
    let start = |fault: &str| -> Node {
        program().node_with(&folder.join("data"), &args, &[("E2E_PASSWORD", "dataflow"), (VARIABLE, fault)])
    };
    let (mut node, mut killed) = (start(FAULTS[0]), 0);
    // The node may be killed before it answers.
    let created = node.try_request("POST", "/api/pipelines", Some(&spec(id, sink))).await;
    assert!(created.is_ok_and(|(status, _)| status == 201));
    drop(node.try_request("POST", &format!("/api/pipelines/{id}/start?wait=0s"), None).await);
    for next in FAULTS.iter().skip(1).chain([&""]) {
        let through = loop {
            if node.has_ended().is_some() {
                break false;
            }
            let view = node.try_request("GET", &format!("/api/pipelines/{id}"), None).await;
            if view.is_ok_and(|(status, view)| {
                status == 200 && count(&view, "recordsRead") == RECORDS && count(&view, "recordsInFlight") == 0
            }) {
                break true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        if through {
            break;
        }
        killed += 1;
        node = if next.is_empty() {
            program().node_with(&folder.join("data"), &args, &[("E2E_PASSWORD", "dataflow")])
        } else {
            start(next)
        };
    }
    assert!(killed >= 3, "the faults befall it: {killed}");
    let through = |view: &Value| count(view, "recordsRead") == RECORDS && count(view, "recordsInFlight") == 0;
    node.until(id, "through", through).await;
    let (status, view) = node.post(&format!("/api/pipelines/{id}/stop")).await;
    assert_eq!((status, &view["status"]), (200, &json!("stopped")), "{view:#}");
    assert_balanced(&view);
    assert_eq!([count(&view, "recordsDelivered"), count(&view, "recordsDead")], [RECORDS, 0], "{view:#}");
    let mut verify = dataflow(&["verify", id, "--server", &node.url, "--output", "json", args[0], args[1]]);
    let done = tokio::task::block_in_place(|| verify.env("E2E_PASSWORD", "dataflow").output()).unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)))
}

async fn postgres(schema: &str) -> Client {
    let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
    let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { connection.await.unwrap() });
    client.batch_execute(&format!("create schema {schema}; set search_path to {schema}")).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_deleted_exactly_through_kills() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("dataflow.toml");
    let id = format!("deletes_{}", std::process::id());
    let connections = format!(
        "[connections.kafka.default]\nbrokers = \"{KAFKA}\"\n\n[connections.postgres.default]\n\
         url = \"postgres://dataflow:${{env:E2E_PASSWORD}}@127.0.0.1:5432/dataflow?options=-csearch_path%3D{id}\"\n"
    );
    std::fs::write(&settings, connections).unwrap();
    fill(&id).await;
    let client = postgres(&id).await;

    let sink = json!({"type": "postgres", "table": "users", "key": "id", "op": "op", "unknownFields": "ignore"});
    let report = through_kills(&id, &folder.path().join("a"), &settings, sink).await;
    assert_eq!(report["verified"], true, "{report:#}");
    let rows = client.query("select id, n from users", &[]).await.unwrap();
    let found: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, expected());
    assert!(!found.is_empty() && found.len() < KEYS as usize, "some are deleted, some are there: {found:?}");

    let database = folder.path().join("out.db");
    let sink = json!({"type": "sqlite", "path": database, "table": "users", "key": "id", "op": "op", "unknownFields": "ignore"});
    let report = through_kills(&id, &folder.path().join("b"), &settings, sink).await;
    assert_eq!(report["verified"], true, "{report:#}");
    let file = rusqlite::Connection::open(&database).unwrap();
    let mut rows = file.prepare("select id, n from users").unwrap();
    let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(found.collect::<rusqlite::Result<BTreeMap<i64, i64>>>().unwrap(), expected());

    client.batch_execute(&format!("drop schema {id} cascade")).await.unwrap();
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", KAFKA).create().unwrap();
    admin.delete_topics(&[&id], &AdminOptions::new()).await.unwrap();
}
