//! Objects of a bucket: what a pipeline has written is proven, what others have done to it is told, and a server that goes away
//! for a while is waited for.
use crate::program::{Node, count, dataflow, is, program};
use dataflow_testkit::{
    bucket::{Bucket, Kind},
    own::Minio,
};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};
use tempfile::TempDir;

/// The sink of a bucket, whose secret is in a file of this folder.
pub(super) fn sink(bucket: &Bucket, folder: &Path, more: &Value) -> Value {
    let mut sink = bucket.sink_with_secret_in(&folder.join("secrets/store"));
    sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sink
}

/// Where that folder has its secrets, if the data of a node is in it.
pub(super) fn secrets(data: &Path) -> String {
    data.parent().unwrap().join("secrets").to_str().unwrap().into()
}

/// A node that may take them.
pub(super) fn node(data: &Path, more: &[(&str, &str)]) -> Node {
    program().node_with(data, &[], &[&[("DATAFLOW_SECRETS_FILES", &*secrets(data))], more].concat())
}

fn verify(node: &Node, pipeline: &str) -> (Value, String) {
    let done = tokio::task::block_in_place(|| {
        dataflow(&["verify", pipeline, "--server", &node.url, "--output", "json"]).output().unwrap()
    });
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (serde_json::from_slice(&done.stdout).unwrap_or_default(), said)
}

/// Lost, doubled, altered and unexpected rows.
fn told(report: &Value) -> [u64; 4] {
    ["lost", "doubled", "altered", "unexpected"].map(|kind| report[kind]["count"].as_u64().unwrap_or(u64::MAX))
}

/// A pipeline that has written a file's 1,000 records, of which 10 are dead, in objects of 50.
struct Case {
    bucket: Bucket,
    node: Node,
    _folder: TempDir,
}

impl Case {
    /// `first`: the id of the first record. Record 17 has this name.
    async fn new(kind: Kind, more: &Value, first: u64, name: &str) -> Self {
        let bucket = Bucket::fresh_of(kind, "objects").await;
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.jsonl");
        let line = |n: u64| match n % 100 {
            50 => "{\"id\":\n".to_owned(),
            _ => {
                let name = if n == 17 { name.to_owned() } else { format!("größe {n}, \"{n}\"") };
                let mut record = json!({
                    "id": first + n, "name": name, "at": format!("2026-11-29T{:02}:00:00.{n:06}Z", n % 24),
                    "price": n as f64 / 8.0, "ok": n.is_multiple_of(2), "more": {"list": [n, null]}, "none": null,
                    "day": "2024-02-29", "hour": "1969-12-31T23:59:59.999999", "small": -32_768 + n as i64, "half": 0.1 + n as f64,
                    "bytes": "AAH/", "uid": "6F9619FF-8B86-D011-B42D-00C04FC964FF", "tall": -9_007_199_254_740_993_i64, "name 2": "x",
                });
                if n > 400 {
                    record["later"] = json!(n);
                }
                format!("{record}\n")
            }
        };
        fs::write(&input, (0..1_000).map(line).collect::<String>()).unwrap();
        let mut settings = json!({"path": "rows/part={cast(id % 3 as text)}", "roll": {"maxRecords": 50}});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec = json!({
            "pipelineId": "objects", "sink": sink(&bucket, folder.path(), &settings), "batch": {"maxRecords": 100},
            "checkpointInterval": "1h", // objects are cut by their records alone, the same each time
            "source": {"type": "file", "path": input}, "schema": {
                "at": "timestamp", "price": "decimal(12,3)", "day": "date", "hour": "datetime", "small": "smallint", "half": "double",
                "bytes": "binary", "uid": "uuid",
            },
        });
        let node = node(&folder.path().join("data"), &[]);
        node.create_and_start(&spec).await;
        let view = node.until("objects", "completed", is("completed")).await;
        assert_eq!((count(&view, "recordsDelivered"), count(&view, "recordsDead")), (990, 10), "{view:#}");
        Self { bucket, node, _folder: folder }
    }

    fn proven(&self) {
        let (report, said) = verify(&self.node, "objects");
        assert_eq!(report["verified"], true, "{report:#}{said}");
        assert_eq!((&report["expected"], &report["found"]), (&json!(990), &json!(990)), "{report:#}");
    }

    fn finds(&self, what: [u64; 4]) -> Value {
        let (report, said) = verify(&self.node, "objects");
        assert_eq!((told(&report), &report["verified"]), (what, &json!(false)), "{report:#}{said}");
        report
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_objects_hold_is_proven_and_what_others_do_to_them_is_told() {
    let formats = [json!({}), json!({"format": "csv", "compression": "gzip"}), json!({"format": "parquet"})];
    let s3 = formats.into_iter().map(|more| (Kind::S3, more));
    let others = [(Kind::Folder, json!({"format": "parquet"})), (Kind::Azure, json!({}))];
    for (kind, more) in s3.chain(others).filter(|(kind, _)| kind.is_up()) {
        let case = Case::new(kind, &more, 0, "as it is").await;
        case.proven();
        let objects = case.bucket.objects().await;
        let keys: Vec<&String> = objects.keys().collect();
        let (first, second) = (keys[0], keys[1]);

        case.bucket.delete(first).await;
        let lost = case.finds([50, 0, 0, 0]);
        assert!(lost["lost"]["examples"][0]["position"].is_string(), "by their places: {lost:#}");
        case.bucket.put(first, objects[first].clone()).await;

        let copy = first.replacen('.', "-copy.", 1);
        case.bucket.put(&copy, objects[first].clone()).await;
        let doubled = case.finds([0, 50, 0, 0]);
        let place = doubled["doubled"]["examples"][0]["place"].as_str().unwrap();
        assert!(place.contains(copy.as_str()) || place.contains(first.as_str()), "{doubled:#}");
        case.bucket.delete(&copy).await;

        case.bucket.put(second, objects[first].clone()).await;
        case.finds([50, 50, 0, 0]);
        case.bucket.put(second, objects[second].clone()).await;

        // Cut off, as by a copy that broke.
        case.bucket.put(first, objects[first].slice(..objects[first].len() / 2)).await;
        let (report, said) = verify(&case.node, "objects");
        assert_ne!(report["verified"], true);
        let named = report.to_string().contains(first.as_str()) || said.contains(first.as_str());
        assert!(named, "{more}: {report:#}{said}");
        case.bucket.put(first, objects[first].clone()).await;

        // One value is another; and rows of which no record tells.
        let other = Case::new(kind, &more, 0, "as it is not").await;
        let others = other.bucket.objects().await;
        let changed = keys.iter().zip(others.values()).find(|(key, bytes)| objects[**key] != **bytes);
        let (key, bytes) = changed.expect("one has record 17");
        case.bucket.put(key, bytes.clone()).await;
        // A line is compared with the record in whose place it stands, which takes one folder.
        let is_paired = more["path"] == "" || more["format"] == "parquet" || more["format"] == "avro";
        let report = case.finds(if is_paired { [0, 0, 1, 0] } else { [1, 0, 0, 1] });
        let found = &report[if is_paired { "altered" } else { "unexpected" }]["examples"][0];
        assert!(found["place"].as_str().unwrap().contains(key.as_str()), "{report:#}");
        assert!(found["found"].as_str().unwrap().contains("as it is not"), "{report:#}");
        if is_paired {
            let fields = &found["fields"];
            assert_eq!((&fields[0]["field"], fields[1].is_null()), (&json!("name"), true), "{report:#}");
        }
        case.bucket.put(key, objects[*key].clone()).await;
        let stranger = Case::new(kind, &more, 5_000, "as it is").await;
        let strange = stranger.bucket.objects().await.into_values().next().unwrap();
        case.bucket.put(&copy, strange).await;
        let unexpected = case.finds([0, 0, 0, 50]);
        let place = unexpected["unexpected"]["examples"][0]["place"].as_str().unwrap();
        assert!(place.contains(copy.as_str()), "{unexpected:#}");
        case.bucket.delete(&copy).await;
        case.proven();
        for case in [case, other, stranger] {
            case.bucket.remove().await;
        }
    }
}

/// Killed and started again under load, and out of reach for longer than a request is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_waited_for() {
    let Some(mut server) = Minio::start(None) else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    fs::write(&input, "").unwrap();
    let mut written = 0;
    let mut append = |records: u64| {
        let lines: String = (written..written + records).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        OpenOptions::new().append(true).open(&input).unwrap().write_all(lines.as_bytes()).unwrap();
        written += records;
        written
    };
    let bucket = Bucket::fresh_at(&server.endpoint(), "restarts").await;
    let more = json!({"path": "part={cast(id % 3 as text)}", "roll": {"maxRecords": 40, "maxAge": "100ms"}});
    let spec = json!({
        "pipelineId": "objects", "sink": sink(&bucket, folder.path(), &more), "checkpointInterval": "50ms",
        "source": {"type": "file", "path": input, "follow": true, "pollInterval": "20ms"}, "batch": {"maxRecords": 50},
    });
    let node = node(&folder.path().join("data"), &[]);
    node.create_and_start(&spec).await;
    let through = |records: u64| {
        move |view: &Value| count(view, "recordsDelivered") == records && count(view, "recordsInFlight") == 0
    };
    for pause in [0, 0, 25] {
        let all = append(500);
        node.until("objects", "through", through(all)).await;
        append(2_000);
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        let all = append(500);
        if pause > 0 {
            // It says what it waits for.
            let waits = |view: &Value| view["error"]["code"] == "unreachable";
            let view = node.until("objects", "waiting", waits).await;
            assert_eq!(view["status"], "running", "{view:#}");
            assert!(view["error"]["message"].as_str().unwrap().contains(&bucket.name), "{view:#}");
        }
        server.start_again();
        node.until("objects", "through", through(all)).await;
    }
    let objects = bucket.objects().await;
    let lines = objects.values().flat_map(|bytes| std::str::from_utf8(bytes).unwrap().lines());
    let mut ids: Vec<u64> =
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..append(0)), "{} rows", ids.len());
    node.post("/api/pipelines/objects/stop").await;
    let (report, said) = verify(&node, "objects");
    assert_eq!(report["verified"], true, "{report:#}{said}");
}
