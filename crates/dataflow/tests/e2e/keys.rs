//! Keys and headers of Kafka's records are bytes, and stay what they are.
use crate::{
    program::{assert_balanced, count, start},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::servers;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn keys_are_what_the_spec_says_or_dead_letters() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let topic = Topic::new("keys", 1).await;
    let headers = || {
        OwnedHeaders::new()
            .insert(Header { key: "h", value: Some("1") })
            .insert(Header { key: "raw", value: Some(&[0xff_u8, 0xfe]) })
            .insert(Header { key: "h", value: Some("2") })
    };
    let keys: Vec<[u8; 8]> = (0..300_u64).map(|n| (n << 7).to_be_bytes()).collect();
    for (n, key) in keys.iter().enumerate() {
        topic.send_keyed(key, headers(), &json!({"n": n}).to_string());
    }
    topic.send_keyed(b"text", OwnedHeaders::new(), r#"{"n":300}"#);

    let no_text = keys.iter().filter(|key| std::str::from_utf8(*key).is_err()).count() as u64;
    for (format, dead) in [("int64", 1), ("bytes", 0), ("uuid", 301), ("text", no_text)] {
        let output = folder.path().join(format);
        let spec = json!({
            "pipelineId": format, "sink": {"type": "file", "path": output}, "checkpointInterval": "20ms",
            "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name, "keyFormat": format},
            "transforms": [{"type": "map", "set": {"k": "meta.key", "h": "meta.headers", "at": "meta.position"}}],
        });
        node.create_and_start(&spec).await;
        node.until(format, "all read", |view| count(view, "recordsDelivered") + count(view, "recordsDead") == 301)
            .await;
        let (_, view) = node.post(&format!("/api/pipelines/{format}/stop")).await;
        assert_balanced(&view);
        let letters = node.get(&format!("/api/pipelines/{format}/dead-letters?limit=1000")).await;
        assert_eq!(count(&view, "recordsDead"), dead, "{format}: {}", letters["items"][0]);
        let ids: std::collections::BTreeSet<_> =
            letters["items"].as_array().unwrap().iter().map(|letter| letter["recordId"].to_string()).collect();
        assert_eq!(ids.len() as u64, dead, "each key is an id of its own");
        let rows: Vec<Value> =
            fs::read_to_string(&output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let keys: std::collections::BTreeSet<_> = rows.iter().map(|row| row["k"].to_string()).collect();
        assert_eq!((keys.len(), rows.len() as u64), (rows.len(), 301 - dead), "{format}");
        let Some(row) = rows.iter().find(|row| row["n"] == 2) else { continue };
        assert_eq!(row["h"], json!({"h": ["1", "2"], "raw": {"base64": "//4="}}), "{format}");
        assert_eq!(row["at"], format!("{}/0/2", topic.name));
        match format {
            "int64" => assert_eq!(row["k"], 256),
            "bytes" => assert_eq!(row["k"], "AAAAAAAAAQA="),
            _ => {}
        }
    }
    topic.remove().await;
}
