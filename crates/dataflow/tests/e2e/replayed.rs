//! Records that were pushed to a node after its backup, and are pushed again after the restore, to a pipeline with several
//! sinks, each of which has had others of them. What arrives is counted in the sinks.
use crate::program::{Node, dataflow, output, query, start};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    ops::Range,
    path::PathBuf,
};
use tempfile::TempDir;

const SINKS: [&str; 3] = ["table", "slow", "lines"];
const AT: &str = "/api/pipelines/orders";

/// Two tables without a key, of which one falls behind, and a file.
struct Case {
    folder: TempDir,
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().into()
    }

    fn spec(&self) -> Value {
        let table = |name| {
            json!({
                "name": name, "type": "sqlite", "path": self.path(&format!("{name}.db")), "table": "rows", "mode": "append",
            })
        };
        json!({
            "pipelineId": "orders", "source": {"type": "http"}, "batch": {"linger": "1ms"}, "checkpointInterval": "20ms",
            "sinks": [table("table"), table("slow"), {"name": "lines", "type": "file", "path": self.path("lines.jsonl")}],
        })
    }

    /// A node with a backup of a moment at which all sinks had records 0 to 10. Since then the first table and the file have had
    /// 10 to 40, the other table 10 to 20, and records 40 to 50 were only acknowledged.
    async fn restored() -> (Self, Node) {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        let data = case.path("data");
        let node = start(&data);
        node.create_and_start(&case.spec()).await;
        push(&node, "", "a", 0..10).await;
        case.have(&node, [10, 10, 10]).await;
        let (code, _, said) = output(&["backup", "--data-dir", &case.text("data"), &case.text("backup.db")]);
        assert_eq!(code, 0, "{said}");
        push(&node, "", "b", 10..20).await;
        case.have(&node, [20, 20, 20]).await;
        assert_eq!(node.post(&format!("{AT}/stop?sink=slow")).await.0, 200);
        push(&node, "", "c", 20..30).await;
        push(&node, "", "d", 30..40).await;
        case.have(&node, [40, 20, 40]).await;
        for sink in ["table", "lines"] {
            assert_eq!(node.post(&format!("{AT}/stop?sink={sink}")).await.0, 200);
        }
        push(&node, "", "e", 40..50).await;
        node.kill();
        let (code, _, said) =
            output(&["restore", "--replace", "--data-dir", &case.text("data"), &case.text("backup.db")]);
        assert_eq!(code, 0, "{said}");
        let node = start(&data);
        case.all_are_behind(&node).await;
        (case, node)
    }

    async fn all_are_behind(&self, node: &Node) -> Value {
        let view = node
            .until("orders", "all failed", |view| SINKS.iter().all(|name| sink(view, name)["status"] == "failed"))
            .await;
        for name in SINKS {
            assert_eq!(sink(&view, name)["error"]["code"], "journal-behind", "{view:#}");
        }
        view
    }

    /// How often each record is in a sink.
    fn rows(&self, name: &str) -> BTreeMap<u64, u64> {
        let mut rows = BTreeMap::new();
        let ids: Vec<u64> = if name == "lines" {
            let text = fs::read_to_string(self.path("lines.jsonl")).unwrap_or_default();
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
        } else {
            let database = rusqlite::Connection::open(self.path(&format!("{name}.db"))).unwrap();
            let rows = database.prepare("select id from rows"); // the table comes with its first row
            let id = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0).map(u64::from);
            rows.map(|mut rows| rows.query_map([], id).unwrap().map(Result::unwrap).collect()).unwrap_or_default()
        };
        ids.into_iter().for_each(|id| *rows.entry(id).or_default() += 1);
        rows
    }

    /// Waits until the sinks have so many records.
    async fn have(&self, node: &Node, records: [u64; 3]) {
        let all = |_: &Value| {
            SINKS.iter().zip(records).all(|(name, records)| self.rows(name).values().sum::<u64>() >= records)
        };
        node.until("orders", &format!("{records:?} in the sinks"), all).await;
    }

    /// Cuts the file to the length that its error names.
    fn cut(&self, view: &Value) {
        let fix = sink(view, "lines")["error"]["fix"].as_str().unwrap().to_owned();
        let (_, rest) = fix.split_once("truncate the file to ").unwrap();
        let length = rest.split_once(" bytes").unwrap().0.parse().unwrap();
        OpenOptions::new().write(true).open(self.path("lines.jsonl")).unwrap().set_len(length).unwrap();
    }
}

fn sink<'a>(view: &'a Value, name: &str) -> &'a Value {
    let sinks = view["sinks"].as_array().into_iter().flatten();
    sinks.into_iter().find(|sink| sink["name"] == name).unwrap_or_else(|| panic!("no {name} in {view:#}"))
}

fn once(ids: Range<u64>) -> BTreeMap<u64, u64> {
    ids.map(|id| (id, 1)).collect()
}

async fn pushed(node: &Node, query: &str, batch: &str, ids: Range<u64>) -> (u16, Value) {
    let records: Vec<_> = ids.map(|id| json!({"data": {"id": id}})).collect();
    let body = json!({"batchId": batch, "records": records});
    node.request("POST", &format!("{AT}/batches{query}"), Some(&body)).await
}

async fn push(node: &Node, query: &str, batch: &str, ids: Range<u64>) {
    let (status, answer) = pushed(node, query, batch, ids).await;
    assert_eq!(status, 200, "{batch}: {answer}");
}

/// What is pushed again in its order is given to each sink from where that sink is.
#[tokio::test(flavor = "multi_thread")]
async fn each_sink_goes_on_where_it_is_in_what_is_pushed_again() {
    let (case, node) = Case::restored().await;
    let (status, refused) = pushed(&node, "", "new", 100..110).await;
    assert_eq!((status, &refused["code"]), (409, &json!("not-allowed")), "{refused}");
    assert!(refused.to_string().contains("replay=true"), "the way out is named: {refused}");

    let view = case.all_are_behind(&node).await;
    for name in ["table", "slow"] {
        let error = &sink(&view, name)["error"];
        assert!(error["fix"].as_str().unwrap().contains("replay=true"), "{error}");
    }
    case.cut(&view);
    // One that the backup has is known, however it is pushed again.
    for (batch, ids) in [("a", 0..10), ("b", 10..20), ("c", 20..30)] {
        push(&node, "?replay=true", batch, ids).await;
    }
    // While the last ones are missing, the first table is ahead, and only that one.
    node.start("orders").await;
    let view = node.until("orders", "the table to fail", |view| sink(view, "table")["status"] == "failed").await;
    assert_eq!(sink(&view, "table")["error"]["code"], "journal-behind", "{view:#}");
    case.have(&node, [40, 30, 30]).await;
    assert_eq!(pushed(&node, "", "new", 100..110).await.0, 409, "one sink is undecided");
    push(&node, "?replay=true", "d", 30..40).await;
    push(&node, "?replay=true", "e", 40..50).await;
    node.start("orders").await;
    push(&node, "", "new", 50..60).await;
    case.have(&node, [60, 60, 60]).await;
    let view = node.until("orders", "running", |view| view["status"] == "running").await;
    for name in SINKS {
        assert_eq!(case.rows(name), once(0..60), "{name}: {view:#}");
        assert_eq!(sink(&view, name)["metrics"]["recordsLost"], 0, "{name}: {view:#}");
    }
}

/// A sink that was not opened since the restore may have what the journal lacks: what is new would take the numbers by which that is
/// known when it comes again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_waits_until_the_sinks_of_a_restored_journal_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = folder.path().join("data");
    let node = start(&data);
    let spec = json!({
        "pipelineId": "orders", "source": {"type": "http"}, "checkpointInterval": "20ms",
        "sink": {"type": "sqlite", "path": text("rows.db"), "table": "rows", "mode": "append"},
    });
    node.create_and_start(&spec).await;
    let delivered = async |node: &Node, records: u64| {
        node.until("orders", "delivered", |view| view["metrics"]["recordsDelivered"] == records).await;
    };
    push(&node, "", "a", 0..10).await;
    delivered(&node, 10).await;
    assert_eq!(node.post(&format!("{AT}/stop")).await.0, 200);
    let (code, _, said) = output(&["backup", "--data-dir", &text("data"), &text("backup.db")]);
    assert_eq!(code, 0, "{said}");
    node.start("orders").await;
    push(&node, "", "b", 10..20).await;
    delivered(&node, 20).await;
    node.kill();
    let (code, _, said) = output(&["restore", "--replace", "--data-dir", &text("data"), &text("backup.db")]);
    assert_eq!(code, 0, "{said}");

    let node = start(&data);
    // Whatever came again: the sink was not asked yet.
    for (query, again, ids) in [("", "a", 0..10), ("?replay=true", "b", 10..20), ("?replay=true", "b", 10..20)] {
        let (status, refused) = pushed(&node, "", "new", 100..110).await;
        assert_eq!((status, &refused["code"]), (409, &json!("not-allowed")), "{again}: {refused}");
        assert!(refused.to_string().contains("replay=true"), "the way out is named: {refused}");
        push(&node, query, again, ids).await;
    }
    node.start("orders").await;
    let mut waited = 0;
    while let (503, refused) = pushed(&node, "", "new", 20..30).await {
        assert!(waited < 500 && refused.to_string().contains("restored"), "{refused}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        waited += 1;
    }
    delivered(&node, 30).await;
    let counted = |what: &str| query(&folder.path().join("rows.db"), &format!("select count({what}) from rows"));
    assert_eq!((counted("*"), counted("distinct id")), (30, 30));
}

/// In another order, the sinks' positions say nothing: nothing is written until the user chooses, and what all sinks pass over may
/// be pushed again.
#[tokio::test(flavor = "multi_thread")]
async fn another_order_is_noticed_and_can_be_given_up() {
    let (case, node) = Case::restored().await;
    case.cut(&case.all_are_behind(&node).await);
    for (batch, ids) in [("e", 40..50), ("d", 30..40), ("c", 20..30), ("b", 10..20)] {
        push(&node, "?replay=true", batch, ids).await;
    }
    let before = ["table", "slow"].map(|name| case.rows(name));
    for name in ["table", "slow"] {
        let (status, answer) = node.post(&format!("{AT}/start?sink={name}&wait=0s")).await;
        assert!(status == 200 || status == 202, "{answer}");
    }
    case.all_are_behind(&node).await;
    assert_eq!(["table", "slow"].map(|name| case.rows(name)), before);
    for name in SINKS {
        // Until no sink waits for it any more, it is known.
        push(&node, "", "e", 40..50).await;
        let end = json!({"to": "end"});
        let (status, answer) =
            node.request("PUT", &format!("{AT}/checkpoint?sink={name}&force=true"), Some(&end)).await;
        assert_eq!(status, 200, "{answer}");
    }
    push(&node, "", "e", 40..50).await;
    node.start("orders").await;
    case.have(&node, [50, 30, 20]).await;
    let parts = |parts: [Range<u64>; 2]| parts.into_iter().flat_map(once).collect::<BTreeMap<_, _>>();
    assert_eq!(case.rows("table"), once(0..50));
    assert_eq!(case.rows("slow"), parts([0..20, 40..50]));
    assert_eq!(case.rows("lines"), parts([0..10, 40..50]));
}

/// What is pushed goes to all sinks, whatever each of them has had: the error says so.
#[tokio::test(flavor = "multi_thread")]
async fn the_choices_say_that_no_sink_is_pushed_to_alone() {
    let (case, node) = Case::restored().await;
    let view = case.all_are_behind(&node).await;
    let fix = sink(&view, "slow")["error"]["fix"].as_str().unwrap();
    assert!(fix.contains("each of its sinks"), "{fix}");
    let mut set =
        dataflow(&["checkpoint", "set", "orders", "--sink", "slow", "--to", "sink-token", "--server", &node.url]);
    let done = tokio::task::block_in_place(|| set.output()).unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("replay=true"), "{said}");
}
