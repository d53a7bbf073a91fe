//! Where a topic begins and ends, and what is committed in between.
use super::{
    client::{Callbacks, Client, TIMEOUT},
    tokens::is_unsettled,
    topic::Topic,
};
use dataflow_sdk::Error;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::BorrowedMessage,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How long to wait for transactions that hide what comes after them, and for records.
const PATIENCE: Duration = Duration::from_secs(30);

/// A part of a partition, from one offset to before another one.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) partition: i32,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Where each partition of a topic ends, open transactions included.
pub(super) fn ends(client: &Client, topic: &Topic) -> Result<Vec<i64>, Error> {
    let consumer = client.uncommitted()?;
    (0..topic.partitions).map(|number| Ok(bounds(client, &consumer, &topic.name, number)?.1)).collect()
}

/// Where a partition begins and ends, as a consumer sees it.
fn bounds(
    client: &Client,
    consumer: &BaseConsumer<Callbacks>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), Error> {
    let begun = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if is_unsettled(&error) && begun.elapsed() < TIMEOUT => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(failed(client, topic, &error)),
        }
    }
}

/// What a topic has from these offsets on until now, once all transactions that are open now have ended.
pub(super) fn parts(client: &Client, topic: &Topic, stop: &CancellationToken) -> Result<Vec<Part>, Error> {
    let [all, committed] = [client.uncommitted()?, client.committed()?];
    let begun = Instant::now();
    let part = |partition| {
        let (from, to) = bounds(client, &all, &topic.name, partition)?;
        loop {
            let (_, stable) = bounds(client, &committed, &topic.name, partition)?;
            if stable >= to {
                return Ok(Part { partition, from, to });
            }
            if stop.is_cancelled() || begun.elapsed() > PATIENCE {
                let message = format!(
                    "a transaction is open at offset {stable} of {}/{partition} at Kafka {}: records committed after it are not visible yet",
                    topic.name, client.brokers
                );
                return Err(Error::transient("open-transaction", message)
                    .fix("try again: it ends when its writer resumes, or after that writer's transaction timeout"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    (0..topic.partitions).map(part).collect()
}

/// Every committed record of these parts, one of each partition in their order.
pub(super) fn read(
    client: &Client,
    topic: &str,
    parts: &[Part],
    stop: &CancellationToken,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), Error> {
    let mut open: BTreeSet<i32> = BTreeSet::new();
    let mut list = TopicPartitionList::new();
    for part in parts.iter().filter(|part| part.from < part.to) {
        open.insert(part.partition);
        let added = list.add_partition_offset(topic, part.partition, Offset::Offset(part.from));
        added.map_err(|error| failed(client, topic, &error))?;
    }
    let consumer = client.committed()?;
    consumer.assign(&list).map_err(|error| failed(client, topic, &error))?;
    let mut last = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                last = Instant::now();
                let to = parts.get(record.partition() as usize).map_or(0, |part| part.to);
                if record.offset() < to {
                    each(&record);
                }
                if record.offset() + 1 >= to {
                    open.remove(&record.partition());
                }
            }
            // All transactions up to the end of its part have ended: it is after them.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                last = Instant::now();
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(failed(client, topic, &error)),
            None if stop.is_cancelled() => return Err(Error::transient("dropped", "the audit ended meanwhile")),
            None if last.elapsed() > PATIENCE => {
                return Err(client.refused(&format!("reading {topic}"), Code::OperationTimedOut));
            }
            None => {}
        }
    }
    Ok(())
}

fn failed(client: &Client, topic: &str, error: &KafkaError) -> Error {
    client.failed(&format!("reading {topic}"), error)
}
