//! The producer of one lane: its transactions.
use super::{
    KafkaSink,
    client::{Callbacks, Client},
    ledger::Entry,
    properties,
    topic::Limits,
};
use dataflow_sdk::Error;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use std::time::{Duration, Instant};

/// The number of records that are no row.
const NO_ROW: usize = usize::MAX;

/// A producer whose earlier ones are fenced.
pub(super) struct Producer {
    client: Client,
    of: BaseProducer<Callbacks>,
    timeout: Duration,
}

/// Why a transaction was not committed.
pub(super) enum Failed {
    /// The brokers refuse these records for what they are.
    Refused(Vec<(usize, Code)>),
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Producer {
    /// Opens the producer of a transactional id. Once this returns, no earlier one can commit anything, and what the last one
    /// has begun is either committed or aborted.
    pub(super) fn open(
        client: Client,
        config: &KafkaSink,
        id: &str,
        limits: &Limits,
        alone: bool,
    ) -> Result<Self, Error> {
        let of: BaseProducer<Callbacks> =
            client.make(&properties::producer(&client.base, config, id, limits, alone))?;
        let timeout = Duration::from(config.transaction_timeout);
        let opened = of.init_transactions(timeout.max(Duration::from_secs(30)));
        if opened.is_err() {
            of.poll(Duration::ZERO);
        }
        opened.map_err(|error| match client.failed("opening transactions", &error) {
            // Another one came in between: who opens again finds out who it is.
            Error::Fenced(message) => Error::transient("fenced", message),
            error => error,
        })?;
        Ok(Self { client, of, timeout })
    }

    /// Writes records of the topic of tokens, in a transaction of their own.
    pub(super) fn write(&self, partition: i32, entries: &[Entry]) -> Result<(), Error> {
        let done = self.transaction(|transaction| transaction.note(partition, entries));
        match done {
            Ok(()) => Ok(()),
            Err(Failed::Other(error)) => Err(error),
            Err(Failed::Refused(refused)) => {
                let code = refused.first().map_or(Code::Fail, |(_, code)| *code);
                let message = format!(
                    "topic {} at Kafka {} does not take progress: {code}",
                    self.client.tokens, self.client.brokers
                );
                Err(Error::fatal("progress-not-kept", message)
                    .fix(format!("check the settings of {}, such as max.message.bytes", self.client.tokens)))
            }
        }
    }

    /// Runs `work` in a transaction. Nothing of it is committed if this fails with a refusal; after another failure, the next
    /// opening of the lane tells.
    pub(super) fn transaction(&self, work: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Failed> {
        let begun = Instant::now();
        self.attempt(work).map_err(|failed| match failed {
            // The brokers fence the producer of a transaction that takes too long, as if another one had been opened.
            Failed::Other(Error::Fenced(_)) if begun.elapsed() >= self.timeout => {
                let message = format!(
                    "a transaction at Kafka {} took longer than transactionTimeout ({} s) and was aborted",
                    self.client.brokers,
                    self.timeout.as_secs()
                );
                let error = Error::transient("transaction-timeout", message);
                error.fix("raise `transactionTimeout`, or lower `batch.maxRecords` or `batch.maxBytes`").into()
            }
            failed => failed,
        })
    }

    fn attempt(&self, work: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Failed> {
        let failed = |what: &str, error: &KafkaError| self.failed(what, error);
        self.of.begin_transaction().map_err(|error| failed("beginning a transaction", &error))?;
        let sent = work(self);
        let delivered = self.deliver();
        let undelivered = self.client.undelivered();
        if self.client.is_renewed() {
            drop(self.abort());
            let message =
                format!("topic {} at Kafka {} was recreated meanwhile", self.client.topic, self.client.brokers);
            return Err(Error::transient("topic-renewed", message).into());
        }
        if sent.is_ok() && delivered && undelivered.is_empty() {
            let committed = self.of.commit_transaction(self.timeout);
            return Ok(committed.map_err(|error| failed("committing a transaction", &error))?);
        }
        if let Some((code, _)) = self.of.client().fatal_error() {
            return Err(self.client.refused("writing", code).into());
        }
        let aborted = self.abort();
        if let Some(topic) = self.client.denied() {
            return Err(self
                .client
                .refused(&format!("writing to topic {topic}"), Code::TopicAuthorizationFailed)
                .into());
        }
        let undelivered = [undelivered, self.client.undelivered()].concat();
        let (refused, others): (Vec<_>, Vec<_>) = undelivered.into_iter().partition(|(_, code)| is_refusal(*code));
        if !refused.is_empty() {
            return Err(aborted.map_or_else(Failed::Other, |()| Failed::Refused(refused)));
        }
        sent?;
        let Client { topic, tokens, .. } = &self.client;
        let (what, code) = match others.into_iter().find(|(_, code)| !is_consequence(*code)) {
            Some((NO_ROW, code)) => (format!("writing progress to topic {tokens}"), code),
            Some((_, code)) => (format!("writing to topic {topic}"), code),
            None if aborted.is_err() => return Ok(aborted?),
            None => (format!("writing to topic {topic}"), Code::MessageTimedOut),
        };
        Err(self.client.refused(&what, code).into())
    }

    /// Sends a record of a topic. `number` tells it from others if it is refused.
    pub(super) fn send(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), Error> {
        let begun = Instant::now();
        while let Err((error, refused)) = self.of.send(record) {
            if error.rdkafka_error_code() != Some(Code::QueueFull) || begun.elapsed() > self.timeout {
                return Err(self.failed("sending a record", &error));
            }
            record = refused;
            dataflow_kafka::flush(self.of.client(), Duration::from_millis(10));
            self.of.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Sends records of the topic of tokens.
    pub(super) fn note(&self, partition: i32, entries: &[Entry]) -> Result<(), Error> {
        for Entry { key, value } in entries {
            let record = BaseRecord::with_opaque_to(&self.client.tokens, NO_ROW).partition(partition).key(&**key);
            self.send(match value {
                Some(value) => record.payload(&**value),
                None => record,
            })?;
        }
        Ok(())
    }

    /// Ends the transaction as if it had never been. Reports of what was under way have to be taken meanwhile.
    fn abort(&self) -> Result<(), Error> {
        let aborted = std::thread::scope(|scope| {
            let aborting = scope.spawn(|| self.of.abort_transaction(self.timeout));
            while !aborting.is_finished() {
                self.of.poll(Duration::from_millis(1));
            }
            aborting.join()
        });
        let aborted = aborted.map_err(|_| Error::fatal("internal", "aborting a transaction broke off"))?;
        aborted.map_err(|error| self.failed("aborting a transaction", &error))
    }

    /// Waits until what was sent is delivered; false if something is not, or it takes too long.
    fn deliver(&self) -> bool {
        let begun = Instant::now();
        loop {
            dataflow_kafka::flush(self.of.client(), Duration::from_millis(20));
            match self.of.in_flight_count() {
                0 => return true,
                _ if begun.elapsed() > self.timeout || self.client.has_undelivered() => return false,
                // Reports of records that are not delivered wait to be taken.
                _ => self.of.poll(Duration::from_millis(1)),
            }
        }
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Error {
        // What follows from a fatal error says less than that.
        match self.of.client().fatal_error() {
            Some((code, _)) => self.client.refused(what, code),
            None => self.client.failed(what, error),
        }
    }

    /// Has it learn which partitions a topic has by now; if that fails, sending to a new one does, too.
    pub(super) fn learn(&self, topic: &str) {
        drop(self.of.client().fetch_metadata(Some(topic), super::client::TIMEOUT));
    }
}

/// Whether a record is refused for what it is.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidMessage
            | Code::InvalidMessageSize
    )
}

/// Whether a record was not delivered because another one was not.
fn is_consequence(code: Code) -> bool {
    matches!(code, Code::InvalidDifferentRecord | Code::PurgeQueue | Code::PurgeInflight)
}
