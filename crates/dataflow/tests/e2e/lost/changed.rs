//! Output files that others change while the journal does not count all that was written to them: every choice that is
//! offered can be made, says what it doubles, and leaves a ledger that says the same as the file.
use super::{Flow, times};
use crate::program::{Node, count, start};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// What is done to a file.
type Change = fn(&Path);

/// Lines that nobody but others wrote.
const FOREIGN: u64 = 9_000;

/// A pipeline whose journal counts what was written only when it stops.
struct Uncounted<'a> {
    flow: Flow<'a>,
    out: PathBuf,
}

impl<'a> Uncounted<'a> {
    /// The file has records 0 to 100, of which the journal counts 60.
    async fn new(node: &'a Node, folder: &Path, id: &str, kind: &str, if_exists: &str) -> Self {
        let name = format!("out.{kind}");
        let sink = |folder: &Path| json!({"type": "file", "path": folder.join(&name), "ifExists": if_exists});
        let flow = Flow::rarely(node, folder, id, sink).await;
        let uncounted = Self { out: flow.folder.join(&name), flow };
        uncounted.flow.append(0..60);
        uncounted.has(60).await;
        uncounted.flow.act("stop").await;
        uncounted.flow.act("start").await;
        uncounted.flow.append(60..100);
        uncounted.has(100).await;
        uncounted
    }

    async fn has(&self, lines: u64) {
        let there = |_: &Value| ids(&self.out).is_some_and(|found| found.values().sum::<u64>() == lines);
        self.flow.until(&format!("at {lines} lines"), there).await;
    }

    async fn choose(&self, to: &str, force: bool) -> (u16, Value) {
        let path = format!("/api/pipelines/{}/checkpoint?force={force}", self.flow.id);
        self.flow.node.request("PUT", &path, Some(&json!({"to": to}))).await
    }

    /// Goes on until records 100 to 120 are there; how often each is in the file, and the ledger's word of it.
    async fn ends(&self) -> BTreeMap<u64, u64> {
        self.flow.append(110..120);
        self.flow.act("start").await;
        let all = |_: &Value| ids(&self.out).is_some_and(|found| found.contains_key(&119));
        self.flow.until("at its last record", all).await;
        self.flow.act("stop").await;
        let found = ids(&self.out).unwrap();
        let own: u64 = found.iter().filter(|(id, _)| **id < FOREIGN).map(|(_, times)| times).sum();
        let view = self.flow.until("stopped", |view| view["status"] == "stopped").await;
        assert_eq!(count(&view, "recordsDelivered"), own, "{}: {view:#}", self.flow.id);
        found
    }
}

/// How often each id is in the file; none while that can't be read.
fn ids(path: &Path) -> Option<BTreeMap<u64, u64>> {
    let bytes = fs::read(path).ok()?;
    let mut text = String::new();
    match path.extension()?.to_str()? {
        _ if bytes.is_empty() => {}
        "gz" => drop(MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).ok()?),
        "zst" => drop(zstd::stream::Decoder::new(&bytes[..]).ok()?.read_to_string(&mut text).ok()?),
        _ => text = String::from_utf8(bytes).ok()?,
    }
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "id") {
        let id = line.trim_start_matches("{\"id\":").trim_end_matches('}');
        *found.entry(id.parse().ok()?).or_default() += 1;
    }
    Some(found)
}

/// What others write after what is there, in the file's own form.
fn foreign(path: &Path) {
    let text = if path.to_str().unwrap().contains(".csv") { "9000\n" } else { "{\"id\":9000}\n" };
    let mut frame = Vec::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut gz = flate2::write::GzEncoder::new(&mut frame, flate2::Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            gz.finish().unwrap();
        }
        "zst" => frame = zstd::encode_all(text.as_bytes(), 1).unwrap(),
        _ => frame = text.into(),
    }
    OpenOptions::new().append(true).open(path).unwrap().write_all(&frame).unwrap();
}

/// As editors save a file.
fn copy(path: &Path) {
    fs::copy(path, path.with_extension("copy")).unwrap();
    fs::rename(path.with_extension("copy"), path).unwrap();
}

fn copy_and_write(path: &Path) {
    copy(path);
    foreign(path);
}

const CHANGES: [(&str, Change, &str); 3] =
    [("longer", foreign, "file-changed"), ("copied", copy, "file-replaced"), ("both", copy_and_write, "file-replaced")];

/// Under a run, which knows what it has written: that is journalled before the pipeline fails. Or after it was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_doubled_where_the_pipeline_knows_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for (kind, if_exists) in [("jsonl", "append"), ("csv", "fail"), ("jsonl.gz", "replace"), ("csv.zst", "append")] {
        for ((name, change, code), stopped) in CHANGES.into_iter().flat_map(|change| [(change, false), (change, true)])
        {
            let id = format!("{name}-{}-{stopped}", kind.replace('.', "-"));
            let case = Uncounted::new(&node, folder.path(), &id, kind, if_exists).await;
            if stopped {
                case.flow.act("stop").await;
            }
            change(&case.out);
            case.flow.append(100..110);
            if !stopped {
                case.flow.until("failed", |view| view["status"] == "failed").await;
            }
            let error = case.flow.fails(code).await;
            let (status, body) = case.choose("journal", false).await;
            assert_eq!(status, 200, "{id}: {body:#} after {error:#}");
            let mut expected = times(&[(0..120, 1)]);
            if name != "copied" {
                expected.insert(FOREIGN, 1);
            }
            assert_eq!(case.ends().await, expected, "{id}: {error:#}");
        }
    }
}

/// Beside a run that was killed, nothing tells the journal what was written last: what is doubled then is said and counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_doubled_after_a_kill_and_a_copy_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(&folder.path().join("data"));
    let mut cases = Vec::new();
    for (kind, if_exists) in [("jsonl", "fail"), ("csv", "append"), ("csv.gz", "replace"), ("jsonl.zst", "append")] {
        for choice in ["journal", "end", "beginning"] {
            let id = format!("{}-{choice}", kind.replace('.', "-"));
            let case = Uncounted::new(&node, folder.path(), &id, kind, if_exists).await;
            cases.push((choice, id, case.flow.folder.clone(), case.out.clone()));
        }
    }
    node.kill();
    cases.iter().for_each(|(.., out)| copy(out));
    node = start(&folder.path().join("data"));
    for (choice, id, folder, out) in cases {
        let case = Uncounted { flow: Flow { node: &node, id: id.clone(), folder }, out };
        let view = case.flow.until("failed", |view| view["status"] == "failed").await;
        let error = &view["error"];
        assert_eq!(error["code"], "file-replaced", "{view:#}");
        for said in ["60 line(s)", "40 line(s)"] {
            assert!(error["message"].as_str().unwrap().contains(said), "{id}: {said} is not in {error:#}");
        }
        if choice != "end" {
            let (status, body) = case.choose(choice, false).await;
            assert_eq!((status, &body["code"]), (409, &json!("sink-ahead")), "{id}: {body:#}");
            assert!(body["detail"].as_str().unwrap().contains("40 record(s)"), "{id}: {body:#}");
        }
        let (status, body) = case.choose(choice, choice != "end").await;
        assert_eq!(status, 200, "{id}: {body:#}");
        let view = case.flow.until("reset", |_| true).await;
        assert_eq!(count(&view, "recordsLost"), 0, "{id}: {view:#}");
        let (first, last) = match choice {
            "journal" => (1, 2),
            "end" => (1, 1),
            _ => (2, 2),
        };
        assert_eq!(case.ends().await, times(&[(0..60, first), (60..100, last), (110..120, 1)]), "{id}");
    }
}

/// A choice that the file does not allow is not offered: first comes what has to be done about the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_choice_is_offered_only_where_the_file_can_be_continued() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let cut: Change = |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 5).unwrap();
    };
    let other_header: Change = |path| {
        fs::write(path.with_extension("new"), "other\n1\n").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let cases =
        [("jsonl.gz", cut, "not-whole"), ("csv.zst", cut, "not-whole"), ("csv", other_header, "columns-differ")];
    for (kind, change, code) in cases {
        let name = format!("out.{kind}");
        let sink = |folder: &Path| {
            let mut sink = json!({"type": "file", "path": folder.join(&name)});
            if code == "columns-differ" {
                sink["columns"] = json!(["id"]);
            }
            sink
        };
        let flow = Flow::new(&node, folder.path(), &kind.replace('.', "-"), sink, json!({})).await;
        flow.append(0..50);
        flow.delivered(50).await;
        flow.append(50..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let case = Uncounted { out: flow.folder.join(&name), flow };
        change(&case.out);
        let error = case.flow.fails(code).await;
        let (status, body) = case.choose("journal", false).await;
        assert_eq!((status, &body["code"]), (409, &json!("unsettled")), "{kind}: {body:#}");
        let code = match code {
            "not-whole" => {
                // As the message says.
                let fix = error["fix"].as_str().unwrap();
                let kept = fix.split_once("first ").and_then(|(_, rest)| rest.split_once(" byte")).unwrap().0;
                OpenOptions::new().write(true).open(&case.out).unwrap().set_len(kept.parse().unwrap()).unwrap();
                "file-too-short"
            }
            _ => {
                fs::remove_file(&case.out).unwrap();
                "file-missing"
            }
        };
        case.flow.fails(code).await;
        let left = ids(&case.out).map_or(0, |found| found.len() as u64);
        let (status, body) = case.choose("journal", false).await;
        assert_eq!(status, 200, "{kind}: {body:#}");
        assert_eq!(case.ends().await, times(&[(0..left, 1), (110..120, 1)]), "{kind}");
    }
}
