//! Where a guarantee can't be kept: a target restored from an older backup, a source whose records are gone. The pipeline
//! fails, says where both sides are and what the choices are, and each choice does what it says.
mod changed;
mod lag;
mod letters;
#[cfg(feature = "fault-points")]
mod objects;
mod source;
mod target;

use crate::program::{Node, assert_balanced, count, dataflow, is};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// One pipeline that follows a file, with its source and sink in a folder of its own.
struct Flow<'a> {
    node: &'a Node,
    id: String,
    folder: PathBuf,
}

impl<'a> Flow<'a> {
    async fn new(node: &'a Node, folder: &Path, id: &str, sink: impl Fn(&Path) -> Value, more: Value) -> Self {
        let mut source = json!({
            "type": "file", "path": folder.join(id).join("in.jsonl"), "follow": true, "pollInterval": "20ms",
        });
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self::from(node, folder, id, source, sink).await
    }

    /// From another source than the file.
    async fn from(node: &'a Node, folder: &Path, id: &str, source: Value, sink: impl Fn(&Path) -> Value) -> Self {
        let folder = folder.join(id);
        fs::create_dir(&folder).unwrap();
        let flow = Self { node, id: id.into(), folder };
        fs::write(flow.input(), "").unwrap();
        let spec = json!({
            "pipelineId": id, "source": source, "sink": sink(&flow.folder), "checkpointInterval": "50ms",
            "batch": {"linger": "5ms"},
        });
        node.create_and_start(&spec).await;
        flow
    }

    /// One that takes checkpoints only when it stops.
    async fn rarely(node: &'a Node, folder: &Path, id: &str, sink: impl Fn(&Path) -> Value) -> Self {
        let folder = folder.join(id);
        fs::create_dir(&folder).unwrap();
        let flow = Self { node, id: id.into(), folder };
        fs::write(flow.input(), "").unwrap();
        let source = json!({"type": "file", "path": flow.input(), "follow": true, "pollInterval": "20ms"});
        let spec = json!({
            "pipelineId": id, "source": source, "sink": sink(&flow.folder), "checkpointInterval": "1h",
            "batch": {"linger": "5ms"},
        });
        node.create_and_start(&spec).await;
        flow
    }

    fn input(&self) -> PathBuf {
        self.folder.join("in.jsonl")
    }

    fn append(&self, ids: std::ops::Range<u64>) {
        let text: String = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
        OpenOptions::new().append(true).create(true).open(self.input()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let view = self.node.until(&self.id, what, fits).await;
        assert_balanced(&view);
        view
    }

    async fn delivered(&self, records: u64) -> Value {
        let fits = |view: &Value| count(view, "recordsDelivered") == records && count(view, "recordsInFlight") == 0;
        self.until(&format!("at {records} records delivered"), fits).await
    }

    async fn act(&self, action: &str) {
        if action == "start" {
            return self.node.start(&self.id).await;
        }
        let (status, view) = self.node.post(&format!("/api/pipelines/{}/{action}", self.id)).await;
        assert_eq!(status, 200, "{action}: {view}");
    }

    fn verify(&self) -> Value {
        let mut verify = dataflow(&["verify", &self.id, "--server", &self.node.url, "--output", "json"]);
        let done = tokio::task::block_in_place(|| verify.output()).unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)))
    }

    /// Starts it, which is in vain; the failure.
    async fn fails(&self, code: &str) -> Value {
        self.act("start").await;
        let view = self.until("failed", is("failed")).await;
        assert_eq!(view["error"]["code"], code, "{view:#}");
        assert!(view["error"]["retryAt"].is_null() && view["error"]["fix"].is_string(), "a user decides: {view:#}");
        view["error"].clone()
    }

    /// Sets the checkpoint, without force but where the target then has records twice; what is then shown of the pipeline.
    async fn choose(&self, to: Value) -> Value {
        let path = format!("/api/pipelines/{}/checkpoint", self.id);
        let (mut status, mut body) = self.node.request("PUT", &path, Some(&json!({"to": to}))).await;
        if body["code"] == "sink-ahead" {
            (status, body) = self.node.request("PUT", &format!("{path}?force=true"), Some(&json!({"to": to}))).await;
        }
        assert_eq!(status, 200, "{to}: {body}");
        let event = self.assert_in_history("CheckpointReset", "api").await;
        let named = to.as_str().unwrap_or("positions");
        assert_eq!(event["detail"]["to"], named, "{event}");
        self.until("reset", |_| true).await
    }

    /// Changes a setting of the source.
    async fn change_source(&self, name: &str, value: Value) {
        let path = format!("/api/pipelines/{}", self.id);
        let mut spec = self.node.get(&path).await;
        spec["source"][name] = value;
        let (status, body) = self.node.request("PUT", &path, Some(&spec)).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn position(&self) -> u64 {
        let checkpoint = self.node.get(&format!("/api/pipelines/{}/checkpoint", self.id)).await;
        checkpoint["positions"][0]["position"].as_str().map_or(0, |at| at.parse().unwrap())
    }

    /// All such events.
    async fn history(&self, event: &str) -> Vec<Value> {
        let history = self.node.get(&format!("/api/pipelines/{}/history?limit=1000", self.id)).await;
        history["items"].as_array().unwrap().iter().filter(|item| item["event"] == event).cloned().collect()
    }

    /// The last such event; who it is from.
    async fn assert_in_history(&self, event: &str, actor: &str) -> Value {
        let found = self.history(event).await.pop().unwrap_or_else(|| panic!("no {event}"));
        assert_eq!(found["actor"], actor, "{found}");
        assert!(found["at"].is_string(), "{found}");
        found
    }
}

fn sqlite(folder: &Path) -> Value {
    json!({"type": "sqlite", "path": folder.join("out.db"), "table": "rows", "mode": "append"})
}

/// How often each id is in the table.
fn rows(folder: &Path) -> BTreeMap<u64, u64> {
    let db = Connection::open(folder.join("out.db")).unwrap();
    let mut rows = db.prepare("SELECT id, count(*) FROM rows GROUP BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn times(ranges: &[(std::ops::Range<u64>, u64)]) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for (range, times) in ranges {
        range.clone().for_each(|id| *all.entry(id).or_default() += times);
    }
    all
}
