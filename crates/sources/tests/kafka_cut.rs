//! The `kafka` source against a log that lost its end: a server of the test's own, because it is killed and its files are
//! cut. It is started from what dev/services/services.sh has installed.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, SourceConfig,
    source::{Assignment, Read, Reader},
};
use dataflow_sources::kafka::KafkaSource;
use dataflow_testkit::fixture;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing may come until it is believed that nothing does.
const QUIET: Duration = Duration::from_millis(1_500);

/// A server with one topic, `t`, of one partition.
struct Server {
    folder: tempfile::TempDir,
    classes: String,
    port: u16,
    process: Option<Child>,
}

impl Server {
    fn new() -> Option<Self> {
        let home = std::env::var_os("DATAFLOW_SERVICES_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/dataflow-services")))?;
        let classes = home.join("install/kafka/lib");
        if !classes.is_dir() || Command::new("java").arg("-version").stderr(Stdio::null()).status().is_err() {
            let required = std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!required, "no Kafka is installed at {}", classes.display());
            println!("skipped: no Kafka to start; install it with dev/services/services.sh up kafka");
            return None;
        }
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, controller, folder) = (free(), free(), tempfile::tempdir().unwrap());
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\noffsets.topic.replication.factor=1\n",
            folder.path().join("log").display()
        );
        fs::write(folder.path().join("server.properties"), settings).unwrap();
        let server = Self { folder, classes: format!("{}/*", classes.display()), port, process: None };
        let formatted =
            server.java(&["kafka.tools.StorageTool", "format", "-t", "ZGF0YWZsb3ctc2VydmljZQ", "-c"]).status();
        assert!(formatted.unwrap().success());
        Some(server)
    }

    fn java(&self, args: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-cp", &self.classes]).args(args).arg(self.folder.path().join("server.properties"));
        java.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        java
    }

    fn start(&mut self) {
        self.process = Some(self.java(&["kafka.Kafka"]).spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "no server");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config
    }

    fn send(&self, texts: impl Iterator<Item = String>) {
        let sender: ThreadedProducer<DefaultProducerContext> = self.client().create().unwrap();
        for text in texts {
            let record = BaseRecord::<str, str>::to("t").partition(0).payload(text.as_str());
            sender.send(record).map_err(|(error, _)| error).unwrap();
        }
        sender.flush(PATIENCE).unwrap();
    }

    fn segment(&self) -> PathBuf {
        self.folder.path().join("log/t-0/00000000000000000000.log")
    }

    async fn open(&self, more: Value, positions: &Positions) -> Result<Box<dyn Reader>, Error> {
        let mut config = json!({"brokers": self.brokers(), "topic": "t"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let source = serde_json::from_value::<KafkaSource>(config).unwrap().build();
        let mut at: Positions = source.plan(&context(), positions).await?.into_iter().collect();
        at.extend(positions.clone());
        let plan = at.keys().map(|partition| (partition.clone(), 0)).collect();
        source.open(&context(), Assignment { lane: 0, lanes: 1, positions: at, plan, passed: Positions::new() }).await
    }

    /// All that comes, and what is counted as lost.
    async fn read(&self, more: Value, positions: &mut Positions) -> Result<(Vec<String>, u64), Error> {
        let mut reader = self.open(more, positions).await?;
        let (mut texts, mut lost, mut patience) = (Vec::new(), 0, PATIENCE);
        while let Ok(read) = tokio::time::timeout(patience, reader.read()).await {
            let Read::Records(records) = read? else { panic!("Kafka has no end") };
            texts.extend(
                (0..records.len()).map(|row| String::from_utf8_lossy(records.bytes(row).unwrap()).into_owned()),
            );
            lost += records.lost.as_ref().map_or(0, |lost| lost.records);
            positions.insert(records.partition.clone(), records.to.clone());
            patience = QUIET;
        }
        Ok((texts, lost))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn context() -> Context {
    fixture::context("test")
}

fn texts(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{name} {i:03}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_and_was_written_anew_is_noticed() {
    let Some(mut server) = Server::new() else { return };
    server.start();
    let admin: AdminClient<DefaultClientContext> = server.client().create().unwrap();
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().into_iter().for_each(|made| drop(made.unwrap()));
    server.send(texts("kept", 200).into_iter());
    let kept = fs::metadata(server.segment()).unwrap().len();
    server.send(texts("cut", 300).into_iter());
    let mut read = Positions::new();
    let (all, _) = server.read(json!({}), &mut read).await.unwrap();
    assert_eq!(all, [texts("kept", 200), texts("cut", 300)].concat());
    // Nothing has happened: it is read on from.
    server.send(texts("more", 1).into_iter());
    assert_eq!(server.read(json!({}), &mut read.clone()).await.unwrap().0, texts("more", 1));

    server.kill();
    fs::File::options().write(true).open(server.segment()).unwrap().set_len(kept).unwrap();
    for entry in fs::read_dir(server.segment().parent().unwrap()).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|name| name == "index" || name == "timeindex" || name == "snapshot") {
            fs::remove_file(path).unwrap();
        }
    }
    for name in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        drop(fs::remove_file(server.folder.path().join("log").join(name)));
    }
    server.start();
    server.send(texts("new", 500).into_iter());

    let lost = server.read(json!({}), &mut read.clone()).await.unwrap_err();
    let Error::PositionLost { wanted, earliest, latest, reason, .. } = &lost else { panic!("{lost}") };
    assert_eq!([wanted, earliest, latest].map(|at| at.as_offset().unwrap()), [500, 200, 700], "{reason}");
    for (choice, expected, passed) in [("earliest", texts("new", 500), 0), ("latest", Vec::new(), 500)] {
        let mut positions = read.clone();
        let (came, lost) = server.read(json!({"onPositionLost": choice}), &mut positions).await.unwrap();
        assert_eq!((came, lost), (expected, passed), "{choice}");
        // From here on the position is one of the new log.
        assert_eq!(positions.values().next().unwrap().as_offset(), Some(700));
        server.open(json!({}), &positions).await.unwrap();
    }
    // By the topic alone it can't be told.
    let id = |at: &Position| at.identity.as_deref().and_then(|id| id.split('@').next()).unwrap().to_owned();
    let mut unknown: Positions =
        read.iter().map(|(name, at)| (name.clone(), Position::offset(500).of(&id(at)))).collect();
    assert_eq!(server.read(json!({}), &mut unknown).await.unwrap().0.len(), 200);
}
