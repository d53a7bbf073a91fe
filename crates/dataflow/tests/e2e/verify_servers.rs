//! `dataflow verify` against a real Kafka and a real PostgreSQL: several partitions, several lanes, one key in several of them.
use crate::program::{Node, count, output, program};
use dataflow_testkit::servers;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const KAFKA: &str = "127.0.0.1:9092";
const POSTGRES: &str = "127.0.0.1:5432";
const PARTITIONS: i32 = 4;
const RECORDS: u64 = 4_000;

/// A topic, a schema and a node of a test's own, all named alike.
struct Case {
    name: String,
    folder: TempDir,
    node: Node,
    client: Client,
}

impl Case {
    async fn new(name: &str) -> Self {
        let name = format!("verify_{name}_{}", std::process::id());
        let config = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
        let (client, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
        tokio::spawn(async move { connection.await.unwrap() });
        client.batch_execute(&format!("create schema {name}; set search_path to {name}")).await.unwrap();
        topic(&name).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("dataflow.toml"),
            format!(
                "[connections.kafka.default]\nbrokers = \"{KAFKA}\"\n\n[connections.postgres.default]\n\
                 url = \"postgres://dataflow:${{env:E2E_PASSWORD}}@{POSTGRES}/dataflow?options=-csearch_path%3D{name}\"\n"
            ),
        )
        .unwrap();
        let settings = folder.path().join("dataflow.toml");
        let node = program().node_with(
            &folder.path().join("data"),
            &["--config", settings.to_str().unwrap()],
            &[("E2E_PASSWORD", "dataflow")],
        );
        Self { name, folder, node, client }
    }

    fn spec(&self, sink: Value) -> Value {
        let lanes = if sink["type"] == "file" { 1 } else { 2 };
        json!({
            "pipelineId": self.name,
            "source": {"type": "kafka", "topic": self.name},
            "transforms": [{"type": "filter", "condition": "age > 18"}],
            "sink": sink,
            "lanes": lanes,
        })
    }

    /// Runs the pipeline until all is read, and stops it.
    async fn run(&self, sink: Value) {
        self.node.create_and_start(&self.spec(sink)).await;
        let through = |view: &Value| count(view, "recordsRead") == RECORDS && count(view, "recordsInFlight") == 0;
        self.node.until(&self.name, "through", through).await;
        let (status, view) = self.node.post(&format!("/api/pipelines/{}/stop", self.name)).await;
        assert_eq!((status, &view["status"]), (200, &json!("stopped")), "{view:#}");
    }

    fn verify(&self) -> Value {
        let settings = self.folder.path().join("dataflow.toml");
        let mut verify =
            crate::program::dataflow(&["verify", &self.name, "--server", &self.node.url, "--output", "json"]);
        verify.args(["--config", settings.to_str().unwrap()]).env("E2E_PASSWORD", "dataflow");
        let done = tokio::task::block_in_place(|| verify.output()).unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let report: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(done.status.code(), Some(i32::from(report["verified"] != true)), "{report:#}");
        report
    }

    fn proven(&self) {
        let report = self.verify();
        assert_eq!(report["verified"], true, "{report:#}");
        assert_eq!(report["ledger"]["read"], json!({"expected": RECORDS, "found": RECORDS}));
        assert_eq!(report["deadLetters"]["found"], RECORDS / 100);
    }

    /// Exactly one finding, of this kind.
    fn only(&self, finding: &str) -> Value {
        let report = self.verify();
        for kind in ["lost", "doubled", "altered", "unexpected"] {
            assert_eq!(report[kind]["count"], u64::from(kind == finding), "{kind}: {report:#}");
        }
        report[finding]["examples"][0].clone()
    }

    async fn sql(&self, sql: &str) {
        assert_eq!(self.client.execute(sql, &[]).await.unwrap(), 1, "{sql}");
    }

    async fn drop(self) {
        self.client.batch_execute(&format!("drop schema {} cascade", self.name)).await.unwrap();
        let admin: AdminClient<_> = kafka().create().unwrap();
        admin.delete_topics(&[&self.name], &AdminOptions::new()).await.unwrap();
    }
}

fn kafka() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA);
    config
}

/// A sender that sends again what a new topic has not taken yet, and keeps the order all the same.
fn in_order() -> ClientConfig {
    let mut config = kafka();
    config.set("linger.ms", "5").set("enable.idempotence", "true");
    config
}

/// Record n is number n / 4 of partition n % 4; each hundredth is dead; ids come back in other partitions.
async fn topic(name: &str) {
    let admin: AdminClient<_> = kafka().create().unwrap();
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    assert!(admin.create_topics([&topic], &options).await.unwrap().iter().all(Result::is_ok));
    fill(name, 0);
}

/// Sends as many records to a topic again, from this number on.
fn fill(name: &str, from: u64) {
    let sender: ThreadedProducer<DefaultProducerContext> = in_order().create().unwrap();
    for number in from..from + RECORDS {
        let payload = match number % 100 {
            50 => "{\"id\": ".into(),
            _ => {
                json!({"id": number % 2_999, "n": number, "age": 10 + number % 40, "doc": {"a": [number]}}).to_string()
            }
        };
        let partition = i32::try_from(number).unwrap() % PARTITIONS;
        let record: BaseRecord<'_, (), str> = BaseRecord::to(name).partition(partition).payload(&payload);
        assert!(sender.send(record).is_ok());
    }
    sender.flush(Duration::from_secs(30)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_to_postgres_appended() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("append").await;
    case.run(json!({"type": "postgres", "table": "users", "mode": "append"})).await;
    case.proven();
    // Record 1049 is number 262 of partition 1.
    case.sql("delete from users where n = 1049").await;
    let lost = case.only("lost");
    assert_eq!(
        (&lost["partition"], &lost["position"]),
        (&json!(format!("{}/1", case.name)), &json!("262")),
        "{lost:#}"
    );
    case.sql("insert into users select 1049 % 2999, 1049, 10 + 1049 % 40, '{\"a\": [1049]}'").await;
    case.proven();
    case.sql("update users set doc = '{\"a\": [7]}' where n = 1049").await;
    let altered = case.only("altered");
    assert_eq!((&altered["position"], &altered["fields"][0]["field"]), (&json!("262"), &json!("doc")), "{altered:#}");
    case.sql("update users set doc = '{\"a\": [1049]}' where n = 1049").await;
    case.sql("insert into users select * from users where n = 1049").await;
    assert_eq!(case.only("doubled")["position"], "262");
    case.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_to_postgres_by_key() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("upsert").await;
    case.client
        .batch_execute("create table users (id bigint primary key, n int, age int, doc json, more text default 'x')")
        .await
        .unwrap();
    case.run(json!({"type": "postgres", "table": "users"})).await;
    case.proven();
    case.sql("delete from users where id = 1049").await;
    let lost = case.only("lost");
    assert_eq!(lost["position"], "262", "{lost:#}");
    case.sql("insert into users values (1049, 1049, 10 + 1049 % 40, '{\"a\":[1049]}')").await;
    case.proven();
    case.client.batch_execute("alter table users set unlogged").await.unwrap();
    let report = case.verify();
    assert_eq!(
        (&report["verified"], report["notDurable"].as_array().map(Vec::len)),
        (&json!(true), Some(1)),
        "{report:#}"
    );
    case.client.batch_execute("alter table users set logged").await.unwrap();
    // What the pipeline does not write is nobody's business.
    case.sql("update users set more = 'y' where id = 1049").await;
    case.proven();
    case.sql("update users set n = -1 where id = 1049").await;
    let altered = case.only("altered");
    assert_eq!(altered["fields"], json!([{"field": "n", "expected": "1049", "found": "-1"}]), "{altered:#}");
    case.sql("update users set n = 1049 where id = 1049").await;
    case.sql("insert into users values (-5, 1, 1, null)").await;
    assert_eq!(case.only("unexpected")["place"], "id = -5");
    case.drop().await;
}

/// What expired records wrote can't be told from what nobody wrote: it is no accusation, and said once.
#[tokio::test(flavor = "multi_thread")]
async fn rows_and_dead_letters_of_expired_records_are_not_held_against_the_pipeline() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("expired").await;
    let sink = json!({"type": "postgres", "table": "users", "mode": "append"});
    case.run(sink.clone()).await;
    case.proven();
    let mut before = TopicPartitionList::new();
    (0..PARTITIONS)
        .for_each(|partition| before.add_partition_offset(&case.name, partition, Offset::Offset(500)).unwrap());
    let admin: AdminClient<_> = kafka().create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    admin.delete_records(&before, &options).await.unwrap();
    // What is still there is read and compared, whatever a run would do.
    let mut report = case.verify();
    for policy in ["fail", "earliest", "latest"] {
        let path = format!("/api/pipelines/{}", case.name);
        let mut spec = case.spec(sink.clone());
        spec["source"]["onPositionLost"] = json!(policy);
        let (status, view) = case.node.request("PUT", &path, Some(&spec)).await;
        assert_eq!(status, 200, "{view:#}");
        report = case.verify();
        let gone = report["unverifiable"].as_array().unwrap();
        let gone: Vec<_> = gone.iter().map(|gone| (&gone["from"], &gone["to"])).collect();
        assert_eq!(gone, vec![(&json!("0"), &json!("500")); 4], "{policy}: {report:#}");
        assert_eq!(report["verified"], false, "{report:#}");
        assert_eq!(report["ledger"]["read"], json!({"expected": RECORDS - 2_000, "found": RECORDS}), "{report:#}");
    }
    for kind in ["lost", "doubled", "altered", "unexpected"] {
        for counts in [&report[kind], &report["deadLetters"][kind]] {
            assert_eq!(counts["count"], 0, "{kind}: {report:#}");
        }
    }
    let ledger = |counter: &str, side: &str| report["ledger"][counter][side].as_u64().unwrap();
    let unread = |counter: &str| ledger(counter, "found") - ledger(counter, "expected");
    assert!(unread("dead") > 0, "{report:#}");
    assert_eq!(report["unattributed"], unread("delivered") + unread("dead"), "{report:#}");
    // What is more than they can have written is told.
    case.sql("insert into users values (-5, 1, 20, null)").await;
    assert_eq!(case.verify()["unexpected"]["count"], unread("delivered") + 1);
    case.sql("delete from users where id = -5").await;
    // Record 2049 is number 512 of partition 1.
    case.sql("delete from users where n = 2049").await;
    assert_eq!(case.verify()["lost"]["examples"][0]["position"], "512");
    case.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_table_refuses_are_dead_letters_that_are_proven() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("refused").await;
    case.client.batch_execute("create table users (id bigint, n int check (n <> 1049), age int)").await.unwrap();
    case.run(json!({"type": "postgres", "table": "users", "unknownFields": "ignore"})).await;
    let report = case.verify();
    assert_eq!(
        (&report["verified"], &report["deadLetters"]["found"]),
        (&json!(true), &json!(RECORDS / 100 + 1)),
        "{report:#}"
    );
    // A record that nothing refuses must not be a dead letter.
    case.client.batch_execute("alter table users drop constraint users_n_check").await.unwrap();
    let report = case.verify();
    assert_eq!((&report["verified"], &report["unverifiable"][0]["from"]), (&json!(false), &json!("262")), "{report:#}");
    case.drop().await;
}

/// What the database refuses for the sake of what is elsewhere is taken at its word, also where the sink has secrets to hide.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_for_the_sake_of_others_are_not_held_against_the_pipeline() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("at_its_word").await;
    let setup = "create table allowed (n int primary key); insert into allowed select generate_series(0, 3989); \
        create table users (id bigint, n int references allowed deferrable initially deferred, age int) partition by range (id); \
        create table users_low partition of users for values from (0) to (2990); \
        create table taken (n int, exclude using gist (int4range(n, n + 1) with &&)); insert into taken values (13); \
        create function takes() returns trigger language plpgsql as $$ begin \
        if new.n % 1000 = 13 then insert into taken values (13); end if; return null; end $$; \
        create constraint trigger takes after insert on users_low deferrable initially deferred \
        for each row execute function takes()";
    case.client.batch_execute(setup).await.unwrap();
    case.run(json!({"type": "postgres", "table": "users", "unknownFields": "ignore"})).await;
    let report = case.verify();
    assert_eq!((&report["verified"], &report["unverifiable"]), (&json!(true), &json!([])), "{report:#}");
    // Of the last ids and numbers, and of four numbers.
    assert_eq!(report["atItsWord"]["count"], json!(9 + 10 + 4), "{report:#}");
    let causes = report["atItsWord"]["examples"].to_string();
    for words in ["violates foreign key constraint", "no partition of relation", "violates exclusion constraint"] {
        assert!(causes.contains(words), "{words}: {report:#}");
    }
    case.drop().await;
}

/// Changed while it runs: each partition of each lane has a place of its own at which that takes effect.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_an_update_of_a_running_pipeline_is_judged_by_the_spec_of_then() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("updated").await;
    let mut spec = json!({
        "pipelineId": case.name,
        "source": {"type": "kafka", "topic": case.name},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "postgres", "table": "users", "mode": "append"},
        "lanes": 2,
    });
    case.node.create_and_start(&spec).await;
    let until_read = async |records: u64| {
        let through = |view: &Value| count(view, "recordsRead") == records && count(view, "recordsInFlight") == 0;
        case.node.until(&case.name, "through", through).await
    };
    let path = format!("/api/pipelines/{}", case.name);
    let later = [
        json!([{"type": "filter", "condition": "age > 40"}, {"type": "map", "set": {"age": "age - 10"}}]),
        json!([{"type": "map", "set": {"n": "n + 1"}}]),
    ];
    for (round, transforms) in (1..).zip(later) {
        until_read(round * RECORDS).await;
        spec["transforms"] = transforms;
        let (status, view) = case.node.request("PUT", &path, Some(&spec)).await;
        assert_eq!(
            (status, &view["status"], &view["transforms"]),
            (200, &json!("running"), &spec["transforms"]),
            "{view:#}"
        );
        fill(&case.name, round * RECORDS);
    }
    until_read(3 * RECORDS).await;
    let (status, view) = case.node.post(&format!("{path}/stop")).await;
    assert_eq!((status, &view["status"]), (200, &json!("stopped")), "{view:#}");
    let report = case.verify();
    assert_eq!(
        (&report["verified"], &report["ledger"]["read"]["found"]),
        (&json!(true), &json!(3 * RECORDS)),
        "{report:#}"
    );
    // Record 1049 is of the first stretch, in which it is as it came.
    case.sql("update users set n = 1050 where n = 1049 and id = 1049").await;
    assert_eq!(case.only("altered")["fields"], json!([{"field": "n", "expected": "1049", "found": "1050"}]));
    case.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_to_a_file() {
    if !servers::are_up() {
        return;
    }
    let case = Case::new("file").await;
    let path = case.folder.path().join("out.jsonl");
    case.run(json!({"type": "file", "path": path})).await;
    case.proven();
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.contains("\"n\":1049,")).unwrap();
    let change = |text: &str| write_over(&path, text);
    change(&text.replace(&format!("{line}\n"), ""));
    let lost = case.only("lost");
    assert_eq!(
        (&lost["partition"], &lost["position"]),
        (&json!(format!("{}/1", case.name)), &json!("262")),
        "{lost:#}"
    );
    change(&text.replace(line, &line.replace("\"n\":1049,", "\"n\":1042,")));
    let altered = case.only("altered");
    assert_eq!((&altered["position"], &altered["fields"][0]["field"]), (&json!("262"), &json!("n")), "{altered:#}");
    change(&format!("{text}{line}\n"));
    assert_eq!(case.only("doubled")["position"], "262");
    case.drop().await;
}

fn write_over(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn help_names_what_it_does() {
    let (code, stdout, _) = output(&["verify", "--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("--records") && stdout.contains("--shared") && stdout.contains("--file"), "{stdout}");
}
