//! Keys and headers of Kafka's records are bytes, and stay what they are.
use crate::{
    program::{assert_balanced, count, output, start},
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
            .insert(Header { key: "content-type", value: Some("application/json") })
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
            "transforms": [{"type": "map", "set": {
                "k": "meta.key", "h": "meta.headers", "type": "meta.headers.\"content-type\"", "at": "meta.position",
            }}],
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
        let all = json!({"h": ["1", "2"], "raw": {"base64": "//4="}, "content-type": "application/json"});
        assert_eq!((&row["h"], &row["type"]), (&all, &all["content-type"]), "{format}");
        assert_eq!(row["at"], format!("{}/0/2", topic.name));
        match format {
            "int64" => assert_eq!(row["k"], 256),
            "bytes" => assert_eq!(row["k"], "AAAAAAAAAQA="),
            _ => {}
        }
    }
    topic.remove().await;
}

/// What is exported as JSON is all that is needed to send a record again as it came, whoever sent it.
#[tokio::test]
async fn an_exported_dead_letter_has_all_that_came_with_its_record() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let topic = Topic::new("exported", 1).await;
    let many = OwnedHeaders::new()
        .insert(Header { key: "h", value: Some("1") })
        .insert(Header { key: "raw", value: Some(&[0xff_u8, 0xfe]) })
        .insert(Header { key: "h", value: None::<&str> });
    topic.send_keyed("größe".as_bytes(), many, "no json");
    topic.send_keyed(&[0, 0xff], OwnedHeaders::new(), "{,}");
    let spec = |id: &str, source: Value| {
        json!({
            "pipelineId": id, "source": source, "checkpointInterval": "20ms",
            "sink": {"type": "file", "path": folder.path().join(id)},
        })
    };
    let kafka = json!({"type": "kafka", "brokers": BROKERS, "topic": topic.name});
    node.create_and_start(&spec("kafka", kafka)).await;
    node.create_and_start(&spec("http", json!({"type": "http"}))).await;
    let pushed = json!({"batchId": "b", "records": [
        {"id": "k", "data": 7, "metadata": {"n": 12345678901234567890_u64, "deep": {"a": [1]}}},
    ]});
    let (status, body) = node.request("POST", "/api/pipelines/http/batches?wait=delivered", Some(&pushed)).await;
    assert_eq!(status, 200, "{body}");
    node.until("kafka", "all read", |view| count(view, "recordsDead") == 2).await;

    let export = |id: &str, more: &[&str]| -> Vec<Value> {
        let args = [&["dead-letters", "export", id, "--server", &node.url, "--output", "json"], more].concat();
        let (code, stdout, stderr) = output(&args);
        assert_eq!(code, 0, "{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let letters = export("kafka", &[]);
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!((&letters[0]["original"], &letters[0]["key"]), (&json!("no json"), &json!("größe")));
    let headers = json!({"headers": {"h": ["1", null], "raw": {"base64": "//4="}}});
    assert_eq!(letters[0]["metadata"], headers);
    assert!(letters[0]["timestamp"].as_str().is_some_and(|at| at.starts_with("20")), "{}", letters[0]);
    assert_eq!((&letters[1]["original"], &letters[1]["keyBase64"]), (&json!("{,}"), &json!("AP8=")));
    let letters = export("http", &[]);
    assert_eq!((&letters[0]["key"], &letters[0]["metadata"]), (&json!("k"), &pushed["records"][0]["metadata"]));
    let listed = node.get("/api/pipelines/kafka/dead-letters").await;
    assert!(listed["items"][0]["key"].is_null() && listed["items"][0]["metadata"].is_null(), "{listed}");

    // Those of one generation.
    let (status, body) = node.post("/api/pipelines/kafka/stop").await;
    assert_eq!(status, 200, "{body}");
    let to = json!({"to": "beginning"});
    let (status, body) = node.request("PUT", "/api/pipelines/kafka/checkpoint?force=true", Some(&to)).await;
    assert_eq!(status, 200, "{body}");
    node.post("/api/pipelines/kafka/start").await;
    node.until("kafka", "all read again", |view| count(view, "recordsDead") == 4).await;
    let numbers = |letters: &[Value]| letters.iter().map(|letter| letter["number"].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(&export("kafka", &[])), [1, 2, 3, 4]);
    let second = export("kafka", &["--generation", "2"]);
    assert_eq!(numbers(&second), [3, 4]);
    let named = second[0]["generation"].as_str().unwrap();
    assert_eq!(numbers(&export("kafka", &["--generation", named])), [3, 4]);
    let (code, _, stderr) =
        output(&["dead-letters", "export", "kafka", "--server", &node.url, "--generation", "second"]);
    assert!(code == 2 && stderr.contains("2-5f3a"), "{stderr}");
    topic.remove().await;
}
