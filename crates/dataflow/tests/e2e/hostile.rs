//! Hostile input through the whole program: each record is delivered as it came, or a dead letter with its place and the
//! code that docs/guides/records.md says; a push that is no JSON is refused as a whole.
use crate::program::{Node, assert_balanced, count, is, query, start};
use dataflow_testkit::hostile::{self, Case};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{collections::HashMap, fs, path::Path};

/// A file of these records behind a header; of each dead letter, where it should be and its code.
fn file(path: &Path, header: &str, cases: &[Case]) -> Vec<(String, String)> {
    let mut bytes = header.as_bytes().to_vec();
    let mut dead = Vec::new();
    for (text, code) in cases {
        dead.extend(code.map(|code| (bytes.len().to_string(), code.to_owned())));
        bytes.extend_from_slice(text);
        bytes.push(b'\n');
    }
    fs::write(path, bytes).unwrap();
    dead
}

/// What the node says of dead letters: position and code.
async fn dead_letters(node: &Node, id: &str) -> Vec<(String, String)> {
    let page = node.get(&format!("/api/pipelines/{id}/dead-letters?limit=1000")).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| {
            let stage = if letter["code"] == "no-fields" { "sink" } else { "decode" };
            assert_eq!(letter["stage"], stage, "{letter}");
            (text(&letter["position"]), text(&letter["code"]))
        })
        .collect()
}

/// Runs a pipeline from a file to its end.
async fn run(node: &Node, id: &str, source: &Path, sink: Value, cases: &[Case], dead: Vec<(String, String)>) {
    node.create_and_start(&json!({"pipelineId": id, "source": {"type": "file", "path": source}, "sink": sink})).await;
    let view = node.until(id, "completed", is("completed")).await;
    assert_balanced(&view);
    assert_eq!(dead_letters(node, id).await, dead);
    assert_eq!(count(&view, "recordsRead"), cases.len() as u64);
    assert_eq!(count(&view, "recordsDelivered"), (cases.len() - dead.len()) as u64);
}

#[tokio::test]
async fn json_files_are_read_by_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let cases = hostile::json();
    let dead = file(&path("in.jsonl"), "", &cases);
    let node = start(&path("data"));

    let sink = json!({"type": "file", "path": path("out.jsonl")});
    run(&node, "to-file", &path("in.jsonl"), sink, &cases, dead.clone()).await;
    let written = fs::read(path("out.jsonl")).unwrap();
    let expected = cases.iter().filter(|(_, code)| code.is_none()).flat_map(|(text, _)| {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        [text, b"\n"].concat()
    });
    assert!(written == expected.collect::<Vec<u8>>(), "what is accepted leaves as it came");

    let sink =
        json!({"type": "sqlite", "path": path("out.db"), "table": "t", "mode": "append", "columns": {"a": "json"}});
    // A record of which no field has a column is delivered nowhere.
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|(text, code)| (code.or(unwanted(&text)), text))
        .map(|(code, text)| (text, code))
        .collect();
    let dead = file(&path("in.jsonl"), "", &cases);
    run(&node, "to-sqlite", &path("in.jsonl"), sink, &cases, dead).await;
    let rows = cases.iter().filter(|(_, code)| code.is_none()).count();
    assert_eq!(query(&path("out.db"), "SELECT count(*) FROM t"), rows as i64);
}

/// The code of an object without a field `a`. Names with half of a surrogate pair are too much for serde_json.
fn unwanted(text: &[u8]) -> Option<&'static str> {
    let named = || text.windows(3).any(|part| part == b"\"a\"");
    let object = serde_json::from_slice::<HashMap<String, IgnoredAny>>(text);
    let has = object.map_or_else(|_| named(), |object| object.contains_key("a"));
    (!has).then_some("no-fields")
}

#[tokio::test]
async fn csv_files_are_read_by_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let cases = hostile::csv();
    let dead = file(&path("in.csv"), "\u{feff}a,b,c\r\n", &cases);
    let node = start(&path("data"));
    let sink = json!({"type": "sqlite", "path": path("out.db"), "table": "t", "mode": "append",
        "columns": {"a": "text", "b": "text", "c": "text"}});
    run(&node, "to-sqlite", &path("in.csv"), sink, &cases, dead).await;
    assert_eq!(query(&path("out.db"), "SELECT count(*) FROM t WHERE a = 'a\"b' OR b = 'a\"b'"), 1);
}

#[tokio::test]
async fn pushes_are_refused_or_taken_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let sink = json!({"type": "file", "path": folder.path().join("out.jsonl")});
    node.create_and_start(&json!({"pipelineId": "pushed", "source": {"type": "http"}, "sink": sink})).await;
    let http = reqwest::Client::builder().tls_backend_preconfigured(dataflow_tls::unused()).no_proxy().build().unwrap();
    let (mut delivered, mut dead) = (0, Vec::new());
    for (number, (text, code)) in hostile::json().into_iter().enumerate() {
        let head = format!("{{\"batchId\":\"{number}\",\"records\":[{{\"data\":");
        let body = [head.as_bytes(), &text, b"}]}"].concat();
        let request = http.post(format!("{}/api/pipelines/pushed/batches", node.url));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let shown = String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned();
        match code {
            None | Some("not-object") => {
                assert_eq!(status, 200, "{shown:?}: {said}");
                match code {
                    None => delivered += 1,
                    Some(_) => dead.push((
                        (delivered + dead.len() as u64).to_string(),
                        if text == b"null" { "tombstone" } else { "not-object" }.to_owned(),
                    )),
                }
            }
            _ => {
                assert_eq!(status, 400, "{shown:?}: {said}");
                let code = if code == Some("too-deep") { "invalid" } else { "malformed-json" };
                assert_eq!(said["code"], code, "{shown:?}: {said}");
                assert!(!said["detail"].as_str().unwrap_or_default().is_empty(), "{said}");
            }
        }
    }
    let all =
        |view: &Value| count(view, "recordsDelivered") + count(view, "recordsDead") == delivered + dead.len() as u64;
    let view = node.until("pushed", "read", all).await;
    assert_eq!(count(&view, "recordsDelivered"), delivered);
    assert_eq!(dead_letters(&node, "pushed").await, dead);
}

/// Records of 10 MB, many more than may be in flight at once.
#[tokio::test]
async fn large_records_pass_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let records: Vec<Case> =
        (0..16).map(|id| (format!("{{\"id\":{id},\"text\":\"{}\"}}", "x".repeat(10_000_000)).into(), None)).collect();
    file(&path("in.jsonl"), "", &records);
    for sink in [
        json!({"type": "file", "path": path("out.jsonl")}),
        json!({"type": "sqlite", "path": path("out.db"), "table": "t", "mode": "append"}),
    ] {
        let node = start(&path("data"));
        let id = format!("to-{}", sink["type"].as_str().unwrap());
        run(&node, &id, &path("in.jsonl"), sink, &records, Vec::new()).await;
        assert_little_memory(&node, &id);
    }
}

/// Two million names, each of them in one record; nesting without end. Transforms and tables look at names, too.
#[tokio::test]
async fn many_names_and_deep_nesting_pass_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names =
        |record: u64| (0..1_000).map(|key| format!("\"key {record} {key}\":{key}")).collect::<Vec<_>>().join(",");
    let many = (0..2_000).map(|id| (format!("{{\"id\":{id},{}}}", names(id)).into(), None));
    let deep = (0..40).map(|_| (format!("{{\"a\":{}", "[".repeat(1_000_000)).into(), Some("too-deep")));
    let records: Vec<Case> = many.chain(deep).collect();
    let dead = file(&path("in.jsonl"), "", &records);
    for sink in [
        json!({"type": "file", "path": path("out.jsonl")}),
        json!({"type": "sqlite", "path": path("out.db"), "table": "t", "mode": "append", "columns": {"id": "bigint"}}),
    ] {
        let node = start(&path("data"));
        let id = format!("to-{}", sink["type"].as_str().unwrap());
        let spec = json!({
            "pipelineId": id, "source": {"type": "file", "path": path("in.jsonl")}, "sink": sink,
            "transforms": [{"type": "filter", "condition": "id >= 0"}, {"type": "map", "set": {"twice": "id * 2"}, "remove": ["a"]}],
        });
        node.create_and_start(&spec).await;
        let view = node.until(&id, "completed", is("completed")).await;
        assert_balanced(&view);
        assert_eq!((count(&view, "recordsDelivered"), dead_letters(&node, &id).await), (2_000, dead.clone()));
        assert_little_memory(&node, &id);
    }
}

fn assert_little_memory(node: &Node, id: &str) {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 256 << 10, "{id} took {peak} kB");
}
