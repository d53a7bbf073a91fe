//! The reference's example, word for word, against a real Kafka and a real PostgreSQL; through stops, SIGTERM and kill -9.
use crate::program::{Node, assert_balanced, count, program};
use dataflow_testkit::{servers, topic};
use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls};

const EXAMPLE: &str = include_str!("../../../../examples/kafka-to-postgres.json");
const KAFKA: &str = "127.0.0.1:9092";
const TOPIC: &str = "user-events";
/// A database of its own: the example's table is called `users`, as others may be.
const DATABASE: &str = "dataflow_e2e";
/// Of the role that owns the database and has its name: a word that is nowhere else, so that it shows where it gets out.
const PASSWORD: &str = "xyzzy-open-sesame";

async fn postgres(database: &str) -> Client {
    let config = format!("host=127.0.0.1 user=dataflow password=dataflow dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { connection.await.unwrap() });
    client
}

async fn fresh_database() -> Client {
    let admin = postgres("dataflow").await;
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await.unwrap();
    admin.batch_execute(&format!("DROP ROLE IF EXISTS {DATABASE}")).await.unwrap();
    admin.batch_execute(&format!("CREATE ROLE {DATABASE} LOGIN PASSWORD '{PASSWORD}'")).await.unwrap();
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {DATABASE}")).await.unwrap();
    postgres(DATABASE).await
}

fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA);
    config
}

type Sender = ThreadedProducer<DefaultProducerContext>;

fn sender() -> Sender {
    kafka().set("linger.ms", "5").create().unwrap()
}

/// Sends users `from..to` and waits until they are there.
fn produce(from: u64, to: u64) {
    let sender = sender();
    send(&sender, from, to);
    sender.flush(Duration::from_secs(30)).unwrap();
}

/// Sends users from `from` on until it is told to stop, and some more; how many there are then.
fn produce_until(from: u64, stop: &AtomicBool) -> u64 {
    let sender = sender();
    let mut sent = from;
    let mut last = false;
    while !last {
        last = stop.load(Ordering::SeqCst);
        send(&sender, sent, sent + 500);
        sent += 500;
        std::thread::sleep(Duration::from_millis(20)); // no more than what is read again soon
    }
    sender.flush(Duration::from_secs(30)).unwrap();
    sent
}

/// Hands over users `from..to`; two of three are over 18.
fn send(sender: &Sender, from: u64, to: u64) {
    for id in from..to {
        let age = 10 + 20 * (id % 3);
        let payload = json!({"id": id, "name": format!("user {id}"), "age": age}).to_string();
        let key = id.to_string();
        let mut record = BaseRecord::to(TOPIC).key(&key).payload(&payload);
        while let Err((_, refused)) = sender.send(record) {
            std::thread::sleep(Duration::from_millis(5));
            record = refused;
        }
    }
}

fn node(folder: &Path) -> Node {
    let config = folder.join("dataflow.toml");
    let settings = format!(
        "[connections.kafka.default]\nbrokers = \"{KAFKA}\"\n\n\
         [connections.postgres.default]\nurl = \"postgres://{DATABASE}:${{env:E2E_PASSWORD}}@127.0.0.1:5432/{DATABASE}\"\n"
    );
    std::fs::write(&config, settings).unwrap();
    program().node_with(&folder.join("data"), &["--config", config.to_str().unwrap()], &[("E2E_PASSWORD", PASSWORD)])
}

async fn until_read(node: &Node, records: u64) -> Value {
    let fits = |view: &Value| count(view, "recordsRead") >= records && count(view, "recordsInFlight") == 0;
    let view = node.until("user-events-pipeline", "as far as was sent", fits).await;
    assert_eq!(count(&view, "recordsRead"), records, "{view:#}");
    assert_balanced(&view);
    view
}

/// Waits until the checkpoint, which follows the sink, is behind so many records.
async fn until_checkpointed(node: &Node, records: u64) {
    let begun = Instant::now();
    loop {
        let checkpoint = node.get("/api/pipelines/user-events-pipeline/checkpoint").await;
        let mut total = 0;
        for partition in checkpoint["positions"].as_array().unwrap() {
            assert!(partition["partition"].as_str().unwrap().starts_with("user-events/"), "{checkpoint}");
            total += partition["position"].as_str().unwrap().parse::<u64>().unwrap();
        }
        if total == records {
            return;
        }
        assert!(total < records && begun.elapsed() < Duration::from_secs(60), "{records} were sent: {checkpoint}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_arrived(client: &Client, sent: u64) {
    let row = client
        .query_one("SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE age <= 18) FROM users", &[])
        .await;
    let row = row.unwrap();
    let expected = i64::try_from(sent - sent.div_ceil(3)).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (expected, expected, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_example_runs_word_for_word() {
    if !servers::are_up() {
        return;
    }
    let client = fresh_database().await;
    topic::make_anew(TOPIC, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let mut node_up = node(folder.path());

    produce(0, 3_000);
    node_up.create_and_start(&serde_json::from_str(EXAMPLE).unwrap()).await;
    let view = until_read(&node_up, 3_000).await;
    assert_eq!(view["status"], "running");
    assert!(!view.to_string().contains(PASSWORD), "connections are not part of the pipeline");
    assert_arrived(&client, 3_000).await;

    // Stopped, what comes waits; started, it goes on where it was.
    let (status, stopped) = node_up.post("/api/pipelines/user-events-pipeline/stop").await;
    assert_eq!((status, &stopped["status"]), (200, &json!("stopped")), "{stopped:#}");
    produce(3_000, 6_000);
    assert_arrived(&client, 3_000).await;
    node_up.start("user-events-pipeline").await;
    until_read(&node_up, 6_000).await;
    assert_arrived(&client, 6_000).await;

    // Killed and terminated in mid-flow.
    let mut sent = 6_000;
    for round in 0..4 {
        let enough = Arc::new(AtomicBool::new(false));
        let sending = tokio::task::spawn_blocking({
            let enough = enough.clone();
            move || produce_until(sent, &enough)
        });
        let read = sent + 3_000;
        let view = node_up.until("user-events-pipeline", "in mid-flow", |view| count(view, "recordsRead") > read).await;
        if round % 2 == 0 {
            node_up.kill();
        } else {
            assert!(node_up.terminate().success());
        }
        // Only now: records came all the time until it was gone.
        enough.store(true, Ordering::SeqCst);
        node_up = node(folder.path());
        sent = sending.await.unwrap();
        assert!(count(&view, "recordsRead") < sent, "there was more to read: {view:#}");
        until_read(&node_up, sent).await;
        assert_arrived(&client, sent).await;
    }
    until_checkpointed(&node_up, sent).await;

    // Reset to the beginning: the table gets everything again, in a new generation.
    node_up.post("/api/pipelines/user-events-pipeline/stop").await;
    let (status, reset) = node_up
        .request("PUT", "/api/pipelines/user-events-pipeline/checkpoint?force=true", Some(&json!({"to": "beginning"})))
        .await;
    assert_eq!(status, 200, "{reset}");
    client.batch_execute("TRUNCATE users").await.unwrap();
    node_up.start("user-events-pipeline").await;
    let fits = |view: &Value| count(view, "recordsRead") == 2 * sent && count(view, "recordsInFlight") == 0;
    let view = node_up.until("user-events-pipeline", "through again", fits).await;
    assert_balanced(&view);
    assert_arrived(&client, sent).await;

    // Deleted and made again under its id: nothing of the past is in the way.
    node_up.post("/api/pipelines/user-events-pipeline/stop").await;
    assert_eq!(node_up.request("DELETE", "/api/pipelines/user-events-pipeline", None).await.0, 200);
    client.batch_execute("TRUNCATE users").await.unwrap();
    node_up.create_and_start(&serde_json::from_str(EXAMPLE).unwrap()).await;
    until_read(&node_up, sent).await;
    assert_arrived(&client, sent).await;
}
