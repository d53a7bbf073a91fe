//! `dataflow verify` of a topic that a pipeline has written to: what is right is proven, and what others have done to it is told.
use crate::{
    program::{Node, count, dataflow, start},
    topic::{BROKERS, Topic, remove},
};
use dataflow_testkit::servers;
use rdkafka::message::OwnedHeaders;
use serde_json::{Value, json};

const RECORDS: u64 = 2_000;

fn line(id: u64) -> String {
    match id % 100 {
        50 => "{\"id\": ".into(),
        _ => format!("{{ \"id\": {id}, \"age\": {} }}", id % 40),
    }
}

fn verify(node: &Node, pipeline: &str, more: &[&str]) -> Value {
    let args = ["verify", pipeline, "--server", &node.url, "--output", "json"];
    let done = tokio::task::block_in_place(|| dataflow(&[&args, more].concat()).output()).unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)))
}

/// Lost, doubled, altered and unexpected rows, and whether all is proven.
fn told(report: &Value) -> ([u64; 4], bool) {
    let counts = ["lost", "doubled", "altered", "unexpected"].map(|kind| report[kind]["count"].as_u64().unwrap());
    (counts, report["verified"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_has_is_proven() {
    if !servers::are_up() {
        return;
    }
    let (from, mut to) = (Topic::new("verified", 4).await, Topic::new("verified-out", 3).await);
    let tokens = format!("{}-tokens", to.name);
    from.send(0..RECORDS, line);
    // Others were there before.
    to.send(0..7, |id| format!("{{\"id\":{id}}}"));
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "copy", "source": {"type": "kafka", "brokers": BROKERS, "topic": from.name},
        "transforms": [{"type": "filter", "condition": "age > 9"}],
        "sink": {"type": "kafka", "brokers": BROKERS, "topic": to.name, "tokensTopic": tokens,
            "key": "cast(id as text)", "headers": {"origin": "meta.topic"}, "partition": "age % 3"},
        "lanes": 2, "checkpointInterval": "50ms", "batch": {"maxRecords": 100},
    });
    node.create_and_start(&spec).await;
    for read in [RECORDS, RECORDS + 400] {
        let through = |view: &Value| count(view, "recordsRead") == read && count(view, "recordsInFlight") == 0;
        node.until("copy", "through", through).await;
        node.post("/api/pipelines/copy/stop").await;
        let report = verify(&node, "copy", &[]);
        assert_eq!(told(&report), ([0; 4], true), "{report:#}");
        let expected = (0..read).filter(|id| id % 100 != 50 && id % 40 > 9).count() as u64;
        assert_eq!((&report["expected"], &report["found"]), (&json!(expected), &json!(expected)), "{report:#}");
        if read == RECORDS {
            from.send(RECORDS..RECORDS + 400, line);
            node.post("/api/pipelines/copy/start").await;
        }
    }
    // Somebody else sends one.
    to.send_keyed(b"12", OwnedHeaders::new(), &line(12));
    let report = verify(&node, "copy", &[]);
    assert_eq!(told(&report), ([0, 0, 0, 1], false), "{report:#}");
    let report = verify(&node, "copy", &["--shared"]);
    assert_eq!(told(&report), ([0, 0, 0, 1], true), "{report:#}");
    // Retention removes what was there first.
    to.expire_before(20).await;
    let report = verify(&node, "copy", &["--shared"]);
    assert_eq!(told(&report), ([0, 0, 0, 1], false), "{report:#}");
    let reason = report["unverifiable"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("retention has removed from topic"), "{report:#}");
    // All is gone.
    to.make_anew().await;
    let report = verify(&node, "copy", &[]);
    assert_eq!((&report["lost"]["count"], &report["found"]), (&report["expected"], &json!(0)), "{report:#}");
    remove(&[&tokens]).await;
    to.remove().await;
    from.remove().await;
}
