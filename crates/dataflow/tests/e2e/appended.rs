//! Output files that another node, or a later pipeline of the same id, has written to: nothing that was delivered is cut off,
//! wherever the user goes on.
use crate::program::{Node, count, output, start};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    ops::Range,
    path::{Path, PathBuf},
};

/// A pipeline and the files it reads and writes.
struct Case {
    id: String,
    source: &'static str,
    choice: Value,
    input: PathBuf,
    target: PathBuf,
}

/// All choices with every source, and with every kind of output.
fn cases(folder: &Path) -> Vec<Case> {
    let pairs = ["jsonl", "csv", "jsonl.gz", "csv.zst"].map(|kind| ("http", kind));
    let pairs = pairs.into_iter().chain([("file", "jsonl"), ("generate", "jsonl")]);
    let mut cases = Vec::new();
    for (source, kind) in pairs {
        let mut choices = vec![json!("end"), json!("journal"), json!("beginning")];
        choices.extend((source == "http").then(|| json!({"positions": [{"partition": "http", "position": "20"}]})));
        for choice in choices {
            let id = format!("p{}", cases.len());
            let (input, target) = (folder.join(format!("{id}.in")), folder.join(format!("{id}.{kind}")));
            cases.push(Case { id, source, choice, input, target });
        }
    }
    cases
}

impl Case {
    fn spec(&self) -> Value {
        let source = match self.source {
            "file" => json!({"type": "file", "path": self.input, "format": "json", "follow": true}),
            "generate" => json!({"type": "generate", "count": 20}),
            other => json!({"type": other}),
        };
        json!({
            "pipelineId": self.id,
            "source": source,
            "sink": {"type": "file", "path": self.target},
            "batch": {"linger": "5ms"},
            "checkpointInterval": "100ms",
        })
    }

    fn name(&self) -> String {
        format!("{} {} to {}", self.source, self.target.display(), self.choice)
    }

    fn path(&self, end: &str) -> String {
        format!("/api/pipelines/{}{end}", self.id)
    }

    /// Runs the pipeline until these records are delivered. What is generated is always the same.
    async fn run(&self, node: &Node, numbers: Range<u64>) {
        let before = count(&node.get(&self.path("")).await, "recordsDelivered");
        let records = numbers.end - numbers.start;
        if self.source == "file" {
            let mut input = fs::OpenOptions::new().create(true).append(true).open(&self.input).unwrap();
            input
                .write_all(numbers.clone().map(|id| format!("{{\"id\": {id}}}\n")).collect::<String>().as_bytes())
                .unwrap();
        }
        node.post(&self.path("/start")).await;
        if self.source == "http" && records > 0 {
            let batch: Vec<_> = numbers.clone().map(|id| json!({"data": {"id": id}})).collect();
            let body = json!({"batchId": format!("{}-{}", numbers.start, numbers.end), "records": batch});
            let (status, body) = node.request("POST", &self.path("/batches?wait=delivered"), Some(&body)).await;
            assert_eq!(status, 200, "{}: {body}", self.name());
        }
        if self.source == "generate" {
            node.until(&self.id, "completed", |view| view["status"] == "completed").await;
            return;
        }
        let all = before + records;
        let done = |view: &Value| view["status"] == "running" && count(view, "recordsDelivered") >= all;
        node.until(&self.id, &format!("{all} delivered"), done).await;
        node.post(&self.path("/stop")).await;
    }

    async fn choose(&self, node: &Node, to: &Value, take_over: bool) {
        let path = self.path(&format!("/checkpoint?force=true&takeOver={take_over}"));
        let (status, body) = node.request("PUT", &path, Some(&json!({"to": to}))).await;
        assert_eq!(status, 200, "{}: {body}", self.name());
    }

    /// The lines of the output, without the header.
    fn lines(&self) -> Vec<String> {
        let bytes = fs::read(&self.target).unwrap();
        let mut text = String::new();
        match self.target.extension().unwrap().to_str().unwrap() {
            "gz" => MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            "zst" => zstd::stream::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
            _ => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        let header = usize::from(self.target.to_str().unwrap().contains(".csv"));
        text.lines().skip(header).map(Into::into).collect()
    }

    /// That the output goes on after what was there, with so many lines.
    fn goes_on_after(&self, before: &[String], more: u64) {
        let lines = self.lines();
        assert!(lines.starts_with(before), "{}: of {} lines there are {}", self.name(), before.len(), lines.len());
        assert_eq!((lines.len() - before.len()) as u64, more, "{}", self.name());
    }

    /// The lines that the choice adds where `new` records come after it, and the source can read `unread` again that came after
    /// the journal's last checkpoint.
    fn added(&self, unread: u64, new: u64) -> u64 {
        match (self.source, self.choice.as_str()) {
            ("http", _) => new,
            ("generate", Some("beginning")) => 20,
            ("generate", _) => 0,
            (_, Some("beginning")) => 20 + unread + new,
            (_, Some("journal")) => unread + new,
            _ => new,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_has_appended_is_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = ["first", "second"].map(|name| start(&folder.path().join(name)));
    for case in cases(folder.path()) {
        let [first, second] = &nodes;
        first.create_and_start(&case.spec()).await;
        case.run(first, 0..20).await;
        second.create_and_start(&case.spec()).await;
        second.until(&case.id, "failed", |view| view["status"] == "failed").await;
        case.choose(second, &json!(if case.source == "generate" { "beginning" } else { "end" }), true).await;
        case.run(second, 20..40).await;
        let both = case.lines();
        assert_eq!(both.len(), 40, "{}", case.name());

        // Taken back, with nothing written in between, and once more.
        case.choose(first, &case.choice, true).await;
        case.choose(first, &case.choice, true).await;
        case.run(first, 40..50).await;
        case.goes_on_after(&both, case.added(20, 10));
        let all = case.lines();
        case.choose(second, &json!("end"), true).await;
        case.run(second, 50..60).await;
        case.goes_on_after(&all, if case.source == "generate" { 0 } else { 10 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recreated_pipeline_has_appended_is_not_cut_off_after_a_restore() {
    for again in [20, 0] {
        let folder = tempfile::tempdir().unwrap();
        let (data, saved) = (folder.path().join("data"), folder.path().join("backup.db"));
        let (data_dir, to) = (data.to_str().unwrap(), saved.to_str().unwrap());
        let mut node = start(&data);
        let cases = cases(folder.path());
        for case in &cases {
            node.create_and_start(&case.spec()).await;
            case.run(&node, 0..20).await;
        }
        assert_eq!(output(&["backup", "--data-dir", data_dir, to]).0, 0);
        let mut before = Vec::new();
        for case in &cases {
            if case.source == "generate" {
                case.choose(&node, &json!("beginning"), false).await;
            }
            case.run(&node, 20..40).await;
            let (status, body) = node.request("DELETE", &case.path(""), None).await;
            assert!(status < 300, "{body}");
            fs::remove_file(&case.input).unwrap_or_default();
            node.create_and_start(&case.spec()).await;
            case.run(&node, 40..40 + again).await;
            before.push(case.lines());
        }
        node.kill();
        assert_eq!(output(&["restore", "--replace", "--data-dir", data_dir, to]).0, 0);
        node = start(&data);
        for (case, before) in cases.iter().zip(&before) {
            node.post(&case.path("/start")).await;
            let view = node.until(&case.id, "failed", |view| view["status"] == "failed").await;
            assert_eq!(view["error"]["code"], "journal-behind", "{}: {view:#}", case.name());
            case.goes_on_after(before, 0);
            case.choose(&node, &case.choice, false).await;
            node.post(&case.path("/start")).await;
            // What a restored position of a file is of was removed since, which the source finds out once the sink is open.
            let view = node.get(&case.path("")).await;
            let goes_on = view["error"].is_null() || view["error"]["code"] == "position-lost";
            assert!(goes_on, "{}: {view:#}", case.name());
            let lines = case.lines();
            assert!(lines.starts_with(before), "{}: of {} lines there are {}", case.name(), before.len(), lines.len());
        }
    }
}
