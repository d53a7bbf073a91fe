//! What users meet with several sinks: which of them is meant, and what becomes of the others.
use crate::{
    program::{Node, output, program, query, start},
    server::Postgres,
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Sinks `table` and `lines`, to a SQLite file and a file of lines.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn node(&self) -> Node {
        start(&self.path("data"))
    }

    fn table(&self) -> Value {
        json!({"name": "table", "type": "sqlite", "path": self.path("out.db"), "table": "rows", "mode": "append"})
    }

    fn lines(&self) -> Value {
        json!({"name": "lines", "type": "file", "path": self.path("out.jsonl")})
    }

    /// A target where nobody answers.
    fn away() -> Value {
        json!({"name": "away", "type": "postgres", "url": "postgres://nobody@127.0.0.1:1/nothing", "table": "rows"})
    }

    /// From a file of so many records, to these.
    fn file(&self, records: u64, sinks: &[Value]) -> Value {
        let line = |id| json!({"id": id}).to_string() + "\n";
        fs::write(self.path("in.jsonl"), (0..records).map(line).collect::<String>()).unwrap();
        json!({
            "pipelineId": "orders", "source": {"type": "file", "path": self.path("in.jsonl")}, "sinks": sinks,
            "restart": {"initial": "100ms", "max": "200ms"}, "checkpointInterval": "50ms",
        })
    }

    /// What is pushed, to these.
    fn pushed(sinks: &[Value]) -> Value {
        json!({
            "pipelineId": "orders", "source": {"type": "http"}, "sinks": sinks, "batch": {"linger": "1ms"},
            "restart": {"initial": "100ms", "max": "200ms"}, "checkpointInterval": "50ms",
        })
    }

    fn rows(&self) -> i64 {
        query(&self.path("out.db"), "select count(*) from rows")
    }

    fn written(&self) -> usize {
        fs::read_to_string(self.path("out.jsonl")).unwrap().lines().count()
    }
}

fn sink<'a>(view: &'a Value, name: &str) -> &'a Value {
    let sinks = view["sinks"].as_array().into_iter().flatten();
    sinks.into_iter().find(|sink| sink["name"] == name).unwrap_or_else(|| panic!("no {name} in {view:#}"))
}

fn delivered(view: &Value, name: &str) -> u64 {
    sink(view, name)["metrics"]["recordsDelivered"].as_u64().unwrap()
}

/// Whether a checkpoint of the sink has passed so many pushed records: they are kept for it no longer.
fn passed(view: &Value, name: &str, records: u64) -> bool {
    let position = sink(view, name)["checkpoint"]["positions"][0]["position"].as_str();
    position.and_then(|position| position.parse().ok()) == Some(records)
}

async fn push(node: &Node, batch: &str, ids: std::ops::Range<u64>) {
    let records: Vec<_> = ids.map(|id| json!({"data": {"id": id}})).collect();
    let body = json!({"batchId": batch, "records": records});
    let (status, answer) = node.request("POST", "/api/pipelines/orders/batches", Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
}

fn cli(node: &Node, args: &[&str]) -> (i32, String, String) {
    output(&[args, &["--server", &node.url]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_never_reached_keeps_no_other_from_starting() {
    let case = Case::new();
    let node = case.node();
    node.create_and_start(&case.file(100, &[Case::away(), case.lines()])).await;
    let view = node.until("orders", "the file to be written", |view| delivered(view, "lines") == 100).await;
    assert_eq!((sink(&view, "lines")["error"].clone(), case.written()), (Value::Null, 100), "{view:#}");
    let view = node.until("orders", "an error", |view| !view["error"].is_null()).await;
    assert_eq!(view["error"]["sink"], "away", "{view:#}");
    let (code, shown, _) = cli(&node, &["pipeline", "get", "orders"]);
    assert!(code == 0 && shown.contains("of sink") && shown.contains("away"), "{shown}");
    let (code, list, _) = cli(&node, &["pipeline", "list"]);
    assert!(code == 0 && list.contains("(away)"), "{list}");

    // It is mended while the other one, which has ended, is left alone.
    let mended = case.file(
        100,
        &[json!({"name": "away", "type": "sqlite", "path": case.path("out.db"), "table": "rows"}), case.lines()],
    );
    let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&mended)).await;
    assert!(status == 200 || status == 202, "{status} {answer:#}");
    let view = node.until("orders", "it to be through", |view| view["status"] == "completed").await;
    assert_eq!((delivered(&view, "away"), case.rows(), case.written()), (100, 100, 100), "{view:#}");
}

#[test]
fn a_run_says_which_sink_failed_and_goes_on_there() {
    let case = Case::new();
    let run = |spec: &Value| {
        fs::write(case.path("pipeline.json"), spec.to_string()).unwrap();
        let (file, data) = (case.path("pipeline.json"), case.path("data"));
        output(&["run", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()])
    };
    // A folder where the file should be.
    fs::create_dir(case.path("out.jsonl")).unwrap();
    let mut spec = case.file(100, &[case.table(), case.lines()]);
    spec["restart"] = json!({"maxAttempts": 0});
    let (code, _, said) = run(&spec);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("sink lines"), "{said}");
    assert_eq!(case.rows(), 100, "{said}");
    fs::remove_dir(case.path("out.jsonl")).unwrap();
    let (code, _, said) = run(&spec);
    assert_eq!((code, case.rows(), case.written()), (0, 100, 100), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_across_sinks() {
    let case = Case::new();
    let node = case.node();
    let mut lines = case.lines();
    lines["when"] = json!("10 / (id % 10) > 0"); // a division by zero for each tenth
    let mut spec = case.file(50, &[case.table(), lines.clone()]);
    spec["transforms"] = json!([{"type": "map", "set": {"share": "1 / (id - 7)"}}]);
    node.create_and_start(&spec).await;
    let view = node.until("orders", "it to be through", |view| view["status"] == "completed").await;
    // What no condition takes is filtered, and counted, there.
    assert_eq!((delivered(&view, "table"), delivered(&view, "lines")), (49, 44), "{view:#}");

    let all = node.get("/api/pipelines/orders/dead-letters").await;
    let named: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| (letter["sink"].clone(), letter["number"].clone()))
        .collect();
    let of_lines = (1..=6).map(|number| (json!("lines"), json!(number)));
    assert_eq!(named, std::iter::once((json!("table"), json!(1))).chain(of_lines).collect::<Vec<_>>(), "{all:#}");
    assert_eq!(all["next"], Value::Null);
    // Page by page, also with their bytes.
    for more in ["", "&bytes"] {
        let (mut found, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let page = node.get(&format!("/api/pipelines/orders/dead-letters?limit=2&after={after}{more}")).await;
            found.extend(page["items"].as_array().unwrap().iter().map(|of| (of["sink"].clone(), of["number"].clone())));
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, named, "{more}");
    }
    let one = node.get("/api/pipelines/orders/dead-letters?sink=lines&limit=1").await;
    assert_eq!((one["items"][0]["sink"].clone(), one["next"].clone()), (json!("lines"), json!("1")), "{one:#}");
    let (status, problem) = node.request("GET", "/api/pipelines/orders/dead-letters?after=nowhere/1", None).await;
    assert_eq!((status, &problem["problems"][0]["code"]), (400, &json!("unknown-sink")), "{problem:#}");

    let (code, list, said) = cli(&node, &["dead-letters", "list", "orders", "--limit", "3"]);
    assert!(code == 0 && list.contains("table/1") && list.contains("lines/2"), "{list}{said}");
    assert!(said.contains("--after lines/2"), "{said}");
    let (code, shown, said) = cli(&node, &["dead-letters", "get", "orders", "lines/2"]);
    assert!(code == 0 && shown.contains("lines") && shown.contains("{\"id\":"), "{shown}{said}");
    let (code, causes, _) = cli(&node, &["dead-letters", "causes", "orders"]);
    assert!(code == 0 && causes.contains("sink table:") && causes.contains("sink lines:"), "{causes}");
    let (code, _, said) = cli(&node, &["dead-letters", "export", "orders"]);
    assert!(code == 1 && said.contains("--sink: table, lines"), "{said}");

    // Those of a sink that was removed are still there, by its name.
    let mut without = spec.clone();
    without["sinks"].as_array_mut().unwrap().pop();
    let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&without)).await;
    assert_eq!(status, 200, "{answer:#}");
    let left = node.get("/api/pipelines/orders/dead-letters?sink=lines").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 6, "{left:#}");
    let all = node.get("/api/pipelines/orders/dead-letters").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 7, "{all:#}");

    // Nor does it take a node to list them.
    let folder = case.path("data");
    drop(node);
    let (code, list, said) =
        output(&["dead-letters", "list", "orders", "--data-dir", folder.to_str().unwrap(), "--limit", "2"]);
    assert!(code == 0 && list.contains("table/1"), "{list}{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_for_a_removed_sink_is_given_up_only_on_request() {
    let case = Case::new();
    let node = case.node();
    let both = Case::pushed(&[case.lines(), Case::away()]);
    node.create_and_start(&both).await;
    push(&node, "one", 0..10).await;
    node.until("orders", "the file to be written", |view| delivered(view, "lines") == 10).await;
    // It waits for the other one.
    let alone = Case::pushed(&[case.lines()]);
    let (status, problem) = node.request("PUT", "/api/pipelines/orders", Some(&alone)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("reset-needed")), "{problem:#}");
    let told = problem["problems"][0]["message"].as_str().unwrap();
    assert!(told.contains("sink away: ") && told.contains("removed without the 10 record(s)"), "{told}");
    let view = node.get("/api/pipelines/orders").await;
    assert_eq!(view["sinks"].as_array().unwrap().len(), 2, "{view:#}");

    fs::write(case.path("alone.json"), alone.to_string()).unwrap();
    let file = case.path("alone.json");
    let (code, _, said) = cli(&node, &["pipeline", "update", file.to_str().unwrap()]);
    assert!(code == 1 && said.contains("--reset"), "{code} {said}");
    let (code, shown, said) = cli(&node, &["pipeline", "update", file.to_str().unwrap(), "--reset", "--wait", "60s"]);
    assert_eq!(code, 0, "{shown}{said}");
    push(&node, "two", 10..20).await;
    node.until("orders", "the file to be written", |view| passed(view, "lines", 20)).await;

    // One that is added says that it lacks them; the other one is not touched.
    let added = Case::pushed(&[case.lines(), case.table()]);
    let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&added)).await;
    assert_eq!(status, 200, "{answer:#}");
    push(&node, "three", 20..30).await;
    let view = node
        .until("orders", "both to be written", |view| delivered(view, "table") == 10 && delivered(view, "lines") == 30)
        .await;
    let warning = &sink(&view, "table")["warnings"][0];
    assert_eq!((warning["code"].clone(), warning["records"].clone()), (json!("begins-late"), json!(20)), "{view:#}");
    assert_eq!((case.rows(), case.written()), (10, 30));

    // One that comes back is told what it lacks, and goes on where it is told to.
    node.until("orders", "checkpoints", |view| passed(view, "lines", 30) && passed(view, "table", 30)).await;
    let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&alone)).await;
    assert_eq!(status, 200, "{answer:#}");
    push(&node, "four", 30..40).await;
    node.until("orders", "the file to be written", |view| passed(view, "lines", 40)).await;
    let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&added)).await;
    assert_eq!(status, 200, "{answer:#}");
    let view = node.until("orders", "the gap to be told", |view| sink(view, "table")["status"] == "failed").await;
    let error = &sink(&view, "table")["error"];
    assert_eq!((error["code"].clone(), error["retryAt"].clone()), (json!("records-gone"), Value::Null), "{view:#}");
    let (code, _, said) = cli(&node, &["checkpoint", "set", "orders", "--sink", "table", "--to", "beginning"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(cli(&node, &["pipeline", "start", "orders"]).0, 0);
    push(&node, "five", 40..50).await;
    node.until("orders", "both to be written", |view| delivered(view, "lines") == 50 && case.rows() == 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_stopped_set_and_started_while_others_go_on() {
    let case = Case::new();
    let node = case.node();
    let mut table = case.table();
    table.as_object_mut().unwrap().remove("mode");
    table["key"] = json!("id");
    node.create_and_start(&Case::pushed(&[table, case.lines()])).await;
    push(&node, "one", 0..10).await;
    node.until("orders", "both to be written", |view| delivered(view, "lines") == 10 && delivered(view, "table") == 10)
        .await;
    let running = |args: &[&str]| {
        let (code, _, said) = cli(&node, args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    };
    running(&["pipeline", "stop", "orders", "--sink", "table"]);
    assert!(running(&["pipeline", "stop", "orders", "--sink", "table"]).contains("sink table, is not running"));
    push(&node, "two", 10..20).await;
    let view = node.until("orders", "the file to be written", |view| delivered(view, "lines") == 20).await;
    let status = |view: &Value| ["table", "lines"].map(|name| sink(view, name)["status"].clone());
    assert_eq!((status(&view), case.rows()), ([json!("stopped"), json!("running")], 10), "{view:#}");
    let (code, list, _) = cli(&node, &["pipeline", "list"]);
    assert!(code == 0 && list.contains("running (lines)"), "{list}");
    // Only what does not run can be set, and only it is.
    let set = |sink: &str| cli(&node, &["checkpoint", "set", "orders", "--sink", sink, "--to", "beginning"]);
    assert_eq!(set("lines").0, 1);
    let (code, _, said) = set("table");
    assert_eq!(code, 0, "{said}");
    running(&["pipeline", "start", "orders", "--sink", "table"]);
    let view = node.until("orders", "all rows", |_| case.rows() == 20).await;
    let generation = |name: &str| sink(&view, name)["checkpoint"]["generation"].clone();
    assert_eq!((generation("table"), generation("lines"), case.written()), (json!(2), json!(1), 20), "{view:#}");
    let (status, problem) = node.post("/api/pipelines/orders/stop?sink=nowhere").await;
    assert_eq!((status, &problem["problems"][0]["code"]), (400, &json!("unknown-sink")), "{problem:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_concerns_one_sink() {
    let Some(mut postgres) = Postgres::start().await else { return };
    postgres.client().await.batch_execute("create table rows (id bigint)").await.unwrap();
    let case = Case::new();
    let connection = json!({"url": Postgres::url(postgres.address)}).to_string();
    let node = program().node_with(&case.path("data"), &[], &[("DATAFLOW_CONNECTION_POSTGRES_DEFAULT", &connection)]);
    let table = json!({"name": "remote", "type": "postgres", "table": "rows", "mode": "append"});
    node.create_and_start(&Case::pushed(&[table, case.lines()])).await;
    for round in 0..30 {
        push(&node, &format!("batch {round}"), round * 20..round * 20 + 20).await;
        match round {
            8 => postgres.kill(),
            // Meanwhile the other sink has got all of it.
            15 => {
                let view = node.until("orders", "the file", |view| delivered(view, "lines") == 320).await;
                assert_eq!(sink(&view, "lines")["error"], Value::Null, "{view:#}");
            }
            16 => postgres.up().await,
            _ => {}
        }
    }
    node.until("orders", "both", |view| ["remote", "lines"].iter().all(|name| delivered(view, name) == 600)).await;
    let rows = postgres.client().await.query("select id from rows order by id", &[]).await.unwrap();
    let rows: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, (0..600).collect::<Vec<_>>());
    assert_eq!(case.written(), 600);
    let metrics = node.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for name in ["remote", "lines"] {
        let of = format!("{{pipeline=\"orders\",sink=\"{name}\"");
        assert!(metrics.lines().any(|line| line.contains(&of) && line.ends_with(" 600")), "{name}: {metrics}");
    }
}

/// What all sinks share is said of the one that it doesn't suit.
#[test]
fn a_sink_that_has_one_lane_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let sink = |name: &str| json!({"name": name, "type": "sqlite", "path": at("out.db"), "table": name});
    let spec = json!({
        "pipelineId": "lanes", "source": {"type": "file", "path": at("in.jsonl")}, "lanes": 2,
        "sinks": [{"name": "none", "type": "blackhole"}, sink("large"), sink("small")],
    });
    std::fs::write(at("spec.json"), spec.to_string()).unwrap();
    let (code, said, stderr) = output(&["pipeline", "validate", &at("spec.json")]);
    let said = said + &stderr;
    assert_eq!(code, 2, "{said}");
    for name in ["large", "small"] {
        assert!(said.contains(&format!("sink {name}: the sqlite sink supports only one lane")), "{said}");
    }
}

/// The restored journal gives the number of a sink that it has forgotten to another one, which must not go on where that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_after_a_restore_is_not_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let rows = |ids: std::ops::Range<u64>| ids.map(|id| format!("{{\"id\": {id}}}\n")).collect::<String>();
    fs::write(path("in.jsonl"), rows(0..10)).unwrap();
    let table = |name: &str| json!({"name": name, "type": "sqlite", "path": path("out.db"), "table": name});
    let spec = |sinks: &[&str]| {
        json!({
            "pipelineId": "orders", "source": {"type": "file", "path": path("in.jsonl"), "follow": true, "pollInterval": "20ms"},
            "sinks": sinks.iter().map(|name| table(name)).collect::<Vec<_>>(), "checkpointInterval": "50ms",
        })
    };
    let update = async |node: &Node, sinks: &[&str]| {
        let (status, answer) = node.request("PUT", "/api/pipelines/orders", Some(&spec(sinks))).await;
        assert!(matches!(status, 200 | 202), "{answer}");
    };
    let has = |name: &'static str, records: u64| move |view: &Value| delivered(view, name) == records;
    let data = path("data");
    let mut node = start(&data);
    node.create_and_start(&spec(&["a"])).await;
    node.until("orders", "delivered to a", has("a", 10)).await;
    let saved = path("backup.db");
    let (code, _, stderr) = output(&["backup", "--data-dir", data.to_str().unwrap(), saved.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    update(&node, &["a", "b"]).await;
    node.until("orders", "delivered to b", has("b", 10)).await;
    node.kill();
    let restore = ["restore", "--replace", "--data-dir", data.to_str().unwrap(), saved.to_str().unwrap()];
    let (code, _, stderr) = output(&restore);
    assert_eq!(code, 0, "{stderr}");
    node = start(&data);
    fs::write(path("in.jsonl"), rows(0..15)).unwrap();

    update(&node, &["a", "c"]).await;
    node.until("orders", "delivered to c", has("c", 15)).await;
    assert_eq!(query(&path("out.db"), "select count(*) from c"), 15);
    // The one that comes back as another number finds what it has written.
    update(&node, &["a", "c", "b"]).await;
    let view = node.until("orders", "refused", |view| sink(view, "b")["status"] == "failed").await;
    assert_eq!(sink(&view, "b")["error"]["code"], "journal-behind", "{view:#}");
    assert_eq!(query(&path("out.db"), "select count(*) from b"), 10);
}
