//! The reader of one lane: takes batches from the polling thread.
use super::{
    KafkaSource, client::Client, gather::Caps, out::Out, poll::Poll, properties, shared::Shared, start, told::Told,
    topic_of,
};
use async_trait::async_trait;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    batch::Notice,
    source::{Assignment, Read, Reader},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::mpsc;

/// The number of batches that wait for the run.
const WAITING: usize = 2;

/// The reader of one lane.
#[derive(Debug)]
pub(super) struct KafkaReader {
    /// Intervals without records that lead to the start of reading.
    first: VecDeque<Records>,
    from: mpsc::Receiver<Result<Records, Error>>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    told: Arc<Told>,
    /// The offset after the records handed out.
    at: HashMap<Partition, i64>,
}

/// Opens the reader of one lane.
pub(super) fn open(source: KafkaSource, cx: &Context, lane: Assignment) -> Result<KafkaReader, Error> {
    let lanes = lane.lanes.max(1);
    let client = Client::new(&source, cx, lanes)?;
    let all = client.partitions()?;
    let mine = lane.planned();
    let mut first = start::gone(&source, &all, &mine)?;
    let (to, from) = mpsc::channel(WAITING);
    let shared = Arc::new(Shared::default());
    let told = client.told.clone();
    let share = properties::share(cx, lanes) as usize;
    let mut poll = Poll {
        mine,
        passed: lane.passed,
        seen: lane.plan.into_keys().collect(),
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
        is_changed: false,
        due: None,
        source,
        client,
        out: Out::new(to),
        shared: shared.clone(),
    };
    poll.tell_of_gone(&all, cx)?;
    let begins = poll.look(all)?;
    let at = begins.iter().map(|begin| (begin.found.name(), begin.offset)).collect();
    first.extend(begins.into_iter().filter_map(|begin| begin.first));
    let thread = std::thread::Builder::new().name(format!("kafka-{}", cx.branch));
    let started = thread.spawn(move || poll.run());
    let thread =
        started.map_err(|error| Error::transient("no-thread", format!("no thread for the Kafka source: {error}")))?;
    Ok(KafkaReader { first, from, thread, shared, told, at })
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
        let shared = self.shared.lock();
        let is_there = |partition: &Partition| topic_of(partition).is_none_or(|topic| !shared.gone.contains(topic));
        let waiting = self.at.iter().filter(|(partition, _)| is_there(partition)).map(|(partition, at)| {
            let (topic, number) = partition.0.rsplit_once('/')?;
            let end = self.told.end(topic, number.parse().ok()?)?;
            Some(end.saturating_sub(*at).max(0) as u64)
        });
        waiting.sum()
    }

    fn checkpointed(&mut self, positions: &Positions) {
        self.shared.lock().checkpointed = Some(positions.clone());
    }

    fn appeared(&mut self) -> Vec<(Partition, Position)> {
        std::mem::take(&mut self.shared.lock().appeared)
    }

    fn assign(&mut self, planned: Positions) {
        let places = planned.iter().filter_map(|(partition, at)| Some((partition.clone(), at.as_offset()? as i64)));
        self.at.extend(places);
        self.shared.lock().assigned.extend(planned.into_iter().map(|(partition, at)| (partition, Some(at))));
    }

    fn warnings(&mut self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut self.shared.lock().notices);
        notices.extend(self.told.take_open().iter().map(|open| open.warning().into()));
        notices
    }

    /// Waits for the thread, which closes its consumer.
    async fn close(self: Box<Self>) {
        let Self { from, thread, .. } = *self;
        drop(from);
        drop(tokio::task::spawn_blocking(|| thread.join()).await);
    }
}
