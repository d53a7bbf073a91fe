//! A topic of a test's own in the Kafka that is up for all tests.
use dataflow_testkit::witness;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use std::time::Duration;

pub(crate) const BROKERS: &str = "127.0.0.1:9092";
const PATIENCE: Duration = Duration::from_secs(60);

/// Dropping it leaves the topic: call [`Self::remove`].
pub(crate) struct Topic {
    pub(crate) name: String,
    partitions: u64,
    admin: AdminClient<DefaultClientContext>,
    producer: ThreadedProducer<DefaultProducerContext>,
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", BROKERS).set("enable.idempotence", "true").set("linger.ms", "0");
    config
}

impl Topic {
    pub(crate) async fn new(name: &str, partitions: u64) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let topic = Self { name, partitions, admin: config().create().unwrap(), producer: config().create().unwrap() };
        topic.make().await;
        topic
    }

    async fn make(&self) {
        let partitions = i32::try_from(self.partitions).unwrap();
        for _ in 0..300 {
            let topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
            if self.admin.create_topics([&topic], &options()).await.unwrap().iter().all(Result::is_ok) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await; // the one before is still going
        }
        panic!("the topic {} can't be made", self.name);
    }

    /// One record for each id, in the partition that its rest of a division tells; all are there when it returns.
    pub(crate) fn send(&self, ids: impl Iterator<Item = u64>, line: impl Fn(u64) -> String) {
        for id in ids {
            let (partition, payload) = (i32::try_from(id % self.partitions).unwrap(), line(id));
            let mut record = BaseRecord::<(), str>::to(&self.name).partition(partition).payload(&payload);
            while let Err((_, refused)) = self.producer.send(record) {
                std::thread::sleep(Duration::from_millis(5)); // its queue is full
                record = refused;
            }
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    /// It has so many partitions from here on.
    pub(crate) async fn grow(&mut self, partitions: u64) {
        self.partitions = partitions;
        let more = NewPartitions::new(&self.name, usize::try_from(partitions).unwrap());
        let grown = self.admin.create_partitions([&more], &options()).await.unwrap();
        assert!(grown.iter().all(Result::is_ok), "{grown:?}");
        // The one before may not know them for a while.
        self.producer = config().create().unwrap();
        // Nor may the broker, and then what is sent to them is refused.
        let known = || {
            let topic = self.producer.client().fetch_metadata(Some(&self.name), PATIENCE).unwrap();
            topic.topics()[0].partitions().len() as u64
        };
        while known() < partitions {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One record with this key and these headers.
    pub(crate) fn send_keyed(&self, key: &[u8], headers: OwnedHeaders, payload: &str) {
        let record = BaseRecord::<[u8], str>::to(&self.name).partition(0).key(key).payload(payload).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }

    /// All records before this offset of each partition are gone, as by retention.
    pub(crate) async fn expire_before(&self, offset: i64) {
        let mut before = TopicPartitionList::new();
        for partition in 0..self.partitions {
            before.add_partition_offset(&self.name, i32::try_from(partition).unwrap(), Offset::Offset(offset)).unwrap();
        }
        self.admin.delete_records(&before, &options()).await.unwrap();
    }

    /// The same name, and nothing in it.
    pub(crate) async fn make_anew(&mut self) {
        self.delete().await;
        self.make().await;
        // The one before may still send to the former topic.
        self.producer = config().create().unwrap();
    }

    async fn delete(&self) {
        self.admin.delete_topics(&[&self.name], &options()).await.unwrap();
    }

    pub(crate) async fn remove(self) {
        self.delete().await;
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

/// The values that a plain consumer of committed records gets from a topic.
pub(crate) fn committed(topic: &str) -> Vec<String> {
    let value = |record: OwnedMessage| String::from_utf8(record.payload().unwrap().to_vec()).unwrap();
    witness::read(topic, "read_committed").into_iter().map(value).collect()
}

/// Removes topics.
pub(crate) async fn remove(topics: &[&str]) {
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    admin.delete_topics(topics, &options()).await.unwrap();
}
