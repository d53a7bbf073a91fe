//! The thread that polls the client library and hands batches to the reader.
//!
//! It alone owns the client: the library has to be polled and blocks when it is closed, and neither is suitable for the
//! runtime's threads. It ends when the reader is dropped.
use super::{
    KafkaSource,
    client::{Client, Found, MISSING, renewed},
    gather::{Caps, Gather},
    out::{self, Dropped, Out},
    position,
    shared::{Mine, Shared},
    start::{self, Begin},
    told::Cut,
};
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::Error;
use rdkafka::{
    Message, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    topic_partition_list::Offset,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The longest wait for a message, so that a dropped reader is noticed.
const POLL: Duration = Duration::from_millis(100);

/// How long the library may take to log why a position is not in a partition's log.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of messages received before anything else is done.
const ROUND: usize = 1024;

/// The state of the thread.
pub(super) struct Poll {
    pub(super) source: KafkaSource,
    pub(super) client: Client,
    /// The partitions of the lane, including those that don't exist at the moment.
    pub(super) mine: Mine,
    /// Where to continue in those whose positions were found lost by an earlier reader.
    pub(super) passed: Positions,
    /// All partitions that the plan contains, or that were reported as missing in it.
    pub(super) seen: HashSet<Partition>,
    pub(super) caps: Caps,
    /// The most bytes gathered over all partitions.
    pub(super) most: usize,
    pub(super) linger: Duration,
    pub(super) gathers: Vec<Gather>,
    pub(super) by_place: HashMap<String, HashMap<i32, usize>>,
    /// Bytes gathered over all partitions.
    pub(super) held: usize,
    /// Whether the records are known to belong to the topics of the positions.
    pub(super) verified: bool,
    /// Whether a topic that need not be there seems to be gone.
    pub(super) is_changed: bool,
    /// When the next batch has lingered long enough.
    pub(super) due: Option<Instant>,
    pub(super) out: Out,
    pub(super) shared: Arc<Shared>,
}

impl Poll {
    /// Adds partitions to what is read.
    fn assign(&mut self, begins: &[Begin]) -> Result<(), Error> {
        let known = self.gathers.len();
        for begin in begins {
            let Found { topic, number, .. } = &begin.found;
            self.by_place.entry(topic.clone()).or_default().insert(*number, self.gathers.len());
            self.gathers.push(Gather::new(begin, self.source.key_format));
        }
        out::assign(&self.client, &self.gathers[known..]).map_err(|error| self.client.failed("the assignment", &error))
    }

    /// Polls until the reader is dropped or something fails.
    pub(super) fn run(mut self) {
        let failed = match self.serve() {
            Ok(Dropped) => return,
            Err(error) => error,
        };
        // Records gathered before the failure are discarded: the next reader begins after what was handed out.
        self.out.fail(failed);
    }

    fn serve(&mut self) -> Result<Dropped, Error> {
        let refresh = Duration::from(self.source.metadata_interval);
        let mut refreshed = Instant::now();
        loop {
            let Ok(ended) = self.take_in()? else { return Ok(Dropped) };
            if ended {
                self.pass();
            }
            if self.hand_out(ended)?.is_err() || self.out.is_closed() {
                return Ok(Dropped);
            }
            self.report();
            let more = std::mem::take(&mut self.shared.lock().assigned);
            if !more.is_empty() || std::mem::take(&mut self.is_changed) || refreshed.elapsed() >= refresh {
                self.mine.extend(more);
                if self.discover()?.is_err() {
                    return Ok(Dropped);
                }
                refreshed = Instant::now();
            }
        }
    }

    /// Gathers messages until none arrive for a while, a partition ends (true), a batch has lingered, or enough
    /// messages came that other work is due.
    fn take_in(&mut self) -> Result<Result<bool, Dropped>, Error> {
        let wait = self.due.map_or(POLL, |due| due.saturating_duration_since(Instant::now()).min(POLL));
        for turn in 0..ROUND {
            let polled = self.client.consumer.poll(if turn == 0 { wait } else { Duration::ZERO });
            let error = match polled {
                None => return Ok(Ok(false)),
                Some(Ok(message)) => {
                    let found =
                        self.by_place.get(message.topic()).and_then(|numbers| numbers.get(&message.partition()));
                    let Some(&k) = found else { continue };
                    if self.gathers[k].is_full(&self.caps, message.payload_len() + message.key_len()) {
                        verify(&self.client, &mut self.verified, &self.gathers)?;
                        self.held = self.held.saturating_sub(self.gathers[k].bytes());
                        let records = self.gathers[k].take();
                        if self.out.hand(records, &self.client, &self.gathers)?.is_err() {
                            return Ok(Err(Dropped));
                        }
                    }
                    let gather = &mut self.gathers[k];
                    let before = gather.bytes();
                    gather.add(&message, &self.caps);
                    self.held += gather.bytes() - before;
                    if self.due.is_none() {
                        self.due = gather.since.map(|since| since + self.linger);
                    }
                    if self.held > self.most {
                        return Ok(Ok(false));
                    }
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Ok(true)),
                Some(Err(error)) => error,
            };
            let cut = error.rdkafka_error_code() == Some(Code::AutoOffsetReset);
            match if cut { self.pass_cut()? } else { Ok(false) } {
                Ok(true) => {}
                Ok(false) => self.judge(&error)?,
                Err(dropped) => return Ok(Err(dropped)),
            }
        }
        Ok(Ok(false))
    }

    /// Hands out batches that have lingered, those before the current end of a log, and everything if too much is held.
    fn hand_out(&mut self, ended: bool) -> Result<Result<(), Dropped>, Error> {
        let now = Instant::now();
        let crowded = self.held > self.most;
        if !(ended || crowded || self.due.is_some_and(|due| due <= now)) {
            return Ok(Ok(()));
        }
        self.due = None;
        if self.gathers.iter().any(Gather::is_ready) {
            verify(&self.client, &mut self.verified, &self.gathers)?;
        }
        for k in 0..self.gathers.len() {
            let gather = &mut self.gathers[k];
            let due = gather.since.map(|since| since + self.linger);
            // At the end of a log a batch lingers for more records; only one without records is handed out at once.
            if gather.is_ready() && (crowded || due.is_none_or(|due| due <= now)) {
                self.held = self.held.saturating_sub(gather.bytes());
                let records = gather.take();
                if self.out.hand(records, &self.client, &self.gathers)?.is_err() {
                    return Ok(Err(Dropped));
                }
            } else if let Some(due) = due {
                self.due = Some(self.due.map_or(due, |earliest| earliest.min(due)));
            }
        }
        Ok(Ok(()))
    }

    /// Records positions that have moved without records: aborted transactions and markers at the end of a log.
    fn pass(&mut self) {
        let Ok(list) = self.client.consumer.position() else { return };
        for element in list.elements() {
            let found = self.by_place.get(element.topic()).and_then(|numbers| numbers.get(&element.partition()));
            if let (Some(&k), Offset::Offset(offset)) = (found, element.offset()) {
                let epoch = dataflow_kafka::epoch_in(&list, element.topic(), element.partition());
                self.gathers[k].pass(offset, epoch);
                self.client.told.reaches(element.topic(), element.partition(), offset);
            }
        }
    }

    /// Handles a position that is no longer in its log: if the log lost its end, continues as the user chose. False: it
    /// is something else, or records were gathered before, so the reader has to be reopened.
    fn pass_cut(&mut self) -> Result<Result<bool, Dropped>, Error> {
        let failed = |client: &Client, error| client.failed("the assignment", &error);
        self.client.consumer.unassign().map_err(|error| failed(&self.client, error))?;
        // The library logs the offset after the error. Records received meanwhile are fetched again.
        let begun = Instant::now();
        let cut = loop {
            drop(self.client.consumer.poll(POLL / 10));
            let cut = self.client.told.take_cut();
            if !cut.is_empty() || begun.elapsed() > PATIENCE {
                break cut;
            }
        };
        let mut passed = Vec::new();
        for Cut { topic, number, end } in cut {
            let found = self.by_place.get(&topic).and_then(|numbers| numbers.get(&number));
            let Some(&k) = found.filter(|k| self.gathers[**k].epoch.is_some()) else { continue };
            if self.gathers[k].is_ready() {
                return Ok(Ok(false));
            }
            let name = super::partition(&topic, number);
            let unmoved = self.mine.get(&name).and_then(Option::as_ref) == Some(&self.gathers[k].position());
            let decided = self.passed.get(&name).filter(|_| unmoved);
            let (to, records) = start::cut(&self.source, &self.client, &self.gathers[k], end, decided)?;
            self.gathers[k].jump(to);
            passed.push(records);
        }
        if passed.is_empty() {
            return Ok(Ok(false));
        }
        out::assign(&self.client, &self.gathers).map_err(|error| failed(&self.client, error))?;
        for records in passed {
            if let Err(dropped) = self.out.hand(records, &self.client, &self.gathers)? {
                return Ok(Err(dropped));
            }
        }
        Ok(Ok(true))
    }

    /// Decides about an error of the library: it recovers from most of them by itself.
    fn judge(&mut self, error: &KafkaError) -> Result<(), Error> {
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => {
                // The library retries by itself, but the cause should be visible.
                self.client.partitions().map(|_| ())
            }
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut | Code::PartitionEOF) => Ok(()),
            Some(
                Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId,
            ) if self.source.topic_pattern.is_some() => {
                self.is_changed = true;
                Ok(())
            }
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                // Reopening compares each position with its log.
                let message = format!("a position is no longer in its log: {error}");
                Err(Error::transient("out-of-range", message))
            }
            _ => Err(self.client.failed("a topic", error)),
        }
    }

    /// Reports checkpoints to the consumer group.
    fn report(&self) {
        let positions = self.shared.lock().checkpointed.take();
        let Some(positions) = positions else { return };
        let mut list = TopicPartitionList::new();
        for gather in &self.gathers {
            let position = positions.get(&super::partition(&gather.topic, gather.number));
            if let Some(offset) = position.and_then(|position| i64::try_from(position.as_offset()?).ok()) {
                let added = list.add_partition_offset(&gather.topic, gather.number, Offset::Offset(offset));
                added.unwrap_or_else(|error| tracing::debug!(%error, "no group offset"));
            }
        }
        if list.count() > 0
            && let Err(error) = self.client.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "group offsets were not committed");
        }
    }

    /// Checks the topics for changes.
    fn discover(&mut self) -> Result<Result<(), Dropped>, Error> {
        let found = match self.client.partitions() {
            // A transient failure is reported elsewhere if it persists.
            Err(Error::Transient { .. }) => return Ok(Ok(())),
            found => found?,
        };
        if self.gathers.iter().any(|known| found.iter().any(|now| now.topic == known.topic && now.id != known.id)) {
            return Err(renewed());
        }
        if let Err(dropped) = self.let_go(&found)? {
            return Ok(Err(dropped));
        }
        for first in self.look(found)?.into_iter().filter_map(|begin| begin.first) {
            if let Err(dropped) = self.out.hand(first, &self.client, &self.gathers)? {
                return Ok(Err(dropped));
            }
        }
        Ok(Ok(()))
    }

    /// Begins with partitions of the lane that are not read yet, and reports those that are not planned: once planned,
    /// they are read from their beginning.
    pub(super) fn look(&mut self, all: Vec<Found>) -> Result<Vec<Begin>, Error> {
        let mut begins = Vec::new();
        for found in all {
            let name = found.name();
            let reads = self.by_place.get(&found.topic).is_some_and(|numbers| numbers.contains_key(&found.number));
            if let Some(wanted) = self.mine.get(&name).filter(|_| !reads) {
                let (wanted, decided) = (wanted.as_ref(), self.passed.get(&name));
                begins.push(start::begin(&self.source, &self.client, found, wanted, decided)?);
            } else if !self.seen.contains(&name) {
                let first = match self.client.log(&found.topic, found.number) {
                    Ok(log) => log.earliest,
                    // Too new, or deleted meanwhile: the next look tells.
                    Err(Error::Transient { .. }) => continue,
                    Err(error) => return Err(error),
                };
                self.shared.lock().appeared.push((name.clone(), position(first, found.id.as_ref())));
                self.seen.insert(name);
            }
        }
        if !begins.is_empty() {
            self.assign(&begins)?;
        }
        Ok(begins)
    }
}

/// Checks, before records are handed out, that they belong to the topics of their positions. A topic may have been
/// recreated before the client first read it, so its id is requested once after the first records; later the client
/// reports a change.
pub(super) fn verify(client: &Client, verified: &mut bool, gathers: &[Gather]) -> Result<(), Error> {
    if !*verified {
        let mut last = "";
        for gather in gathers {
            if gather.topic != last {
                match client.id(&gather.topic) {
                    Ok(id) if id == gather.id => {}
                    Err(error) if error.code() != MISSING => return Err(error),
                    _ => return Err(renewed()),
                }
            }
            last = &gather.topic;
        }
        *verified = true;
    }
    if client.told.is_renewed() { Err(renewed()) } else { Ok(()) }
}
