//! Hands batches to the reader, however long it takes to accept them.
use super::{
    client::{Client, TIMEOUT},
    gather::Gather,
};
use dataflow_sdk::{Error, Records};
use rdkafka::{TopicPartitionList, consumer::Consumer, error::KafkaResult, topic_partition_list::Offset};
use std::time::Duration;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

/// How long to wait for a full reader before fetching stops.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the library is polled while nothing is fetched.
const LISTEN: Duration = Duration::from_secs(1);

/// The reader was dropped.
pub(super) struct Dropped;

/// The bounded channel to the reader.
pub(super) struct Out {
    to: mpsc::Sender<Result<Records, Error>>,
    runtime: Handle,
}

impl Out {
    /// Wraps the channel of a thread to its reader; to be called on the reader's runtime.
    pub(super) fn new(to: mpsc::Sender<Result<Records, Error>>) -> Self {
        Self { to, runtime: Handle::current() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Sends the error that ends the reader.
    pub(super) fn fail(&self, error: Error) {
        drop(self.to.blocking_send(Err(error)));
    }

    /// Hands out a batch. Meanwhile the library's events (statistics each second, errors) queue up behind the records:
    /// if a sink is blocked for long, fetching stops and the queue is emptied, so that it can't grow without bound.
    /// Afterwards each partition is read on from the offset after its gathered records.
    pub(super) fn hand(
        &self,
        records: Records,
        client: &Client,
        gathers: &[Gather],
    ) -> Result<Result<(), Dropped>, Error> {
        let room = |wait| self.runtime.block_on(async move { timeout(wait, self.to.reserve()).await });
        if let Ok(room) = room(PATIENCE) {
            return Ok(room.map(|room| room.send(Ok(records))).map_err(|_| Dropped));
        }
        let failed = |error| client.failed("the assignment", &error);
        client.consumer.unassign().map_err(failed)?;
        let room = loop {
            // Records among these events are fetched again.
            while client.consumer.poll(Duration::ZERO).is_some() {}
            if let Ok(room) = room(LISTEN) {
                break room;
            }
        };
        assign(client, gathers).map_err(failed)?;
        Ok(room.map(|room| room.send(Ok(records))).map_err(|_| Dropped))
    }
}

/// Continues partitions after their gathered records, once the brokers have confirmed that their logs are unchanged up
/// to there: the library checks a leader epoch only on a seek, not on an assignment.
pub(super) fn assign(client: &Client, gathers: &[Gather]) -> KafkaResult<()> {
    let (mut all, mut known) = (TopicPartitionList::new(), TopicPartitionList::new());
    for Gather { topic, number, epoch, to, .. } in gathers {
        all.add_partition_offset(topic, *number, Offset::Offset(*to))?;
        if let Some(epoch) = epoch {
            known.add_partition_offset(topic, *number, Offset::Offset(*to))?;
            dataflow_kafka::set_epoch(&mut known, topic, *number, *epoch);
        }
    }
    client.consumer.incremental_assign(&all)?;
    if known.count() > 0 {
        let sought = client.consumer.seek_partitions(known, TIMEOUT)?;
        sought.elements().iter().try_for_each(|element| element.error())?;
    }
    Ok(())
}
