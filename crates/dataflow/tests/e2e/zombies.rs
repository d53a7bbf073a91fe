//! Zombies: a node that was frozen, given up and replaced, and wakes. Two nodes share one journal (only a build with fault
//! points lets them); the first is frozen at a named point, the second takes over and goes on, the first wakes: nothing that
//! it still does lands anywhere, and it lets go of all it holds.
use crate::{
    program::{Node, assert_balanced, count, program},
    server::Postgres,
};
use dataflow_testkit::proxy::{Mode, Proxy};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Longest wait for a point to be passed; who does not pass it by then never does.
const PASSES: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// What each sink keeps, as ids.
type Ids<'a> = &'a (dyn Fn(&Path) -> Vec<u64> + Sync);

/// A pipeline from a file that grows to a sink, on a data folder that two nodes share.
struct Haunted {
    folder: tempfile::TempDir,
    written: u64,
}

impl Haunted {
    fn new() -> Self {
        let haunted = Self { folder: tempfile::tempdir().unwrap(), written: 0 };
        fs::write(haunted.path("in.jsonl"), "").unwrap();
        haunted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, sink: &Value) -> Value {
        json!({
            "pipelineId": "haunted",
            "source": {"type": "file", "path": self.path("in.jsonl"), "follow": true, "pollInterval": "20ms"},
            "transforms": [{"type": "map", "set": {"share": "1000 / (id % 100)"}}],
            "sink": sink,
            "batch": {"maxRecords": 50, "linger": "5ms"},
            "checkpointInterval": "50ms",
        })
    }

    /// So many more records; each hundredth becomes a dead letter.
    fn write(&mut self, records: u64) {
        let ids = self.written..self.written + records;
        let text: String = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
        let mut file = OpenOptions::new().append(true).open(self.path("in.jsonl")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.written += records;
    }

    fn node(&self, fault: &str) -> Node {
        self.try_node(fault).expect("it says why it does not start")
    }

    fn try_node(&self, fault: &str) -> Option<Node> {
        let fault = if fault.is_empty() { "no-folder-lock".to_owned() } else { format!("no-folder-lock,{fault}") };
        program().try_node(&self.path("data"), &[], &[("DATAFLOW_FAULT", &fault)]).ok()
    }

    fn is_through(&self, view: &Value) -> bool {
        count(view, "recordsRead") == self.written && count(view, "recordsInFlight") == 0
    }

    async fn through(&self, node: &Node) -> Value {
        let view = node.until("haunted", "through", |view| self.is_through(view)).await;
        assert_balanced(&view);
        view
    }

    /// Every record is where it belongs, exactly once.
    async fn assert_exact(&self, node: &Node, ids: Ids<'_>) {
        let view = self.through(node).await;
        let dead = self.written.div_ceil(100);
        assert_eq!(count(&view, "recordsDead"), dead, "{view:#}");
        let (status, stopped) = node.post("/api/pipelines/haunted/stop").await;
        assert_eq!((status, &stopped["status"]), (200, &json!("stopped")), "{stopped:#}");
        let there = ids(self.folder.path());
        let distinct: BTreeSet<u64> = there.iter().copied().collect();
        let expected: BTreeSet<u64> = (0..self.written).filter(|id| id % 100 != 0).collect();
        assert_eq!(there.len(), distinct.len(), "some came twice");
        assert!(distinct == expected, "{} of {}", distinct.len(), expected.len());
        let letters = node.get("/api/pipelines/haunted/dead-letters?limit=1000").await;
        assert_eq!(letters["items"].as_array().unwrap().len() as u64, dead, "{letters}");
    }
}

/// Waits until a node is frozen; false if it never comes to that.
async fn freezes(node: &Node) -> bool {
    let begun = Instant::now();
    while !node.is_frozen() {
        if begun.elapsed() > PASSES {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// Waits until a node says that its shards are another's.
async fn gives_up(node: &Node) {
    let begun = Instant::now();
    loop {
        let ready = node.request("GET", "/health/ready", None).await.0;
        let pipeline = node.request("GET", "/api/pipelines/haunted", None).await;
        if ready == 503 && pipeline.0 == 503 {
            assert!(pipeline.1.to_string().contains("another node"), "{}", pipeline.1);
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it goes on as if it were alone: {ready}, {pipeline:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Freezes a node at a point, has another take over, wakes the first; false if the point is not passed by this pair.
async fn haunt(point: &str, sink: impl Fn(&Path) -> Value, ids: Ids<'_>, wake: bool) -> bool {
    for _ in 0..10 {
        if let Some(passed) = try_haunt(point, &sink, ids, wake).await {
            return passed;
        }
    }
    panic!("{point}: each time another thread of the node was in the middle of a transaction of the journal");
}

/// None: the node was frozen while another of its threads had the journal locked, which no other can take over then.
async fn try_haunt(point: &str, sink: impl Fn(&Path) -> Value, ids: Ids<'_>, wake: bool) -> Option<bool> {
    let mut house = Haunted::new();
    let first = house.node("");
    first.create_and_start(&house.spec(&sink(house.folder.path()))).await;
    house.write(300);
    house.through(&first).await;
    assert!(first.terminate().success());

    house.write(600);
    let first = house.node(&format!("{point}=stop"));
    if !freezes(&first).await {
        house.assert_exact(&first, ids).await;
        return Some(false);
    }
    let second = house.try_node("")?;
    house.write(100); // so that it has something to do even where the first one was through
    let mut first = Some(first);
    let begun = Instant::now();
    loop {
        let view = second.get("/api/pipelines/haunted").await;
        if house.is_through(&view) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{point}: {view:#}");
        assert_eq!(view["status"], "running", "{point}: {view:#}");
        // A lock of the frozen one can't be broken: who has it is told, and it is waited for.
        if view["error"]["code"] == "locked"
            && let Some(frozen) = &first
        {
            let (message, pid) = (view["error"]["message"].as_str().unwrap(), frozen.pid());
            assert!(message.contains(&format!("process {pid}")) && message.contains("out."), "{point}: {message}");
            if wake {
                frozen.signal("CONT");
            } else {
                first.take().unwrap().kill();
            }
            // It goes on within the longest back-off.
            house.through(&second).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.write(100);
    house.through(&second).await;
    if let Some(first) = first {
        first.signal("CONT");
        gives_up(&first).await;
        house.write(100);
        house.through(&second).await;
        // It neither comes back nor holds anything.
        gives_up(&first).await;
    }
    house.assert_exact(&second, ids).await;
    Some(true)
}

fn file(folder: &Path) -> Value {
    json!({"type": "file", "path": folder.join("out.jsonl")})
}

fn ids_of_file(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
}

fn sqlite(folder: &Path) -> Value {
    json!({"type": "sqlite", "path": folder.join("out.db"), "table": "rows", "mode": "append", "fenceTimeout": "1s"})
}

fn ids_of_sqlite(folder: &Path) -> Vec<u64> {
    let db = rusqlite::Connection::open(folder.join("out.db")).unwrap();
    let mut rows = db.prepare("SELECT id FROM rows").unwrap();
    let rows = rows.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|id| id.unwrap() as u64).collect()
}

/// All points that a pair may pass after its node has begun to serve.
const POINTS: [&str; 20] = [
    "before:source-open",
    "after:source-open",
    "before:sink-open",
    "after:sink-open",
    "before:prepare@2",
    "after:prepare@2",
    "before:sink-commit@2",
    "after:sink-commit@2",
    "before:seal",
    "after:seal",
    "before:journal-append@2",
    "after:journal-append@2",
    "before:checkpoint",
    "after:checkpoint",
    "before:publish",
    "after:publish",
    "before:snapshot",
    "after:snapshot",
    "before:collect",
    "after:collect",
];

async fn haunt_all(sink: impl Fn(&Path) -> Value, ids: Ids<'_>) {
    let mut passed = 0;
    for point in POINTS {
        for wake in [true, false] {
            let frozen = haunt(point, &sink, ids, wake).await;
            println!("{point}: {}", if frozen { "exact" } else { "not passed" });
            passed += u32::from(frozen);
        }
    }
    assert!(passed >= 20, "only {passed} points were passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_file() {
    for (point, wake) in [("before:sink-commit@2", true), ("after:checkpoint", true), ("after:sink-commit@2", false)] {
        assert!(haunt(point, file, &ids_of_file, wake).await, "{point} is passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_sqlite_file() {
    for point in ["before:sink-commit@2", "before:prepare@2", "after:checkpoint"] {
        assert!(haunt(point, sqlite, &ids_of_sqlite, true).await, "{point} is passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: --ignored"]
async fn a_zombie_with_a_file_at_every_point() {
    haunt_all(file, &ids_of_file).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: --ignored"]
async fn a_zombie_with_a_sqlite_file_at_every_point() {
    haunt_all(sqlite, &ids_of_sqlite).await;
}

/// The first node's way to the database is a proxy, which lets part of a statement through. The node is frozen, so that
/// its session holds the lane's lock in the middle of it, for as long as nobody breaks it.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_in_the_middle_of_a_statement() {
    let Some(postgres) = Postgres::start().await else { return };
    let proxy = Proxy::start(postgres.address).unwrap();
    let mut house = Haunted::new();
    let table = json!({"type": "postgres", "table": "rows", "mode": "append", "fenceTimeout": "1s"});
    let node = |house: &Haunted, address| {
        let connection = json!({"url": Postgres::url(address)}).to_string();
        let variables = [("DATAFLOW_FAULT", "no-folder-lock"), ("DATAFLOW_CONNECTION_POSTGRES_DEFAULT", &*connection)];
        program().node_with(&house.path("data"), &[], &variables)
    };
    let mut first = node(&house, proxy.address());
    first.create_and_start(&house.spec(&table)).await;
    house.write(300);
    house.through(&first).await;
    let client = postgres.client().await;
    let mut caught = BTreeSet::new();
    for bytes in (400..).step_by(1_700).take(5) {
        proxy.set(Mode::HoldAfter(bytes));
        house.write(1_000);
        let begun = Instant::now();
        while proxy.mode() != Mode::HoldAfter(0) {
            assert!(begun.elapsed() < PATIENCE, "nothing was sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What has gone through has arrived.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = "select split_part(query, ' ', 1) || ' ' || state from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid()";
        caught.extend(client.query(held, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
        first.signal("STOP");
        let second = node(&house, postgres.address);
        house.through(&second).await;
        // What was held back arrives after all, and the one that sent it wakes.
        proxy.set(Mode::Pass);
        first.signal("CONT");
        gives_up(&first).await;
        house.write(100);
        house.through(&second).await;
        assert!(second.terminate().success());
        drop(first);
        first = node(&house, proxy.address());
        house.through(&first).await;
    }
    println!("caught in: {caught:?}");
    assert!(caught.iter().any(|state| state.to_lowercase().starts_with("copy")), "{caught:?}");
    let ids = client.query("select id::bigint from rows", &[]).await.unwrap();
    let ids: Vec<u64> = ids.iter().map(|row| row.get::<_, i64>(0) as u64).collect();
    house.assert_exact(&first, &|_| ids.clone()).await;
}

/// A lock on a database file, too, is waited for: SQLite has nobody who could break it.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_is_waited_for_and_its_holder_named() {
    let mut house = Haunted::new();
    let node = house.node("");
    node.create_and_start(&house.spec(&sqlite(house.folder.path()))).await;
    house.write(100);
    house.through(&node).await;
    let holder = rusqlite::Connection::open(house.path("out.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    house.write(100);
    let view = node.until("haunted", "locked out", |view| view["error"]["code"] == "locked").await;
    let message = view["error"]["message"].as_str().unwrap();
    let holder_pid = format!("process {}", std::process::id());
    assert!(message.contains("out.db") && message.contains(&holder_pid), "{message}");
    holder.execute_batch("ROLLBACK").unwrap();
    house.assert_exact(&node, &ids_of_sqlite).await;
}
