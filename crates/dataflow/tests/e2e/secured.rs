//! Servers of the test's own with TLS and logins, reached by connections that source and sink share: who gets in, what is said
//! through the door to whom who doesn't, and that what an operator mends by that alone goes on where it was.
use crate::program::{Node, assert_balanced, count, is, program};
use dataflow_testkit::{
    own::{Authority, Kafka, Listener, Postgres},
    witness,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{fmt::Write, fs, path::PathBuf, time::Duration};

const PASSWORD: &str = "hunter22";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
/// The address, rather than the name, of the host: `localhost` is what certificates are for.
const HBA: &str = "host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256";

struct World {
    kafka: Kafka,
    postgres: Postgres,
    authority: Authority,
    folder: tempfile::TempDir,
}

impl World {
    /// A broker with a listener for each certificate, and one for logins; a PostgreSQL with a certificate. Topics `in` and `out`.
    async fn new() -> Option<Self> {
        let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
        let host = ["127.0.0.1"];
        let right = authority.issue(&host);
        let listener = |name, identity| Listener { name, tls: Some(identity), ..Listener::default() };
        let listeners = [
            listener("RIGHT", right.clone()),
            listener("NAME", authority.issue(&["kafka.example.com"])),
            listener("OLD", authority.issue_expired(&host)),
            listener("OTHER", other.issue(&host)),
            Listener { login: Some(("SCRAM-SHA-256", SCRAM.into())), ..listener("SCRAM", right) },
        ];
        let kafka = Kafka::start(&listeners, &[("admin", PASSWORD)], &[])?;
        let mut postgres = Postgres::new(HBA)?;
        postgres.start(Some(&authority.issue(&["localhost"])), None);
        postgres.run("create role writer login password 'secret'; grant create, usage on schema public to writer");
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", kafka.at("PLAIN")).create().unwrap();
        for name in ["in", "out"] {
            let topic = NewTopic::new(name, 2, TopicReplication::Fixed(1));
            admin.create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        }
        Some(Self { kafka, postgres, authority, folder: tempfile::tempdir().unwrap() })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends records with ids from `from` on.
    fn send(&self, from: u64, to: u64) {
        let sender: ThreadedProducer<DefaultProducerContext> =
            ClientConfig::new().set("bootstrap.servers", self.kafka.at("PLAIN")).create().unwrap();
        for id in from..to {
            let (key, payload) = (id.to_string(), json!({"id": id, "name": format!("user {id}")}).to_string());
            assert!(sender.send(BaseRecord::to("in").key(&key).payload(&payload)).is_ok());
        }
        sender.flush(Duration::from_secs(30)).unwrap();
    }

    /// A node that knows the servers by connections; its secrets are files, which may be changed.
    fn node(&self) -> Node {
        let ca = self.at("ca.pem");
        fs::write(&ca, self.authority.pem()).unwrap();
        fs::write(self.at("kafka-password"), PASSWORD).unwrap();
        fs::write(self.at("postgres-password"), "secret").unwrap();
        let mut settings = String::new();
        for (name, listener, more) in [
            ("right", "RIGHT", "".to_owned()),
            ("name", "NAME", String::new()),
            ("old", "OLD", String::new()),
            ("other", "OTHER", String::new()),
            ("login", "SCRAM", self.login("kafka-password")),
            ("stranger", "SCRAM", self.login("wrong-password")),
        ] {
            let protocol = if more.is_empty() { "SSL" } else { "SASL_SSL" };
            writeln!(
                settings,
                "[connections.kafka.{name}]\nbrokers = \"{}\"\nsecurityProtocol = \"{protocol}\"\n{more}tls = {{ ca = {ca:?} }}\n",
                self.kafka.at(listener)
            )
            .unwrap();
        }
        fs::write(self.at("wrong-password"), "hunter33").unwrap();
        writeln!(
            settings,
            "[connections.postgres.default]\nurl = \"postgres://writer:${{file:{}}}@localhost:{}/postgres?sslmode=verify-full\"\n\
             tls = {{ ca = {ca:?} }}",
            self.at("postgres-password").display(),
            self.postgres.port
        )
        .unwrap();
        fs::write(self.at("dataflow.toml"), settings).unwrap();
        program().node_with(&self.at("data"), &["--config", self.at("dataflow.toml").to_str().unwrap()], &[])
    }

    fn login(&self, password: &str) -> String {
        format!(
            "saslMechanism = \"SCRAM-SHA-256\"\nsaslUsername = \"admin\"\nsaslPassword = \"${{file:{}}}\"\n",
            self.at(password).display()
        )
    }
}

fn spec(id: &str, connection: &str, sink: Value) -> Value {
    json!({
        "pipelineId": id,
        "source": {"type": "kafka", "connection": connection, "topic": "in"},
        "sink": sink,
        "batch": {"linger": "5ms"},
    })
}

fn table() -> Value {
    json!({"type": "postgres", "table": "users", "key": "id"})
}

/// Waits for the failure that a pipeline has, whether it is tried again or not.
async fn trouble(node: &Node, id: &str, code: &str, words: &str) -> Value {
    let says = |view: &Value| view["error"]["code"] == code && view["error"].to_string().contains(words);
    let view = node.until(id, code, says).await;
    let said = view["error"].to_string();
    assert!(view["error"]["fix"].is_string(), "{code}: {view:#}");
    assert!(!said.contains("hunter") && !said.contains("secret@"), "{said}");
    let list = node.get("/api/pipelines").await.to_string();
    assert!(list.contains(code), "the list says it, too: {list}");
    view
}

async fn delivered(node: &Node, id: &str, records: u64) {
    let view = node.until(id, "through", |view| count(view, "recordsDelivered") == records).await;
    assert!(view["error"].is_null() && view["status"] == "running", "{view:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_with_certificates_serve_source_and_sink_and_say_what_is_wrong() {
    let Some(world) = World::new().await else { return };
    world.send(0, 100);
    let node = world.node();
    // Over TLS alone, and with a login; the sink by the same connection as the source.
    node.create_and_start(&spec("tls", "right", table())).await;
    delivered(&node, "tls", 100).await;
    let to_topic = json!({"type": "kafka", "connection": "login", "topic": "out"});
    node.create_and_start(&spec("login", "login", to_topic)).await;
    delivered(&node, "login", 100).await;
    for (connection, code, words) in [
        ("name", "certificate-name", "is not for 127.0.0.1, but for kafka.example.com"),
        ("old", "certificate-expired", "has expired on 2021-02-03"),
        ("other", "certificate-unknown", "not trusted here"),
        ("stranger", "login-failed", "SCRAM-SHA-256"),
    ] {
        let id = format!("from-{connection}");
        node.create_and_start(&spec(&id, connection, json!({"type": "blackhole"}))).await;
        trouble(&node, &id, code, words).await;
        let id = format!("to-{connection}");
        let sink = json!({"type": "kafka", "connection": connection, "topic": "out"});
        node.create_and_start(&spec(&id, "right", sink)).await;
        trouble(&node, &id, code, words).await;
    }
}

/// What an operator sees by `GET` alone, and does about it; the records that came meanwhile are there once in the end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_and_mended_through_the_door_goes_on_where_it_was() {
    let Some(mut world) = World::new().await else { return };
    let node = world.node();
    node.create_and_start(&spec("walk", "login", table())).await;
    node.create_and_start(&spec("copy", "login", json!({"type": "kafka", "connection": "login", "topic": "out"})))
        .await;
    let mut sent = 0;
    let mut more = |world: &World| {
        world.send(sent, sent + 50);
        sent += 50;
        sent
    };
    delivered(&node, "walk", more(&world)).await;

    // A database that may only be read.
    world.postgres.run("alter role writer set default_transaction_read_only = on");
    world.postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'");
    let all = more(&world);
    trouble(&node, "walk", "server-read-only", "default_transaction_read_only").await;
    world.postgres.run("alter role writer reset default_transaction_read_only");
    world.postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'");
    delivered(&node, "walk", all).await;

    // A password that has been changed: the secret is read again at the next start.
    world.postgres.run("alter role writer password 'terces'");
    world.postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer'");
    let all = more(&world);
    let view = trouble(&node, "walk", "access-denied", "password").await;
    fs::write(world.at("postgres-password"), "terces").unwrap();
    start_if_failed(&node, "walk", &view).await;
    delivered(&node, "walk", all).await;

    // A certificate that has expired.
    let (old, right) = (world.authority.issue_expired(&["localhost"]), world.authority.issue(&["localhost"]));
    world.postgres.start(Some(&old), None);
    let all = more(&world);
    let view = trouble(&node, "walk", "certificate-expired", "2021-02-03").await;
    world.postgres.start(Some(&right), None);
    start_if_failed(&node, "walk", &view).await;
    delivered(&node, "walk", all).await;

    // A broker that went, and came back.
    world.kafka.kill();
    trouble(&node, "walk", "unreachable", &world.kafka.at("SCRAM")).await;
    trouble(&node, "copy", "unreachable", &world.kafka.at("SCRAM")).await;
    world.kafka.start_again();
    let all = more(&world);
    delivered(&node, "walk", all).await;
    delivered(&node, "copy", all).await;

    // A table that somebody has dropped: the operator decides.
    world.postgres.run("drop table users");
    more(&world);
    let view = trouble(&node, "walk", "table-missing", "checkpoint").await;
    assert_eq!(view["status"], "failed", "{view:#}");
    let to = json!({"to": "beginning"});
    let (status, said) = node.request("PUT", "/api/pipelines/walk/checkpoint", Some(&to)).await;
    assert_eq!(status, 200, "{said:#}");
    let before = count(&node.get("/api/pipelines/walk").await, "recordsRead");
    start_if_failed(&node, "walk", &view).await;
    let all_again = |view: &Value| count(view, "recordsInFlight") == 0 && count(view, "recordsRead") >= before + sent;
    let view = node.until("walk", "through", all_again).await;
    assert_eq!(view["status"], "running", "{view:#}");
    delivered(&node, "copy", sent).await;
    for id in ["walk", "copy"] {
        let (status, view) = node.post(&format!("/api/pipelines/{id}/stop")).await;
        assert_eq!((status, is("stopped")(&view)), (200, true), "{view:#}");
        assert_balanced(&view);
        assert_eq!(count(&view, "recordsDead"), 0, "{view:#}");
    }
    let copied = witness::read_at(&world.kafka.at("PLAIN"), "out", "read_committed");
    assert_eq!(copied.len() as u64, sent, "each once in the topic");
    world.postgres.run(&format!(
        "do $$ begin if (select count(*) <> {sent} or count(distinct id) <> {sent} or max(id) <> {sent} - 1 from users) then \
         raise 'not all are there once'; end if; end $$"
    ));
}

/// What is not tried again by itself is started, unless it has been since.
async fn start_if_failed(node: &Node, id: &str, view: &Value) {
    if view["status"] == "failed" {
        let (status, said) = node.post(&format!("/api/pipelines/{id}/start?wait=0s")).await;
        assert!([200, 202, 409].contains(&status), "{status} {said:#}");
    }
}
