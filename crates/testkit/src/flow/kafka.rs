//! A Kafka topic that contains the records.
use super::Data;
use crate::topic;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The address of Kafka.
pub(super) const BROKERS: &str = "127.0.0.1:9092";
/// Partitions of a topic.
const PARTITIONS: u64 = 4;
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A topic. It is kept: its content never changes, so the next flow reads it again.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
}

impl Topic {
    /// Returns the topic of these records, filled if it is new.
    pub(super) async fn filled(data: &Data) -> Self {
        let lines: String = (0..data.records).map(|n| data.line(n) + "\n").collect();
        let topic = Self { name: format!("kill-{}-{:016x}", data.records, xxh3_64(lines.as_bytes())) };
        if topic.count() != data.records {
            topic::make_anew(&topic.name, PARTITIONS as usize).await;
            topic.fill(data);
            assert_eq!(topic.count(), data.records, "records in {}", topic.name);
        }
        topic
    }

    fn count(&self) -> u64 {
        let consumer: BaseConsumer = config().create().expect("a consumer can be made");
        let marks = (0..4).map(|partition| consumer.fetch_watermarks(&self.name, partition, PATIENCE));
        marks.map(|marks| marks.map_or(0, |(low, high)| u64::try_from(high - low).unwrap_or(0))).sum()
    }

    fn fill(&self, data: &Data) {
        let mut config = config();
        config.set("enable.idempotence", "true");
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer can be made");
        for n in 0..data.records {
            let line = data.line(n);
            let partition = i32::try_from(Data::partition(n)).expect("few partitions");
            let record = BaseRecord::<(), str>::to(&self.name).partition(partition).payload(&line);
            producer.send(record).map_err(|(error, _)| error).expect("there is room for all records");
        }
        producer.flush(PATIENCE).expect("Kafka takes all records");
    }
}

pub(super) fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", BROKERS);
    config
}
