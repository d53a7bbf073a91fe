//! Objects of a bucket as a source: its example, what is proven of it, what a node says of objects that change, and how much state
//! thousands of them make.
use crate::{
    objects::{node, sink},
    program::{Node, count, dataflow, is, query},
};
use dataflow_testkit::{bucket::Bucket, servers};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{fmt::Write, io::Write as _, path::Path};

const EXAMPLE: &str = include_str!("../../../../examples/s3-to-sqlite.yaml");

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn orders(ids: std::ops::Range<u64>) -> String {
    ids.fold(String::new(), |mut text, id| {
        writeln!(text, "{{\"id\":{id},\"amount\":{}}}", id * 3).unwrap();
        text
    })
}

/// A source of this bucket, whose secret is in a file of this folder.
fn source(bucket: &Bucket, folder: &Path, more: &Value) -> Value {
    sink(bucket, folder, more)
}

fn verify(node: &Node, pipeline: &str) -> Value {
    let done = tokio::task::block_in_place(|| {
        dataflow(&["verify", pipeline, "--server", &node.url, "--output", "json"]).output().unwrap()
    });
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)))
}

fn through(records: u64) -> impl Fn(&Value) -> bool {
    move |view| count(view, "recordsRead") == records && count(view, "recordsInFlight") == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_example_reads_new_objects_and_is_proven() {
    if !servers::minio_is_up() {
        return;
    }
    let (bucket, folder) = (Bucket::fresh("e2e-source").await, tempfile::tempdir().unwrap());
    let mut spec: Value = serde_yaml_ng::from_str(EXAMPLE).unwrap();
    let example = json!({"path": spec["source"]["path"], "follow": true, "pollInterval": "50ms"});
    spec["source"] = source(&bucket, folder.path(), &example);
    spec["sink"]["path"] = json!(folder.path().join("orders.db"));
    bucket.put("orders/2026/11/b.json.gz", gzip(&(orders(0..100) + "{\"id\":\n"))).await;
    bucket.put("orders/2026/11/b.csv", "not,read\n1,2\n").await;
    let node = node(&folder.path().join("data"), &[]);
    node.create_and_start(&spec).await;
    node.until("orders-of-lake", "read", through(101)).await;
    // Before what was read, by its key.
    bucket.put("orders/2026/10/a.json.gz", gzip(&orders(100..150))).await;
    node.until("orders-of-lake", "read what is new", through(151)).await;
    node.post("/api/pipelines/orders-of-lake/stop").await;
    let database = folder.path().join("orders.db");
    assert_eq!(query(&database, "SELECT count(*) FROM orders"), 150);
    assert_eq!(query(&database, "SELECT count(*) FROM orders WHERE object = 'orders/2026/10/a.json.gz'"), 50);
    let letters = node.get("/api/pipelines/orders-of-lake/dead-letters").await;
    let place = (&letters["items"][0]["partition"], &letters["items"][0]["position"]);
    let at = orders(0..100).len().to_string();
    assert_eq!(place, (&json!(format!("s3://{}/orders/2026/11/b.json.gz", bucket.name)), &json!(at)), "{letters:#}");
    let report = verify(&node, "orders-of-lake");
    assert_eq!(report["verified"], true, "{report:#}");
    assert!(node.terminate().success());
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_before_its_end_fails_the_pipeline() {
    if !servers::minio_is_up() {
        return;
    }
    let (bucket, folder) = (Bucket::fresh("e2e-source").await, tempfile::tempdir().unwrap());
    bucket.put("in/a.jsonl", orders(0..200_000)).await;
    let spec = json!({
        "pipelineId": "changes", "source": source(&bucket, folder.path(), &json!({"path": "in/"})),
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "orders"},
        "batch": {"maxRecords": 10}, "checkpointInterval": "10ms",
    });
    let node = node(&folder.path().join("data"), &[]);
    node.create_and_start(&spec).await;
    node.until("changes", "begun", |view| count(view, "recordsDelivered") > 0).await;
    node.post("/api/pipelines/changes/stop").await;
    bucket.put("in/a.jsonl", orders(0..5)).await;
    node.post("/api/pipelines/changes/start?wait=0s").await;
    let view = node.until("changes", "failed", is("failed")).await;
    assert_eq!(view["error"]["code"], "position-lost", "{view:#}");
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("in/a.jsonl") && message.contains("overwritten"), "{message}");
    // By choice it goes on with what is there.
    let mut spec = spec;
    spec["source"]["onPositionLost"] = json!("earliest");
    let (code, said) = node.request("PUT", "/api/pipelines/changes", Some(&spec)).await;
    assert_eq!(code, 200, "{said:#}");
    node.post("/api/pipelines/changes/start?wait=0s").await;
    let view = node.until("changes", "completed", is("completed")).await;
    assert!(view["warnings"].to_string().contains("position-lost"), "{view:#}");
    assert!(node.terminate().success());
    bucket.remove().await;
}

/// A snapshot stays a row of 64 KiB, however many objects the state has.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_objects_are_read_once_over_restarts() {
    const OBJECTS: u64 = 1_100;
    if !servers::minio_is_up() {
        return;
    }
    let (bucket, folder) = (Bucket::fresh("e2e-source").await, tempfile::tempdir().unwrap());
    let put = |n: u64| {
        let bucket = &bucket;
        async move { bucket.put(&format!("in/dt=2026-11-30/part-{n:05}.jsonl"), orders(n..n + 1)).await }
    };
    stream::iter((0..OBJECTS).map(put)).buffer_unordered(32).for_each(|()| async {}).await;
    let spec = json!({
        "pipelineId": "many", "source": source(&bucket, folder.path(), &json!({"path": "in/", "follow": true, "pollInterval": "100ms"})),
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "orders"},
    });
    let data = folder.path().join("data");
    let first = node(&data, &[]);
    first.create_and_start(&spec).await;
    first.until("many", "read", through(OBJECTS)).await;
    assert!(first.terminate().success());
    bucket.put("in/dt=2026-11-29/late.jsonl", orders(OBJECTS..OBJECTS + 1)).await;
    let second = node(&data, &[]);
    second.until("many", "read what is new", through(OBJECTS + 1)).await;
    second.post("/api/pipelines/many/stop").await;
    assert_eq!(query(&folder.path().join("out.db"), "SELECT count(*) FROM orders"), OBJECTS as i64 + 1);
    assert!(second.terminate().success());
    let journal = data.join("node/journal.db");
    let longest = query(&journal, "SELECT max(length(state)) FROM snapshot");
    assert!(longest <= 64 << 10, "{longest} bytes");
    bucket.remove().await;
}
