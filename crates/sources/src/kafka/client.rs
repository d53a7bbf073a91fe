//! The client library: its settings, its callbacks, and the classification of its errors.
use super::{KafkaSource, properties};
use dataflow_core::position::Partition;
use dataflow_kafka::{Cluster, Heard};
use dataflow_sdk::{Context, Error, batch::Warning};
use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    metadata::Metadata,
    topic_partition_list::Offset,
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long to wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The code of the error about a topic that does not exist.
const MISSING: &str = "topic-missing";
/// The library's placeholder for an unknown topic id: 16 bytes of zero.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// How many seconds a transaction may hold a partition up before users are told.
const LONG: i64 = 30;
/// The most events that are searched for an error message.
const EVENTS: u32 = 100;

/// State that the library reports by callbacks.
#[derive(Debug)]
pub(super) struct Told {
    heard: Heard,
    /// The end of each partition's log, by topic and number.
    ends: Mutex<HashMap<(String, i32), End>>,
    /// Transactions that were found open for long and not been told yet.
    open: Mutex<Vec<Open>>,
    /// A topic was recreated under the client: records from here on may belong to another topic than the expected one.
    renewed: AtomicBool,
    /// Logs that lost their ends.
    cut: Mutex<Vec<Cut>>,
}

impl Told {
    fn new(cluster: Cluster) -> Self {
        Self {
            heard: Heard::new(cluster),
            ends: Mutex::default(),
            open: Mutex::default(),
            renewed: AtomicBool::default(),
            cut: Mutex::default(),
        }
    }

    /// Returns whether a topic was recreated under the client. True before any record of the new topic can be read.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewed.load(Ordering::SeqCst)
    }

    /// Handles a line of the library's log. The library continues to read a recreated topic at its offset in the former
    /// one, and reports that only in its log.
    fn hear(&self, message: &str) {
        let changed = message.split_once(" changed id from ").and_then(|(_, ids)| ids.split_once(" to "));
        if changed.is_some_and(|(before, _)| before != NO_ID) {
            self.renewed.store(true, Ordering::SeqCst);
        }
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).extend(cut(message));
    }

    /// Returns the partitions found cut since the last call.
    pub(super) fn take_cut(&self) -> Vec<Cut> {
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records that a partition's log reaches this offset.
    pub(super) fn reaches(&self, topic: &str, number: i32, offset: i64) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry((topic.to_owned(), number)).or_default();
        end.offset = offset.max(end.offset);
    }

    /// Returns the end of a partition's log, as far as known.
    pub(super) fn end(&self, topic: &str, number: i32) -> Option<i64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(&(topic.to_owned(), number)).map(|end| end.offset)
    }

    /// Handles the library's statistics.
    fn count(&self, statistics: Statistics) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, known) in statistics.topics {
            for (number, PartitionStatistics { ls_offset: stable, hi_offset: last }) in known.partitions {
                if stable < 0 {
                    continue;
                }
                let end = ends.entry((topic.clone(), number)).or_default();
                end.offset = last.max(stable);
                let same = end.open.take().filter(|open| open.at == stable);
                let new = || Open { topic: topic.clone(), number, at: stable, since: statistics.time, told: false };
                end.open = (stable < last).then(|| same.unwrap_or_else(new));
                if let Some(open) = end.open.as_mut().filter(|open| !open.told && statistics.time - open.since >= LONG)
                {
                    open.told = true;
                    self.open.lock().unwrap_or_else(PoisonError::into_inner).push(open.clone());
                }
            }
        }
    }

    /// Returns the transactions that were found open for long since the last call.
    pub(super) fn take_open(&self) -> Vec<Open> {
        std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The end of a partition's log.
#[derive(Debug, Default)]
struct End {
    /// The offset after the last record, also after records of open transactions.
    offset: i64,
    /// The open transaction that ends what can be read before that.
    open: Option<Open>,
}

/// A transaction that is open in a partition: what comes after its first record can't be read until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The offset of its first record.
    pub(super) at: i64,
    /// When it was first seen, in seconds since the Unix epoch.
    pub(super) since: i64,
    told: bool,
}

impl Open {
    pub(super) fn warning(&self) -> Warning {
        let Self { topic, number, at, since, .. } = self;
        let since = jiff::Timestamp::from_second(*since).unwrap_or_default();
        let message = format!(
            "a transaction was open at offset {at} of {topic}/{number} for more than {LONG} s (since {since}): what comes after it is \
             read once its producer commits or aborts it, or its `transaction.timeout.ms` is over"
        );
        Warning { code: "open-transaction", subject: format!("{topic}/{number} at {at}"), message, records: 0 }
    }
}

/// A partition whose log lost its end.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The offset where the epoch of the position ends now; `None`: the log doesn't know the epoch.
    pub(super) end: Option<i64>,
}

/// Parses the log line about a partition whose log lost its end (the library's error names neither partition nor
/// offset): `user-events [3]: offset reset (at …): Partition log truncation detected at …: broker end offset is 200
/// (offset leader epoch 4). …`
fn cut(message: &str) -> Option<Cut> {
    let (place, why) = message.split_once("]: offset reset (at ")?;
    if !why.contains("log truncation detected") && !why.contains("No epoch found") {
        return None;
    }
    let (topic, number) = place.rsplit_once(" [")?;
    let topic = topic.rsplit(' ').next()?;
    let end: i64 = why.split_once("broker end offset is ")?.1.split(' ').next()?.parse().ok()?;
    Some(Cut { topic: topic.to_owned(), number: number.parse().ok()?, end: (end >= 0).then_some(end) })
}

/// The part of the library's statistics that is used here.
#[derive(Deserialize)]
struct Statistics {
    /// When, in seconds since the Unix epoch.
    time: i64,
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    /// The offset after the last stable record.
    ls_offset: i64,
    /// The offset after the last record.
    hi_offset: i64,
}

/// The callbacks.
#[derive(Clone, Debug)]
pub(super) struct Callbacks(pub(super) Arc<Told>);

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.heard.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.hear(message);
        self.0.heard.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.heard.error(&error, reason);
    }

    fn stats_raw(&self, json: &[u8]) {
        if let Ok(statistics) = serde_json::from_slice(json) {
            self.0.count(statistics);
        }
    }
}

impl ConsumerContext for Callbacks {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "group offsets were not committed");
        }
    }
}

/// A partition as the brokers know it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The topic's id, independent of its name; `None`: the brokers give topics no ids.
    pub(super) id: Option<Arc<str>>,
}

impl Found {
    pub(super) fn name(&self) -> Partition {
        super::partition(&self.topic, self.number)
    }
}

/// The range of offsets in a partition's log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    /// The offset of the first record.
    pub(super) earliest: i64,
    /// The offset after the last record.
    pub(super) latest: i64,
}

/// A consumer that reads nothing by itself.
pub(super) struct Client {
    pub(super) consumer: BaseConsumer<Callbacks>,
    pub(super) told: Arc<Told>,
    brokers: String,
    topics: Vec<String>,
}

impl Client {
    /// Creates a client for one of `lanes` lanes. Connects in the background.
    pub(super) fn new(source: &KafkaSource, cx: &Context, lanes: u32) -> Result<Self, Error> {
        let source = KafkaSource { cluster: source.cluster.read(&cx.paths)?, ..source.clone() };
        let told = Arc::new(Told::new(source.cluster.clone()));
        let settings = properties::client(&source, cx, lanes);
        let consumer = source.cluster.connect(&settings, Callbacks(told.clone()))?;
        let topics = source.all_topics().into_iter().map(str::to_owned).collect();
        Ok(Self { consumer, told, brokers: source.cluster.brokers().join(","), topics })
    }

    /// Returns all partitions of these topics, by topic and number.
    pub(super) fn partitions(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for name in &self.topics {
            found.extend(self.partitions_of(name)?);
        }
        Ok(found)
    }

    /// Returns the topics to read.
    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Returns all partitions of a topic, by number; `None`: there is no such topic.
    pub(super) fn partitions_if_any(&self, name: &str) -> Result<Option<Vec<Found>>, Error> {
        let missing = |error: Error| if error.code() == MISSING { Ok(None) } else { Err(error) };
        self.partitions_of(name).map(Some).or_else(missing)
    }

    /// Returns all partitions of a topic, by number.
    pub(super) fn partitions_of(&self, name: &str) -> Result<Vec<Found>, Error> {
        let metadata = dataflow_kafka::metadata(&self.consumer, name, &self.told.heard, TIMEOUT);
        let metadata = metadata.map_err(|error| self.failed(&format!("topic {name}"), &error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        if let Some(code) = topic.and_then(|topic| topic.error()) {
            return Err(self.refused(&format!("topic {name}"), code.into()));
        }
        let Some(topic) = topic.filter(|topic| !topic.partitions().is_empty()) else {
            return Err(self.refused(&format!("topic {name}"), Code::UnknownTopicOrPartition));
        };
        let id = self.id_of(name, &metadata)?;
        let mut numbers: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|number| Found { topic: name.to_owned(), number, id: id.clone() }).collect())
    }

    /// Returns the current id of a topic.
    pub(super) fn id(&self, topic: &str) -> Result<Option<Arc<str>>, Error> {
        let metadata = self.consumer.fetch_metadata(Some(topic), TIMEOUT);
        self.id_of(topic, &metadata.map_err(|error| self.failed(&format!("topic {topic}"), &error))?)
    }

    fn id_of(&self, topic: &str, metadata: &Metadata) -> Result<Option<Arc<str>>, Error> {
        let broker = metadata.brokers().first();
        let broker = broker.ok_or_else(|| self.refused(&format!("topic {topic}"), Code::AllBrokersDown))?;
        let id = dataflow_kafka::topic_id(self.consumer.client(), topic, broker.id(), TIMEOUT);
        let id = id.map_err(|error| self.failed(&format!("topic {topic}"), &error))?;
        Ok(id.map(Arc::from))
    }

    /// Returns the current range of a partition's log.
    pub(super) fn log(&self, topic: &str, number: i32) -> Result<Log, Error> {
        let marks = self.consumer.fetch_watermarks(topic, number, TIMEOUT);
        let (earliest, latest) = marks.map_err(|error| self.failed(&format!("{topic}/{number}"), &error))?;
        Ok(Log { earliest, latest })
    }

    /// Returns the offsets of the first records of this time or later, in milliseconds since the Unix epoch, of those
    /// partitions that have one.
    pub(super) fn at_time<'a>(
        &self,
        partitions: impl Iterator<Item = &'a Found>,
        millis: i64,
    ) -> Result<HashMap<Partition, i64>, Error> {
        let failed = |error| self.failed("the first record of a time", &error);
        let mut wanted = TopicPartitionList::new();
        for Found { topic, number, .. } in partitions {
            wanted.add_partition_offset(topic, *number, Offset::Offset(millis)).map_err(failed)?;
        }
        let found = self.consumer.offsets_for_times(wanted, TIMEOUT).map_err(failed)?;
        let mut offsets = HashMap::new();
        for element in found.elements() {
            element.error().map_err(failed)?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(super::partition(element.topic(), element.partition()), offset);
            }
        }
        Ok(offsets)
    }

    /// Classifies an error of the library.
    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(code) => self.refused(what, code),
            None => Error::transient("kafka", format!("{what} at Kafka {} can't be read: {error}", self.brokers)),
        }
    }

    fn refused(&self, what: &str, code: Code) -> Error {
        let brokers = &self.brokers;
        self.listen();
        if let Some(failure) = self.told.heard.failure(brokers, code) {
            return failure;
        }
        let why = || self.told.heard.complaint(code);
        match code {
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
                Error::fatal(MISSING, format!("{what} does not exist at Kafka {brokers}"))
                    .fix("create the topic, or correct `topic`")
            }
            Code::InvalidTopic => {
                Error::fatal(MISSING, format!("Kafka {brokers} refuses the name of {what}")).fix("correct `topic`")
            }
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                Error::fatal("access-denied", format!("Kafka {brokers} does not let this user read {what}: {code}"))
                    .fix("grant it READ and DESCRIBE on the topic")
            }
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::NotImplemented => {
                Error::fatal("bad-data", format!("{what} at Kafka {brokers} can't be read: {}", why()))
            }
            _ => Error::transient("kafka", format!("{what} at Kafka {brokers} can't be read: {}", why())),
        }
    }

    /// Takes messages that wait as events; once something is read, the polling thread receives them.
    fn listen(&self) {
        if self.consumer.assignment().is_ok_and(|list| list.count() == 0) {
            (0..EVENTS).for_each(|_| drop(self.consumer.poll(Duration::ZERO)));
        }
    }
}
