//! The topic that is written to. It is looked up before anything is sent, since brokers create topics that a producer names.
use super::{
    CreateTopic,
    client::{Client, TIMEOUT},
};
use dataflow_sdk::Error;
use rdkafka::{
    admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::Consumer,
    error::RDKafkaErrorCode as Code,
};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// A topic as the brokers know it.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    /// Its id, which one that is created anew under its name does not have; none: the brokers give topics no ids.
    pub(super) id: Option<Arc<str>>,
    pub(super) partitions: i32,
    pub(super) limits: Limits,
}

/// What the topic takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The largest batch, and so the largest record with what goes around it.
    pub(super) message_bytes: usize,
    /// Whether each record must have a key.
    pub(super) keyed: bool,
    /// Whether records get the time at which the broker takes them.
    pub(super) own_time: bool,
    /// How old a record may be, and how far in the future, in milliseconds.
    pub(super) before: i64,
    pub(super) after: i64,
}

/// As Kafka has them where nobody sets others.
impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 1_048_588, keyed: false, own_time: false, before: i64::MAX, after: i64::MAX }
    }
}

impl Limits {
    fn of(config: &ConfigResource) -> Self {
        let text = |name: &str| config.get(name).and_then(|entry| entry.value.as_deref());
        let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok());
        let default = Self::default();
        let difference = number("message.timestamp.difference.max.ms").unwrap_or(i64::MAX);
        let bytes = number("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok());
        Self {
            message_bytes: bytes.unwrap_or(default.message_bytes),
            keyed: text("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            own_time: text("message.timestamp.type") == Some("LogAppendTime"),
            before: number("message.timestamp.before.max.ms").unwrap_or(i64::MAX).min(difference),
            after: number("message.timestamp.after.max.ms").unwrap_or(i64::MAX).min(difference),
        }
    }
}

/// Looks a topic up; none: there is no such topic.
pub(super) fn look(client: &Client, name: &str) -> Result<Option<Topic>, Error> {
    let consumer = client.committed()?;
    let metadata = client.metadata(&consumer, name)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(code) => return Err(client.refused(&format!("looking up topic {name}"), code)),
    }
    let partitions = topic.partitions().len() as i32;
    let Some(broker) = metadata.brokers().first().filter(|_| partitions > 0) else { return Ok(None) };
    let id = match dataflow_kafka::topic_id(consumer.client(), name, broker.id(), TIMEOUT) {
        Ok(id) => id,
        Err(error) if matches!(error.rdkafka_error_code(), Some(Code::UnknownTopicOrPartition)) => return Ok(None),
        Err(error) => return Err(client.failed(&format!("looking up topic {name}"), &error)),
    };
    let limits = config(client, name)?.as_ref().map(Limits::of).unwrap_or_default();
    Ok(Some(Topic { name: name.into(), id: id.map(Arc::from), partitions, limits }))
}

/// The settings of a topic; none: this user may not see them.
pub(super) fn config(client: &Client, name: &str) -> Result<Option<ConfigResource>, Error> {
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let admin = client.admin()?;
    let asked = Handle::current().block_on(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options));
    let failed = |error| client.failed(&format!("reading the settings of topic {name}"), &error);
    match asked.map_err(failed)?.pop() {
        Some(Ok(config)) => Ok(Some(config)),
        Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) | None => Ok(None),
        Some(Err(code)) => Err(client.refused(&format!("reading the settings of topic {name}"), code)),
    }
}

/// Creates a topic, and waits until the brokers know it. Fine if it is there already.
pub(super) fn create(
    client: &Client,
    name: &str,
    partitions: i32,
    replication: i32,
    settings: &[(&str, &str)],
) -> Result<(), Error> {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let created = Handle::current().block_on(client.admin()?.create_topics([&topic], &options));
    let created = created.map_err(|error| client.failed(&format!("creating topic {name}"), &error))?;
    for result in created {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(client.refused(&format!("creating topic {name}"), code)),
        }
    }
    for _ in 0..100 {
        if look(client, name)?.is_some_and(|topic| topic.partitions >= partitions) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Error::transient("kafka", format!("topic {name} was created, and is not there yet")))
}

/// Creates the topic that the spec says, or says how to.
pub(super) fn make(client: &Client, name: &str, how: Option<CreateTopic>) -> Result<(), Error> {
    match how {
        Some(CreateTopic { partitions, replication }) => {
            create(client, name, partitions.into(), replication.into(), &[])
        }
        None => {
            let message =
                format!("topic {name} does not exist at Kafka {}, and createTopic is not given", client.brokers);
            Err(Error::fatal("topic-missing", message).fix(format!(
                "create it (kafka-topics.sh --create --topic {name} …), correct `topic`, or set \"createTopic\": {{\"partitions\": 6, \"replication\": 3}}"
            )))
        }
    }
}
