//! The client library: its settings, its callbacks, and the classification of its errors.
use super::{KafkaSource, properties, told::Told};
use dataflow_core::position::Partition;
use dataflow_sdk::{Context, Error};
use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    metadata::{Metadata, MetadataTopic},
    topic_partition_list::Offset,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long to wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The code of the error about a topic that does not exist.
pub(super) const MISSING: &str = "topic-missing";
/// The most events that are searched for an error message.
const EVENTS: u32 = 100;

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

/// A topic was deleted or recreated. Reopening compares each position with the topic's id.
pub(super) fn renewed() -> Error {
    Error::transient("topic-renewed", "a topic was recreated or deleted while it was read")
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
    source: KafkaSource,
}

impl Client {
    /// Creates a client for one of `lanes` lanes. Connects in the background.
    pub(super) fn new(source: &KafkaSource, cx: &Context, lanes: u32) -> Result<Self, Error> {
        let source = KafkaSource { cluster: source.cluster.read(&cx.paths)?, ..source.clone() };
        let told = Arc::new(Told::new(source.cluster.clone()));
        let settings = properties::client(&source, cx, lanes);
        let consumer = source.cluster.connect(&settings, Callbacks(told.clone()))?;
        Ok(Self { consumer, told, brokers: source.cluster.brokers().join(","), source })
    }

    /// Returns all partitions of the topics to read, by topic and number: of those that are named, then of those that the
    /// pattern finds.
    pub(super) fn partitions(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for name in self.source.named() {
            found.extend(self.partitions_of(name)?);
        }
        found.extend(self.matching()?);
        Ok(found)
    }

    /// Returns all partitions of the topics that the pattern finds, by topic and number.
    pub(super) fn matching(&self) -> Result<Vec<Found>, Error> {
        if self.source.topic_pattern.is_none() {
            return Ok(Vec::new());
        }
        let failed = |error: KafkaError| self.failed("the list of topics", &error);
        let metadata = dataflow_kafka::metadata(&self.consumer, None, &self.told.heard, TIMEOUT).map_err(failed)?;
        let mut topics: Vec<_> = metadata.topics().iter().filter(|topic| self.source.may_find(topic.name())).collect();
        topics.sort_unstable_by_key(|topic| topic.name());
        let Some(broker) = metadata.brokers().first() else {
            return Err(self.refused("the list of topics", Code::AllBrokersDown));
        };
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        let ids = dataflow_kafka::topic_ids(self.consumer.client(), &names, broker.id(), TIMEOUT).map_err(failed)?;
        let mut found = Vec::new();
        for topic in topics {
            let name = topic.name();
            let refused = topic.error().map(|code| Err(KafkaError::MetadataFetch(code.into())));
            let id = match refused.or_else(|| ids.get(name).cloned()).unwrap_or(Ok(None)) {
                Ok(id) => id.map(Arc::from),
                Err(error) => match self.failed(&format!("topic {name}"), &error) {
                    error if error.code() == MISSING => continue, // deleted meanwhile
                    error => return Err(error),
                },
            };
            found.extend(Self::found(topic, id));
        }
        Ok(found)
    }

    /// Returns all partitions of a topic, by number; `None`: there is no such topic.
    pub(super) fn partitions_if_any(&self, name: &str) -> Result<Option<Vec<Found>>, Error> {
        let missing = |error: Error| if error.code() == MISSING { Ok(None) } else { Err(error) };
        self.partitions_of(name).map(Some).or_else(missing)
    }

    /// Returns all partitions of a topic, by number.
    pub(super) fn partitions_of(&self, name: &str) -> Result<Vec<Found>, Error> {
        let metadata = dataflow_kafka::metadata(&self.consumer, Some(name), &self.told.heard, TIMEOUT);
        let metadata = metadata.map_err(|error| self.failed(&format!("topic {name}"), &error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        if let Some(code) = topic.and_then(|topic| topic.error()) {
            return Err(self.refused(&format!("topic {name}"), code.into()));
        }
        let Some(topic) = topic.filter(|topic| !topic.partitions().is_empty()) else {
            return Err(self.refused(&format!("topic {name}"), Code::UnknownTopicOrPartition));
        };
        let id = self.id_of(name, &metadata)?;
        Ok(Self::found(topic, id))
    }

    /// Returns the partitions of a topic, by number.
    fn found(topic: &MetadataTopic, id: Option<Arc<str>>) -> Vec<Found> {
        let mut numbers: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        numbers.sort_unstable();
        let found = |number| Found { topic: topic.name().to_owned(), number, id: id.clone() };
        numbers.into_iter().map(found).collect()
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
        let (earliest, latest) = marks.map_err(|error| match self.failed(&format!("{topic}/{number}"), &error) {
            // The next look no longer finds it.
            error if error.code() == MISSING && self.source.may_find(topic) => renewed(),
            error => error,
        })?;
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
