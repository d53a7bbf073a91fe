//! The topic of tokens: all that pipelines have committed to topics of this cluster. All records of a pipeline are in one
//! partition, so that who opens a lane finds at one place what it and any other lane, generation, incarnation or node has written.
use super::{
    client::{Callbacks, Client, TIMEOUT},
    ledger::{LaneId, Ledger, writer},
    topic,
};
use dataflow_core::branch::BranchId;
use dataflow_sdk::{Error, sink::Waits};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
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
/// How long such a wait is nothing to speak of.
const USUAL: Duration = Duration::from_secs(1);
/// How long the end of a transaction may take to be seen once the brokers have decided on it.
const SETTLING: Duration = Duration::from_secs(2);
/// How often brokers look for transactions that have taken too long.
const SWEEP: Duration = Duration::from_secs(10);
/// How far clocks may differ, and how long aborting may take.
const MARGIN: Duration = Duration::from_secs(30);

/// The topic, which is there.
pub(super) struct Tokens<'a> {
    client: &'a Client,
    /// Sees only what was committed.
    committed: BaseConsumer<Callbacks>,
    /// Sees what is not committed, too.
    uncommitted: BaseConsumer<Callbacks>,
}

/// A transaction that is open.
struct Open {
    /// Where its first record is.
    offset: i64,
    /// Whose it is; otherwise what is known of that.
    holder: Result<LaneId, String>,
    /// When that record was made, in milliseconds since the Unix epoch.
    since: Option<i64>,
}

fn partition_of(branch: &BranchId) -> i32 {
    (xxh3_64(branch.pipeline().as_str().as_bytes()) % PARTITIONS as u64) as i32
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
    Ok(Some(Tokens { client, committed: client.committed()?, uncommitted: client.uncommitted()? }))
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
    pub(super) fn partition(&self, branch: &BranchId) -> i32 {
        partition_of(branch)
    }

    /// All that was committed of a pipeline until now. The producers of `fenced` lanes can end no transaction any more.
    pub(super) fn read(
        &self,
        branch: &BranchId,
        fenced: &BTreeSet<LaneId>,
        stop: &CancellationToken,
        waits: &Waits,
    ) -> Result<Ledger, Error> {
        let (number, mut ledger) = (partition_of(branch), Ledger::new(branch.clone()));
        let (low, high) = self.ends(&self.uncommitted, number)?;
        if low >= high {
            return Ok(ledger);
        }
        self.wait_for(number, high, |lane| fenced.contains(lane), (stop, waits))?;
        self.assign(&self.committed, number, low)?;
        let begun = Instant::now();
        loop {
            match self.committed.poll(Duration::from_millis(100)) {
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
        number: i32,
        offset: i64,
        is_fenced: impl Fn(&LaneId) -> bool,
        (stop, waits): (&CancellationToken, &Waits),
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let mut known: Option<Open> = None;
        loop {
            let (_, stable) = self.ends(&self.committed, number)?;
            if stable >= offset {
                return Ok(());
            }
            if stop.is_cancelled() {
                return Err(stopped());
            }
            if begun.elapsed() > USUAL && known.as_ref().is_none_or(|open| open.offset != stable) {
                let open = self.open_at(number, stable)?;
                waits.on(self.said(number, &open));
                known = Some(open);
            }
            let forgotten = |open: &&Open| begun.elapsed() > SETTLING && open.holder.as_ref().is_ok_and(&is_fenced);
            if let Some(open) = known.as_ref().filter(forgotten) {
                return Err(self.forgotten(number, open));
            }
            if let Some(open) = known.as_ref().filter(|open| begun.elapsed() > PATIENCE || self.hangs(open)) {
                let error = Error::transient("open-transaction", self.said(number, open));
                return Err(error.fix(self.remedy(number, open)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The transaction whose first record is at an offset.
    fn open_at(&self, number: i32, offset: i64) -> Result<Open, Error> {
        self.assign(&self.uncommitted, number, offset)?;
        Ok(match self.uncommitted.poll(TIMEOUT) {
            Some(Ok(record)) => {
                let key = record.key().unwrap_or_default();
                let unknown = || format!("an unknown writer (key {})", String::from_utf8_lossy(key));
                let holder = writer(key).ok_or_else(unknown);
                Open { offset, holder, since: record.timestamp().to_millis() }
            }
            _ => Open { offset, holder: Err("an unknown writer".into()), since: None },
        })
    }

    /// A transaction that stays open though its producers are fenced: nobody will end it, and whether the brokers had decided to
    /// commit it can't be known. A coordinator that finds no leader of a partition, as while the only broker starts again, takes it
    /// for deleted and leaves out the end of a transaction there, even of one that it has committed in other partitions (seen with
    /// Kafka 4.4: "likely deleted already and hence can be skipped").
    fn forgotten(&self, number: i32, open: &Open) -> Error {
        let Client { topic, brokers, .. } = self.client;
        let message = format!("{}. The brokers have forgotten it: nobody will end it", self.said(number, open));
        let fix = format!(
            "abort it there: {}. Do the same where `kafka-transactions.sh --bootstrap-server {brokers} find-hanging --topic {topic}` finds it, \
             then start the pipeline, which writes its records again. Those that the brokers have committed in other partitions of \
             {topic} are there twice then: `dataflow verify` lists them",
            self.abort(number, open)
        );
        Error::fatal("transaction-forgotten", message).fix(fix).for_user()
    }

    /// The command that aborts a transaction.
    fn abort(&self, number: i32, open: &Open) -> String {
        let Client { tokens, brokers, .. } = self.client;
        format!(
            "kafka-transactions.sh --bootstrap-server {brokers} abort --topic {tokens} --partition {number} --start-offset {}",
            open.offset
        )
    }

    fn said(&self, number: i32, Open { offset, holder, since }: &Open) -> String {
        let since = since.and_then(|since| jiff::Timestamp::from_millisecond(since).ok());
        let since = since.map_or(String::new(), |since| format!(" since {since:.0}"));
        let holder = match holder {
            Ok(LaneId { branch, incarnation, generation, lane }) => {
                format!("pipeline {branch} (incarnation {incarnation}, generation {generation}), lane {lane}")
            }
            Err(unknown) => unknown.clone(),
        };
        let Client { tokens, brokers, .. } = self.client;
        format!(
            "a transaction of {holder} is open{since} at offset {offset} of {tokens}/{number} at Kafka {brokers}: records committed after it are not visible yet"
        )
    }

    /// Whether it is open for longer than the brokers leave it open: they have forgotten it.
    fn hangs(&self, open: &Open) -> bool {
        let now = jiff::Timestamp::now().as_millisecond();
        let most = (self.client.timeout + SWEEP + MARGIN).as_millis();
        open.since.is_some_and(|since| now.saturating_sub(since) > most as i64)
    }

    fn remedy(&self, number: i32, open: &Open) -> String {
        if !self.hangs(open) {
            return "it ends when its node resumes or restarts, or about 10 s after its transactionTimeout".into();
        }
        format!(
            "unless its transactionTimeout is longer than {} s, the brokers have forgotten it. Its pipeline says what to do when it starts; if that pipeline is gone, abort it: {}",
            self.client.timeout.as_secs(),
            self.abort(number, open)
        )
    }

    fn failed(&self, error: &KafkaError) -> Error {
        self.client.failed(&self.reading(), error)
    }

    fn reading(&self) -> String {
        format!("reading {}", self.client.tokens)
    }
}

/// Whether the brokers have not agreed yet who leads a partition, as with a new topic.
pub(super) fn is_unsettled(error: &KafkaError) -> bool {
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
    use dataflow_core::branch::BranchId;
    use std::time::Duration;

    #[test]
    fn a_removal_outlives_the_longest_reading() {
        let (_, kept) = SETTINGS.iter().find(|(name, _)| *name == "delete.retention.ms").unwrap();
        assert!(Duration::from_millis(kept.parse().unwrap()) > 10 * PATIENCE);
    }

    #[test]
    fn a_pipeline_keeps_its_partition() {
        let partition = |id: &str| partition_of(&BranchId::try_from(id).unwrap());
        assert_eq!(["orders", "a", "user-events_2"].map(partition), [59, 31, 4]);
    }
}
