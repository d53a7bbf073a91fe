//! kill -9 and SIGTERM in mid-flow: nothing is lost, nothing doubled, and the pipeline goes on by itself.
use crate::program::{Node, assert_balanced, count, query, start};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// Endless, so that it is in mid-flow whenever it is killed, and with many small commits into a table without a key, so that
/// a record that came twice would show.
fn spec(id: &str, database: &Path) -> Value {
    json!({
        "pipelineId": id,
        "source": {"type": "generate", "rate": 20_000.0, "schema": {"id": {"type": "sequence"}}},
        "transforms": [{"type": "filter", "condition": "id % 4 <> 3"}],
        "sink": {"type": "sqlite", "path": database, "table": "numbers", "mode": "append"},
        "batch": {"maxRecords": 200, "linger": "5ms"},
    })
}

/// Stops a pipeline, which settles all that it has read.
async fn stop(node: &Node, id: &str) -> Value {
    let (status, view) = node.post(&format!("/api/pipelines/{id}/stop")).await;
    assert_eq!((status, &view["status"]), (200, &json!("stopped")), "{view:#}");
    assert_balanced(&view);
    assert_eq!(count(&view, "recordsInFlight"), 0);
    view
}

/// Waits until the sink has got some thousand more than `past`.
async fn further(node: &Node, id: &str, past: u64) -> u64 {
    let view = node.until(id, "further", |view| count(view, "recordsDelivered") > past + 2_000).await;
    assert_eq!(view["status"], "running", "{view:#}");
    count(&view, "recordsDelivered")
}

/// The first numbers are there, each once, as many as a stopped pipeline has read.
fn assert_exactly_once(view: &Value, database: &Path) {
    let read = count(view, "recordsRead");
    let expected = read - read / 4;
    assert_eq!(count(view, "recordsFiltered"), read / 4);
    assert_eq!(count(view, "recordsDelivered"), expected);
    let expected = i64::try_from(expected).unwrap();
    assert_eq!(query(database, "SELECT count(*) FROM numbers"), expected);
    assert_eq!(query(database, "SELECT count(DISTINCT id) FROM numbers"), expected);
    assert!(query(database, "SELECT max(id) FROM numbers") < i64::try_from(read).unwrap());
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("numbers.db");
    let data = folder.path().join("data");
    let mut node = start(&data);
    node.create_and_start(&spec("crashing", &database)).await;
    let mut delivered = 0;
    for _ in 0..4 {
        delivered = further(&node, "crashing", delivered).await;
        node.kill();
        node = start(&data);
        // It runs again without being told to.
        let view = node.get("/api/pipelines/crashing").await;
        assert_eq!(view["status"], "running", "{view:#}");
        assert_balanced(&view);
    }
    further(&node, "crashing", delivered).await;
    assert_exactly_once(&stop(&node, "crashing").await, &database);
    let recovery = node.get("/api/pipelines/crashing/recovery").await;
    assert!(recovery["lanes"][0]["explanation"].is_string(), "{recovery}");
}

/// An update of a running pipeline that is cut by kill -9, now before it is asked for to the end, now in the middle, now after
/// it: it ends running, as the new one, and what was done before it is as the spec of then would have it.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_under_way_is_made_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("numbers.db");
    let data = folder.path().join("data");
    let mut node = start(&data);
    let mut spec = spec("updated", &database);
    spec["checkpointInterval"] = json!("10s");
    node.create_and_start(&spec).await;
    for round in 0..6 {
        let past = count(&node.get("/api/pipelines/updated").await, "recordsRead");
        node.until("updated", "further", |view| count(view, "recordsRead") > past + 2_000).await;
        let before = spec["transforms"].clone();
        spec["transforms"] = json!([{"type": "filter", "condition": format!("id % 4 <> {}", round % 4)}]);
        // In the first round the sink can't commit until after the kill, so the update isn't made before it.
        let held = (round == 0).then(|| {
            let held = rusqlite::Connection::open(&database).unwrap();
            held.execute_batch("BEGIN EXCLUSIVE").unwrap();
            held
        });
        let (status, view) = node.request("PUT", "/api/pipelines/updated?wait=0s", Some(&spec)).await;
        assert!([200, 202].contains(&status), "{view:#}");
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        if held.is_some() {
            let view = node.get("/api/pipelines/updated").await;
            assert_eq!((&view["stopping"], &view["transforms"]), (&json!(true), &before), "{view:#}");
        }
        node.kill();
        drop(held);
        node = start(&data);
        let changed = |view: &Value| view["transforms"] == spec["transforms"] && view["stopping"] != true;
        let view = node.until("updated", "changed", changed).await;
        assert_eq!(view["status"], "running", "{view:#}");
    }
    let past = count(&node.get("/api/pipelines/updated").await, "recordsRead");
    node.until("updated", "further", |view| count(view, "recordsRead") > past + 2_000).await;
    let stopped = stop(&node, "updated").await;
    let history = node.get("/api/pipelines/updated/history?limit=1000").await;
    let updates = history["items"].as_array().unwrap().iter().filter(|item| item["event"] == "PipelineUpdated");
    let places: Vec<i64> = updates
        .map(|item| {
            let positions = item["detail"]["positions"].as_object().unwrap_or_else(|| panic!("{item:#}"));
            positions.values().next().unwrap().as_str().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(places.len(), 6, "{history:#}");
    let read = i64::try_from(count(&stopped, "recordsRead")).unwrap();
    let ends = places.iter().copied().chain([read]);
    let mut begin = 0;
    for (round, end) in ends.enumerate() {
        // What is filtered in this stretch, by the spec that was in force.
        let filtered = (round as i64 + 3) % 4;
        let kept = (begin..end).filter(|id| id % 4 != filtered).count() as i64;
        let between = format!("FROM numbers WHERE id >= {begin} AND id < {end}");
        assert_eq!(query(&database, &format!("SELECT count(*) {between}")), kept, "{begin} to {end}");
        assert_eq!(
            query(&database, &format!("SELECT count(*) {between} AND id % 4 = {filtered}")),
            0,
            "{begin} to {end}"
        );
        begin = end;
    }
    assert_eq!(query(&database, &format!("SELECT count(*) FROM numbers WHERE id >= {read}")), 0);
    assert_eq!(query(&database, "SELECT count(*) - count(DISTINCT id) FROM numbers"), 0);
}

/// What is warned of is known after a restart, and each record is counted once in it.
#[tokio::test]
async fn warnings_are_durable_and_exact_through_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = (folder.path().join("numbers.db"), folder.path().join("numbers.csv"));
    rusqlite::Connection::open(&database).unwrap().execute_batch("CREATE TABLE numbers (id INTEGER)").unwrap();
    for (name, sink) in [
        ("transactional", spec("", &database)["sink"].clone()),
        ("staged", json!({"type": "file", "path": file, "format": "csv", "columns": ["id"]})),
    ] {
        let data = folder.path().join(format!("data-{name}"));
        let mut spec = spec(name, &database);
        spec["source"]["schema"]["zip"] = json!({"type": "sequence"});
        spec["source"]["rate"] = json!(5_000.0);
        spec["transforms"] = json!([]);
        spec["sink"] = sink;
        let ignored = |view: &Value| -> Vec<u64> {
            let all = view["warnings"].as_array().unwrap().iter();
            all.filter(|one| one["code"] == "ignored-field").map(count_of).collect()
        };
        let mut node = start(&data);
        node.create_and_start(&spec).await;
        let mut delivered = 0;
        for _ in 0..3 {
            delivered = further(&node, name, delivered).await;
            node.kill();
            node = start(&data);
        }
        further(&node, name, delivered).await;
        let view = stop(&node, name).await;
        assert_eq!(ignored(&view), [count(&view, "recordsDelivered")], "{name}: {view:#}");
        node.kill();
        node = start(&data);
        let later = node.get(&format!("/api/pipelines/{name}")).await;
        assert_eq!(later["warnings"], view["warnings"], "{name}");
        // What was warned of may be mended by a change.
        spec["sink"]["columns"] = json!(["id", "zip"]);
        if name == "staged" {
            spec["sink"]["path"] = json!(folder.path().join("more.csv"));
        }
        let (status, changed) = node.request("PUT", &format!("/api/pipelines/{name}?retarget=true"), Some(&spec)).await;
        assert_eq!((status, ignored(&changed)), (200, Vec::new()), "{changed:#}");
    }
}

fn count_of(warning: &Value) -> u64 {
    warning["records"].as_u64().unwrap()
}

#[tokio::test]
async fn a_file_and_dead_letters_are_exact_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("numbers.jsonl"), folder.path().join("data"));
    let mut spec = spec("staged", &file);
    spec["transforms"] = json!([{"type": "map", "set": {"share": "1000 / (id % 100)"}}]);
    spec["sink"] = json!({"type": "file", "path": file});
    spec["checkpointInterval"] = json!("100ms");
    let mut node = start(&data);
    node.create_and_start(&spec).await;
    let mut delivered = 0;
    for _ in 0..4 {
        delivered = further(&node, "staged", delivered).await;
        node.kill();
        node = start(&data);
    }
    further(&node, "staged", delivered).await;
    let stopped = stop(&node, "staged").await;
    let read = count(&stopped, "recordsRead");
    let dead = read.div_ceil(100);
    assert_eq!((count(&stopped, "recordsDead"), count(&stopped, "recordsDelivered")), (dead, read - dead));
    assert_eq!(count(&stopped, "rowsWritten"), read - dead);
    let text = std::fs::read_to_string(&file).unwrap();
    let ids = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap());
    assert!(ids.eq((0..read).filter(|id| id % 100 != 0)), "each record once, in order");
    let letters = node.get("/api/pipelines/staged/dead-letters?limit=1000").await;
    let positions = letters["items"].as_array().unwrap().iter().map(|letter| letter["position"].as_str().unwrap());
    let expected = (0..read).step_by(100).take(1_000).map(|id| id.to_string());
    assert!(positions.eq(expected), "each dead letter once, in order: {letters}");
}

#[tokio::test]
async fn sigterm_settles_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("numbers.db");
    let data = folder.path().join("data");
    let node = start(&data);
    node.create_and_start(&spec("stopping", &database)).await;
    let delivered = further(&node, "stopping", 0).await;
    assert_eq!(node.terminate().code(), Some(0), "everything was settled in time");
    let written = query(&database, "SELECT count(*) FROM numbers");
    assert!(written > 2_000);
    let node = start(&data);
    let view = node.get("/api/pipelines/stopping").await;
    assert_eq!(view["status"], "running", "{view:#}");
    further(&node, "stopping", delivered).await;
    assert_exactly_once(&stop(&node, "stopping").await, &database);
}

#[tokio::test]
async fn stop_and_start_go_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("numbers.db");
    let node = start(&folder.path().join("data"));
    node.create_and_start(&spec("paused", &database)).await;
    further(&node, "paused", 0).await;
    let stopped = stop(&node, "paused").await;
    assert_exactly_once(&stopped, &database);
    let written = query(&database, "SELECT count(*) FROM numbers");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(query(&database, "SELECT count(*) FROM numbers"), written, "it has really stopped");
    let (status, problem) = node.post("/api/pipelines/paused/stop").await;
    assert_eq!(status, 409, "{problem}");
    node.start("paused").await;
    further(&node, "paused", count(&stopped, "recordsDelivered")).await;
    assert_exactly_once(&stop(&node, "paused").await, &database);
}
