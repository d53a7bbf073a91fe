//! Positions that a user names, and positions of partitions that nobody knew of.
use crate::{
    program::{Node, count, start},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::fs;

async fn set(node: &Node, positions: &[(&str, &str)], query: &str) -> (u16, Value) {
    let positions: Vec<_> =
        positions.iter().map(|(partition, at)| json!({"partition": partition, "position": at})).collect();
    let body = json!({"to": {"positions": positions}});
    node.request("PUT", &format!("/api/pipelines/p/checkpoint{query}"), Some(&body)).await
}

/// The answer of a partition to positions that are none, and to some that are.
async fn check(node: &Node, partition: &str, range: &str, wrong: &[&str], right: &[&str]) {
    for at in ["abc", "", "-1", "1.5", "99999999999999999999"].iter().chain(wrong) {
        let (status, refused) = set(node, &[(partition, at), ("nowhere/7", "0")], "").await;
        assert_eq!((status, &refused["code"]), (400, &json!("invalid")), "{at:?}: {refused:#}");
        let fixes: Vec<_> = refused["problems"].as_array().unwrap().iter().map(|p| p["fix"].to_string()).collect();
        assert_eq!(fixes.len(), 2, "{refused:#}");
        assert!(fixes.iter().all(|fix| fix.contains(range)), "{range}: {fixes:?}");
    }
    for at in right {
        let (status, answer) = set(node, &[(partition, at)], "?force=true").await;
        assert_eq!(status, 200, "{at}: {answer:#}");
        let shown = answer["positions"].as_array().unwrap().iter().any(|p| p["position"] == **at);
        assert!(shown, "{at}: {answer:#}");
    }
}

#[tokio::test]
async fn a_position_of_a_file_is_within_it() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    fs::write(&input, "{\"id\":1}\n{\"id\":2}\n").unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "p", "source": {"type": "file", "path": input}, "sink": {"type": "file", "path": output},
    });
    node.create_and_start(&spec).await;
    node.until("p", "completed", |view| view["status"] == "completed").await;
    check(&node, input.to_str().unwrap(), "0 to 18", &["19", "5", "10"], &["0", "18", "9"]).await;
    node.post("/api/pipelines/p/start").await;
    node.until("p", "completed", |view| count(view, "recordsRead") == 3 && view["status"] == "completed").await;
    // A source that can't be asked is taken at the user's word only where that is forced.
    fs::remove_file(&input).unwrap();
    let (status, refused) = set(&node, &[(input.to_str().unwrap(), "9")], "").await;
    assert_eq!((status, &refused["problems"][0]["code"]), (400, &json!("unreachable")), "{refused:#}");
    assert_eq!(set(&node, &[(input.to_str().unwrap(), "9")], "?force=true").await.0, 200);
}

#[tokio::test]
async fn a_position_of_generated_and_pushed_records_is_within_them() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let made = |source: Value| json!({"pipelineId": "p", "source": source, "sink": {"type": "blackhole"}});
    node.create_and_start(&made(json!({"type": "generate", "count": 100}))).await;
    node.until("p", "completed", |view| view["status"] == "completed").await;
    check(&node, "generate/0", "0 to 100", &["101"], &["0", "100", "7"]).await;
    node.request("DELETE", "/api/pipelines/p", None).await;

    node.create_and_start(&made(json!({"type": "http"}))).await;
    let push = async |name: &str, records: u64| {
        let body =
            json!({"batchId": name, "records": (0..records).map(|id| json!({"data": {"id": id}})).collect::<Vec<_>>()});
        node.request("POST", "/api/pipelines/p/batches?wait=delivered", Some(&body)).await
    };
    push("first", 10).await;
    node.post("/api/pipelines/p/stop").await;
    let body = json!({"batchId": "second", "records": [{"data": {}}, {"data": {}}]});
    node.request("POST", "/api/pipelines/p/batches", Some(&body)).await;
    // What was delivered isn't kept any more.
    check(&node, "http", "10 to 12", &["9", "13"], &["10"]).await;
    // What was not is passed over only where that is meant.
    let (status, refused) = set(&node, &[("http", "12")], "").await;
    assert_eq!((status, &refused["problems"][0]["code"]), (400, &json!("undelivered")), "{refused:#}");
    assert_eq!(set(&node, &[("http", "12")], "?force=true").await.0, 200);
}

#[tokio::test]
async fn a_position_of_a_topic_is_in_its_log() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let topic = Topic::new("positions", 1).await;
    topic.send(0..20, |id| json!({"id": id}).to_string());
    topic.expire_before(5).await;
    let source = json!({"type": "kafka", "brokers": BROKERS, "topic": topic.name});
    let spec = json!({"pipelineId": "p", "source": source, "sink": {"type": "blackhole"}});
    assert_eq!(node.request("POST", "/api/pipelines", Some(&spec)).await.0, 201);
    check(&node, &format!("{}/0", topic.name), "5 to 20", &["4", "21"], &["5", "20"]).await;
    topic.remove().await;
}

#[tokio::test]
async fn a_partition_that_came_while_nobody_read_is_read_from_its_beginning_on_any_lane() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let mut topic = Topic::new("grown", 1).await;
    let spec = json!({
        "pipelineId": "p", "lanes": 3, "sink": {"type": "blackhole"}, "checkpointInterval": "20ms",
        "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name, "start": "latest"},
    });
    node.create_and_start(&spec).await;
    node.until("p", "at its beginning", |view| view["checkpoint"]["positions"][0].is_object()).await;
    topic.send(0..10, |id| json!({"id": id}).to_string());
    node.until("p", "read", |view| count(view, "recordsRead") == 10).await;
    assert!(node.terminate().success());
    topic.grow(3).await;
    topic.send(10..40, |id| json!({"id": id}).to_string());
    let node = start(&folder.path().join("data"));
    node.until("p", "all read", |view| count(view, "recordsRead") == 40).await;
    topic.remove().await;
}

/// A pipeline that begins at the end of a topic, and has read nothing yet, passes over what came since it began.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_since_a_pipeline_began_at_the_end_is_passed_over_by_going_on_later() {
    if !servers::are_up() {
        return;
    }
    for (number, at, lost) in [(1, None, 5), (2, Some("12"), 2), (3, Some("10"), 0)] {
        let topic = Topic::new(&format!("passed-{number}"), 1).await;
        topic.send(0..10_u64, |id| json!({"id": id}).to_string());
        let folder = tempfile::tempdir().unwrap();
        let node = start(&folder.path().join("data"));
        node.create_and_start(&json!({
            "pipelineId": "p", "checkpointInterval": "50ms",
            "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name, "start": "latest"},
            "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "rows", "mode": "append"},
        }))
        .await;
        node.until("p", "planned", |view| view["checkpoint"]["positions"][0].is_object()).await;
        assert_eq!(node.post("/api/pipelines/p/stop").await.0, 200);
        topic.send(10..15_u64, |id| json!({"id": id}).to_string());
        let (status, answer) = match at {
            None => node.request("PUT", "/api/pipelines/p/checkpoint", Some(&json!({"to": "end"}))).await,
            Some(at) => set(&node, &[(&format!("{}/0", topic.name), at)], "").await,
        };
        assert_eq!(status, 200, "{answer:#}");
        assert_eq!(count(&node.get("/api/pipelines/p").await, "recordsLost"), lost, "{at:?}: {answer:#}");
        node.post("/api/pipelines/p/start").await;
        topic.send(15..17_u64, |id| json!({"id": id}).to_string());
        let delivered = 7 - lost;
        node.until("p", "delivered", |view| count(view, "recordsDelivered") == delivered).await;
        assert_eq!(crate::program::query(&folder.path().join("out.db"), "select count(*) from rows") as u64, delivered);
        drop(node);
        topic.remove().await;
    }
}
