//! Several sinks of one pipeline, from one topic to a table, a topic and a file: each is exact for itself, whatever becomes of
//! the others and of the node. Witnesses are plain clients.
use crate::{
    program::{Node, dataflow, output, program},
    topic::{self, BROKERS, Topic},
};
use dataflow_testkit::{
    proxy::{Mode, Proxy},
    servers,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const POSTGRES: &str = "127.0.0.1:5432";

/// A pipeline with its servers and files.
struct Case {
    name: String,
    folder: TempDir,
    source: Topic,
    postgres: Proxy,
    client: Client,
    sent: u64,
}

/// Every fiftieth can't be processed.
fn is_dead(id: u64) -> bool {
    id % 50 == 7
}

fn line(id: u64) -> String {
    match is_dead(id) {
        true => format!("{{\"id\":{id},\"amount\":\"x\"}}"),
        false => format!("{{\"id\":{id},\"amount\":{}}}", id % 100),
    }
}

impl Case {
    async fn new(name: &str) -> Self {
        let name = format!("branches_{name}_{}", std::process::id());
        let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
        let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
        tokio::spawn(connection);
        client.batch_execute(&format!("drop schema if exists {name} cascade; create schema {name}")).await.unwrap();
        client.batch_execute(&format!("create table {name}.orders (id bigint, amount bigint)")).await.unwrap();
        let postgres = Proxy::start(POSTGRES.parse().unwrap()).unwrap();
        let (source, folder) = (Topic::new(&name, 2).await, tempfile::tempdir().unwrap());
        let url = format!(
            "postgres://dataflow:${{env:E2E_PASSWORD}}@{}/dataflow?options=-csearch_path%3D{name}",
            postgres.address()
        );
        fs::write(folder.path().join("dataflow.toml"), format!("[connections.postgres.default]\nurl = \"{url}\"\n"))
            .unwrap();
        Self { name, folder, source, postgres, client, sent: 0 }
    }

    fn large(&self) -> String {
        format!("{}-large", self.source.name)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("all.jsonl")
    }

    fn spec(&self) -> Value {
        json!({
            "pipelineId": "orders",
            "source": {"type": "kafka", "brokers": BROKERS, "topic": self.source.name},
            "transforms": [{"type": "filter", "condition": "amount >= 0"}],
            "sinks": [
                {"name": "table", "type": "postgres", "table": "orders", "mode": "append"},
                {
                    "name": "large", "when": "amount >= 50", "type": "kafka", "brokers": BROKERS, "topic": self.large(),
                    "tokensTopic": format!("{}-tokens", self.large()),
                    "createTopic": {"partitions": 2, "replication": 1},
                },
                {"name": "archive", "type": "file", "path": self.file()},
            ],
            "checkpointInterval": "100ms", "batch": {"linger": "5ms", "maxRecords": 100},
            "restart": {"initial": "100ms", "max": "500ms"},
        })
    }

    fn config(&self) -> String {
        self.folder.path().join("dataflow.toml").to_str().unwrap().to_owned()
    }

    fn try_node(&self, variables: &[(&str, &str)]) -> Option<Node> {
        let (config, password) = (self.config(), [("E2E_PASSWORD", "dataflow")]);
        let variables: Vec<_> = password.iter().chain(variables).copied().collect();
        program().try_node(&self.folder.path().join("data"), &["--config", &config], &variables).ok()
    }

    fn node(&self) -> Node {
        self.try_node(&[]).unwrap()
    }

    fn send(&mut self, records: u64) {
        self.source.send(self.sent..self.sent + records, line);
        self.sent += records;
    }

    fn expected(&self) -> Vec<u64> {
        (0..self.sent).filter(|id| !is_dead(*id)).collect()
    }

    /// The ids in the table, the topic and the file, each as often as it is there.
    async fn written(&self) -> [Vec<u64>; 3] {
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap();
        let table = self.client.query(&format!("select id from {}.orders", self.name), &[]).await.unwrap();
        let table = table.iter().map(|row| row.get::<_, i64>(0).unsigned_abs()).collect();
        let topic = topic::committed(&self.large()).iter().map(|line| id(line)).collect();
        let file = fs::read_to_string(self.file()).unwrap().lines().map(id).collect();
        let mut all: [Vec<u64>; 3] = [table, topic, file];
        all.iter_mut().for_each(|ids| ids.sort_unstable());
        all
    }

    async fn assert_exact(&self) {
        let (all, large) = (self.expected(), self.expected().into_iter().filter(|id| id % 100 >= 50).collect());
        for (name, (found, expected)) in ["table", "large", "archive"]
            .into_iter()
            .zip(self.written().await.into_iter().zip([all.clone(), large, all]))
        {
            let (there, wanted) = (BTreeSet::from_iter(&found), BTreeSet::from_iter(&expected));
            let lost: Vec<_> = wanted.difference(&there).collect();
            let doubled = found.len() - there.len();
            assert!(lost.is_empty() && doubled == 0, "{name}: lost {lost:?}, {doubled} doubled");
            assert_eq!(found, expected, "{name}");
        }
    }

    async fn remove(self) {
        self.client.batch_execute(&format!("drop schema {} cascade", self.name)).await.unwrap();
        let (large, tokens) = (self.large(), format!("{}-tokens", self.large()));
        topic::remove(&[&large, &tokens]).await;
        self.source.remove().await;
    }
}

fn sink<'a>(view: &'a Value, name: &str) -> &'a Value {
    let sinks = view["sinks"].as_array().unwrap();
    sinks.iter().find(|sink| sink["name"] == name).unwrap_or_else(|| panic!("no {name} in {view:#}"))
}

fn read(view: &Value, name: &str) -> u64 {
    let metrics = &sink(view, name)["metrics"];
    let count = |name: &str| metrics[name].as_u64().unwrap();
    let fates =
        ["recordsFiltered", "recordsDelivered", "recordsAbsorbed", "recordsDead", "recordsLost", "recordsInFlight"];
    assert_eq!(count("recordsRead"), fates.into_iter().map(count).sum::<u64>(), "{name}: {view:#}");
    count("recordsRead") - count("recordsInFlight")
}

/// Waits until these sinks are through with so many records.
async fn until_read(node: &Node, sinks: &[&str], records: u64) -> Value {
    let all = |view: &Value| sinks.iter().all(|name| read(view, name) == records);
    node.until("orders", &format!("{sinks:?} at {records} records"), all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_holds_up_no_other() {
    if !servers::are_up() {
        return;
    }
    let mut case = Case::new("away").await;
    let node = case.node();
    node.create_and_start(&case.spec()).await;
    case.send(500);
    until_read(&node, &["table", "large", "archive"], 500).await;
    case.postgres.set(Mode::Hold);
    for _ in 0..10 {
        case.send(200);
        let view = until_read(&node, &["large", "archive"], case.sent).await;
        assert_eq!(sink(&view, "large")["status"], "running", "{view:#}");
        assert_eq!(sink(&view, "archive")["error"], Value::Null, "{view:#}");
    }
    let view = node.get("/api/pipelines/orders").await;
    assert!(read(&view, "table") < case.sent, "{view:#}");
    // A node that dies meanwhile changes nothing of that.
    node.kill();
    let node = case.node();
    case.send(200);
    until_read(&node, &["large", "archive"], case.sent).await;
    case.postgres.set(Mode::Pass);
    case.postgres.cut();
    until_read(&node, &["table", "large", "archive"], case.sent).await;

    let (status, problem) = node.request("GET", "/api/pipelines/orders/recovery", None).await;
    assert!(status == 422 || status == 400, "{status} {problem}");
    let metrics = node.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("{pipeline=\"orders\",sink=\"large\"}"), "{metrics}");
    let (code, list, said) = output(&["pipeline", "list", "--server", &node.url]);
    assert!(code == 0 && list.contains("postgres, kafka, file"), "{list}{said}");
    let (status, stopped) = node.post("/api/pipelines/orders/stop").await;
    assert_eq!((status, &stopped["status"]), (200, &json!("stopped")), "{stopped:#}");
    // What each has to say is asked by its name.
    let dead = (0..case.sent).filter(|id| is_dead(*id)).count();
    for name in ["table", "large", "archive"] {
        let letters = node.get(&format!("/api/pipelines/orders/dead-letters?limit=1000&sink={name}")).await;
        assert_eq!(letters["items"].as_array().unwrap().len(), dead, "{name}");
    }
    case.assert_exact().await;

    let config = case.config();
    let verify = |more: &[&str]| {
        let mut verify = dataflow(&["verify", "orders", "--server", &node.url, "--config", &config]);
        verify.args(more).env("E2E_PASSWORD", "dataflow").env("DATAFLOW_PATHS_ALLOW", "/");
        let verified = tokio::task::block_in_place(|| verify.output()).unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
        (verified.status.success(), said)
    };
    for name in ["table", "large", "archive"] {
        let (proven, said) = verify(&["--sink", name]);
        assert!(proven && said.contains(&format!("orders, sink {name}")), "{said}");
    }
    let (proven, said) = verify(&[]);
    assert!(
        proven && ["table", "large", "archive"].iter().all(|name| said.contains(&format!("orders, sink {name}"))),
        "{said}"
    );
    for command in [
        "verify orders --sink tabel",
        "checkpoint set orders --to end --sink tabel",
        "dead-letters causes orders --sink tabel",
    ] {
        let args: Vec<&str> = command.split(' ').chain(["--server", &node.url]).collect();
        let (code, _, said) = output(&args);
        assert!(code == 2 && said.contains("no sink \"tabel\""), "{command}: {code} {said}");
    }
    drop(node);
    case.remove().await;
}

/// The node dies before and after each operation, of whichever branch that is.
#[cfg(feature = "fault-points")]
#[tokio::test(flavor = "multi_thread")]
async fn each_is_exact_wherever_the_node_dies() {
    use dataflow_testkit::fault_points::{Passing, VARIABLE};
    if !servers::are_up() {
        return;
    }
    let mut case = Case::new("kills").await;
    let node = case.node();
    node.create_and_start(&case.spec()).await;
    case.send(100);
    until_read(&node, &["table", "large", "archive"], 100).await;
    node.kill();
    let (mut died, started) = (0, std::time::Instant::now());
    for (round, passing) in Passing::all().enumerate() {
        // Of the passings of all branches, another one each time.
        let fault = format!("{passing}@{}=kill", 1 + round % 5);
        let node = case.try_node(&[(VARIABLE, &fault)]);
        case.send(100 + 10 * round as u64);
        let Some(mut node) = node else {
            died += 1;
            continue;
        };
        for _ in 0..100 {
            if node.has_ended().is_some() {
                died += 1;
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node.kill();
    }
    assert!(died > 10, "only {died} died");
    let node = case.node();
    until_read(&node, &["table", "large", "archive"], case.sent).await;
    let (status, stopped) = node.post("/api/pipelines/orders/stop").await;
    assert_eq!(status, 200, "{stopped:#}");
    case.assert_exact().await;
    let dead = (0..case.sent).filter(|id| is_dead(*id)).count();
    for name in ["table", "large", "archive"] {
        let letters = node.get(&format!("/api/pipelines/orders/dead-letters?limit=1000&sink={name}")).await;
        assert_eq!(letters["items"].as_array().unwrap().len(), dead, "{name}");
    }
    eprintln!("{died} deaths, {} records, {:?}", case.sent, started.elapsed());
    drop(node);
    case.remove().await;
}
