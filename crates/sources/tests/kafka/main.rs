//! The `kafka` source against a real server: `DATAFLOW_TEST_KAFKA`, or 127.0.0.1:9092.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
mod begin;
mod pattern;
mod reading;

use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, Records, SourceConfig,
    batch::Notice,
    source::{Assignment, Edge, Read, Reader, Source},
};
use dataflow_sources::kafka::KafkaSource;
use dataflow_testkit::fixture;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    metadata::MetadataTopic,
    producer::{BaseRecord, Producer, ThreadedProducer},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// Longest wait for what surely comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may come until it is believed that nothing does.
const QUIET: Duration = Duration::from_millis(700);

type Admin = AdminClient<DefaultClientContext>;
type Sender = ThreadedProducer<rdkafka::producer::DefaultProducerContext>;

/// The server to test with; none if there is none and none is required.
fn brokers() -> Option<String> {
    let brokers = std::env::var("DATAFLOW_TEST_KAFKA").unwrap_or("127.0.0.1:9092".into());
    let address = brokers.to_socket_addrs().ok().and_then(|mut all| all.next());
    if address.is_some_and(|at| TcpStream::connect_timeout(&at, Duration::from_secs(2)).is_ok()) {
        return Some(brokers);
    }
    let required = std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(!required, "no Kafka at {brokers}: start it with dev/services/services.sh up kafka");
    println!("skipped: no Kafka at {brokers}; start it with dev/services/services.sh up kafka");
    None
}

/// A topic of this test's own.
struct Topic {
    name: String,
    brokers: String,
    admin: Admin,
    sender: Sender,
}

impl Topic {
    async fn new(test: &str, partitions: i32) -> Option<Self> {
        let brokers = brokers()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &brokers).set("linger.ms", "0");
        let topic = Self {
            name: format!("sources-{test}-{}", std::process::id()),
            brokers,
            admin: config.create().unwrap(),
            sender: config.create().unwrap(),
        };
        topic.create(partitions).await;
        Some(topic)
    }

    async fn create(&self, partitions: i32) {
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        let made = self.admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
        made.into_iter().for_each(|result| drop(result.unwrap()));
        self.until_partitions(partitions as usize).await;
    }

    async fn delete(&self) {
        self.admin.delete_topics(&[&self.name], &AdminOptions::new()).await.unwrap();
        self.until_partitions(0).await;
    }

    /// Waits until the server tells of so many partitions that can be written to.
    async fn until_partitions(&self, expected: usize) {
        let begun = Instant::now();
        loop {
            // Of all topics: to ask for one that is missing may make it.
            let metadata = self.admin.inner().fetch_metadata(None, PATIENCE).unwrap();
            let topic = metadata.topics().iter().find(|topic| topic.name() == self.name);
            let ready = |topic: &MetadataTopic| topic.partitions().iter().filter(|p| p.leader() >= 0).count();
            if topic.map_or(0, ready) == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} has no {expected} partitions", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn send(&self, partition: i32, key: Option<&str>, value: Option<&str>) {
        let mut record = BaseRecord::<str, str>::to(&self.name).partition(partition);
        record.key = key;
        record.payload = value;
        self.sender.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn flush(&self) {
        self.sender.flush(Duration::from_secs(10)).unwrap();
    }

    fn source(&self, more: Value) -> Box<dyn Source> {
        let mut config = json!({"brokers": self.brokers, "topic": self.name});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let source: KafkaSource = serde_json::from_value(config).unwrap();
        assert_eq!(source.check(), []);
        source.build()
    }

    async fn open(&self, more: Value, positions: &Positions) -> Result<Box<dyn Reader>, Error> {
        open(&*self.source(more), &context(), (0, 1), positions).await
    }

    fn at(&self, partition: i32, offset: u64) -> Positions {
        Positions::from([(format!("{}/{partition}", self.name).as_str().into(), Position::offset(offset))])
    }
}

fn context() -> Context {
    fixture::context("test")
}

/// Opens a lane as a run does: by a plan of all partitions, those that are gone since included.
async fn open(
    source: &dyn Source,
    cx: &Context,
    (lane, lanes): (u32, u32),
    positions: &Positions,
) -> Result<Box<dyn Reader>, Error> {
    let mut at: Positions = source.plan(cx, positions).await?.into_iter().collect();
    at.extend(positions.clone());
    let plan = at.keys().cloned().zip((0..lanes).cycle()).collect();
    source.open(cx, Assignment { lane, lanes, positions: at, plan, passed: Positions::new() }).await
}

/// Reads until all is there that is waited for, however long it takes, and what more comes within a while; checks that each
/// partition goes on where it was left.
async fn drain(
    reader: &mut dyn Reader,
    positions: &mut Positions,
    complete: impl Fn(&[Records], &Positions) -> bool,
) -> Result<Vec<Records>, Error> {
    let mut batches = Vec::new();
    loop {
        let patience = if complete(&batches, positions) { QUIET } else { PATIENCE };
        let Ok(read) = tokio::time::timeout(patience, reader.read()).await else { break };
        let Read::Records(records) = read? else { panic!("Kafka has no end") };
        if let Some(at) = positions.get(&records.partition) {
            // A position that is given by its offset alone is one of whatever topic is there.
            assert_eq!(records.from.at, at.at);
            assert!(at.identity.is_none() || records.from == *at, "{:?} after {at:?}", records.from);
        }
        positions.insert(records.partition.clone(), records.to.clone());
        batches.push(records);
    }
    Ok(batches)
}

/// So many records have come.
fn rows(expected: usize) -> impl Fn(&[Records], &Positions) -> bool {
    move |batches, _| batches.iter().map(Records::len).sum::<usize>() >= expected
}

/// All partitions together are read up to this offset.
fn offset(expected: u64) -> impl Fn(&[Records], &Positions) -> bool {
    move |_, positions| positions.values().map(|at| at.as_offset().unwrap()).sum::<u64>() >= expected
}

fn offsets(positions: &Positions) -> Vec<u64> {
    positions.values().map(|at| at.as_offset().unwrap()).collect()
}

fn texts(batches: &[Records]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.bytes(row)));
    let mut texts: Vec<_> =
        rows.map(|bytes| String::from_utf8_lossy(bytes.unwrap_or(b"<none>")).into_owned()).collect();
    texts.sort();
    texts
}
