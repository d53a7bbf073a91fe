//! Changes of a pipeline between its runs: what doesn't change what is read neither reads again nor passes over anything;
//! what does, is done on purpose only.
use crate::{
    program::{Node, count, output, query, start},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::symlink, path::Path};

/// A pipeline into a SQLite file without a key, so that a record that is read twice shows.
struct Flow<'a> {
    node: &'a Node,
    database: std::path::PathBuf,
    spec: Value,
}

impl<'a> Flow<'a> {
    async fn new(node: &'a Node, folder: &Path, source: Value) -> Self {
        let database = folder.join("out.db");
        let spec = json!({
            "pipelineId": "p", "source": source, "checkpointInterval": "20ms", "batch": {"linger": "5ms"},
            "sink": {"type": "sqlite", "path": database, "table": "t", "mode": "append"},
        });
        node.create_and_start(&spec).await;
        Self { node, database, spec }
    }

    async fn until_delivered(&self, records: u64) {
        self.node.until("p", "delivered", |view| count(view, "recordsDelivered") >= records).await;
    }

    async fn stop(&self) {
        self.node.post("/api/pipelines/p/stop").await;
    }

    async fn start(&self) {
        self.node.start("p").await;
    }

    async fn change(&mut self, part: &str, tweak: &Value, query: &str) -> (u16, Value) {
        self.spec[part].as_object_mut().unwrap().extend(tweak.as_object().unwrap().clone());
        self.node.request("PUT", &format!("/api/pipelines/p{query}"), Some(&self.spec)).await
    }

    /// Stops, changes, and starts again, for each of the tweaks; `feed` adds ten records before each start.
    async fn tweak(&mut self, part: &str, tweaks: &[Value], mut expected: u64, mut feed: impl FnMut()) -> u64 {
        for tweak in tweaks {
            self.stop().await;
            let (status, view) = self.change(part, tweak, "").await;
            assert_eq!(status, 200, "{tweak}: {view:#}");
            feed();
            expected += 10;
            self.start().await;
            self.until_delivered(expected).await;
            assert_eq!(self.rows(), expected, "{tweak}");
        }
        expected
    }

    fn rows(&self) -> u64 {
        query(&self.database, "SELECT count(*) FROM t").try_into().unwrap()
    }
}

fn lines(from: u64, to: u64) -> String {
    (from..to).map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

#[tokio::test]
async fn a_file_is_read_on_through_tweaks_and_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.jsonl");
    fs::write(&input, lines(0, 1000)).unwrap();
    let node = start(&folder.path().join("data"));
    let mut flow = Flow::new(&node, folder.path(), json!({"type": "file", "path": input})).await;
    flow.until_delivered(1000).await;

    let mut next = 1000;
    let mut feed = || {
        fs::write(&input, lines(0, next + 10)).unwrap();
        next += 10;
    };
    let links = folder.path().join("links");
    fs::create_dir(&links).unwrap();
    symlink(&input, links.join("soft.jsonl")).unwrap();
    let tweaks = [
        json!({"compression": "auto"}),
        json!({"path": links.join("soft.jsonl")}),
        json!({"pollInterval": "30ms", "follow": true}),
        json!({"format": "json"}),
        json!({"path": links.join("../a.jsonl")}),
        json!({"onPositionLost": "latest"}),
        json!({"path": folder.path().join("*.jsonl")}),
    ];
    let expected = flow.tweak("source", &tweaks, 1000, &mut feed).await;
    let expected =
        flow.tweak("sink", &[json!({"fenceTimeout": "3s"}), json!({"createTable": true})], expected, feed).await;

    // What is read on no longer is given up on purpose only, and both positions are said.
    flow.stop().await;
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/b.jsonl"), lines(0, 5)).unwrap();
    let other = json!({"path": folder.path().join("other/*")});
    let (status, refused) = flow.change("source", &other, "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("reset-needed")), "{refused:#}");
    let at = fs::metadata(&input).unwrap().len().to_string();
    let message = refused["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains(&at) && message.contains("the beginning"), "{message}");
    let (status, changed) = flow.change("source", &other, "?reset=true").await;
    assert_eq!(status, 200, "{changed:#}");
    assert_eq!(changed["warnings"][0]["code"], "positions-given-up");
    flow.start().await;
    flow.until_delivered(expected + 5).await;
    assert_eq!(flow.rows(), expected + 5);
    let history = node.get("/api/pipelines/p/history").await;
    let given_up = history["items"].as_array().unwrap().iter().find_map(|item| {
        let given_up = item["detail"]["generation"]["givenUp"].as_object()?;
        (item["event"] == "PipelineUpdated").then(|| given_up.clone())
    });
    assert_eq!(given_up.unwrap()[input.to_str().unwrap()], at);
}

/// Another target lacks what the old one has, whatever setting says so: nobody goes on unasked.
#[tokio::test]
async fn another_target_is_turned_to_on_purpose_only() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let path = |name: &str| folder.path().join(name);
    let sqlite = |name: &str, table: &str| json!({"type": "sqlite", "path": path(name), "table": table});
    let file = |name: &str| json!({"type": "file", "path": path(name)});
    let changes = [
        ("table", sqlite("a.db", "t"), sqlite("a.db", "u")),
        ("path", sqlite("b.db", "t"), sqlite("c.db", "t")),
        ("file", file("d.jsonl"), file("e.jsonl")),
        ("type", file("f.jsonl"), sqlite("f.db", "t")),
    ];
    for (name, before, after) in changes {
        let source = json!({"type": "generate", "count": 100, "schema": {"id": {"type": "sequence"}}});
        let spec = |sink: &Value, count: u64| {
            let mut source = source.clone();
            source["count"] = json!(count);
            json!({"pipelineId": name, "source": source, "sink": sink})
        };
        let at = format!("/api/pipelines/{name}");
        let put = async |spec: &Value, query: &str| node.request("PUT", &format!("{at}{query}"), Some(spec)).await;
        let rows = |sink: &Value| match sink["table"].as_str() {
            Some(table) => {
                query(Path::new(sink["path"].as_str().unwrap()), &format!("SELECT count(*) FROM {table}")) as u64
            }
            None => fs::read_to_string(sink["path"].as_str().unwrap()).unwrap().lines().count() as u64,
        };
        let run = async |records: u64| {
            node.start(name).await;
            let done = |view: &Value| view["status"] == "completed" && count(view, "recordsDelivered") == records;
            node.until(name, "completed", done).await;
        };
        assert_eq!(node.request("POST", "/api/pipelines", Some(&spec(&before, 100))).await.0, 201);
        // As long as nothing was delivered, there is nothing to ask.
        assert_eq!(put(&spec(&after, 100), "").await.0, 200, "{name}");
        assert_eq!(put(&spec(&before, 100), "").await.0, 200, "{name}");
        run(100).await;

        let (status, refused) = put(&spec(&after, 110), "").await;
        assert_eq!((status, &refused["code"]), (409, &json!("retarget-needed")), "{name}: {refused:#}");
        assert!(refused["detail"].as_str().unwrap().contains("100 record"), "{name}: {refused:#}");
        let fix = refused["problems"][0]["fix"].as_str().unwrap();
        assert!(fix.contains("--retarget") && fix.contains("beginning"), "{name}: {fix}");
        let (status, changed) = put(&spec(&after, 110), "?retarget=true").await;
        assert_eq!(status, 200, "{name}: {changed:#}");
        run(110).await;
        assert_eq!((rows(&before), rows(&after)), (100, 10), "{name}");
        if name == "file" {
            continue; // what it wrote before is never cut, so turning back to it is a matter of its own
        }

        // Who begins again has nothing missing, so that there is nothing to ask.
        let (status, refused) = put(&spec(&before, 110), "").await;
        assert_eq!((status, &refused["code"]), (409, &json!("retarget-needed")), "{name}: {refused:#}");
        assert!(refused["detail"].as_str().unwrap().contains("10 record"), "{name}: {refused:#}");
        let reset =
            node.request("PUT", &format!("{at}/checkpoint?force=true"), Some(&json!({"to": "beginning"}))).await;
        assert_eq!(reset.0, 200, "{name}: {reset:?}");
        let mut third = after.clone();
        third["path"] = json!(path(&format!("{name}-third.db")));
        assert_eq!(put(&spec(&third, 110), "").await.0, 200, "{name}");
        run(220).await;
        assert_eq!(rows(&third), 110, "{name}");
    }
}

/// SQLite's table `T` is its table `t`: it is the same target by another spelling.
#[tokio::test]
async fn a_table_in_another_case_is_the_same_target() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.jsonl");
    fs::write(&input, lines(0, 10)).unwrap();
    let node = start(&folder.path().join("data"));
    let source = json!({"type": "file", "path": input, "follow": true});
    let mut flow = Flow::new(&node, folder.path(), source).await;
    flow.until_delivered(10).await;
    let tweaks = [json!({"table": "T"}), json!({"table": "t"}), json!({"table": "T"})];
    let mut next = 10;
    let feed = || {
        let more = fs::read_to_string(&input).unwrap() + &lines(next, next + 10);
        fs::write(&input, more).unwrap();
        next += 10;
    };
    flow.tweak("sink", &tweaks, 10, feed).await;
    flow.stop().await;
    let view = node.get("/api/pipelines/p").await;
    assert_eq!(view["checkpoint"]["generation"], 1, "{view:#}");
    assert!(!view["warnings"].to_string().contains("target-changed"), "{view:#}");
    let verify = || output(&["verify", "p", "--server", &node.url, "--output", "json"]);
    let (code, stdout, stderr) = verify();
    assert_eq!(code, 0, "{stdout}{stderr}");
    // A letter that is no ASCII makes another table.
    let (status, refused) = flow.change("sink", &json!({"table": "\u{e4}"}), "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("retarget-needed")), "{refused:#}");
    assert_eq!(flow.change("sink", &json!({"table": "\u{e4}"}), "?retarget=true").await.0, 200);
    fs::write(&input, lines(0, 50)).unwrap();
    flow.start().await;
    flow.until_delivered(50).await;
    flow.stop().await;
    let (status, refused) = flow.change("sink", &json!({"table": "\u{c4}"}), "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("retarget-needed")), "{refused:#}");
}

#[tokio::test]
async fn generated_records_go_on_through_tweaks() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let source = json!({"type": "generate", "count": 1000, "schema": {"id": {"type": "sequence"}}});
    let mut flow = Flow::new(&node, folder.path(), source).await;
    flow.until_delivered(1000).await;
    let tweaks = [json!({"count": 1010}), json!({"count": 1020, "seed": 0}), json!({"count": 1030, "rate": 1e6})];
    let expected = flow.tweak("source", &tweaks, 1000, || {}).await;
    let (status, refused) = flow.change("source", &json!({"seed": 7}), "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("reset-needed")), "{refused:#}");
    assert_eq!(query(&flow.database, "SELECT count(DISTINCT id) FROM t"), i64::try_from(expected).unwrap());
}

#[tokio::test]
async fn pushed_records_go_on_through_tweaks() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let mut flow = Flow::new(&node, folder.path(), json!({"type": "http"})).await;
    let push = async |name: &str, from: u64, to: u64| {
        let records: Vec<_> = (from..to).map(|id| json!({"data": {"id": id}})).collect();
        let body = json!({"batchId": name, "records": records});
        let (status, answer) = node.request("POST", "/api/pipelines/p/batches", Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
    };
    push("first", 0, 1000).await;
    flow.until_delivered(1000).await;
    flow.stop().await;
    push("second", 1000, 1010).await;
    let (status, view) = flow.change("source", &json!({"maxPendingBytes": 1_000_000}), "").await;
    assert_eq!(status, 200, "{view:#}");
    flow.start().await;
    flow.until_delivered(1010).await;
    assert_eq!(flow.rows(), 1010);
}

#[tokio::test]
async fn topics_are_read_on_through_tweaks_and_other_topics() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let (first, second) = (Topic::new("tweaks-b", 2).await, Topic::new("tweaks-a", 2).await);
    let line = |id| json!({"id": id}).to_string();
    let source = json!({"type": "kafka", "brokers": BROKERS, "topic": first.name, "start": "latest"});
    let mut flow = Flow::new(&node, folder.path(), source).await;
    node.until("p", "at its beginning", |view| view["checkpoint"]["positions"][1].is_object()).await;
    first.send(0..1000, line);
    flow.until_delivered(1000).await;

    // What is produced while it is stopped arrives, whatever is tweaked meanwhile.
    let mut next = 1000;
    let feed = || {
        first.send(next..next + 10, line);
        next += 10;
    };
    let tweaks = [
        json!({"groupId": "another"}),
        json!({"metadataInterval": "1s"}),
        json!({"brokers": [BROKERS, "localhost:9092"]}),
        json!({"properties": {"fetch.wait.max.ms": "50"}}),
        json!({"topic": null, "topics": [first.name, second.name]}),
    ];
    let expected = flow.tweak("source", &tweaks, 1000, feed).await;
    second.send(0..10, line);
    flow.until_delivered(expected + 10).await;
    assert_eq!(flow.rows(), expected + 10);

    // A topic that is left out for a while is read on where it was.
    flow.stop().await;
    assert_eq!(flow.change("source", &json!({"topics": [first.name]}), "").await.0, 200);
    flow.start().await;
    second.send(10..20, line);
    first.send(5000..5010, line);
    flow.until_delivered(expected + 20).await;
    flow.stop().await;
    assert_eq!(flow.change("source", &json!({"topics": [second.name, first.name]}), "").await.0, 200);
    flow.start().await;
    flow.until_delivered(expected + 30).await;
    assert_eq!(flow.rows(), expected + 30);

    flow.stop().await;
    let (status, refused) = flow.change("source", &json!({"topics": ["tweaks-none"]}), "").await;
    assert_eq!((status, &refused["code"]), (409, &json!("reset-needed")), "{refused:#}");
    first.remove().await;
    second.remove().await;
}

#[tokio::test]
async fn a_key_is_bound_to_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let spec = |description: &str| {
        json!({
            "pipelineId": "p", "description": description, "source": {"type": "http"},
            "sink": {"type": "blackhole"},
        })
    };
    let keyed = async |method: &str, path: &str, body: Option<&Value>| {
        node.request_with(method, path, body, &[("Idempotency-Key", "k")]).await
    };
    let (status, made) = keyed("POST", "/api/pipelines", Some(&spec("a"))).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(keyed("POST", "/api/pipelines", Some(&spec("a"))).await, (201, made));
    let others = [
        ("POST", "/api/pipelines", Some(spec("b"))),
        ("PUT", "/api/pipelines/p", Some(spec("a"))),
        ("POST", "/api/pipelines/p/start", None),
        ("PUT", "/api/pipelines/p/checkpoint", Some(json!({"to": "beginning"}))),
        ("DELETE", "/api/pipelines/p", None),
    ];
    for (method, path, body) in others {
        let (status, refused) = keyed(method, path, body.as_ref()).await;
        assert_eq!((status, &refused["code"]), (422, &json!("idempotency-key-reused")), "{method} {path}: {refused}");
    }
    let (status, _) = node.request_with("DELETE", "/api/pipelines/p", None, &[("Idempotency-Key", "d")]).await;
    assert_eq!(status, 200);
    // The create's key is still known; what it made is gone.
    assert_eq!(keyed("POST", "/api/pipelines", Some(&spec("a"))).await.0, 404);
    assert_eq!(node.request("POST", "/api/pipelines", Some(&spec("c"))).await.0, 201);
    let (status, deleted) = node.request_with("DELETE", "/api/pipelines/p", None, &[("Idempotency-Key", "d")]).await;
    assert_eq!((status, &deleted["status"]), (200, &json!("deleted")));
    assert_eq!(node.get("/api/pipelines/p").await["description"], "c");
}
