//! Writing: the token and the rows of a commit, in one transaction.
use super::{
    KafkaSink,
    admission::fenced,
    ledger::{LaneId, committed},
    message::{Messages, Wanted},
    opening,
    producer::{Failed, Producer},
    topic::Topic,
};
use crate::blocking::{Alive, Owned};
use async_trait::async_trait;
use dataflow_core::{position::Positions, token::Token};
use dataflow_sdk::{
    Error,
    batch::Output,
    sink::{CommitError, Committed, OpenLane, RejectedRow, Writer},
};
use rdkafka::{error::RDKafkaErrorCode as Code, producer::BaseRecord};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// An open lane.
pub(super) struct Lane {
    pub(super) config: KafkaSink,
    pub(super) of: OpenLane,
    pub(super) topic: Topic,
    pub(super) wanted: Wanted,
    /// Where its tokens are.
    pub(super) partition: i32,
    /// None after the brokers refused something: the next transaction of that producer might fail.
    pub(super) producer: Option<Producer>,
    /// The last commit, and the positions after it.
    pub(super) sequence: u64,
    pub(super) positions: Arc<Positions>,
    pub(super) stop: CancellationToken,
}

impl Lane {
    fn commit(&mut self, outputs: &[Output], token: &Token, alive: &Alive) -> Result<Committed, CommitError> {
        alive.check()?;
        if token.fence.rank() != self.of.fence.rank() || token.sequence != self.sequence + 1 {
            return Err(Error::Fenced(format!(
                "commit {} of lane {} does not follow on commit {}",
                token.sequence, token.fence.lane, self.sequence
            ))
            .into());
        }
        let rows: u64 = outputs.iter().map(|output| output.len() as u64).sum();
        let entries = committed(&token.with_rows(rows), &self.positions)?;
        let wanted = self.wanted.clone();
        let messages = outputs.iter().map(|output| Messages::of(output, &wanted)).collect::<Result<Vec<_>, _>>()?;
        // A row that the topic would refuse by the settings that were read last may be one that it takes by now.
        let is_known = self.check(&messages).is_err();
        if is_known {
            self.look_again()?;
            self.check(&messages)?;
        }
        match self.send(&messages, &entries, false, alive) {
            Ok(()) => {}
            Err(Failed::Refused(_)) => {
                if !is_known {
                    self.look_again()?;
                    self.check(&messages)?;
                }
                // Otherwise the brokers refuse whole batches, so each record goes by itself.
                match self.send(&messages, &entries, true, alive) {
                    Ok(()) => self.producer = None,
                    Err(Failed::Refused(refused)) => return Err(rejected(&messages, refused)),
                    Err(Failed::Other(error)) => return Err(error.into()),
                }
            }
            Err(Failed::Other(error)) => return Err(error.into()),
        }
        self.sequence = token.sequence;
        self.positions.clone_from(&token.positions);
        Ok(Committed { rows_written: rows })
    }

    /// Reads the topic's settings anew, which may have changed.
    fn look_again(&mut self) -> Result<(), Error> {
        let found = opening::find(&self.config, &self.of, &self.stop)?;
        if found.id != self.topic.id {
            return Err(Error::transient("topic-renewed", format!("topic {} was recreated meanwhile", found.name)));
        }
        if found.limits != self.topic.limits {
            // The settings of a producer follow from them.
            self.producer = None;
        }
        if let Some(producer) = self.producer.as_ref().filter(|_| found.partitions != self.topic.partitions) {
            producer.learn(&found.name);
        }
        self.topic = found;
        Ok(())
    }

    /// Finds the rows that the topic would refuse.
    fn check(&self, messages: &[Messages<'_>]) -> Result<(), CommitError> {
        let now = jiff::Timestamp::now().as_millisecond();
        let mut scratch = Vec::new();
        let mut refused = Vec::new();
        for (output, messages) in messages.iter().enumerate() {
            for row in 0..messages.len() {
                let message = messages.get(row, &mut scratch);
                if let Some(cause) = messages.refusal(row, &message, &self.topic, now) {
                    refused.push(RejectedRow { output, row, cause });
                }
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(CommitError::Rejected(refused)) }
    }

    /// Sends all of it in one transaction. `alone`: each record in a batch of its own.
    fn send(
        &mut self,
        messages: &[Messages<'_>],
        entries: &[super::ledger::Entry],
        alone: bool,
        alive: &Alive,
    ) -> Result<(), Failed> {
        let producer = match self.producer.take().filter(|_| !alone) {
            Some(producer) => producer,
            None => self.reopen(alone, alive)?,
        };
        let topic = &self.topic.name;
        producer.transaction(|transaction| {
            transaction.note(self.partition, entries)?;
            let (mut scratch, mut number) = (Vec::new(), 0);
            for messages in messages {
                for row in 0..messages.len() {
                    let message = messages.get(row, &mut scratch);
                    let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number);
                    record.key = message.key;
                    record.payload = message.value;
                    record.partition = message.partition;
                    record.timestamp = message.timestamp;
                    record.headers = messages.headers(row);
                    transaction.send(record)?;
                    number += 1;
                }
            }
            Ok(())
        })?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Another producer of the lane. It fences whoever has the lane, who might be a later writer: then that one opens again, and
    /// this one ends.
    fn reopen(&self, alone: bool, alive: &Alive) -> Result<Producer, Error> {
        alive.check()?;
        let id = LaneId::of(&self.of.fence);
        let producer = opening::producer(&self.config, &self.topic, &self.of, &id, alone)?;
        let ledger = opening::read(&self.config, &self.of, &self.stop)?;
        let found = ledger.lanes.get(&id);
        match found.and_then(|found| found.opening.as_ref()) {
            Some(opening) if opening.rank() != self.of.fence.rank() => Err(fenced(&self.of, opening)),
            Some(_) if found.is_some_and(|found| found.sequence() == self.sequence) => Ok(producer),
            _ => Err(Error::Fenced(format!("{} has not what this lane has written", self.config.tokens_topic))),
        }
    }
}

/// The rows that were refused, by the numbers that they were sent with.
fn rejected(messages: &[Messages<'_>], refused: Vec<(usize, Code)>) -> CommitError {
    let mut rows = Vec::new();
    for (number, code) in refused {
        let mut row = number;
        for (output, messages) in messages.iter().enumerate() {
            if row < messages.len() {
                rows.push(RejectedRow { output, row, cause: format!("the brokers refuse the record: {code}") });
                break;
            }
            row -= messages.len();
        }
    }
    match rows.is_empty() {
        true => Error::fatal("progress-not-kept", "the topic of tokens does not take the progress").into(),
        false => CommitError::Rejected(rows),
    }
}

/// The writer of one lane. Closing a client of the library waits for its threads.
pub(super) struct KafkaWriter(Owned<Lane>);

impl KafkaWriter {
    pub(super) fn new(lane: Lane) -> Self {
        Self(Owned::new(lane))
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let (outputs, token) = (outputs.clone(), token.clone());
        self.0.with(move |lane, alive| lane.commit(&outputs, &token, alive)).await
    }

    async fn close(self: Box<Self>) {
        if let Err(error) = self.0.close().await {
            tracing::warn!(%error, "a Kafka producer was not closed cleanly");
        }
    }
}
