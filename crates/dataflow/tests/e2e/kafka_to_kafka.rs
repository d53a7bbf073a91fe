//! From topic to topic: what arrives is what was sent.
use crate::{
    program::{assert_balanced, count, output, start},
    topic::{BROKERS, Topic, committed, remove},
};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::fs;

fn spec(from: &Topic, to: &str) -> Value {
    json!({
        "pipelineId": "copy", "source": {"type": "kafka", "brokers": BROKERS, "topic": from.name},
        "sink": {"type": "kafka", "brokers": BROKERS, "topic": to, "tokensTopic": format!("{to}-tokens"),
            "createTopic": {"partitions": 1, "replication": 1}},
        "lanes": 1, "checkpointInterval": "50ms",
    })
}

/// Line breaks and blanks belong to a record, also where a `map` changes a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_as_the_bytes_that_were_sent() {
    if !servers::are_up() {
        return;
    }
    let sent =
        ["{\n  \"a\": 1,\r\n\t\"b\" : [\n1.50 ]\n}", " \n{\"b\":{ }}\r\n ", "{ \"c\": 1, \"a\" :\n7 }", "{\"a\":1}"];
    let changed =
        ["{\n  \"a\": 2,\r\n\t\"b\" : [\n1.50 ]\n}", " \n{\"b\":{ },\"a\":null}\r\n ", "{ \"a\" :\n8 }", "{\"a\":2}"];
    let from = Topic::new("bytes", 1).await;
    from.send(0..4, |at| sent[at as usize].into());
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for (name, transforms, expected) in
        [("as-is", json!([]), sent), ("map", json!([{"type": "map", "set": {"a": "a + 1"}, "remove": ["c"]}]), changed)]
    {
        let to = format!("{}-{name}", from.name);
        let mut spec = spec(&from, &to);
        (spec["pipelineId"], spec["transforms"]) = (json!(name), transforms);
        node.create_and_start(&spec).await;
        let view = node.until(name, "all written", |view| count(view, "rowsWritten") == 4).await;
        assert_balanced(&view);
        node.post(&format!("/api/pipelines/{name}/stop")).await;
        assert_eq!(committed(&to), expected, "{name}");
        remove(&[&to, &format!("{to}-tokens")]).await;
    }
    from.remove().await;
}

/// Another way to the same topic is none of the rows' business; another topic of tokens has no progress.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_on_where_the_progress_is() {
    if !servers::are_up() {
        return;
    }
    let from = Topic::new("moved", 1).await;
    let to = format!("{}-out", from.name);
    let sent = |until: u64| (0..until).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let mut spec = spec(&from, &to);
    from.send(0..100, |id| format!("{{\"id\":{id}}}"));
    node.create_and_start(&spec).await;
    let view = node.until("copy", "all written", |view| count(view, "rowsWritten") == 100).await;
    let generation = view["generation"].clone();

    let path = "/api/pipelines/copy";
    let tweaks = [("brokers", json!(["LOCALHOST:9092", BROKERS])), ("properties", json!({"linger.ms": 5}))];
    for (until, (setting, value)) in [200, 300].into_iter().zip(tweaks) {
        spec["sink"][setting] = value;
        let (status, answer) = node.request("PUT", path, Some(&spec)).await;
        assert!(status == 200 || status == 202, "{setting}: {answer:#}");
        from.send(until - 100..until, |id| format!("{{\"id\":{id}}}"));
        let view = node.until("copy", "all written", |view| count(view, "rowsWritten") == until).await;
        assert_eq!((&view["generation"], &view["warnings"]), (&generation, &json!([])), "{setting}: {view:#}");
        assert_eq!(committed(&to), sent(until), "{setting}");
    }

    spec["sink"]["tokensTopic"] = json!(format!("{to}-others"));
    let (status, refused) = node.request("PUT", path, Some(&spec)).await;
    assert_eq!((status, &refused["code"]), (409, &json!("retarget-needed")), "{refused:#}");
    let (status, answer) = node.request("PUT", &format!("{path}?retarget=true"), Some(&spec)).await;
    assert!(status == 200 || status == 202, "{answer:#}");
    from.send(300..400, |id| format!("{{\"id\":{id}}}"));
    let view = node.until("copy", "all written", |view| count(view, "rowsWritten") == 400).await;
    assert_balanced(&view);
    assert_eq!(committed(&to), sent(400));
    remove(&[&to, &format!("{to}-tokens"), &format!("{to}-others")]).await;
    from.remove().await;
}

/// A pipeline that reads what it writes would never end, however the brokers are spelled.
#[test]
fn a_topic_that_the_source_reads_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spec.json");
    let check = |source: Value, sink: Value, of_sink: &str| {
        let mut spec = json!({"pipelineId": "p", "source": source, "sink": sink});
        (spec["source"]["type"], spec["sink"]["type"]) = (json!("kafka"), json!("kafka"));
        (spec["source"]["brokers"], spec["sink"]["brokers"]) = (json!(["kafka:1", "127.0.0.1:9092"]), json!(of_sink));
        fs::write(&file, spec.to_string()).unwrap();
        output(&["pipeline", "validate", file.to_str().unwrap()])
    };
    for (source, sink) in [
        (json!({"topic": "a"}), json!({"topic": "a"})),
        (json!({"topics": ["b", "a"]}), json!({"topic": "a"})),
        (json!({"topic": "dataflow-tokens"}), json!({"topic": "a"})),
        (json!({"topic": "b"}), json!({"topic": "a", "tokensTopic": "b"})),
        (json!({"topicPattern": "b|a"}), json!({"topic": "a"})),
        (json!({"topicPattern": "tokens-.*"}), json!({"topic": "a", "tokensTopic": "tokens-2"})),
    ] {
        for brokers in ["127.0.0.1:9092", "LocalHost", "other:9092,kafka:1"] {
            let (code, _, stderr) = check(source.clone(), sink.clone(), brokers);
            assert!(code != 0 && stderr.contains("reads-own-output"), "{source} {sink} {brokers}: {stderr}");
        }
        let (code, _, stderr) = check(source, sink, "other:9092");
        assert_eq!(code, 0, "{stderr}");
    }
    // A pattern finds whole names, and no tokens.
    let (code, _, stderr) = check(json!({"topicPattern": "dataflow-.*|a"}), json!({"topic": "aa"}), "127.0.0.1:9092");
    assert_eq!(code, 0, "{stderr}");
}
