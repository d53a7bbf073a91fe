//! Backups and restores of a node, and journals that were changed by hand.
mod objects;

use crate::{
    program::{Node, count, output, program, query, start},
    topic::{BROKERS, Topic},
};
use dataflow_core::{id::PipelineId, shard::ShardId};
use dataflow_testkit::servers;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};
use tokio_postgres::NoTls;

const POSTGRES: &str = "postgres://dataflow:dataflow@127.0.0.1:5432/dataflow";

fn backup(data: &Path, to: &Path) {
    let (code, _, stderr) = output(&["backup", "--data-dir", data.to_str().unwrap(), to.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
}

fn restore(backup: &Path, data: &Path, more: &[&str]) -> (i32, String, String) {
    let args = [&["restore", "--data-dir", data.to_str().unwrap()], more, &[backup.to_str().unwrap()]].concat();
    output(&args)
}

async fn delivered(node: &Node, id: &str, most: u64) -> Value {
    node.until(id, &format!("{most} delivered"), |view| count(view, "recordsDelivered") >= most).await
}

fn append(file: &Path, numbers: std::ops::Range<u64>) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    let lines: String = numbers.map(|number| format!("{{\"id\": {number}}}\n")).collect();
    file.write_all(lines.as_bytes()).unwrap();
}

fn from_file(input: &Path, sink: Value) -> Value {
    json!({
        "pipelineId": "numbers",
        "source": {"type": "file", "path": input, "follow": true},
        "sink": sink,
        "batch": {"maxRecords": 100, "linger": "5ms"},
        "checkpointInterval": "100ms",
    })
}

/// After a restore whose sink is ahead, a source that can be read again loses and doubles nothing; and the node goes on to be
/// fenced by none of the epochs that the sink has seen since.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_goes_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, input, target, saved) = (path("data"), path("in.jsonl"), path("out.db"), path("backup.db"));
    append(&input, 0..1_000);
    let mut node = start(&data);
    node.create_and_start(&from_file(
        &input,
        json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"}),
    ))
    .await;
    delivered(&node, "numbers", 500).await;
    backup(&data, &saved);
    for round in 1..4 {
        append(&input, round * 1_000..(round + 1) * 1_000);
        delivered(&node, "numbers", (round + 1) * 1_000).await;
        // Each start raises the epochs that the sink has seen beyond those in the backup.
        node.kill();
        node = start(&data);
    }
    let (code, _, stderr) = restore(&saved, &data, &["--replace"]);
    assert!(code == 1 && stderr.contains(&format!("in use by process {}", node.pid())), "{stderr}");
    node.kill();

    let (code, _, stderr) = restore(&saved, &data, &[]);
    assert!(code == 1 && stderr.contains("already holds a journal"), "{stderr}");
    let (code, stdout, stderr) = restore(&saved, &data, &["--replace"]);
    assert!(code == 0 && stdout.contains("journal.replaced-"), "{stdout}{stderr}");
    // The sink is to see more epochs than seconds pass.
    let mut node = start(&data);
    for _ in 0..8 {
        node.kill();
        node = start(&data);
    }
    append(&input, 4_000..5_000);
    let view = delivered(&node, "numbers", 5_000).await;
    assert_eq!(view["status"], "running", "{view:#}");
    assert_eq!(query(&target, "select count(*) from numbers"), 5_000);
    assert_eq!(query(&target, "select count(distinct id) from numbers"), 5_000);
    drop(node);

    // A second restore, into an empty folder, is beyond the epochs of the first one, too.
    let other = path("other");
    let (code, _, stderr) = restore(&saved, &other, &[]);
    assert_eq!(code, 0, "{stderr}");
    let node = start(&other);
    append(&input, 5_000..6_000);
    delivered(&node, "numbers", 6_000).await;
    assert_eq!(query(&target, "select count(*) from numbers"), 6_000);
    assert_eq!(query(&target, "select count(distinct id) from numbers"), 6_000);
}

/// A pipeline of a backup from before its first start, which now writes elsewhere, does not go on where it was there.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_wrote_to_another_table_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, input, target, saved) = (path("data"), path("in.jsonl"), path("out.db"), path("backup.db"));
    append(&input, 0..10);
    let spec = |table: &str| from_file(&input, json!({"type": "sqlite", "path": target, "table": table}));
    let mut node = start(&data);
    let (status, body) = node.request("POST", "/api/pipelines", Some(&spec("one"))).await;
    assert_eq!(status, 201, "{body}");
    backup(&data, &saved);
    node.start("numbers").await;
    delivered(&node, "numbers", 10).await;
    node.kill();
    assert_eq!(restore(&saved, &data, &["--replace"]).0, 0);
    node = start(&data);
    let (status, body) = node.request("PUT", "/api/pipelines/numbers", Some(&spec("other"))).await;
    assert_eq!(status, 200, "{body}");
    node.start("numbers").await;
    append(&input, 10..15);
    delivered(&node, "numbers", 15).await;
    let rows = |table: &str| query(&target, &format!("select count(*) from {table}"));
    assert_eq!((rows("one"), rows("other")), (10, 15));
}

/// A restore that is cut off leaves no journal of which nobody knows that pushes are missing in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_can_not_keep_its_warning_puts_no_journal_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let saved = path("backup.db");
    drop(start(&path("data")));
    backup(&path("data"), &saved);
    fs::create_dir_all(path("other/node/journal.restored.new")).unwrap();
    let (code, _, why) = restore(&saved, &path("other"), &[]);
    assert!(code == 1 && why.contains("journal.restored"), "{code}: {why}");
    assert!(!path("other/node/journal.db").exists());
}

/// A sink that has never got them, or keeps no count, can't tell that acknowledged pushes are gone: the restore says so, and the pipeline
/// until something is pushed to it.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_that_a_restore_has_lost_are_told_whatever_the_sink() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, saved) = (path("data"), path("backup.db"));
    let node = start(&data);
    let create = async |node: &Node, id: &str, source: Value, sink: &Value| {
        let spec = json!({"pipelineId": id, "source": source, "sink": sink});
        assert_eq!(node.request("POST", "/api/pipelines", Some(&spec)).await.0, 201);
    };
    let sinks = [
        ("idle", json!({"type": "sqlite", "path": path("out.db"), "table": "rows"})),
        ("nowhere", json!({"type": "blackhole"})),
    ];
    for (id, sink) in &sinks {
        create(&node, id, json!({"type": "http"}), sink).await;
    }
    create(&node, "file", json!({"type": "file", "path": path("in")}), &sinks[1].1).await;
    node.start("nowhere").await;
    let push = async |node: &Node, pipeline: &str, id: u64| {
        let batch = json!({"batchId": format!("b{id}"), "records": [{"data": {"id": id}}]});
        let (status, body) =
            node.request("POST", &format!("/api/pipelines/{pipeline}/batches?replay=true"), Some(&batch)).await;
        assert_eq!(status, 200, "{body}");
    };
    let warned = async |node: &Node, pipeline: &str| {
        let view = node.get(&format!("/api/pipelines/{pipeline}")).await;
        let warnings = view["warnings"].as_array().unwrap().iter();
        warnings.filter(|warning| warning["code"] == "restored").count()
    };
    for (id, _) in &sinks {
        push(&node, id, 1).await;
    }
    backup(&data, &saved);
    for (id, _) in &sinks {
        push(&node, id, 2).await;
    }
    delivered(&node, "nowhere", 2).await;
    node.kill();
    let (code, said, why) = restore(&saved, &data, &["--replace"]);
    assert_eq!(code, 0, "{why}");
    assert!(said.contains("?replay=true, to idle, nowhere\n"), "{said}");
    let (code, said, why) = restore(&saved, &path("drill"), &["--output", "json"]);
    assert_eq!(code, 0, "{why}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["pushedTo"], json!(["idle", "nowhere"]));

    let mut node = start(&data);
    for again in [false, true] {
        for (id, warnings) in [("idle", 1), ("nowhere", usize::from(!again)), ("file", 0)] {
            assert_eq!(warned(&node, id).await, warnings, "{id}, again: {again}");
        }
        push(&node, "nowhere", 2).await;
        assert_eq!(warned(&node, "nowhere").await, 0);
        node.kill();
        node = start(&data);
    }
    // One that was made anew has lost nothing.
    assert_eq!(node.request("DELETE", "/api/pipelines/idle?discard=true", None).await.0, 200);
    create(&node, "idle", json!({"type": "http"}), &sinks[1].1).await;
    assert_eq!(warned(&node, "idle").await, 0);
}

/// Pushed records that a restored target lacks are not here to be written again: their batches are, once they are pushed again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_target_has_lost_of_pushes_is_pushed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let node = start(&path("data"));
    let sink = json!({"type": "sqlite", "path": path("out.db"), "table": "numbers", "mode": "append"});
    node.create_and_start(&json!({"pipelineId": "numbers", "source": {"type": "http"}, "sink": sink})).await;
    let push = async |id: u64| {
        let batch = json!({"batchId": format!("batch-{id}"), "records": [{"data": {"id": id}}]});
        let (status, answer) =
            node.request("POST", "/api/pipelines/numbers/batches?wait=delivered", Some(&batch)).await;
        assert_eq!((status, &answer["delivered"]), (200, &json!(true)), "{answer}");
    };
    let stop = async || node.post("/api/pipelines/numbers/stop").await;
    push(1).await;
    stop().await;
    fs::copy(path("out.db"), path("saved.db")).unwrap();
    node.start("numbers").await;
    push(2).await;
    push(3).await;
    stop().await;
    fs::copy(path("saved.db"), path("out.db")).unwrap();
    node.start("numbers").await;
    let failed = node.until("numbers", "failed", |view| view["status"] == "failed").await;
    assert_eq!(failed["error"]["code"], "token-behind", "{failed:#}");
    assert!(failed["error"]["fix"].as_str().unwrap().contains("push their batches again"), "{failed:#}");
    let to = json!({"to": "sink-token"});
    let (status, body) = node.request("PUT", "/api/pipelines/numbers/checkpoint", Some(&to)).await;
    assert_eq!(status, 200, "{body}");
    node.start("numbers").await;
    for id in 1..=4 {
        push(id).await;
    }
    assert_eq!(query(&path("out.db"), "select count(*) from numbers"), 4);
    assert_eq!(query(&path("out.db"), "select count(distinct id) from numbers"), 4);
    let view = node.get("/api/pipelines/numbers").await;
    assert_eq!((count(&view, "recordsRead"), count(&view, "recordsLost")), (6, 2), "{view:#}");
    crate::program::assert_balanced(&view);
}

/// A file is not cut, and once a user has said where to go on, the ledger says what it has.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_has_had_since_the_backup_counts() {
    for (choice, generations, again) in
        [("journal", 0, true), ("end", 0, false), ("beginning", 0, true), ("journal", 2, true), ("end", 2, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (data, input, target, saved) = (path("data"), path("in.jsonl"), path("out.jsonl"), path("backup.db"));
        append(&input, 0..60);
        let mut node = start(&data);
        node.create_and_start(&from_file(&input, json!({"type": "file", "path": target}))).await;
        delivered(&node, "numbers", 60).await;
        node.post("/api/pipelines/numbers/stop").await;
        let choose = async |node: &Node, to: &str| {
            let to = json!({"to": to});
            let (status, body) = node.request("PUT", "/api/pipelines/numbers/checkpoint?force=true", Some(&to)).await;
            assert_eq!(status, 200, "{body}");
            body
        };
        backup(&data, &saved);
        // With dead letters, too.
        fs::write(&input, fs::read_to_string(&input).unwrap() + "none\nat all\n").unwrap();
        for round in 0..=generations {
            node.post("/api/pipelines/numbers/start").await;
            append(&input, 60 + 40 * round..100 + 40 * round);
            delivered(&node, "numbers", 100 + 40 * round).await;
            node.post("/api/pipelines/numbers/stop").await;
            if round < generations {
                choose(&node, "journal").await;
            }
        }
        let has = 100 + 40 * generations;
        node.kill();
        assert_eq!(restore(&saved, &data, &["--replace"]).0, 0);
        node = start(&data);
        node.post("/api/pipelines/numbers/start").await;
        let failed = node.until("numbers", "failed", |view| view["status"] == "failed").await;
        assert_eq!(failed["error"]["code"], "journal-behind", "{failed:#}");
        choose(&node, choice).await;
        let view = node.get("/api/pipelines/numbers").await;
        let case = format!("{choice} after {generations}: {view:#}");
        assert_eq!((count(&view, "recordsDelivered"), count(&view, "recordsDead")), (has, 2), "{case}");
        crate::program::assert_balanced(&view);
        node.post("/api/pipelines/numbers/start").await;
        append(&input, has..has + 10);
        let first = if choice == "beginning" { 0 } else { 60 };
        let expected = if again { has + has - first + 10 } else { has + 10 };
        delivered(&node, "numbers", expected).await;
        node.post("/api/pipelines/numbers/stop").await;
        let lines = fs::read_to_string(&target).unwrap().lines().count() as u64;
        assert_eq!(lines, expected, "{case}");
    }
}

/// The same with a topic that is read by several lanes, and a table in PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_goes_on_exactly_from_kafka_to_postgres() {
    if !servers::are_up() {
        return;
    }
    let topic = Topic::new("backup", 3).await;
    let produce = |numbers: std::ops::Range<u64>| topic.send(numbers, |id| json!({"id": id}).to_string());
    let schema = topic.name.replace('-', "_");
    let table = format!("{schema}.numbers");
    let (client, connection) = tokio_postgres::connect(POSTGRES, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE SCHEMA {schema}; CREATE TABLE {table} (id bigint)")).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("backup.db"));
    let config = folder.path().join("dataflow.toml");
    fs::write(&config, "[connections.postgres.default]\nurl = \"${env:E2E_URL}\"\n").unwrap();
    let start = || program().node_with(&data, &["--config", config.to_str().unwrap()], &[("E2E_URL", POSTGRES)]);
    produce(0..1_000);
    let mut node = start();
    let spec = json!({
        "pipelineId": "numbers",
        "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name},
        "sink": {
            "type": "postgres", "table": table, "mode": "append",
        },
        "lanes": 2,
        "batch": {"maxRecords": 100, "linger": "5ms"},
        "checkpointInterval": "100ms",
    });
    node.create_and_start(&spec).await;
    delivered(&node, "numbers", 500).await;
    backup(&data, &saved);
    for round in 1..3 {
        produce(round * 1_000..(round + 1) * 1_000);
        delivered(&node, "numbers", (round + 1) * 1_000).await;
        node.kill();
        node = start();
    }
    node.kill();
    let (code, _, stderr) = restore(&saved, &data, &["--replace"]);
    assert_eq!(code, 0, "{stderr}");
    let node = start();
    produce(3_000..4_000);
    delivered(&node, "numbers", 4_000).await;
    let counted = client.query_one(&format!("SELECT count(*), count(DISTINCT id) FROM {table}"), &[]).await.unwrap();
    node.post("/api/pipelines/numbers/stop").await;
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
    topic.remove().await;
    assert_eq!((counted.get::<_, i64>(0), counted.get::<_, i64>(1)), (4_000, 4_000));
}

/// A journal of before the first start lets a topic begin where the target says that it began, not where it ends by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_before_the_first_start_passes_over_nothing() {
    if !servers::are_up() {
        return;
    }
    for (kind, choice) in [("sqlite", ""), ("file", "cut"), ("file", "journal")] {
        let topic = Topic::new(&format!("began-{kind}-{choice}"), 2).await;
        let produce =
            |ids: std::iter::StepBy<std::ops::Range<u64>>| topic.send(ids, |id| json!({"id": id}).to_string());
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (data, saved, target) = (path("data"), path("backup.db"), path("out"));
        let sink = match kind {
            "file" => json!({"type": "file", "path": target, "format": "json"}),
            _ => json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"}),
        };
        let spec = json!({
            "pipelineId": "numbers", "sink": sink, "checkpointInterval": "50ms",
            "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name, "start": "latest"},
        });
        produce((0..10).step_by(1));
        let node = start(&data);
        assert_eq!(node.request("POST", "/api/pipelines", Some(&spec)).await.0, 201);
        backup(&data, &saved);
        node.post("/api/pipelines/numbers/start").await;
        node.until("numbers", "planned", |view| view["checkpoint"]["positions"][0].is_object()).await;
        // One partition has moved, the other has not.
        produce((10..20).step_by(2));
        delivered(&node, "numbers", 5).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        node.kill();
        produce((11..21).step_by(2));
        let (code, _, stderr) = restore(&saved, &data, &["--replace"]);
        assert_eq!(code, 0, "{stderr}");
        let node = start(&data);
        node.post("/api/pipelines/numbers/start").await;
        if kind == "file" {
            let failed = node.until("numbers", "failed", |view| view["status"] == "failed").await;
            assert_eq!(failed["error"]["code"], "journal-behind", "{failed}");
            match choice {
                "cut" => fs::OpenOptions::new().write(true).open(&target).unwrap().set_len(0).unwrap(),
                _ => {
                    let (chosen, path) = (json!({"to": "journal"}), "/api/pipelines/numbers/checkpoint?force=true");
                    let (code, answer) = node.request("PUT", path, Some(&chosen)).await;
                    assert_eq!(code, 200, "{answer}");
                }
            }
            node.post("/api/pipelines/numbers/start").await;
        }
        let wanted = if choice == "journal" { 15 } else { 10 };
        let ids = || match kind {
            "file" => {
                let text = fs::read_to_string(&target).unwrap();
                let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap();
                text.lines().map(id).collect::<Vec<_>>()
            }
            _ => (0..query(&target, "select count(*) from numbers"))
                .map(|at| query(&target, &format!("select id from numbers order by id limit 1 offset {at}")) as u64)
                .collect(),
        };
        for _ in 0..200 {
            if ids().len() >= wanted {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let mut expected: Vec<u64> = (10..20).collect();
        if choice == "journal" {
            expected.extend((10..20).step_by(2));
            expected.sort_unstable();
        }
        let mut there = ids();
        there.sort_unstable();
        assert_eq!(there, expected, "{kind} {choice}");
        drop(node);
        topic.remove().await;
    }
}

/// A backup is whole or not there, and takes no file's place without being told.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_nobodys_place() {
    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("backup.db"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
    assert!(code == 1 && stderr.contains("there is no journal"), "{stderr}");
    assert!(!data.exists() && !saved.exists(), "who only asks leaves nothing behind");

    let _node = start(&data);
    // The data folder is the one that the settings name, as for `serve`.
    let settings = folder.path().join("dataflow.toml");
    std::fs::write(&settings, format!("dataDir = {:?}\n", text(&data))).unwrap();
    let (code, _, stderr) = output(&["backup", "--config", &text(&settings), &text(&saved)]);
    assert_eq!(code, 0, "{stderr}");
    let other = folder.path().join("other.toml");
    std::fs::write(&other, format!("dataDir = {:?}\n", text(&folder.path().join("restored")))).unwrap();
    let (code, _, stderr) = output(&["restore", "--config", &text(&other), &text(&saved)]);
    assert!(code == 0 && folder.path().join("restored/node/journal.db").exists(), "{stderr}");
    std::fs::remove_file(&saved).unwrap();
    backup(&data, &saved);
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
    assert!(code == 1 && stderr.contains("already exists"), "{stderr}");
    let (code, _, stderr) = output(&["backup", "--replace", "--data-dir", &text(&data), &text(folder.path())]);
    assert!(code == 1 && stderr.contains("is a folder"), "{stderr}");
    let (code, _, stderr) = output(&["backup", "--replace", "--data-dir", &text(&data), &text(&saved)]);
    assert_eq!(code, 0, "{stderr}");

    // By a mere name, in the working folder, and beside what is left of another database.
    fs::write(folder.path().join("here.db-wal"), "of another one").unwrap();
    let here =
        program().command(&["backup", "--data-dir", &text(&data), "here.db"]).current_dir(folder.path()).output();
    let here = here.unwrap();
    assert!(here.status.success(), "{}", String::from_utf8_lossy(&here.stderr));
    assert!(!folder.path().join("here.db-wal").exists());
    let (code, _, stderr) = restore(&folder.path().join("here.db"), &folder.path().join("from-here"), &[]);
    assert_eq!(code, 0, "{stderr}");

    let own = data.join("node/journal.db");
    let (code, _, stderr) = output(&["backup", "--replace", "--data-dir", &text(&data), &text(&own)]);
    assert!(code == 1 && stderr.contains("is the journal itself"), "{stderr}");

    fs::write(folder.path().join("none"), "no backup, but long enough to be looked at by SQLite").unwrap();
    let (code, _, stderr) = restore(&folder.path().join("none"), &folder.path().join("other"), &[]);
    assert!(code == 1 && stderr.contains("none"), "{stderr}");
    assert!(!folder.path().join("other").exists());
}

/// What the journal held is not promised any more once its file, or its write-ahead log after a kill, is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_journal_lost_something_does_not_start() {
    for gone in [&["journal.db-wal"][..], &["journal.db", "journal.db-wal", "journal.db-shm"], &["journal.db"]] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (data, input, target) = (path("data"), path("in.jsonl"), path("out.jsonl"));
        append(&input, 0..100);
        let node = start(&data);
        node.create_and_start(&from_file(&input, json!({"type": "file", "path": target}))).await;
        delivered(&node, "numbers", 100).await;
        node.kill();
        for name in gone {
            fs::rename(data.join("node").join(name), path(name)).unwrap();
        }
        let (code, _, stderr) = output(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
        assert_eq!(code, 1, "{gone:?}: {stderr}");
        assert!(stderr.contains("not as it was left") && stderr.contains("journal.seen"), "{gone:?}: {stderr}");
        for name in gone {
            fs::rename(path(name), data.join("node").join(name)).unwrap();
        }
        let node = start(&data);
        append(&input, 100..200);
        delivered(&node, "numbers", 200).await;
        let lines = fs::read_to_string(&target).unwrap().lines().count();
        assert_eq!(lines, 200);
    }
}

/// What `dataflow run` keeps is backed up and restored like what a node keeps; a node's folder is not taken for it.
#[test]
fn a_run_is_backed_up_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, input, target, saved) = (path("data"), path("in.jsonl"), path("out.db"), path("backup.db"));
    append(&input, 0..100);
    let mut spec = from_file(&input, json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"}));
    spec["source"]["follow"] = json!(false);
    fs::write(path("spec.json"), spec.to_string()).unwrap();
    let run = || {
        let (code, _, stderr) = output(&["run", "--data-dir", &text(&data), &text(&path("spec.json"))]);
        assert_eq!(code, 0, "{stderr}");
    };
    run();
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
    assert!(code == 1 && stderr.contains("--run PIPELINE"), "{stderr}");
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), "--run", "../node", &text(&saved)]);
    assert_eq!(code, 2, "{stderr}");
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), "--run", "numbers", &text(&saved)]);
    assert_eq!(code, 0, "{stderr}");
    append(&input, 100..200);
    run();
    let (code, _, stderr) =
        output(&["restore", "--data-dir", &text(&data), "--run", "numbers", "--replace", &text(&saved)]);
    assert_eq!(code, 0, "{stderr}");
    append(&input, 200..300);
    run();
    assert_eq!(query(&target, "select count(*) from numbers"), 300);
    assert_eq!(query(&target, "select count(distinct id) from numbers"), 300);
}

/// A node whose journal is taken away says so once, however many pipelines wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_taken_away_is_one_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("node.log"));
    let node = program().log_to(&log).node(&data);
    for id in ["one", "two", "three", "four"] {
        let spec = json!({
            "pipelineId": id,
            "source": {"type": "generate", "rate": 500, "schema": {"id": {"type": "sequence"}}},
            "sink": {"type": "blackhole"},
            "checkpointInterval": "50ms",
        });
        node.create_and_start(&spec).await;
        delivered(&node, id, 10).await;
    }
    let before = fs::read_to_string(&log).unwrap().len();
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        fs::rename(data.join("node").join(name), folder.path().join(name)).unwrap();
    }
    let said = || fs::read_to_string(&log).unwrap()[before..].to_owned();
    let about = |said: &str| said.lines().filter(|line| line.contains("journal") || line.contains("append")).count();
    for _ in 0..600 {
        if about(&said()) > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Whatever is tried again is tried several times meanwhile.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let said = said();
    assert_eq!(about(&said), 1, "{said}");
    assert!(said.contains("was removed or replaced"), "{said}");
}

/// What can't be read or written is named, what to do about it, too, and nothing unfinished stays behind.
#[test]
fn a_backup_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, saved) = (path("data"), path("backup.db"));
    drop(start(&data));
    backup(&data, &saved);
    let damage = |sql: &str| {
        fs::copy(&saved, path("damaged.db")).unwrap();
        rusqlite::Connection::open(path("damaged.db")).unwrap().execute_batch(sql).unwrap();
    };
    let restores = |says: &str| {
        let (code, _, stderr) = restore(&path("damaged.db"), &path("other"), &[]);
        assert!(code == 1 && stderr.contains(says) && stderr.contains("fix: "), "{stderr}");
        let left: Vec<_> = fs::read_dir(path("other/node")).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    };
    damage("update head set epoch = epoch + 1 where shard = 7");
    restores("shard 7, head: the checksum differs");
    damage("drop index log_history; alter table log drop column number");
    restores("damaged.db was written by a build from before the first release");
    // A backup that was cut off.
    for share in 0..8 {
        let whole = fs::read(&saved).unwrap();
        fs::write(path("damaged.db"), &whole[..whole.len() * share / 8]).unwrap();
        restores("");
    }
    let (code, _, stderr) = output(&["backup", "--data-dir", &text(&data), &text(&path("none/backup.db"))]);
    assert!(code == 1 && stderr.contains("none/backup.db") && !stderr.contains("--data-dir"), "{stderr}");
}

/// What is damaged in the journal closes the shard that needs it: the node starts, says so, and runs all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_closes_its_shard_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let copy = |from: &str, to: &str| {
        drop(fs::remove_dir_all(path(to)));
        assert!(
            Command::new("cp")
                .args(["-r".as_ref(), path(from).as_os_str(), path(to).as_os_str()])
                .status()
                .unwrap()
                .success()
        );
    };
    let (data, input) = (path("now/data"), path("in.jsonl"));
    fs::create_dir(path("now")).unwrap();
    append(&input, 0..10);
    let node = start(&data);
    for id in ["whole", "damaged"] {
        let sink = json!({"type": "sqlite", "path": path("now").join(id), "table": "numbers", "mode": "append"});
        let mut spec = from_file(&input, sink);
        spec["pipelineId"] = json!(id);
        node.create_and_start(&spec).await;
        delivered(&node, id, 10).await;
    }
    node.kill();
    copy("now", "killed");
    let mut node = start(&data);
    node.signal("TERM");
    assert!(node.ended().success());
    copy("now", "ended");

    let shard = ShardId::of(&PipelineId::try_from("damaged").unwrap()).0;
    for (number, (journal, damage, says)) in (1..).zip([
        ("ended", "update snapshot set state = zeroblob(9)", "snapshot of \"damaged\""),
        ("ended", "delete from snapshot", "set of snapshots"),
        ("ended", "update head set epoch = epoch + 1", ", head"),
        ("ended", "update head set next_seq = 1", ", head"),
        ("ended", "update head set epoch = -1", ", head"),
        ("killed", "update log set kind = 1 - kind", "event 1 of \"damaged\""),
        ("killed", "delete from log", "are missing"),
    ]) {
        copy(journal, "now");
        let file = rusqlite::Connection::open(data.join("node/journal.db")).unwrap();
        assert_ne!(file.execute(&format!("{damage} where shard = {shard}"), []).unwrap(), 0, "{damage}");
        drop(file);
        let named = |said: &Value| {
            let said = said.as_str().unwrap_or_else(|| panic!("{damage}: {said}"));
            assert!(said.contains(&format!("shard {shard} is closed")) && said.contains(says), "{damage}: {said}");
        };

        let mut node = start(&data);
        let (status, ready) = node.request("GET", "/health/ready", None).await;
        assert_eq!(status, 503, "{damage}: {ready}");
        named(&ready["reason"]);
        let of_it = "/api/pipelines/damaged";
        for (method, path) in
            [("GET", of_it.to_owned()), ("POST", format!("{of_it}/start")), ("DELETE", of_it.to_owned())]
        {
            let (status, answer) = node.request(method, &path, None).await;
            assert_eq!((status, answer["code"].as_str()), (500, Some("journal-damaged")), "{damage}: {answer}");
            named(&answer["detail"]);
        }
        let list = node.get("/api/pipelines").await;
        let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["pipelineId"]).collect();
        assert_eq!(ids, ["whole"], "{damage}");
        named(&list["closed"][0]);

        append(&input, 10 * number..10 * (number + 1));
        let rows = 10 * (number + 1);
        delivered(&node, "whole", rows).await;
        node.signal("TERM");
        assert!(node.ended().success(), "{damage}");
        let counted = query(&path("now/whole"), "select count(*) * 1000 + count(distinct id) from numbers");
        assert_eq!(counted, i64::try_from(rows * 1_001).unwrap(), "{damage}");
    }
}

/// A copy on another machine fences the node that it was made of, whose pipelines end and say why.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_fenced_by_its_own_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (input, target, saved) = (path("in.jsonl"), path("out.db"), path("backup.db"));
    append(&input, 0..1_000);
    let mut old = start(&path("old"));
    let sink = json!({"type": "sqlite", "path": target, "table": "numbers", "mode": "append"});
    old.create_and_start(&from_file(&input, sink)).await;
    delivered(&old, "numbers", 500).await;
    backup(&path("old"), &saved);
    append(&input, 1_000..2_000);
    delivered(&old, "numbers", 2_000).await;
    let (code, _, stderr) = restore(&saved, &path("new"), &[]);
    assert_eq!(code, 0, "{stderr}");
    let mut new = start(&path("new"));
    delivered(&new, "numbers", 2_000).await;
    append(&input, 2_000..3_000);
    delivered(&new, "numbers", 3_000).await;
    let view = old.until("numbers", "failed", |view| view["status"] == "failed").await;
    assert_eq!(view["error"]["code"], "fenced", "{view:#}");
    assert!(view["error"]["retryAt"].is_null() && view["error"]["fix"].is_string(), "{view:#}");
    assert_eq!(query(&target, "select count(*) from numbers"), 3_000);
    assert_eq!(query(&target, "select count(distinct id) from numbers"), 3_000);
    // The way out: the copy is ended, and a backup of the node is restored onto the node.
    new.signal("TERM");
    assert!(new.ended().success());
    let again = path("again.db");
    old.signal("TERM");
    assert!(old.ended().success());
    backup(&path("old"), &again);
    let (code, _, stderr) = restore(&again, &path("old"), &["--replace"]);
    assert_eq!(code, 0, "{stderr}");
    append(&input, 3_000..4_000);
    let old = start(&path("old"));
    old.post("/api/pipelines/numbers/start?idempotent=true").await;
    delivered(&old, "numbers", 4_000).await;
    assert_eq!(query(&target, "select count(*) from numbers"), 4_000);
    assert_eq!(query(&target, "select count(distinct id) from numbers"), 4_000);
}
