//! Faults of the world around a node: servers that go down, networks that swallow and cut, full disks, a node that is
//! frozen. After each, the pipeline goes on by itself, and every record is there exactly once.
use crate::{
    program::{Node, assert_balanced, count, program, query, start},
    server::{Kafka, Postgres},
};
use dataflow_testkit::proxy::{Mode, Proxy};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Endless numbers, each hundredth of which is a dead letter.
fn spec(id: &str, sink: Value) -> Value {
    json!({
        "pipelineId": id,
        "source": {"type": "generate", "rate": 20_000.0, "schema": {"id": {"type": "sequence"}}},
        "transforms": [{"type": "map", "set": {"share": "1000 / (id % 100)"}}],
        "sink": sink,
        "batch": {"maxRecords": 200, "linger": "5ms"},
        "checkpointInterval": "200ms",
    })
}

/// Waits until some hundred more than now are delivered.
async fn further(node: &Node, id: &str) {
    let now = count(&node.get(&format!("/api/pipelines/{id}")).await, "recordsDelivered");
    let view = node.until(id, "further", |view| count(view, "recordsDelivered") > now + 500).await;
    assert_eq!(view["status"], "running", "{view:#}");
}

/// Waits until the failure that the pipeline tries again after is of this code.
async fn troubled(node: &Node, id: &str, codes: &[&str]) -> Value {
    let fits = |view: &Value| codes.iter().any(|code| view["error"]["code"] == *code);
    let view = node.until(id, &format!("in trouble for {codes:?}"), fits).await;
    assert_eq!(view["status"], "running", "{view:#}");
    view["error"].clone()
}

/// Waits until the node is ready, or is not because of its journal.
async fn ready(node: &Node, ready: bool) {
    for _ in 0..1_000 {
        let (status, said) = node.request("GET", "/health/ready", None).await;
        if (status == 200) == ready {
            assert!(ready || said["reason"].as_str().unwrap().contains("journal"), "{said}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("whether the node is ready never became {ready}");
}

/// A journal whose file is gone is written on, but nobody finds it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_journal_was_removed_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let node = program().log_to(&log).node(&data);
    ready(&node, true).await;
    for name in ["journal.db", "journal.db-wal"] {
        let (there, away) = (data.join("node").join(name), folder.path().join("away"));
        fs::rename(&there, &away).unwrap();
        ready(&node, false).await;
        let (_, said) = node.request("GET", "/health/ready", None).await;
        assert!(said["reason"].as_str().unwrap().contains(there.to_str().unwrap()), "{said}");
        fs::rename(&away, &there).unwrap();
        ready(&node, true).await;
    }
    let said = fs::read_to_string(log).unwrap();
    assert_eq!(said.matches("the journal can't be written, so the node is not ready").count(), 2, "{said}");
    assert_eq!(said.matches("the journal can be written again").count(), 2, "{said}");
}

/// What is not found again is not promised, and what the node had is not lost with its files.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_journal_was_removed_promises_nothing_and_saves_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let spec = |id: &str| json!({"pipelineId": id, "source": {"type": "http"}, "sink": {"type": "blackhole"}});
    let node = program().node_with(&data, &[], &[("DATAFLOW_SHUTDOWN_TIMEOUT", "3s")]);
    node.create_and_start(&spec("before")).await;
    let file = |name: &str| data.join("node").join(name);
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        fs::remove_file(file(name)).unwrap();
    }
    let late = spec("late");
    let created = node.try_request("POST", "/api/pipelines", Some(&late));
    let answer = tokio::time::timeout(Duration::from_secs(3), created).await;
    assert!(!matches!(answer, Ok(Ok((201, _)))), "{answer:?}");
    assert!(!node.terminate().success(), "what could not be kept is no success");

    fs::rename(file("journal.db.saved"), file("journal.db")).unwrap();
    let node = program().node(&data);
    let (status, _) = node.request("GET", "/api/pipelines/before", None).await;
    assert_eq!(status, 200);
}

/// Whoever removes a node's folder and starts another one there leaves the first without a journal: it answers, and says why
/// it can do nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_folder_another_one_has_taken_answers_why_it_can_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = program().node_with(&data, &[], &[("DATAFLOW_SHUTDOWN_TIMEOUT", "3s")]);
    let spec = |id: &str| json!({"pipelineId": id, "source": {"type": "http"}, "sink": {"type": "blackhole"}});
    node.create_and_start(&spec("before")).await;
    fs::remove_dir_all(data.join("node")).unwrap();
    let other = start(&data);
    let records = json!({"batchId": "b1", "records": [{"data": {"id": 1}}]});
    let late = spec("late");
    for (method, path, body) in [
        ("POST", "/api/pipelines", Some(&late)),
        ("POST", "/api/pipelines/before/stop", None),
        ("POST", "/api/pipelines/before/batches", Some(&records)),
        ("GET", "/api/pipelines/before/history", None),
        ("GET", "/api/pipelines/before", None),
        ("GET", "/api/pipelines/nowhere", None),
        ("DELETE", "/api/pipelines/before", None),
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(60), node.try_request(method, path, body)).await;
        let (status, said) = answer.unwrap_or_else(|_| panic!("{method} {path} hangs")).unwrap();
        if method == "GET" && status != 503 {
            assert!([200, 404].contains(&status), "{method} {path}: {status} {said}");
        } else {
            let why = said["detail"].as_str().unwrap_or_default();
            assert!(status == 503 && why.contains("was removed or replaced"), "{method} {path}: {status} {said}");
        }
    }
    ready(&node, false).await;
    other.create_and_start(&spec("after")).await;
    assert!(!node.terminate().success(), "what could not be kept is no success");
}

/// Stops it; how many records it has read. The ledger balances, and each dead letter is there exactly once.
async fn settle(node: &Node, id: &str) -> u64 {
    let (status, view) = node.post(&format!("/api/pipelines/{id}/stop")).await;
    assert_eq!((status, &view["status"]), (200, &json!("stopped")), "{view:#}");
    assert_balanced(&view);
    let read = count(&view, "recordsRead");
    let dead = read.div_ceil(100);
    assert_eq!((count(&view, "recordsDead"), count(&view, "recordsDelivered")), (dead, read - dead), "{view:#}");
    let (mut positions, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = node.get(&format!("/api/pipelines/{id}/dead-letters?limit=1000&after={after}")).await;
        let letters = page["items"].as_array().unwrap();
        positions.extend(letters.iter().map(|letter| letter["position"].as_str().unwrap().parse::<u64>().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert!(positions.iter().copied().eq((0..read).step_by(100)), "each dead letter once: {positions:?}");
    read
}

/// The ids are those of the records that were read and are no dead letters, each once.
fn assert_ids(ids: &[u64], read: u64) {
    let there: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(there.len(), ids.len(), "some came twice");
    let expected: BTreeSet<u64> = (0..read).filter(|id| id % 100 != 0).collect();
    let missing: Vec<_> = expected.difference(&there).take(5).collect();
    assert!(there == expected, "missing: {missing:?}; {} of {}", there.len(), expected.len());
}

async fn ids_in(postgres: &Postgres) -> Vec<u64> {
    let rows = postgres.client().await.query("select id::bigint from numbers", &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, i64>(0) as u64).collect()
}

fn ids_of(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_and_the_way_to_it_that_fail_in_every_way() {
    let Some(mut postgres) = Postgres::start().await else { return };
    let proxy = Proxy::start(postgres.address).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let sink = json!({
        "type": "postgres", "url": Postgres::url(proxy.address()), "table": "numbers", "mode": "append",
        "fenceTimeout": "1s",
    });
    let id = "faulty-postgres";
    node.create_and_start(&spec(id, sink)).await;
    further(&node, id).await;

    // Cut at whatever moment it is.
    for moment in 0..8 {
        tokio::time::sleep(Duration::from_millis(17 * moment % 50)).await;
        proxy.cut();
        further(&node, id).await;
    }
    // What was asked for is done, and its answer is lost: of a commit sooner or later.
    for moment in 0..8 {
        tokio::time::sleep(Duration::from_millis(13 * moment % 40)).await;
        proxy.set(Mode::LoseAnswer);
        further(&node, id).await;
    }
    // In the middle of a statement: part of it arrives, then the connection is gone, or nothing comes for a while.
    for bytes in [500, 2_000, 6_000, 9_000] {
        proxy.set(Mode::HoldAfter(bytes));
        while proxy.mode() != Mode::HoldAfter(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if bytes % 1_000 == 0 {
            proxy.cut();
        }
        proxy.set(Mode::Pass);
        further(&node, id).await;
    }
    proxy.set(Mode::Delay(Duration::from_millis(30)));
    further(&node, id).await;
    proxy.set(Mode::Pass);
    proxy.half_close();
    further(&node, id).await;

    // The server itself: ended with a word, and killed.
    for kill in [false, true] {
        if kill {
            postgres.kill()
        } else {
            postgres.stop()
        }
        let error = troubled(&node, id, &["unreachable", "unavailable"]).await;
        assert!(error["message"].as_str().unwrap().contains(&proxy.address().to_string()), "{error}");
        postgres.up().await;
        further(&node, id).await;
    }
    let read = settle(&node, id).await;
    assert_ids(&ids_in(&postgres).await, read);
}

/// It takes what is sent, keeps the connection, and says nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "waits for half a minute: make test-long"]
async fn a_postgres_that_says_nothing_any_more_is_shown() {
    let Some(postgres) = Postgres::start().await else { return };
    let proxy = Proxy::start(postgres.address).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let sink = json!({"type": "postgres", "url": Postgres::url(proxy.address()), "table": "numbers", "mode": "append"});
    let id = "silent-postgres";
    node.create_and_start(&spec(id, sink)).await;
    further(&node, id).await;
    proxy.set(Mode::Hold);
    let error = troubled(&node, id, &["no-answer"]).await;
    assert!(error["message"].as_str().unwrap().contains("a commit"), "{error}");
    // Longer than the time-outs of the network and of those who wait for a connection.
    tokio::time::sleep(Duration::from_secs(35)).await;
    troubled(&node, id, &["no-answer"]).await;
    proxy.set(Mode::Pass);
    further(&node, id).await;
    node.until(id, "out of trouble", |view| view["error"].is_null()).await;
    let read = settle(&node, id).await;
    assert_ids(&ids_in(&postgres).await, read);
}

/// Sends numbers until it is told to stop; how many there are. Whatever happens to the way, each is in the topic once.
fn produce(brokers: &str, stop: &AtomicBool) -> u64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "5");
    let sender: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let mut id: u64 = 0;
    while !stop.load(Ordering::SeqCst) || !id.is_multiple_of(100) {
        let payload = json!({ "id": id }).to_string();
        let mut record = BaseRecord::<str, str>::to("numbers").partition((id % 3) as i32).payload(&payload);
        while let Err((_, refused)) = sender.send(record) {
            std::thread::sleep(Duration::from_millis(5)); // its queue is full
            record = refused;
        }
        id += 1;
        if id.is_multiple_of(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    sender.flush(Duration::from_secs(120)).unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "restarts a Kafka: make test-long"]
async fn a_kafka_and_the_way_to_it_that_fail_in_every_way() {
    let Some(mut kafka) = Kafka::new() else { return };
    let proxy = Proxy::start(kafka.address).unwrap();
    kafka.start(proxy.address()).await;
    let brokers = proxy.address().to_string();
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let topic = NewTopic::new("numbers", 3, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (node, db) = (start(&folder.path().join("data")), folder.path().join("numbers.db"));
    let id = "faulty-kafka";
    let mut spec = spec(id, json!({"type": "sqlite", "path": db, "table": "numbers", "mode": "append"}));
    spec["source"] = json!({"type": "kafka", "brokers": brokers, "topic": "numbers"});
    node.create_and_start(&spec).await;
    let enough = Arc::new(AtomicBool::new(false));
    let producing = tokio::task::spawn_blocking({
        let enough = enough.clone();
        move || produce(&brokers, &enough)
    });
    further(&node, id).await;
    for moment in 0..6 {
        tokio::time::sleep(Duration::from_millis(17 * moment % 50)).await;
        proxy.cut();
        further(&node, id).await;
        proxy.set(Mode::LoseAnswer);
        further(&node, id).await;
    }
    proxy.set(Mode::Delay(Duration::from_millis(50)));
    further(&node, id).await;
    // Longer than the time-outs of requests (10 s here, 60 s at most in the library).
    proxy.set(Mode::Hold);
    tokio::time::sleep(Duration::from_secs(15)).await;
    proxy.set(Mode::Pass);
    further(&node, id).await;
    proxy.half_close();
    further(&node, id).await;
    for kill in [false, true] {
        kafka.end(kill);
        tokio::time::sleep(Duration::from_secs(3)).await;
        kafka.up().await;
        further(&node, id).await;
    }
    enough.store(true, Ordering::SeqCst);
    let sent = producing.await.unwrap();
    let fits = |view: &Value| count(view, "recordsRead") == sent && count(view, "recordsInFlight") == 0;
    let view = node.until(id, "through", fits).await;
    assert_balanced(&view);
    let (dead, delivered) = (sent / 100, sent - sent / 100);
    assert_eq!((count(&view, "recordsDead"), count(&view, "recordsDelivered")), (dead, delivered), "{view:#}");
    assert_eq!(query(&db, "SELECT count(*) FROM numbers"), i64::try_from(delivered).unwrap());
    assert_eq!(query(&db, "SELECT count(DISTINCT id) FROM numbers"), i64::try_from(delivered).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_frozen_for_a_while_goes_on() {
    let Some(postgres) = Postgres::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let numbers = folder.path().join("numbers.jsonl");
    let table =
        json!({"type": "postgres", "url": Postgres::url(postgres.address), "table": "numbers", "mode": "append"});
    node.create_and_start(&spec("frozen-table", table)).await;
    node.create_and_start(&spec("frozen-file", json!({"type": "file", "path": numbers}))).await;
    for _ in 0..3 {
        further(&node, "frozen-table").await;
        further(&node, "frozen-file").await;
        node.signal("STOP");
        while !node.is_frozen() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Meanwhile the server ends what it has of the node's, as it would after a time-out.
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'postgres'";
        postgres.client().await.batch_execute(end).await.unwrap();
        node.signal("CONT");
    }
    further(&node, "frozen-table").await;
    further(&node, "frozen-file").await;
    let read = settle(&node, "frozen-table").await;
    assert_ids(&ids_in(&postgres).await, read);
    let read = settle(&node, "frozen-file").await;
    assert_ids(&ids_of(&numbers), read);
}

/// A file system of so many MiB, that is gone with the value; none where mounting isn't permitted, as in many containers. Any
/// other failure to mount fails the test.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, mib: u32) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]).arg(&path).env("LC_ALL", "C");
        let mounted = mount.output().unwrap();
        if mounted.status.success() {
            return Some(Self(path));
        }
        let why = String::from_utf8_lossy(&mounted.stderr);
        let forbidden = ["permission denied", "not permitted", "superuser"].iter().any(|said| why.contains(said));
        assert!(forbidden, "mounting failed, and not for want of permission: {why}");
        // Past the capture of a test that passes, so that it is seen.
        let said = format!("SKIPPED: a full disk was not tested, because mounting isn't permitted here: {why}\n");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        None
    }

    /// Takes all the space that there is.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_sinks_and_journal() {
    let folder = tempfile::tempdir().unwrap();
    let Some(sinks) = Small::mount(folder.path().join("sinks"), 64) else { return };
    let Some(data) = Small::mount(folder.path().join("data"), 64) else { return };
    let node = start(&data.0);
    let (file, db) = (sinks.0.join("numbers.jsonl"), sinks.0.join("numbers.db"));
    node.create_and_start(&spec("full-file", json!({"type": "file", "path": file}))).await;
    let table = json!({"type": "sqlite", "path": db, "table": "numbers", "mode": "append"});
    node.create_and_start(&spec("full-db", table)).await;
    for round in 0..2 {
        further(&node, "full-file").await;
        further(&node, "full-db").await;
        sinks.fill();
        for (id, path) in [("full-file", &file), ("full-db", &db)] {
            let error = troubled(&node, id, &["disk-full", "io"]).await;
            assert!(error["message"].as_str().unwrap().contains(path.to_str().unwrap()), "{error}");
        }
        sinks.free();
        further(&node, "full-file").await;
        further(&node, "full-db").await;
        data.fill();
        // Nothing is durable any more: what runs waits, and says so; a command is not answered as if it were carried out.
        for id in ["full-file", "full-db"] {
            troubled(&node, id, &["journal-unavailable"]).await;
        }
        let late = spec(&format!("late-{round}"), json!({"type": "blackhole"}));
        let asked = tokio::time::timeout(Duration::from_secs(3), node.request("POST", "/api/pipelines", Some(&late)));
        assert!(asked.await.map_or(503, |(status, _)| status) >= 500, "it was carried out");
        ready(&node, false).await;
        data.free();
        ready(&node, true).await;
        further(&node, "full-file").await;
        further(&node, "full-db").await;
    }
    let read = settle(&node, "full-file").await;
    assert_ids(&ids_of(&file), read);
    let read = settle(&node, "full-db").await;
    let expected = i64::try_from(read - read.div_ceil(100)).unwrap();
    assert_eq!(query(&db, "SELECT count(*) FROM numbers"), expected);
    assert_eq!(query(&db, "SELECT count(DISTINCT id) FROM numbers"), expected);
    drop(node);
}

/// No file may grow any more, as on a full disk, wherever it is: journal, sinks, all of them at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_to_the_size_of_files_under_sinks_and_journal() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let (file, db) = (folder.path().join("numbers.jsonl"), folder.path().join("numbers.db"));
    node.create_and_start(&spec("limited-file", json!({"type": "file", "path": file}))).await;
    let table = json!({"type": "sqlite", "path": db, "table": "numbers", "mode": "append"});
    node.create_and_start(&spec("limited-db", table)).await;
    let limit = |bytes: &str| {
        let limit = format!("--fsize={bytes}:unlimited");
        let set = Command::new("prlimit").args(["--pid", &node.pid().to_string(), &limit]).status().unwrap();
        assert!(set.success());
    };
    for _ in 0..2 {
        further(&node, "limited-file").await;
        further(&node, "limited-db").await;
        limit("1");
        for (id, path) in [("limited-file", &file), ("limited-db", &db)] {
            let error = troubled(&node, id, &["disk-full", "io", "journal-unavailable"]).await;
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(path.to_str().unwrap()) || message.contains("journal.db"), "{error}");
        }
        limit("unlimited");
        further(&node, "limited-file").await;
        further(&node, "limited-db").await;
    }
    let read = settle(&node, "limited-file").await;
    assert_ids(&ids_of(&file), read);
    let read = settle(&node, "limited-db").await;
    let expected = i64::try_from(read - read.div_ceil(100)).unwrap();
    assert_eq!(query(&db, "SELECT count(*) FROM numbers"), expected);
    assert_eq!(query(&db, "SELECT count(DISTINCT id) FROM numbers"), expected);
    assert!(node.terminate().success());
}

/// As a log is rotated: by a new name, and by truncation behind a copy, with what wrote it going on all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_file_that_is_rotated_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let (log, db) = (folder.path().join("app.log"), folder.path().join("numbers.db"));
    fs::write(&log, "").unwrap();
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "rotated",
        // A pattern that rotated names match, too: a file that was rotated twice before it was looked at is seen, too.
        "source": {
            "type": "file", "path": folder.path().join("app.log*"), "follow": true, "pollInterval": "50ms", "format": "json",
        },
        "sink": {"type": "sqlite", "path": db, "table": "numbers", "mode": "append"},
        "checkpointInterval": "100ms",
    });
    node.create_and_start(&spec).await;
    let writing = tokio::task::spawn_blocking({
        let log = log.clone();
        move || {
            let mut id = 0;
            for turn in 0..6 {
                // Who writes goes on with the file it has open for a moment after it got another name.
                let mut file = fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
                for piece in 0..40 {
                    let text: String = (id..id + 100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
                    if piece == 35 && turn < 5 {
                        fs::rename(&log, log.with_extension(format!("log.{turn}"))).unwrap();
                    }
                    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
                    id += 100;
                    std::thread::sleep(Duration::from_millis(2));
                }
                // The next rotation comes when this one was seen, as in life.
                fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
                std::thread::sleep(Duration::from_millis(600));
            }
            id
        }
    });
    let written = writing.await.unwrap();
    let fits = |view: &Value| count(view, "recordsDelivered") >= written && count(view, "recordsInFlight") == 0;
    let view = node.until("rotated", "through", fits).await;
    assert_balanced(&view);
    assert_eq!((count(&view, "recordsRead"), count(&view, "recordsLost")), (written, 0));
    let written = i64::try_from(written).unwrap();
    assert_eq!(query(&db, "SELECT count(*) FROM numbers"), written);
    assert_eq!(query(&db, "SELECT count(DISTINCT id) FROM numbers"), written);
}
