//! The reader of one lane: takes batches from the polling thread.
use super::{
    KafkaSource,
    client::{Client, Told},
    gather::Caps,
    out::Out,
    poll::Poll,
    properties, start,
};
use async_trait::async_trait;
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    source::{Assignment, Read, Reader},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// The number of batches that wait for the run.
const WAITING: usize = 2;

/// The reader of one lane.
#[derive(Debug)]
pub(super) struct KafkaReader {
    /// Intervals without records that lead to where reading begins.
    first: VecDeque<Records>,
    from: mpsc::Receiver<Result<Records, Error>>,
    checkpointed: Arc<Mutex<Option<Positions>>>,
    told: Arc<Told>,
    /// Behind what was handed out.
    at: HashMap<Partition, i64>,
}

/// Opens the reader of one lane.
pub(super) fn open(source: KafkaSource, cx: &Context, lane: Assignment) -> Result<Option<KafkaReader>, Error> {
    let lanes = lane.lanes.max(1);
    let client = Client::new(&source, cx, lanes)?;
    let all = client.partitions()?;
    let mut first = start::gone(&source, &all, &lane)?;
    let mut begins = Vec::new();
    for found in all.into_iter().filter(|found| found.turn % lanes == lane.lane) {
        begins.push(start::begin(&source, &client, found, &lane.positions)?);
    }
    let (to, from) = mpsc::channel(WAITING);
    let checkpointed = Arc::new(Mutex::new(None));
    let told = client.told.clone();
    let share = properties::share(cx, lanes) as usize;
    let mut poll = Poll {
        lane: lane.lane,
        lanes,
        caps: Caps {
            records: cx.batch.max_records.max(1) as usize,
            bytes: (cx.batch.max_bytes.clamp(1, 1 << 30) as usize).min(share),
            record_bytes: cx.max_record_bytes.clamp(1, 1 << 30) as usize,
        },
        most: share,
        linger: cx.batch.linger.into(),
        gathers: Vec::new(),
        by_place: HashMap::new(),
        held: 0,
        verified: false,
        due: None,
        source,
        client,
        out: Out::new(to),
        checkpointed: checkpointed.clone(),
    };
    poll.assign(&begins)?;
    let at =
        begins.iter().map(|begin| (super::partition(&begin.found.topic, begin.found.number), begin.offset)).collect();
    first.extend(begins.into_iter().filter_map(|begin| begin.first));
    let thread = std::thread::Builder::new().name(format!("kafka-{}", cx.pipeline));
    let started = thread.spawn(move || poll.run());
    started.map_err(|error| Error::transient("no-thread", format!("no thread for the Kafka source: {error}")))?;
    Ok(Some(KafkaReader { first, from, checkpointed, told, at }))
}

#[async_trait]
impl Reader for KafkaReader {
    async fn read(&mut self) -> Result<Read, Error> {
        if let Some(first) = self.first.pop_front() {
            return Ok(Read::Records(first));
        }
        match self.from.recv().await {
            Some(records) => {
                let records = records?;
                let at = records.to.as_offset().unwrap_or_default() as i64;
                self.at.insert(records.partition.clone(), at);
                Ok(Read::Records(records))
            }
            None => Err(Error::transient("internal", "the thread that reads from Kafka has ended")),
        }
    }

    fn lag(&self) -> Option<u64> {
        let waiting = self.at.iter().map(|(partition, at)| {
            let (topic, number) = partition.0.rsplit_once('/')?;
            let end = self.told.end(topic, number.parse().ok()?)?;
            Some(end.saturating_sub(*at).max(0) as u64)
        });
        waiting.sum()
    }

    fn checkpointed(&mut self, positions: &Positions) {
        *self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner) = Some(positions.clone());
    }

    fn warnings(&mut self) -> Vec<dataflow_sdk::batch::Warning> {
        Vec::new()
    }
}
