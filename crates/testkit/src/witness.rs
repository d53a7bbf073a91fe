//! A plain consumer of Kafka: the witness of what a topic holds.
use crate::servers::KAFKA;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::OwnedMessage,
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// All records of a topic that a consumer with this isolation level gets, in the order of each partition.
///
/// # Panics
/// If the topic is missing, or can't be read to its end.
pub fn read(topic: &str, isolation: &str) -> Vec<OwnedMessage> {
    read_at(KAFKA, topic, isolation)
}

/// The same of other brokers.
///
/// # Panics
/// If the topic is missing, or can't be read to its end.
pub fn read_at(brokers: &str, topic: &str, isolation: &str) -> Vec<OwnedMessage> {
    let consumer = consumer(brokers, isolation);
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the server answers");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    assert!(!partitions.is_empty(), "topic {topic} is missing");
    settle(brokers, topic, &partitions);
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).expect("the offset is valid");
    }
    consumer.assign(&list).expect("the partitions can be read");
    let (mut records, mut left) = (Vec::new(), partitions.len());
    while left > 0 {
        match consumer.poll(PATIENCE).expect("records, or the end of a partition") {
            Ok(record) => records.push(record.detach()),
            Err(KafkaError::PartitionEOF(_)) => left -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    records
}

/// Waits for the markers of transactions, which brokers write after a commit has been answered. One that stays open never gets
/// any.
fn settle(brokers: &str, topic: &str, partitions: &[i32]) {
    let [committed, all] = ["read_committed", "read_uncommitted"].map(|isolation| consumer(brokers, isolation));
    let ends = |of: &BaseConsumer| -> Vec<_> {
        partitions.iter().map(|partition| of.fetch_watermarks(topic, *partition, PATIENCE).ok()).collect()
    };
    for _ in 0..20 {
        if ends(&committed) == ends(&all) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn consumer(brokers: &str, isolation: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "witness");
    config.set("isolation.level", isolation).set("enable.partition.eof", "true");
    config.create().expect("a consumer can be made")
}
