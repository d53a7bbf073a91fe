//! The recipes of the guide to backups, word for word.
use crate::program::{Node, count, output, query, start};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../../../docs/guides/backup.md");

/// The lines of the code block that follows a text of the guide.
fn recipe(after: &str) -> Vec<&'static str> {
    let (_, rest) = GUIDE.split_once(after).unwrap_or_else(|| panic!("the guide says no longer: {after}"));
    let (_, block) = rest.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.lines().collect()
}

/// A node, a place for its copies, and a pipeline `orders`.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("backup")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Does what a line of a recipe says, with the folders of this case.
    async fn follow(&self, node: &mut Option<Node>, line: &str) {
        let (line, _) = line.split_once("   #").unwrap_or((line, ""));
        match line.trim_end() {
            "# stop the node" => assert!(node.take().unwrap().terminate().success()),
            "# start the node" => *node = Some(start(&self.path("data"))),
            line => {
                let here = |word: &str| {
                    let word = word.replace("/var/lib/dataflow", self.path("data").to_str().unwrap());
                    word.replace("/backup/", &format!("{}/", self.path("backup").display()))
                };
                let mut words: Vec<String> = line.split_whitespace().map(here).collect();
                assert_eq!(words.remove(0), "dataflow", "{line}");
                if let Some(node) = node {
                    words.extend(["--server".into(), node.url.clone()]);
                }
                let (code, _, said) = output(&words.iter().map(String::as_str).collect::<Vec<_>>());
                assert_eq!(code, 0, "{line}: {said}");
            }
        }
    }

    fn has(&self) -> i64 {
        query(&self.path("out.db"), "select count(*) * 1000000 + count(distinct id) from rows")
    }
}

async fn push(node: &Node, batch: &str, ids: std::ops::Range<u64>) -> u16 {
    let records: Vec<_> = ids.map(|id| json!({"data": {"id": id}})).collect();
    let body = json!({"batchId": batch, "records": records});
    node.request("POST", "/api/pipelines/orders/batches", Some(&body)).await.0
}

async fn delivered(node: &Node, records: u64) -> Value {
    let all = |view: &Value| count(view, "recordsDelivered") == records;
    node.until("orders", &format!("{records} delivered"), all).await
}

/// Nothing that was pushed to the node before it was stopped is lost, however late that was: it is stopped before it is backed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_fenced_by_its_copy() {
    let case = Case::new();
    let lines = recipe("Stop the node first: what is pushed to it after the backup would be gone.");
    let mut node = Some(start(&case.path("data")));
    let sink = json!({"type": "sqlite", "path": case.path("out.db"), "table": "rows", "mode": "append"});
    let spec = json!({
        "pipelineId": "orders", "source": {"type": "http"}, "sink": sink, "checkpointInterval": "50ms",
        "batch": {"linger": "1ms"},
    });
    let live = node.as_ref().unwrap();
    live.create_and_start(&spec).await;
    assert_eq!(push(live, "a", 0..10).await, 200);
    delivered(live, 10).await;
    let saved = case.path("backup/drill.db");
    let (data, copy) = (case.path("data"), case.path("copy"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (code, _, said) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = output(&["restore", &text(&saved), "--data-dir", &text(&copy)]);
    assert_eq!(code, 0, "{said}");
    // The mistake that the guide warns of.
    let mistake = start(&copy);
    let run = async |node: &Node| node.get("/api/pipelines/orders/recovery").await["run"].as_u64();
    while run(&mistake).await <= run(live).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(mistake.terminate().success());
    // The node takes pushes until it notices.
    let mut taken = 10;
    for batch in 0.. {
        let status = push(live, &format!("b{batch}"), taken..taken + 10).await;
        if status != 200 {
            assert_eq!(status, 409);
            break;
        }
        taken += 10;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(taken > 10, "something waits in the node alone");
    let view = live.until("orders", "failed", |view| view["status"] == "failed").await;
    assert_eq!(view["error"]["code"], "fenced", "{view:#}");

    for line in lines {
        case.follow(&mut node, line).await;
    }
    let node = node.unwrap();
    assert_eq!(push(&node, "c", taken..taken + 10).await, 200);
    delivered(&node, taken + 10).await;
    assert_eq!(case.has(), i64::try_from((taken + 10) * 1_000_001).unwrap());
}

/// `journal` doubles what the file has had since the backup: it says how much, and asks for `--force`.
#[tokio::test(flavor = "multi_thread")]
async fn to_go_on_at_an_older_journal_needs_the_force_that_its_error_names() {
    let case = Case::new();
    let (data, saved) = (case.path("data"), case.path("backup/now.db"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let input = |ids: std::ops::Range<u64>| ids.map(|id| format!("{{\"id\":{id}}}\n")).collect::<String>();
    fs::write(case.path("in.jsonl"), input(0..60)).unwrap();
    let node = start(&data);
    let spec = json!({
        "pipelineId": "orders", "checkpointInterval": "50ms", "batch": {"linger": "1ms"},
        "source": {"type": "file", "path": case.path("in.jsonl"), "follow": true, "pollInterval": "20ms"},
        "sink": {"type": "file", "path": case.path("out.jsonl")},
    });
    node.create_and_start(&spec).await;
    delivered(&node, 60).await;
    assert_eq!(node.post("/api/pipelines/orders/stop").await.0, 200);
    let (code, _, said) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
    assert_eq!(code, 0, "{said}");
    node.start("orders").await;
    fs::write(case.path("in.jsonl"), input(0..100)).unwrap();
    delivered(&node, 100).await;
    assert!(node.terminate().success());
    let (code, _, said) = output(&["restore", "--replace", &text(&saved), "--data-dir", &text(&data)]);
    assert_eq!(code, 0, "{said}");
    let node = start(&data);
    node.start("orders").await;
    let view = node.until("orders", "failed", |view| view["status"] == "failed").await;
    let fix = view["error"]["fix"].as_str().unwrap();
    assert!(fix.contains("force the checkpoint to \"journal\" (--force)") && fix.contains("doubled"), "{fix}");

    let set = ["checkpoint", "set", "orders", "--to", "journal", "--server", &node.url];
    let (code, _, said) = output(&set);
    assert!(code != 0 && said.contains("40 record(s)") && said.contains("--force"), "{said}");
    let (code, _, said) = output(&[&set[..], &["--force"]].concat());
    assert_eq!(code, 0, "{said}");
    node.start("orders").await;
    delivered(&node, 140).await;
    let lines = fs::read_to_string(case.path("out.jsonl")).unwrap();
    assert_eq!(lines, input(0..100) + &input(60..100));
}
