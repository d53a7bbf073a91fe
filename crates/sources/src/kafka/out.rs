//! Handing batches to the reader, however long it takes to take them.
use super::{
    client::{Client, TIMEOUT},
    gather::Gather,
};
use dataflow_sdk::{Error, Records};
use rdkafka::{TopicPartitionList, consumer::Consumer, error::KafkaResult, topic_partition_list::Offset};
use std::time::Duration;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

/// How long a full reader is waited for before nothing more is fetched.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the library is listened to while nothing is fetched.
const LISTEN: Duration = Duration::from_secs(1);

/// The reader was dropped.
pub(super) struct Dropped;

/// The way to the reader, which has little room.
pub(super) struct Out {
    to: mpsc::Sender<Result<Records, Error>>,
    runtime: Handle,
}

impl Out {
    /// The way of a thread to its reader; to be made on the reader's runtime.
    pub(super) fn new(to: mpsc::Sender<Result<Records, Error>>) -> Self {
        Self { to, runtime: Handle::current() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// The last thing that the reader hears.
    pub(super) fn fail(&self, error: Error) {
        drop(self.to.blocking_send(Err(error)));
    }

    /// Hands out a batch. What the library tells meanwhile (statistics each second, errors) waits in the same queue as
    /// records: if a sink stands still for long, nothing is fetched any more and the queue is emptied, or it would grow
    /// without bound. Afterwards each partition is read on from behind what was gathered of it.
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
            // Records among them come again.
            while client.consumer.poll(Duration::ZERO).is_some() {}
            if let Ok(room) = room(LISTEN) {
                break room;
            }
        };
        assign(client, gathers).map_err(failed)?;
        Ok(room.map(|room| room.send(Ok(records))).map_err(|_| Dropped))
    }
}

/// Has partitions read on from after what was gathered of them, once the brokers have said that the log still is what it was
/// up to there: a leader's epoch that is only assigned is not looked at, one that is sought is.
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
