//! Partitions that appear in a topic: before a pipeline's first commit, while it runs and while it is stopped. None of their
//! records is passed over, whichever lane has seen what.
use crate::{
    program::{Node, assert_balanced, count, program},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::{fault_points::VARIABLE, servers};
use serde_json::{Value, json};
use std::{fs, ops::Range, time::Duration};
use tokio_postgres::{Client, NoTls};

async fn database(schema: &str) -> Client {
    let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
    let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(connection);
    client.batch_execute(&format!("drop schema if exists {schema} cascade; create schema {schema}")).await.unwrap();
    client
}

/// Waits for so many records, and more that should not come.
async fn read(node: &Node, records: u64) -> Value {
    let fits = |view: &Value| count(view, "recordsRead") >= records && count(view, "recordsInFlight") == 0;
    let view = node.until("plan", &format!("at {records} records"), fits).await;
    assert_balanced(&view);
    view
}

/// Waits until it has begun for good: the journal knows where it reads from. It may die first.
async fn begun(mut node: Node) {
    for _ in 0..3_000 {
        if node.has_ended().is_some() {
            return;
        }
        let asked = node.try_request("GET", "/api/pipelines/plan/checkpoint", None).await;
        if asked.is_ok_and(|(_, at)| !at["positions"].as_array().is_none_or(Vec::is_empty)) {
            return node.kill();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not begin: {}", node.get("/api/pipelines/plan").await);
}

async fn act(node: &Node, action: &str) {
    let (status, view) = node.post(&format!("/api/pipelines/plan/{action}")).await;
    assert_eq!(status, 200, "{action}: {view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_partitions_that_appear_are_all_read() {
    if !servers::are_up() {
        return;
    }
    for start in ["earliest", "latest"] {
        for lanes in [1, 2, 8] {
            let name = format!("plan_{start}_{lanes}_{}", std::process::id());
            let client = database(&name).await;
            let mut topic = Topic::new(&name, 1).await;
            let send = |topic: &Topic, ids: Range<u64>| topic.send(ids, |id| format!("{{\"id\":{id}}}"));
            send(&topic, 0..10);

            let folder = tempfile::tempdir().unwrap();
            let (config, data) = (folder.path().join("dataflow.toml"), folder.path().join("data"));
            let url = "postgres://dataflow:${env:E2E_PASSWORD}@127.0.0.1:5432/dataflow?options=-csearch_path%3D";
            fs::write(&config, format!("[connections.postgres.default]\nurl = \"{url}{name}\"\n")).unwrap();
            let spec = json!({
                "pipelineId": "plan",
                "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name, "start": start, "metadataInterval": "100ms"},
                "sink": {"type": "postgres", "table": "plan", "mode": "append"},
                "lanes": lanes, "checkpointInterval": "50ms", "batch": {"linger": "5ms"},
            });
            let settings = ["--config", config.to_str().unwrap()];
            let node =
                |fault| program().node_with(&data, &settings, &[("E2E_PASSWORD", "dataflow"), (VARIABLE, fault)]);
            let first = node("before:sink-commit@1=kill");
            first.create_and_start(&spec).await;
            begun(first).await;

            topic.grow(3).await;
            send(&topic, 10..100);
            let node = node("count");
            let skipped = if start == "latest" { 10 } else { 0 };
            read(&node, 100 - skipped).await;
            topic.grow(6).await;
            send(&topic, 100..200);
            read(&node, 200 - skipped).await;
            act(&node, "stop").await;
            topic.grow(9).await;
            send(&topic, 200..300);
            act(&node, "start").await;
            read(&node, 300 - skipped).await;
            act(&node, "stop").await;
            let rows = client.query(&format!("select id from {name}.plan order by id"), &[]).await.unwrap();
            let rows: Vec<u64> = rows.iter().map(|row| row.get::<_, i64>(0).unsigned_abs()).collect();
            assert_eq!(rows, (skipped..300).collect::<Vec<_>>(), "{start}, {lanes} lanes");
            let mut verify = crate::program::dataflow(&["verify", "plan", "--server", &node.url]);
            verify.args(settings).env("E2E_PASSWORD", "dataflow");
            let verified = tokio::task::block_in_place(|| verify.output()).unwrap();
            assert!(verified.status.success(), "{start}: {}", String::from_utf8_lossy(&verified.stdout));
            client.batch_execute(&format!("drop schema {name} cascade")).await.unwrap();
            topic.remove().await;
        }
    }
}
