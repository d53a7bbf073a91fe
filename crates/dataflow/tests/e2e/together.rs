//! An update of a pipeline of several sinks is made as a whole or not at all, whatever comes to light while they stop.
use crate::program::{Node, query, start};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// From a followed file to tables in SQLite files of their own.
struct Case {
    folder: TempDir,
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn table(&self, name: &str, file: &str) -> Value {
        json!({"name": name, "type": "sqlite", "path": self.path(file), "table": "t", "mode": "append"})
    }

    fn to(&self, sinks: &[(&str, &str)]) -> Value {
        let sinks: Vec<Value> = sinks.iter().map(|(name, file)| self.table(name, file)).collect();
        json!({
            "pipelineId": "orders",
            "source": {"type": "file", "path": self.path("in.jsonl"), "follow": true, "pollInterval": "20ms"},
            "sinks": sinks, "checkpointInterval": "50ms", "batch": {"linger": "1ms"},
        })
    }

    fn append(&self, ids: std::ops::Range<u64>) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path("in.jsonl")).unwrap();
        let lines: String = ids.map(|id| json!({"id": id}).to_string() + "\n").collect();
        file.write_all(lines.as_bytes()).unwrap();
    }
}

/// How many rows a table has, and how many different ones.
fn rows(file: &Path) -> (i64, i64) {
    match file.exists() && query(file, "select count(*) from sqlite_schema where name = 't'") == 1 {
        true => (query(file, "select count(*) from t"), query(file, "select count(distinct id) from t")),
        false => (0, 0),
    }
}

/// The sinks and where they write, by what the pipeline says of itself.
fn sinks(view: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sink = |sink: &Value| {
        let path = text(&sink["sink"]["path"]);
        let file = path.rsplit('/').next().unwrap_or_default().to_owned();
        (text(&sink["name"]), file, text(&sink["status"]))
    };
    let sinks = view["sinks"].as_array().unwrap_or_else(|| panic!("no sinks: {view:#}"));
    let mut sinks: Vec<_> = sinks.iter().map(sink).collect();
    sinks.sort();
    sinks
}

async fn put(node: &Node, spec: &Value) -> (u16, Value) {
    node.request("PUT", "/api/pipelines/orders", Some(spec)).await
}

/// `w` is to leave its table for another one, where `x` comes and `z` is new, while its first records arrive: `w` may not leave
/// what it has delivered, nor may `x` write that again.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_in_the_middle_of_an_update_is_doubled_by_none() {
    for round in 0..12_u64 {
        let case = Case { folder: tempfile::tempdir().unwrap() };
        case.append(0..0);
        let node = start(&case.path("data"));
        let before = case.to(&[("w", "one.db")]);
        node.create_and_start(&before).await;
        case.append(0..5);
        tokio::time::sleep(Duration::from_millis(4 * round)).await;
        // By another path to it.
        let one = if round % 2 == 0 { "one.db" } else { "data/../one.db" };
        let (status, answer) = put(&node, &case.to(&[("x", one), ("z", "four.db"), ("w", "two.db")])).await;
        let view = node.until("orders", "running", |view| view["status"] == "running").await;
        let running = |(name, file): (&str, &str)| (name.to_owned(), file.to_owned(), "running".to_owned());
        match status {
            200 => {
                assert_eq!(sinks(&view), [("w", "two.db"), ("x", "one.db"), ("z", "four.db")].map(running));
            }
            _ => {
                assert!(matches!(status, 400 | 409 | 422), "{status} {answer:#}");
                assert_eq!(sinks(&view), [running(("w", "one.db"))], "{answer:#}");
                assert!(!case.path("two.db").exists() && !case.path("four.db").exists(), "{answer:#}");
            }
        }
        case.append(5..8);
        let all = |view: &Value| {
            view["sinks"].as_array().unwrap().iter().all(|sink| sink["metrics"]["recordsDelivered"] == 8)
        };
        node.until("orders", "8 delivered by each sink", all).await;
        assert_eq!(rows(&case.path("one.db")), (8, 8), "round {round}: {answer:#}");
        for file in ["two.db", "four.db"].map(|file| case.path(file)) {
            let (all, different) = rows(&file);
            assert_eq!(all, different, "round {round}: {answer:#}");
        }
    }
}

/// What was killed in the middle of an update of three sinks is all of it, or none, when it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_in_the_middle_of_an_update_makes_it_whole() {
    for round in 0..8_u64 {
        let case = Case { folder: tempfile::tempdir().unwrap() };
        case.append(0..50);
        let mut node = start(&case.path("data"));
        let (before, after) = ([("a", "a.db"), ("b", "b.db")], [("c", "c.db"), ("a", "a.db"), ("b", "b.db")]);
        node.create_and_start(&case.to(&before)).await;
        let mut changed = case.to(&after);
        changed["transforms"] = json!([{"type": "filter", "condition": "id >= 0"}]);
        let path = "/api/pipelines/orders";
        let asked =
            tokio::time::timeout(Duration::from_millis(6 * round), node.try_request("PUT", path, Some(&changed)));
        let answered = matches!(asked.await, Ok(Ok((200, _))));
        node.kill();
        node = start(&case.path("data"));
        case.append(50..60);
        let all = |view: &Value| {
            view["sinks"].as_array().unwrap().iter().all(|sink| sink["metrics"]["recordsDelivered"] == 60)
        };
        let view = node.until("orders", "60 delivered by each sink", all).await;
        let is_new = sinks(&view).len() == 3;
        assert!(is_new || !answered, "{view:#}");
        assert_eq!(view["transforms"].as_array().unwrap().len(), usize::from(is_new), "{view:#}");
        for (_, file) in if is_new { &after[..] } else { &before[..] } {
            assert_eq!(rows(&case.path(file)), (60, 60), "round {round}: {view:#}");
        }
    }
}

/// Whatever way a sink comes to a target where another one has delivered: refused, unless the user wants it written again.
#[tokio::test(flavor = "multi_thread")]
async fn no_sink_writes_again_where_another_one_has_delivered() {
    let case = Case { folder: tempfile::tempdir().unwrap() };
    case.append(0..10);
    let node = start(&case.path("data"));
    node.create_and_start(&case.to(&[("b", "b.db"), ("d", "d.db")])).await;
    let delivered = async |records: u64| {
        let all = |view: &Value| {
            view["sinks"].as_array().unwrap().iter().all(|sink| sink["metrics"]["recordsDelivered"] == records)
        };
        node.until("orders", "all delivered", all).await;
    };
    delivered(10).await;
    let retarget = async |sinks: &[(&str, &str)]| {
        let path = "/api/pipelines/orders?retarget=true";
        let (status, answer) = node.request("PUT", path, Some(&case.to(sinks))).await;
        assert_eq!(status, 200, "{answer:#}");
    };
    let refused = async |sinks: &[(&str, &str)]| {
        let (status, answer) = put(&node, &case.to(sinks)).await;
        assert!(status == 400 && answer["problems"][0]["code"] == "conflict", "{sinks:?}: {status} {answer:#}");
    };
    // It has left its target: a new one may not come there, whatever it calls it.
    retarget(&[("b", "b2.db"), ("d", "d.db")]).await;
    case.append(10..20);
    delivered(20).await;
    refused(&[("b", "b2.db"), ("d", "d.db"), ("e", "b.db")]).await;
    // It is removed: one that has written nothing so far may not come there.
    let (status, answer) = put(&node, &case.to(&[("b", "b2.db"), ("z", "nowhere/z.db")])).await;
    assert_eq!(status, 200, "{answer:#}");
    refused(&[("b", "b2.db"), ("z", "d.db")]).await;
    // Another one was there meanwhile: it may not come back there.
    retarget(&[("b", "d.db")]).await;
    case.append(20..25);
    delivered(25).await;
    retarget(&[("b", "b3.db")]).await;
    refused(&[("b", "b3.db"), ("d", "d.db")]).await;
    for (file, most) in [("b.db", 10), ("d.db", 25), ("b2.db", 10)] {
        assert_eq!(rows(&case.path(file)), (most, most), "{file}");
    }
}
