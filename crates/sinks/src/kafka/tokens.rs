//! The topic of tokens: all that pipelines have committed to topics of this cluster. All records of a pipeline are in one
//! partition, so that who opens a lane finds at one place what it and any other lane, generation, incarnation or node has written.
use super::{
    client::{Callbacks, Client, TIMEOUT},
    ledger::{Ledger, writer},
    topic,
};
use dataflow_core::id::PipelineId;
use dataflow_sdk::Error;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

/// The partitions that are used, however many it has. Part of the stored format, as is the hash.
const PARTITIONS: i32 = 64;
/// With the brokers' defaults, a reader would get every record of the day. A removal stays longer than any reading takes, which
/// would find what was removed otherwise.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "600000"),
];
/// How long to wait for transactions of other pipelines that hide what comes after them.
const PATIENCE: Duration = Duration::from_secs(30);

/// The topic, which is there.
pub(super) struct Tokens<'a> {
    client: &'a Client,
}

fn partition_of(pipeline: &PipelineId) -> i32 {
    (xxh3_64(pipeline.as_str().as_bytes()) % PARTITIONS as u64) as i32
}

/// Looks for the topic; none: nobody has committed anything yet.
pub(super) fn look(client: &Client) -> Result<Option<Tokens<'_>>, Error> {
    let (name, brokers) = (&client.tokens, &client.brokers);
    let Some(found) = topic::look(client, name)? else { return Ok(None) };
    if found.partitions < PARTITIONS {
        let message = format!("topic {name} at Kafka {brokers} has {} partitions, not {PARTITIONS}", found.partitions);
        return Err(Error::fatal("tokens-unusable", message).fix(format!(
            "give it more: kafka-topics.sh --bootstrap-server {brokers} --alter --topic {name} --partitions {PARTITIONS}"
        )));
    }
    let policy = topic::config(client, name)?;
    let policy = policy.as_ref().and_then(|config| config.get("cleanup.policy")?.value.clone());
    if let Some(policy) = policy.filter(|policy| policy != "compact") {
        let message =
            format!("topic {name} at Kafka {brokers} has cleanup.policy={policy}: progress in it would be lost");
        return Err(Error::fatal("tokens-unusable", message).fix(format!(
            "kafka-configs.sh --bootstrap-server {brokers} --alter --topic {name} --add-config cleanup.policy=compact"
        )));
    }
    Ok(Some(Tokens { client }))
}

/// Looks for the topic, and creates it where nobody has yet.
pub(super) fn make(client: &Client) -> Result<Tokens<'_>, Error> {
    if let Some(tokens) = look(client)? {
        return Ok(tokens);
    }
    let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("--config {name}={value}")).collect();
    let (name, brokers) = (&client.tokens, &client.brokers);
    let made = topic::create(client, name, PARTITIONS, -1, &SETTINGS);
    made.map_err(|error| match error {
        Error::Fatal { code, message, .. } => Error::fatal(code, message).fix(format!(
            "create it: kafka-topics.sh --bootstrap-server {brokers} --create --topic {name} --partitions {PARTITIONS} {}",
            settings.join(" ")
        )),
        error => error,
    })?;
    look(client)?.ok_or_else(|| Error::transient("kafka", format!("topic {name} was created, and is not there yet")))
}

impl Tokens<'_> {
    /// The partition of a pipeline.
    pub(super) fn partition(&self, pipeline: &PipelineId) -> i32 {
        partition_of(pipeline)
    }

    /// All that was committed of a pipeline until now.
    pub(super) fn read(&self, pipeline: &PipelineId, stop: &CancellationToken) -> Result<Ledger, Error> {
        let (number, mut ledger) = (partition_of(pipeline), Ledger::new(pipeline.clone()));
        let consumer = self.client.committed()?;
        let (low, high) = self.ends(&self.client.uncommitted()?, number)?;
        if low >= high {
            return Ok(ledger);
        }
        self.wait_for(&consumer, number, high, stop)?;
        self.assign(&consumer, number, low)?;
        let begun = Instant::now();
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    ledger.take(record.key().unwrap_or_default(), record.payload(), record.offset())?;
                }
                // All transactions up to `high` have ended: it is after them.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(ledger),
                Some(Err(error)) => return Err(self.failed(&error)),
                None if stop.is_cancelled() => return Err(stopped()),
                None if begun.elapsed() > PATIENCE => {
                    return Err(self.client.refused(&self.reading(), Code::OperationTimedOut));
                }
                None => {}
            }
        }
    }

    /// Where the partition begins and ends, as a consumer sees it.
    fn ends(&self, consumer: &BaseConsumer<Callbacks>, number: i32) -> Result<(i64, i64), Error> {
        let begun = Instant::now();
        loop {
            match consumer.fetch_watermarks(&self.client.tokens, number, TIMEOUT) {
                Ok(ends) => return Ok(ends),
                Err(error) if is_unsettled(&error) && begun.elapsed() < TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Callbacks>, number: i32, from: i64) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(&self.client.tokens, number, Offset::Offset(from))
            .and_then(|()| consumer.assign(&list));
        assigned.map_err(|error| self.failed(&error))
    }

    /// Waits until all transactions that were open at an offset have ended: what comes after the first of them can't be seen
    /// before, and an older token must not be taken for the last one.
    fn wait_for(
        &self,
        consumer: &BaseConsumer<Callbacks>,
        number: i32,
        offset: i64,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let (_, stable) = self.ends(consumer, number)?;
            if stable >= offset {
                return Ok(());
            }
            if stop.is_cancelled() {
                return Err(stopped());
            }
            if begun.elapsed() > PATIENCE {
                let holder = self.writer_at(number, stable)?;
                let message = format!(
                    "a transaction of {holder} is open at offset {stable} of {}/{number} at Kafka {}: what was committed after it can't be seen yet",
                    self.client.tokens, self.client.brokers
                );
                return Err(Error::transient("open-transaction", message)
                    .fix("it ends when its node goes on or restarts, or after its transactionTimeout and some 10 s"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Who wrote the record at an offset, whether it is committed or not.
    fn writer_at(&self, number: i32, offset: i64) -> Result<String, Error> {
        let consumer = self.client.uncommitted()?;
        self.assign(&consumer, number, offset)?;
        match consumer.poll(TIMEOUT) {
            Some(Ok(record)) => Ok(writer(record.key().unwrap_or_default())),
            _ => Ok("an unknown writer".into()),
        }
    }

    fn failed(&self, error: &KafkaError) -> Error {
        self.client.failed(&self.reading(), error)
    }

    fn reading(&self) -> String {
        format!("reading {}", self.client.tokens)
    }
}

/// Whether the brokers have not agreed yet who leads a partition, as with a new topic.
fn is_unsettled(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::UnknownTopic
        )
    })
}

fn stopped() -> Error {
    Error::transient("dropped", "the run ended meanwhile")
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, SETTINGS, partition_of};
    use dataflow_core::id::PipelineId;
    use std::time::Duration;

    #[test]
    fn a_removal_outlives_the_longest_reading() {
        let (_, kept) = SETTINGS.iter().find(|(name, _)| *name == "delete.retention.ms").unwrap();
        assert!(Duration::from_millis(kept.parse().unwrap()) > 10 * PATIENCE);
    }

    #[test]
    fn a_pipeline_keeps_its_partition() {
        let partition = |id: &str| partition_of(&PipelineId::try_from(id).unwrap());
        assert_eq!(["orders", "a", "user-events_2"].map(partition), [59, 31, 4]);
    }
}
