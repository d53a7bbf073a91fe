//! A pipeline on a data folder that two nodes share, and the one of them that is frozen.
use crate::{
    objects,
    program::{Node, assert_balanced, count, program},
    server::Postgres,
    topic::{Topic, committed, remove},
};
use dataflow_testkit::{bucket::Bucket, search::Index};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the records come from.
pub(super) enum Feed {
    /// A file that grows.
    File,
    /// A topic, read by two lanes.
    Kafka(Topic),
}

/// Where they go.
#[derive(Clone, Copy)]
pub(super) enum Target {
    File,
    Sqlite,
    /// The server at this address.
    Postgres(SocketAddr),
    /// A topic that the sink creates.
    Kafka(&'static str),
    /// An index that the sink creates.
    Index(&'static Index),
    /// Each of these, by a sink of its own.
    Several(&'static [Target]),
    /// Objects of JSON lines.
    Bucket(&'static Bucket),
}

impl Target {
    /// All that are written to.
    fn all(&self) -> &[Target] {
        match self {
            Self::Several(targets) => targets,
            one => std::slice::from_ref(one),
        }
    }

    fn sink(self, folder: &Path) -> Value {
        match self {
            Self::File => json!({"type": "file", "path": folder.join("out.jsonl")}),
            Self::Sqlite => json!({
                "type": "sqlite", "path": folder.join("out.db"), "table": "rows", "mode": "append", "fenceTimeout": "1s",
            }),
            Self::Kafka(topic) => json!({
                "type": "kafka", "topic": topic, "tokensTopic": format!("{topic}-tokens"),
                "createTopic": {"partitions": 3, "replication": 1},
            }),
            Self::Index(index) => index.sink(),
            Self::Several(_) => unreachable!("its sinks have specs"),
            Self::Bucket(bucket) => {
                let roll = json!({"maxRecords": 40, "maxAge": "100ms"});
                objects::sink(bucket, folder, &json!({"path": "part={cast(id % 3 as text)}", "roll": roll}))
            }
            Self::Postgres(_) => json!({"type": "postgres", "table": "rows", "mode": "append", "fenceTimeout": "1s"}),
        }
    }
}

/// The pipeline, its records, and the folder of the nodes.
pub(super) struct House {
    folder: tempfile::TempDir,
    feed: Feed,
    target: Target,
    pub(super) written: u64,
    /// Each so manieth record becomes a dead letter.
    bad: u64,
    /// What makes each record longer.
    pad: String,
    batch: Value,
}

impl House {
    pub(super) fn new(feed: Feed, target: Target) -> Self {
        let house = Self {
            folder: tempfile::tempdir().unwrap(),
            feed,
            target,
            written: 0,
            bad: 100,
            pad: String::new(),
            batch: json!({"maxRecords": 50, "linger": "5ms"}),
        };
        fs::write(house.path("in.jsonl"), "").unwrap();
        house
    }

    /// The same with records of so many bytes in large batches, of which each third becomes a dead letter: journal and sink
    /// have to write a lot.
    pub(super) fn busy(self, bytes: usize) -> Self {
        Self { bad: 3, pad: "x".repeat(bytes), batch: json!({"maxRecords": 500, "linger": "50ms"}), ..self }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn spec(&self) -> Value {
        let (source, lanes) = match &self.feed {
            Feed::File => {
                (json!({"type": "file", "path": self.path("in.jsonl"), "follow": true, "pollInterval": "20ms"}), 1)
            }
            Feed::Kafka(topic) => (json!({"type": "kafka", "topic": topic.name}), 2),
        };
        let mut spec = json!({
            "pipelineId": "haunted",
            "source": source,
            "transforms": [
                {"type": "filter", "condition": "level > 0"},
                {"type": "map", "set": {"share": format!("1000 / (id % {})", self.bad)}, "remove": ["level"]},
            ],
            "lanes": lanes,
            "batch": self.batch,
            "checkpointInterval": "50ms",
        });
        let folder = self.folder.path();
        match self.target {
            Target::Several(targets) => {
                let named = |(number, target): (usize, &Target)| {
                    let mut sink = target.sink(folder);
                    sink["name"] = json!(format!("sink-{number}"));
                    sink
                };
                spec["sinks"] = targets.iter().enumerate().map(named).collect();
            }
            only => spec["sink"] = only.sink(folder),
        }
        spec
    }

    /// So many more records.
    pub(super) fn write(&mut self, records: u64) {
        let ids = self.written..self.written + records;
        self.written += records;
        let level = if ids.start == 0 { 1.into() } else { json!(1.5) }; // its type widens
        let line = |id| json!({"id": id, "pad": self.pad, "level": level}).to_string();
        match &self.feed {
            Feed::File => {
                let text: String = ids.map(|id| line(id) + "\n").collect();
                let mut file = OpenOptions::new().append(true).open(self.path("in.jsonl")).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
            Feed::Kafka(topic) => topic.send(ids, line),
        }
    }

    /// A node with this fault, if it is any.
    pub(super) fn node(&self, fault: &str) -> Node {
        self.node_through(fault, None)
    }

    /// The same, whose way to PostgreSQL is another address.
    pub(super) fn node_through(&self, fault: &str, proxy: Option<SocketAddr>) -> Node {
        start(&self.path("data"), &self.path("node.log"), fault, self.postgres(proxy))
    }

    fn postgres(&self, proxy: Option<SocketAddr>) -> Option<SocketAddr> {
        self.target.all().iter().find_map(|target| match target {
            Target::Postgres(address) => Some(proxy.unwrap_or(*address)),
            _ => None,
        })
    }

    pub(super) fn is_through(&self, view: &Value) -> bool {
        count(view, "recordsRead") == self.of_all(self.written) && count(view, "recordsInFlight") == 0
    }

    /// What several sinks count together.
    fn of_all(&self, count: u64) -> u64 {
        count * self.target.all().len() as u64
    }

    pub(super) async fn through(&self, node: &Node) -> Value {
        let view = node.until("haunted", "through", |view| self.is_through(view)).await;
        assert_balanced(&view);
        view
    }

    /// Has another node take over from a frozen one, which wakes, or is killed, if it holds what the other one needs, and
    /// wakes at the end otherwise. Nothing that it still does lands anywhere. What was waited for is told, too.
    pub(super) async fn take_over(&mut self, first: Node, wake: bool) -> (Node, BTreeSet<&'static str>) {
        let (mut frozen, mut woken, mut waited) = (Some(first), None, BTreeSet::new());
        let let_go = |frozen: &mut Option<Node>, woken: &mut Option<Node>| {
            let Some(first) = frozen.take() else { return };
            if wake {
                first.signal("CONT");
                *woken = Some(first);
            } else {
                first.kill();
            }
        };
        let (data, log, postgres) = (self.path("data"), self.path("second.log"), self.postgres(None));
        let starting = tokio::task::spawn_blocking({
            let log = log.clone();
            move || start(&data, &log, "", postgres)
        });
        let begun = Instant::now();
        while !starting.is_finished() {
            assert!(begun.elapsed() < PATIENCE, "{}", fs::read_to_string(&log).unwrap());
            let text = fs::read_to_string(&log).unwrap_or_default();
            if let (Some(first), Some(line)) =
                (&frozen, text.lines().find(|line| line.contains("journal.db is locked by")))
            {
                assert!(line.contains(&format!("process {} ", first.pid())), "{line}");
                waited.insert("journal.db");
                let_go(&mut frozen, &mut woken);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let second = starting.await.unwrap();
        self.write(100); // so that it has something to do even where the first one was through
        let begun = Instant::now();
        loop {
            let view = second.get("/api/pipelines/haunted").await;
            if self.is_through(&view) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{view:#}");
            assert_eq!(view["status"], "running", "{view:#}");
            // A lock of the frozen one can't be broken: who has it is told, and it is waited for.
            if view["error"]["code"] == "locked"
                && let Some(first) = &frozen
            {
                let message = view["error"]["message"].as_str().unwrap();
                assert!(
                    message.contains(&format!("process {} ", first.pid())) && message.contains("out."),
                    "{message}"
                );
                waited.insert(if message.contains("out.db") { "out.db" } else { "out.jsonl" });
                let_go(&mut frozen, &mut woken);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.write(100);
        self.through(&second).await;
        if let Some(first) = frozen {
            first.signal("CONT");
            woken = Some(first);
        }
        if let Some(first) = woken {
            gives_up(&first).await;
            self.write(100);
            self.through(&second).await;
            // It neither comes back nor holds anything.
            gives_up(&first).await;
        }
        (second, waited)
    }

    /// Every record is where it belongs, exactly once.
    pub(super) async fn assert_exact(&self, node: &Node) {
        let view = self.through(node).await;
        let dead = self.written.div_ceil(self.bad);
        assert_eq!(count(&view, "recordsDead"), self.of_all(dead), "{view:#}");
        let (status, stopped) = node.post("/api/pipelines/haunted/stop").await;
        assert_eq!((status, &stopped["status"]), (200, &json!("stopped")), "{stopped:#}");
        for target in self.target.all() {
            let there = self.ids(*target).await;
            let distinct: BTreeSet<u64> = there.iter().copied().collect();
            let expected: BTreeSet<u64> = (0..self.written).filter(|id| id % self.bad != 0).collect();
            assert_eq!(there.len(), distinct.len(), "some came twice");
            assert!(distinct == expected, "{} of {}", distinct.len(), expected.len());
        }
        let (mut letters, mut after) = (BTreeSet::new(), "0".to_owned());
        loop {
            let page = node.get(&format!("/api/pipelines/haunted/dead-letters?limit=100&after={after}")).await;
            for letter in page["items"].as_array().unwrap() {
                let place = ["sink", "partition", "position"].map(|name| letter[name].to_string());
                assert!(letters.insert(place), "twice: {letter}");
            }
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(letters.len() as u64, self.of_all(dead));
    }

    async fn ids(&self, target: Target) -> Vec<u64> {
        match target {
            Target::Several(_) => unreachable!("its sinks are asked"),
            Target::File => {
                let text = fs::read_to_string(self.path("out.jsonl")).unwrap();
                text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
            }
            Target::Sqlite => {
                let db = rusqlite::Connection::open(self.path("out.db")).unwrap();
                let mut rows = db.prepare("SELECT id FROM rows").unwrap();
                let rows = rows.query_map([], |row| row.get::<_, i64>(0)).unwrap();
                rows.map(|id| id.unwrap() as u64).collect()
            }
            Target::Kafka(topic) => {
                let id = |value: String| serde_json::from_str::<Value>(&value).unwrap()["id"].as_u64().unwrap();
                committed(topic).into_iter().map(id).collect()
            }
            Target::Index(index) => {
                let id = |value: String| serde_json::from_str::<Value>(&value).unwrap()["id"].as_u64().unwrap();
                index.documents().await.into_iter().map(id).collect()
            }
            Target::Bucket(bucket) => {
                let objects = bucket.objects().await;
                let lines = objects.values().flat_map(|bytes| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
                let id = |line: Vec<u8>| serde_json::from_slice::<Value>(&line).unwrap()["id"].as_u64().unwrap();
                lines.filter(|line| !line.is_empty()).map(id).collect()
            }
            Target::Postgres(address) => {
                let rows = Postgres::client_at(address).await.query("select id::bigint from rows", &[]).await.unwrap();
                rows.iter().map(|row| row.get::<_, i64>(0) as u64).collect()
            }
        }
    }

    /// Removes what it has on servers that others use, too.
    pub(super) async fn leave(self) {
        if let Feed::Kafka(topic) = self.feed {
            topic.remove().await;
        }
        for target in self.target.all() {
            match target {
                Target::Kafka(topic) => remove(&[topic, &format!("{topic}-tokens")]).await,
                Target::Index(index) => index.remove().await,
                Target::Bucket(bucket) => bucket.remove().await,
                _ => {}
            }
        }
    }
}

fn start(data: &Path, log: &Path, fault: &str, postgres: Option<SocketAddr>) -> Node {
    let fault = if fault.is_empty() { "no-folder-lock".to_owned() } else { format!("no-folder-lock,{fault}") };
    let kafka = json!({"brokers": crate::topic::BROKERS}).to_string();
    let postgres = postgres.map(|address| json!({"url": Postgres::url(address)}).to_string());
    let secrets = objects::secrets(data);
    let mut variables = vec![
        ("DATAFLOW_FAULT", &*fault),
        ("DATAFLOW_CONNECTION_KAFKA_DEFAULT", &kafka),
        ("DATAFLOW_SECRETS_FILES", &secrets),
    ];
    variables.extend(postgres.as_ref().map(|postgres| ("DATAFLOW_CONNECTION_POSTGRES_DEFAULT", &**postgres)));
    program().log_to(log).node_with(data, &[], &variables)
}

/// Waits until a node is frozen; false if it does not come to that for so long.
pub(super) async fn freezes(node: &Node, within: Duration) -> bool {
    let begun = Instant::now();
    while !node.is_frozen() {
        if begun.elapsed() > within {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Freezes a node at a moment when it has this database locked, or has not; `meanwhile` gives it something to do.
pub(super) async fn freeze(node: &Node, database: &Path, locked: bool, meanwhile: impl FnMut()) {
    freeze_where(node, &[(database, locked)], meanwhile).await;
}

/// The same with several databases at once.
pub(super) async fn freeze_where(node: &Node, databases: &[(&Path, bool)], mut meanwhile: impl FnMut()) {
    let lookers = databases.iter().map(|(database, locked)| {
        let looker = rusqlite::Connection::open(database).unwrap();
        looker.busy_timeout(Duration::ZERO).unwrap();
        (looker, *locked)
    });
    let lookers: Vec<_> = lookers.collect();
    let is_locked = |looker: &rusqlite::Connection| {
        let looked = looker.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        let busy = |error: &rusqlite::Error| error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
        assert!(looked.as_ref().err().is_none_or(busy), "{looked:?}");
        looked.is_err()
    };
    let begun = Instant::now();
    for moment in 0.. {
        assert!(begun.elapsed() < PATIENCE, "{moment} times it was the other way with {databases:?}");
        meanwhile();
        tokio::time::sleep(Duration::from_millis(moment * 7 % 40)).await;
        node.signal("STOP");
        assert!(freezes(node, PATIENCE).await);
        if lookers.iter().all(|(looker, locked)| is_locked(looker) == *locked) {
            return;
        }
        node.signal("CONT");
    }
}

/// Waits until a node says that its shards are another's.
pub(super) async fn gives_up(node: &Node) {
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
