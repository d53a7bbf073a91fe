//! Where a guarantee can't be kept: a target restored from an older backup, a source whose records are gone. The pipeline
//! fails, says where both sides are and what the choices are, and each choice does what it says.
use crate::program::{Node, assert_balanced, count, is, start};
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
        let folder = folder.join(id);
        fs::create_dir(&folder).unwrap();
        let flow = Self { node, id: id.into(), folder };
        fs::write(flow.input(), "").unwrap();
        let mut source = json!({"type": "file", "path": flow.input(), "follow": true, "pollInterval": "20ms"});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec = json!({
            "pipelineId": id, "source": source, "sink": sink(&flow.folder), "checkpointInterval": "50ms",
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
        let (status, view) = self.node.post(&format!("/api/pipelines/{}/{action}", self.id)).await;
        assert_eq!(status, 200, "{action}: {view}");
    }

    /// Starts it, which is in vain; the failure.
    async fn fails(&self, code: &str) -> Value {
        self.act("start").await;
        let view = self.until("failed", is("failed")).await;
        assert_eq!(view["error"]["code"], code, "{view:#}");
        assert!(view["error"]["retryAt"].is_null() && view["error"]["fix"].is_string(), "a user decides: {view:#}");
        view["error"].clone()
    }

    /// Sets the checkpoint, without force; what is then shown of the pipeline.
    async fn choose(&self, to: Value) -> Value {
        let path = format!("/api/pipelines/{}/checkpoint", self.id);
        let (status, body) = self.node.request("PUT", &path, Some(&json!({"to": to}))).await;
        assert_eq!(status, 200, "{to}: {body}");
        self.assert_in_history("CheckpointReset", "api").await;
        self.until("reset", |_| true).await
    }

    async fn position(&self) -> u64 {
        let checkpoint = self.node.get(&format!("/api/pipelines/{}/checkpoint", self.id)).await;
        checkpoint["positions"][0]["position"].as_str().map_or(0, |at| at.parse().unwrap())
    }

    /// The last such event; who it is from.
    async fn assert_in_history(&self, event: &str, actor: &str) -> Value {
        let history = self.node.get(&format!("/api/pipelines/{}/history?limit=1000", self.id)).await;
        let found = history["items"].as_array().unwrap().iter().rev().find(|item| item["event"] == event).cloned();
        let found = found.unwrap_or_else(|| panic!("no {event} in {history:#}"));
        assert_eq!(found["actor"], actor, "{found}");
        assert!(found["at"].is_string(), "{found}");
        found
    }
}

fn sqlite(folder: &Path) -> Value {
    json!({"type": "sqlite", "path": folder.join("out.db"), "table": "rows", "mode": "append"})
}

fn file(folder: &Path) -> Value {
    json!({"type": "file", "path": folder.join("out.jsonl")})
}

/// What is done to a file.
type Change<'a> = &'a dyn Fn(&Path);

/// How often each id is in the table.
fn rows(folder: &Path) -> BTreeMap<u64, u64> {
    let db = Connection::open(folder.join("out.db")).unwrap();
    let mut rows = db.prepare("SELECT id, count(*) FROM rows GROUP BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// How often each id is in the file.
fn lines(folder: &Path) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(folder.join("out.jsonl")).unwrap().lines() {
        *found.entry(serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).or_default() += 1;
    }
    found
}

fn times(ranges: &[(std::ops::Range<u64>, u64)]) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for (range, times) in ranges {
        range.clone().for_each(|id| *all.entry(id).or_default() += times);
    }
    all
}

#[tokio::test]
async fn a_sqlite_file_restored_from_an_older_copy() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    // What becomes of records 100 to 250, which the restored file has no longer, and what is counted as lost.
    let choices = [
        ("sink-token", times(&[(0..300, 1)]), 0, 300),
        ("journal", times(&[(0..100, 1), (250..300, 1)]), 150, 150),
        ("end", times(&[(0..100, 1), (260..300, 1)]), 150, 140),
        ("beginning", times(&[(0..100, 2), (100..300, 1)]), 0, 550),
        ("positions", times(&[(0..100, 1), (240..300, 1)]), 150, 160),
    ];
    for (choice, expected, lost, delivered) in choices {
        let flow = Flow::new(&node, folder.path(), choice, sqlite, json!({})).await;
        let (db, copy) = (flow.folder.join("out.db"), flow.folder.join("copy.db"));
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let before = flow.position().await;
        Connection::open(&db).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        flow.act("start").await;
        flow.append(100..240);
        flow.delivered(240).await;
        let middle = fs::metadata(flow.input()).unwrap().len();
        flow.append(240..250);
        flow.delivered(250).await;
        flow.act("stop").await;
        let after = flow.position().await;
        assert_eq!(after, fs::metadata(flow.input()).unwrap().len());
        for gone in ["out.db", "out.db-wal", "out.db-shm"] {
            fs::remove_file(flow.folder.join(gone)).ok();
        }
        fs::rename(&copy, &db).unwrap();

        let error = flow.fails("token-behind").await;
        let message = error["message"].as_str().unwrap();
        for at in [before, after] {
            assert!(message.contains(&format!("{}: {at}", flow.input().display())), "{at} is not in {message}");
        }
        flow.append(250..260);
        let to = match choice {
            "positions" => json!({"positions": [{"partition": flow.input(), "position": middle.to_string()}]}),
            named => json!(named),
        };
        let reset = flow.choose(to).await;
        assert_eq!(count(&reset, "recordsLost"), lost, "{choice}");
        flow.act("start").await;
        flow.append(260..300);
        let view = flow.delivered(delivered).await;
        assert_eq!(count(&view, "recordsLost"), lost, "{choice}");
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), expected, "{choice}");
    }
}

#[tokio::test]
async fn a_token_that_is_gone_or_contradicts_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let changes = [
        ("gone", "DELETE FROM dataflow_tokens", "token-missing", "journal"),
        (
            "moved",
            "UPDATE dataflow_tokens SET positions = replace(positions, '\"at\":\"', '\"at\":\"1')",
            "token-mismatch",
            "journal",
        ),
    ];
    for (name, change, code, choice) in changes {
        let flow = Flow::new(&node, folder.path(), name, sqlite, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let changed = Connection::open(flow.folder.join("out.db")).unwrap().execute(change, []).unwrap();
        assert!(changed > 0);
        let error = flow.fails(code).await;
        let at = flow.position().await;
        assert!(error["message"].as_str().unwrap().contains(&format!(": {at}")), "{error}");
        // Nothing is guessed, however often it is started.
        flow.fails(code).await;
        flow.choose(json!(choice)).await;
        flow.act("start").await;
        flow.append(100..150);
        flow.delivered(150).await;
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(0..150, 1)]), "{name}");
    }
}

#[tokio::test]
async fn a_target_file_that_is_shorter_than_committed_another_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let shorten = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), "").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let changes: [(&str, &str, Change<'_>); 3] = [
        ("shorter", "file-too-short", &shorten),
        ("replaced", "file-replaced", &replace),
        ("removed", "file-missing", &remove),
    ];
    for (name, code, change) in changes {
        for (choice, expected) in [("journal", times(&[(100..150, 1)])), ("beginning", times(&[(0..150, 1)]))] {
            let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), file, json!({})).await;
            flow.append(0..100);
            flow.delivered(100).await;
            flow.act("stop").await;
            let out = flow.folder.join("out.jsonl");
            let committed = fs::metadata(&out).unwrap().len();
            change(&out);
            let error = flow.fails(code).await;
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&committed.to_string()) && message.contains("out.jsonl"), "{message}");
            assert!(error["fix"].as_str().unwrap().contains(choice), "{error}");
            flow.choose(json!(choice)).await;
            flow.act("start").await;
            flow.append(100..150);
            flow.delivered(if choice == "beginning" { 250 } else { 150 }).await;
            flow.act("stop").await;
            assert_eq!(lines(&flow.folder), expected, "{name}: {choice}");
        }
    }
}

#[tokio::test]
async fn a_source_file_that_is_truncated_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let truncate = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), "").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let changes: [(&str, Change<'_>); 2] = [("truncated", &truncate), ("replaced", &replace)];
    for (name, change) in changes {
        let choices = [
            ("fail", times(&[(0..100, 1), (200..230, 1)]), 0),
            ("earliest", times(&[(0..100, 1), (200..230, 1)]), 0),
            ("latest", times(&[(0..100, 1), (220..230, 1)]), 20),
        ];
        for (choice, expected, lost) in choices {
            let more = json!({"onPositionLost": choice});
            let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), sqlite, more).await;
            flow.append(0..100);
            flow.delivered(100).await;
            flow.act("stop").await;
            let at = flow.position().await;
            change(&flow.input());
            flow.append(200..220);
            if choice == "fail" {
                let error = flow.fails("position-lost").await;
                let (message, end) = (error["message"].as_str().unwrap(), fs::metadata(flow.input()).unwrap().len());
                assert!(message.contains(&format!("position {at} of")), "{message}");
                assert!(message.contains(&format!("there are 0 to {end}")), "{message}");
                flow.choose(json!("beginning")).await;
            }
            flow.act("start").await;
            if choice == "latest" {
                flow.until("past what is lost", |view| count(view, "recordsLost") == lost).await;
            }
            flow.append(220..230);
            let view = flow.delivered(expected.len() as u64).await;
            assert_eq!(count(&view, "recordsLost"), lost, "{name}: {choice}");
            if choice != "fail" {
                let event = flow.assert_in_history("RecordsLost", "system").await;
                assert_eq!(event["detail"]["records"], lost, "{event}");
                assert!(event["detail"]["from"].to_string().contains(&at.to_string()), "{event}");
            }
            flow.act("stop").await;
            assert_eq!(rows(&flow.folder), expected, "{name}: {choice}");
        }
    }
}
