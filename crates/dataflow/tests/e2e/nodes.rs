//! Two nodes that have the same pipeline, and with it the same target.
use crate::program::{Node, count, output, program, query};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tokio_postgres::{Client, NoTls};

const POSTGRES: &str = "postgres://dataflow:dataflow@127.0.0.1:5432/dataflow";

fn spec(input: &Path, sink: Value) -> Value {
    json!({
        "pipelineId": "numbers",
        "source": {"type": "file", "path": input, "follow": true},
        "sink": sink,
        "batch": {"maxRecords": 100, "linger": "5ms"},
        "checkpointInterval": "100ms",
    })
}

/// A node that knows the server.
fn start(folder: &Path) -> Node {
    fs::create_dir_all(folder).unwrap();
    let settings = folder.join("dataflow.toml");
    fs::write(&settings, format!("[connections.postgres.default]\nurl = \"{POSTGRES}\"\n")).unwrap();
    program().node_with(folder, &["--config", settings.to_str().unwrap()], &[])
}

fn numbers(file: &Path, numbers: std::ops::Range<u64>) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(numbers.map(|id| format!("{{\"id\": {id}}}\n")).collect::<String>().as_bytes()).unwrap();
}

async fn client() -> Client {
    let (client, connection) = tokio_postgres::connect(POSTGRES, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(connection);
    client
}

async fn failed(node: &Node) -> Value {
    node.until("numbers", "failed", |view| view["status"] == "failed").await
}

async fn delivered(node: &Node, records: u64) -> Value {
    node.until("numbers", &format!("{records} delivered"), |view| count(view, "recordsDelivered") >= records).await
}

/// The second of two nodes is refused, takes over by its user's choice, and the first one is refused from then on.
async fn takes_over(sink: Value, place: &str, doubled: u64, rows: impl AsyncFn() -> i64) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let input = path("in.jsonl");
    numbers(&input, 0..1_000);
    let (first, second) = (start(&path("first")), start(&path("second")));
    first.create_and_start(&spec(&input, sink.clone())).await;
    delivered(&first, 1_000).await;
    if sink["type"] == "file" {
        // It holds the lock of its file while it runs.
        first.post("/api/pipelines/numbers/stop").await;
    }

    second.create_and_start(&spec(&input, sink.clone())).await;
    let view = failed(&second).await;
    assert_eq!(view["error"]["code"], "target-of-another-node", "{view:#}");
    assert_eq!(rows().await, 1_000, "nothing was written by the second");
    let set = |more: &[&str]| {
        let args = ["checkpoint", "set", "numbers", "--to", place, "--server", &second.url];
        output(&[&args[..], more].concat())
    };
    let (code, _, stderr) = set(&[]);
    assert!(code == 1 && stderr.contains("of another node") && stderr.contains("--take-over"), "{stderr}");
    // A file keeps no positions to go on from.
    if sink["type"] == "file" {
        for to in ["sink-token", "journal"] {
            let args = ["checkpoint", "set", "numbers", "--to", to, "--take-over", "--server", &second.url];
            let (code, _, stderr) = output(&args);
            assert!(code == 1 && stderr.contains("keeps no positions"), "{stderr}");
        }
    }
    let (code, _, stderr) = set(&["--take-over"]);
    assert_eq!(code, 0, "{stderr}");
    second.post("/api/pipelines/numbers/start").await;
    numbers(&input, 1_000..1_500);
    let view = delivered(&second, 1_500).await;
    assert_eq!(rows().await as u64, 1_500 + doubled, "{view:#}");

    if place == "sink-token" {
        first.post("/api/pipelines/numbers/restart").await;
    } else {
        second.post("/api/pipelines/numbers/stop").await;
        first.post("/api/pipelines/numbers/start").await;
    }
    let view = failed(&first).await;
    assert_eq!(view["error"]["code"], "target-of-another-node", "{view:#}");
    assert_eq!(rows().await as u64, 1_500 + doubled);

    // And back again, and forth once more.
    if place == "sink-token" {
        for (round, (node, url)) in [(2, (&first, &first.url)), (3, (&second, &second.url))] {
            let back = ["checkpoint", "set", "numbers", "--to", place, "--take-over", "--server", url.as_str()];
            let _stopped = node.post("/api/pipelines/numbers/stop").await;
            let (code, _, stderr) = output(&back);
            assert_eq!(code, 0, "round {round}: {stderr}");
            node.post("/api/pipelines/numbers/start").await;
            numbers(&input, round * 1_000..round * 1_000 + 500);
            let all = round * 500 + 1_000;
            let view = delivered(node, all).await;
            assert_eq!((rows().await as u64, count(&view, "recordsDelivered")), (all, all), "round {round}: {view:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_takes_over_a_sqlite_file_by_choice() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.db");
    let sink = json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"});
    takes_over(sink, "sink-token", 0, async || query(&target, "select count(*) from numbers")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_takes_over_a_table_in_postgresql_by_choice() {
    if !servers::are_up() {
        return;
    }
    let client = client().await;
    let schema = format!("nodes_{}", std::process::id());
    client.batch_execute(&format!("create schema {schema}")).await.unwrap();
    let table = format!("{schema}.numbers");
    let sink = json!({"type": "postgres", "table": table, "mode": "append"});
    let rows = async || client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0);
    takes_over(sink, "sink-token", 0, rows).await;
    client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_takes_over_a_file_by_choice() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.jsonl");
    let rows = async || fs::read_to_string(&target).unwrap().lines().count() as i64;
    takes_over(json!({"type": "file", "path": target}), "beginning", 1_000, rows).await;
}

/// Two pipelines of different ids share a table, and one that is made again under its id goes on as ever.
#[tokio::test(flavor = "multi_thread")]
async fn others_that_are_meant_to_share_a_target_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (input, target) = (path("in.jsonl"), path("out.db"));
    numbers(&input, 0..100);
    let sink = json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"});
    let (first, second) = (start(&path("first")), start(&path("second")));
    first.create_and_start(&spec(&input, sink.clone())).await;
    delivered(&first, 100).await;
    let mut other = spec(&input, sink.clone());
    other["pipelineId"] = "others".into();
    second.create_and_start(&other).await;
    second.until("others", "all", |view| count(view, "recordsDelivered") >= 100).await;

    first.post("/api/pipelines/numbers/stop").await;
    let (code, _, stderr) = output(&["pipeline", "delete", "numbers", "--server", &first.url]);
    assert_eq!(code, 0, "{stderr}");
    first.create_and_start(&spec(&input, sink)).await;
    let view = delivered(&first, 100).await;
    assert_eq!(query(&target, "select count(*) from numbers"), 300);
    let warned = view["warnings"].to_string();
    assert!(warned.contains("written-before") && warned.contains("100 row(s)"), "{view:#}");
}

/// A run that keeps its state elsewhere is another node, too.
#[test]
fn a_run_takes_over_what_another_run_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (input, target, file) = (path("in.jsonl"), path("out.db"), path("pipeline.json"));
    numbers(&input, 0..100);
    let mut spec = spec(&input, json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"}));
    spec["source"]["follow"] = false.into();
    fs::write(&file, spec.to_string()).unwrap();
    let run = |data: &str, more: &[&str]| {
        let data = path(data);
        output(&[&["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()], more].concat())
    };
    let rows = || query(&target, "select count(*) from numbers");
    assert_eq!(run("one", &[]).0, 0);
    let (code, _, stderr) = run("two", &[]);
    assert!(code == 1 && stderr.contains("of another node") && stderr.contains("--take-over"), "{stderr}");
    let (code, _, stderr) = run("two", &["--from", "sink-token"]);
    assert!(code == 1 && stderr.contains("of another node"), "{stderr}");
    assert_eq!(rows(), 100);
    let (code, _, stderr) = run("two", &["--from", "sink-token", "--take-over"]);
    assert_eq!((code, rows()), (0, 100), "{stderr}");
    let (code, _, stderr) = run("two", &["--from", "beginning"]);
    assert_eq!((code, rows()), (0, 200), "{stderr}");
}

/// The order of sinks says nothing of whose a target is.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_with_the_sinks_in_another_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let input = path("in.jsonl");
    numbers(&input, 0..100);
    let sinks = |order: [&str; 2]| {
        let table = |name: &&str| json!({"name": name, "type": "sqlite", "path": path("out.db"), "table": name});
        let mut spec = spec(&input, json!(null));
        spec.as_object_mut().unwrap().remove("sink");
        spec["sinks"] = order.iter().map(table).collect();
        spec
    };
    let (first, second) = (start(&path("first")), start(&path("second")));
    first.create_and_start(&sinks(["a", "b"])).await;
    delivered(&first, 200).await;
    second.create_and_start(&sinks(["b", "a"])).await;
    let refused = |view: &Value| {
        let all = view["sinks"].as_array().unwrap();
        all.iter().all(|sink| sink["error"]["code"] == "target-of-another-node")
    };
    second.until("numbers", "refused", refused).await;
    for table in ["a", "b"] {
        assert_eq!(query(&path("out.db"), &format!("select count(*) from {table}")), 100);
    }
}
