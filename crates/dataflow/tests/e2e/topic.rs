//! A topic of a test's own in the Kafka that is up for all tests.
use dataflow_testkit::{topic, witness};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::{ClientContext, DefaultClientContext},
    error::KafkaError,
    message::{OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};
use std::{sync::Mutex, time::Duration};

pub(crate) use dataflow_testkit::topic::remove;

pub(crate) const BROKERS: &str = "127.0.0.1:9092";
const PATIENCE: Duration = Duration::from_secs(60);

/// Dropping it leaves the topic: call [`Self::remove`].
pub(crate) struct Topic {
    pub(crate) name: String,
    partitions: u64,
    admin: AdminClient<DefaultClientContext>,
    producer: ThreadedProducer<Delivered>,
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", BROKERS).set("enable.idempotence", "true").set("linger.ms", "0");
    config
}

fn producer() -> ThreadedProducer<Delivered> {
    config().create_with_context(Delivered::default()).unwrap()
}

/// Whether all that was sent is there.
#[derive(Default)]
struct Delivered {
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.failed.lock().unwrap() = Some(error.clone());
        }
    }
}

impl Topic {
    pub(crate) async fn new(name: &str, partitions: u64) -> Self {
        let name = format!("{name}-{}", std::process::id());
        topic::make_anew(&name, usize::try_from(partitions).unwrap()).await;
        Self { name, partitions, admin: config().create().unwrap(), producer: producer() }
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
        self.flush();
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
        assert_eq!(*self.producer.context().failed.lock().unwrap(), None, "what was sent to {} is there", self.name);
    }

    /// It has so many partitions from here on.
    pub(crate) async fn grow(&mut self, partitions: u64) {
        self.partitions = partitions;
        let more = NewPartitions::new(&self.name, usize::try_from(partitions).unwrap());
        let grown = self.admin.create_partitions([&more], &options()).await.unwrap();
        assert!(grown.iter().all(Result::is_ok), "{grown:?}");
        topic::until_it_has(&self.name, usize::try_from(partitions).unwrap()).await;
        // The one before may not know them for a while.
        self.producer = producer();
    }

    /// One record with this key and these headers.
    pub(crate) fn send_keyed(&self, key: &[u8], headers: OwnedHeaders, payload: &str) {
        let record = BaseRecord::<[u8], str>::to(&self.name).partition(0).key(key).payload(payload).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.flush();
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
        topic::make_anew(&self.name, usize::try_from(self.partitions).unwrap()).await;
        // The one before may still send to the former topic.
        self.producer = producer();
    }

    pub(crate) async fn remove(self) {
        topic::remove(&[&self.name]).await;
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
