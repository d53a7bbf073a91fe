//! What the `kafka` source can be set to read, from the first start to the proof of what was delivered.
use crate::{
    program::{Node, assert_balanced, count, output, start},
    topic::{BROKERS, Topic, committed, remove},
};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A pipeline into a topic of its own, where a record that is read twice shows.
struct Flow<'a> {
    node: &'a Node,
    to: String,
    spec: Value,
}

impl<'a> Flow<'a> {
    fn new(node: &'a Node, id: &str, source: Value) -> Self {
        let to = format!("{id}-out-{}", std::process::id());
        let mut spec = json!({
            "pipelineId": id, "source": source, "checkpointInterval": "20ms", "batch": {"linger": "5ms"},
            "transforms": [{"type": "map", "set": {"place": "meta.position"}}],
            "sink": {
                "type": "kafka", "brokers": BROKERS, "topic": to, "tokensTopic": format!("{to}-tokens"),
                "createTopic": {"partitions": 1, "replication": 1},
            },
        });
        let more = json!({"type": "kafka", "brokers": BROKERS, "metadataInterval": "200ms"});
        spec["source"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self { node, to, spec }
    }

    fn id(&self) -> &str {
        self.spec["pipelineId"].as_str().unwrap()
    }

    /// Waits until it has delivered so many records, and no more.
    async fn delivers(&self, records: u64) -> Value {
        let all = |view: &Value| count(view, "recordsDelivered") >= records && count(view, "recordsInFlight") == 0;
        let view = self.node.until(self.id(), &format!("{records} records"), all).await;
        assert_balanced(&view);
        assert_eq!(self.rows(), records, "{view:#}");
        view
    }

    async fn act(&self, action: &str) {
        let (status, view) = self.node.post(&format!("/api/pipelines/{}/{action}", self.id())).await;
        assert_eq!(status, 200, "{action}: {view:#}");
    }

    fn rows(&self) -> u64 {
        let rows = committed(&self.to);
        let places: BTreeSet<_> = rows.iter().collect();
        assert_eq!(rows.len(), places.len(), "each record once");
        rows.len() as u64
    }

    async fn remove(self) {
        remove(&[&self.to, &format!("{}-tokens", self.to)]).await;
    }

    /// Proves that so many records were read and delivered.
    fn proven(&self, records: u64) {
        let args = ["verify", self.id(), "--server", &self.node.url, "--output", "json"];
        let (code, report, stderr) = tokio::task::block_in_place(|| output(&args));
        assert_eq!(code, 0, "{report}{stderr}");
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!((&report["verified"], &report["unverifiable"]), (&json!(true), &json!([])), "{report:#}");
        assert_eq!(report["ledger"]["read"], json!({"expected": records, "found": records}), "{report:#}");
    }
}

/// Given a topic with records, when pipelines start at a time, at offsets, or read what is not committed, then each delivers
/// what lies there, goes on there after a stop, and can prove it; offsets that are not there are refused with those that are.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_from_a_chosen_place_on_is_delivered_and_proven() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let topic = Topic::new("chosen", 2).await;
    let send = |ids: std::ops::Range<u64>| topic.send(ids, |id| format!("{{\"id\":{id}}}"));
    send(0..100);
    let time = jiff::Timestamp::now() + std::time::Duration::from_millis(1);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    send(100..200);

    let place = |partition: u32| format!("{}/{partition}", topic.name);
    let offsets = |first: u64, second: u64| json!({"offsets": {place(0): first, place(1): second}});
    let mut sent = 200;
    for (id, more, skipped) in [
        ("time", json!({"start": {"timestamp": time.to_string()}}), 100),
        ("offsets", json!({"start": offsets(30, 100)}), 130),
        ("uncommitted", json!({"isolation": "read_uncommitted"}), 0),
    ] {
        let mut source = json!({"topic": topic.name});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let flow = Flow::new(&node, id, source);
        node.create_and_start(&flow.spec).await;
        flow.delivers(sent - skipped).await;
        flow.act("stop").await;
        send(sent..sent + 10);
        sent += 10;
        flow.act("start").await;
        flow.delivers(sent - skipped).await;
        flow.act("stop").await;
        flow.proven(sent - skipped);
        flow.remove().await;
    }

    let flow = Flow::new(&node, "beyond", json!({"topic": topic.name, "start": offsets(1_000, 0)}));
    node.create_and_start(&flow.spec).await;
    let view = node.until("beyond", "failed", |view| view["status"] == "failed").await;
    let failure = &view["error"];
    assert_eq!(failure["code"], "bad-position", "{view:#}");
    assert!(failure["fix"].as_str().unwrap().contains("available: 0 to 115"), "{view:#}");
    topic.remove().await;
}

/// Which lane has each partition.
async fn lanes(flow: &Flow<'_>) -> BTreeMap<String, u64> {
    let claims = flow.node.get(&format!("/api/pipelines/{}/claims", flow.id())).await;
    let lanes = claims["byLane"].as_array().unwrap().iter();
    let of_lane = |lane: &Value| {
        let number = lane["lane"].as_u64().unwrap();
        lane["positions"].as_object().unwrap().keys().map(|name| (name.clone(), number)).collect::<Vec<_>>()
    };
    lanes.flat_map(of_lane).collect()
}

/// Given a pipeline with a pattern, when topics appear, when the pattern's text changes, and when a topic is deleted, then each
/// record is delivered once, in lanes that stay, and can be proved while it is there; who is gone is told.
#[tokio::test(flavor = "multi_thread")]
async fn topics_of_a_pattern_come_and_go() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let send = |topic: &Topic, count: u64| topic.send(0..count, |id| format!("{{\"id\":{id}}}"));
    let kind = std::process::id();
    let first = Topic::new("kinds-a", 2).await;
    send(&first, 100);
    let pattern = format!("kinds-[a-c]-{kind}");
    let mut flow = Flow::new(&node, "kinds", json!({"topicPattern": pattern}));
    flow.spec["lanes"] = json!(3);
    node.create_and_start(&flow.spec).await;
    flow.delivers(100).await;

    // Found while it runs, and while it is stopped.
    let second = Topic::new("kinds-b", 3).await;
    send(&second, 100);
    flow.delivers(200).await;
    let before = lanes(&flow).await;
    assert_eq!(before.len(), 5, "{before:?}");
    flow.act("stop").await;
    let third = Topic::new("kinds-c", 1).await;
    for topic in [&first, &second, &third] {
        send(topic, 10);
    }
    flow.act("start").await;
    flow.delivers(230).await;
    let after = lanes(&flow).await;
    assert_eq!(after.len(), 6, "{after:?}");
    assert!(before.iter().all(|(partition, lane)| after[partition] == *lane), "{before:?} {after:?}");
    flow.act("stop").await;
    flow.proven(230);

    // Fewer of them and a new one, then all, by other texts: nothing is read again.
    let fourth = Topic::new("kinds-d", 1).await;
    send(&fourth, 10);
    let mut delivered = 230;
    for (pattern, more) in [(format!("kinds-[cd]-{kind}"), 10), (format!("kinds-.-{kind}"), 0)] {
        flow.spec["source"]["topicPattern"] = json!(pattern);
        let (status, view) = node.request("PUT", "/api/pipelines/kinds", Some(&flow.spec)).await;
        assert_eq!(status, 200, "{view:#}");
        send(&third, 10);
        delivered += more + 10;
        flow.act("start").await;
        flow.delivers(delivered).await;
        flow.act("stop").await;
        flow.proven(more + 10);
    }

    flow.act("start").await;
    fourth.remove().await;
    let gone = |view: &Value| view["warnings"].as_array().into_iter().flatten().any(|it| it["code"] == "topic-removed");
    let view = node.until("kinds", "told of the topic that is gone", gone).await;
    assert_eq!(view["status"], "running", "{view:#}");
    send(&first, 10);
    flow.delivers(delivered + 10).await;
    flow.act("stop").await;
    flow.act("start").await;
    send(&second, 10);
    let view = flow.delivers(delivered + 20).await;
    assert!(gone(&view), "{view:#}");
    flow.act("stop").await;
    flow.remove().await;
    for topic in [first, second, third] {
        topic.remove().await;
    }
}
