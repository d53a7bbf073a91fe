//! The client library: its callbacks, and the classification of its errors.
use super::{KafkaSink, properties};
use dataflow_core::branch::BranchId;
use dataflow_kafka::{Cluster, HasClient, Heard};
use dataflow_sdk::Error;
use rdkafka::{
    ClientConfig, ClientContext, Message,
    admin::AdminClient,
    client::OAuthToken,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    metadata::Metadata,
    producer::{NoCustomPartitioner, ProducerContext},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long to wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The library's placeholder for an unknown topic id: 16 bytes of zero.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// What the library reports by callbacks.
#[derive(Clone, Debug)]
pub(super) struct Callbacks(Arc<Told>);

#[derive(Debug)]
struct Told {
    heard: Heard,
    /// Records that were not delivered: the number that each was sent with, and why.
    undelivered: Mutex<Vec<(usize, Code)>>,
    /// A topic that the user may not write to.
    denied: Mutex<Option<String>>,
    /// A topic was deleted and created again under the producer.
    renewed: AtomicBool,
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.heard.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // A transaction that lacks a right is only said to have failed.
        if facility == "ADDPARTS" && message.contains("Topic authorization failed") {
            let topic = message.split('"').nth(1).map(str::to_owned);
            *self.0.denied.lock().unwrap_or_else(PoisonError::into_inner) = topic;
        }
        // Records go to a topic by its name: that it is another one by now is only told here.
        let changed = message.split_once(" changed id from ").and_then(|(_, ids)| ids.split_once(" to "));
        if changed.is_some_and(|(before, _)| before != NO_ID) {
            self.0.renewed.store(true, Ordering::Relaxed);
        }
        self.0.heard.log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.heard.error(&error, reason);
    }
}

impl ConsumerContext for Callbacks {}

impl ProducerContext<NoCustomPartitioner> for Callbacks {
    type DeliveryOpaque = usize;

    /// Only called for records that were not delivered.
    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
            tracing::debug!(topic = message.topic(), %error, "not delivered");
            self.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner).push((number, code));
        }
    }
}

/// How the clients of an opening are made, and what they say.
pub(super) struct Client {
    pub(super) base: ClientConfig,
    pub(super) brokers: String,
    pub(super) topic: String,
    /// The name of the topic of tokens.
    pub(super) tokens: String,
    /// How long a transaction may take.
    pub(super) timeout: Duration,
    pub(super) callbacks: Callbacks,
    cluster: Cluster,
}

impl Client {
    pub(super) fn new(config: &KafkaSink, branch: &BranchId) -> Self {
        Self {
            base: properties::client(config, branch),
            brokers: config.cluster.brokers().join(","),
            topic: config.topic.clone(),
            tokens: config.tokens_topic.clone(),
            timeout: config.transaction_timeout.into(),
            callbacks: Callbacks(Arc::new(Told {
                heard: Heard::new(config.cluster.clone()),
                undelivered: Mutex::default(),
                denied: Mutex::default(),
                renewed: AtomicBool::default(),
            })),
            cluster: config.cluster.clone(),
        }
    }

    /// A client of these settings. Connects in the background.
    pub(super) fn make<T: FromClientConfigAndContext<Callbacks> + HasClient<Callbacks>>(
        &self,
        settings: &ClientConfig,
    ) -> Result<T, Error> {
        self.cluster.connect(settings, self.callbacks.clone())
    }

    /// A consumer that sees only what was committed.
    pub(super) fn committed(&self) -> Result<BaseConsumer<Callbacks>, Error> {
        self.make(&properties::consumer(&self.base, "read_committed"))
    }

    /// A consumer that sees what is not committed, too.
    pub(super) fn uncommitted(&self) -> Result<BaseConsumer<Callbacks>, Error> {
        self.make(&properties::consumer(&self.base, "read_uncommitted"))
    }

    pub(super) fn admin(&self) -> Result<AdminClient<Callbacks>, Error> {
        let mut settings = self.base.clone();
        for of_producers in ["linger.ms", "partitioner"] {
            settings.remove(of_producers);
        }
        self.make(&settings)
    }

    /// Records that were not delivered since the last call.
    pub(super) fn undelivered(&self) -> Vec<(usize, Code)> {
        std::mem::take(&mut *self.callbacks.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn has_undelivered(&self) -> bool {
        !self.callbacks.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What the brokers know of a topic.
    pub(super) fn metadata(&self, consumer: &BaseConsumer<Callbacks>, topic: &str) -> Result<Metadata, Error> {
        let asked = dataflow_kafka::metadata(consumer, Some(topic), &self.callbacks.0.heard, TIMEOUT);
        asked.map_err(|error| self.failed(&format!("looking up topic {topic}"), &error))
    }

    /// The topic that the user may not write to, where that was the end of a transaction.
    pub(super) fn denied(&self) -> Option<String> {
        self.callbacks.0.denied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a topic was deleted and created again under the producer.
    pub(super) fn is_renewed(&self) -> bool {
        self.callbacks.0.renewed.load(Ordering::Relaxed)
    }

    /// Classifies an error of the library. `what` could not be done.
    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(code) => self.refused(what, code),
            None => Error::transient("kafka", format!("{what} at Kafka {} failed: {error}", self.brokers)),
        }
    }

    pub(super) fn refused(&self, what: &str, code: Code) -> Error {
        let brokers = &self.brokers;
        if let Some(failure) = self.callbacks.0.heard.failure(brokers, code) {
            return failure;
        }
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Error::Fenced(format!(
                "{what} at Kafka {brokers}: another producer of this lane was opened since, or the transaction took longer than transactionTimeout"
            )),
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => {
                let message = format!("{what} at Kafka {brokers} is not permitted: {code}");
                Error::fatal("access-denied", message).fix(format!("grant this user {}", self.right(what, code)))
            }
            Code::InvalidTransactionTimeout => {
                let message =
                    format!("the brokers at {brokers} don't allow a transaction to take as long as transactionTimeout");
                Error::fatal("bad-property", message)
                    .fix("set transactionTimeout to no more than the brokers' transaction.max.timeout.ms")
            }
            Code::UnsupportedFeature | Code::UnsupportedVersion => {
                let message = format!("{what} is not possible at Kafka {brokers}: {code}");
                Error::fatal("unsupported", message).fix("use brokers of version 2.5 or later")
            }
            Code::PolicyViolation | Code::InvalidReplicationFactor | Code::InvalidPartitions | Code::InvalidConfig => {
                let message = format!("{what} was refused by Kafka {brokers}: {code}");
                Error::fatal("topic-refused", message).fix("create it as the brokers want it, or correct `createTopic`")
            }
            code => {
                let why = self.callbacks.0.heard.complaint(code);
                let why = if why == code.to_string() { why } else { format!("{code}; {why}") };
                Error::transient("kafka", format!("{what} at Kafka {brokers} failed: {why}"))
            }
        }
    }

    /// The right that is missing.
    fn right(&self, what: &str, code: Code) -> String {
        let Self { topic, tokens, .. } = self;
        match code {
            Code::TransactionalIdAuthorizationFailed => {
                format!("WRITE and DESCRIBE on transactional ids that begin with {tokens}")
            }
            Code::ClusterAuthorizationFailed => "CREATE and IDEMPOTENT_WRITE on the cluster".into(),
            _ if what.starts_with("creating topic ") => {
                format!(
                    "CREATE on topic {topic}, or have somebody create it (kafka-topics.sh --create --topic {topic} …)"
                )
            }
            _ if what.ends_with(&format!(" {tokens}")) => format!("READ, WRITE and DESCRIBE on topic {tokens}"),
            _ if what == format!("reading {topic}") => format!("READ and DESCRIBE on topic {topic}"),
            _ => format!("WRITE and DESCRIBE on topic {topic}"),
        }
    }
}
