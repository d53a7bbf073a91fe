//! The client library: its callbacks, and the classification of its errors.
use super::{KafkaSink, properties};
use dataflow_core::id::PipelineId;
use dataflow_kafka::Heard;
use dataflow_sdk::Error;
use rdkafka::{
    ClientConfig, ClientContext, Message,
    admin::AdminClient,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    producer::{NoCustomPartitioner, ProducerContext},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long to wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// What the library reports by callbacks.
#[derive(Clone, Debug, Default)]
pub(super) struct Callbacks(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    heard: Heard,
    /// Records that were not delivered: the number that each was sent with, and why.
    undelivered: Mutex<Vec<(usize, Code)>>,
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
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
    /// The name of the topic of tokens.
    pub(super) tokens: String,
    pub(super) callbacks: Callbacks,
}

impl Client {
    pub(super) fn new(config: &KafkaSink, pipeline: &PipelineId) -> Self {
        Self {
            base: properties::client(config, pipeline),
            brokers: config.cluster().brokers().join(","),
            tokens: config.tokens_topic.clone(),
            callbacks: Callbacks::default(),
        }
    }

    /// A client of these settings. Connects in the background.
    pub(super) fn make<T: FromClientConfigAndContext<Callbacks>>(&self, settings: &ClientConfig) -> Result<T, Error> {
        settings.create_with_context(self.callbacks.clone()).map_err(|error| {
            Error::fatal("bad-property", format!("can't create the Kafka client: {error}")).fix("check `properties`")
        })
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
                Error::fatal("access-denied", message).fix(format!(
                    "grant this user WRITE and DESCRIBE on the topic and on transactional ids that begin with {0}, and READ, WRITE and DESCRIBE on {0}",
                    self.tokens
                ))
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
}
