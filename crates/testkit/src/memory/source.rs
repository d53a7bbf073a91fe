//! A source in memory.
use super::{
    columns::{MemoryColumn, as_columns},
    feed::{Fed, Feed, Inner, feed},
};
use async_trait::async_trait;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    batch::Column,
    records::{Layout, Records, Slices, Span},
    source::{Assignment, Edge, Kept, Read, Reader, Source},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc};

/// Reads JSON records from memory, as they are or as the columns of a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemorySource {
    /// Name of the [`Feed`] it reads.
    pub feed: String,
    /// A setting without effect on what is read.
    #[serde(default)]
    pub pace: u32,
    /// The columns as which it hands records over; none: as their texts. Values have to be of the type of their column.
    #[serde(default)]
    pub columns: Vec<MemoryColumn>,
}

impl SourceConfig for MemorySource {
    const TYPE: &'static str = "memory";
    const SUMMARY: &'static str = "Reads records from memory.";
    const GUARANTEE: &'static str = "Positions are offsets; exactly once while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn build(self) -> Box<dyn Source> {
        Box::new(Memory { feed: feed(&self.feed), columns: self.columns.into_iter().map(Into::into).collect() })
    }
    fn reads_like(&self, before: &Self) -> bool {
        self.feed == before.feed
    }
    fn keeps(&self, before: &Self, _: &Partition) -> Kept {
        if self.feed == before.feed { Kept::Yes } else { Kept::No }
    }
}

#[derive(Debug)]
struct Memory {
    feed: Arc<Feed>,
    columns: Arc<[Column]>,
}

#[async_trait]
impl Source for Memory {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(self.feed.ask()?.partitions.keys().cloned().collect())
    }

    async fn plan(&self, _: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        let partitions = self.feed.ask()?.partitions.keys().cloned().collect::<Vec<_>>();
        let place = |name: Partition| (name.clone(), known.get(&name).cloned().unwrap_or(Position::offset(0)));
        Ok(partitions.into_iter().map(place).collect())
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        if let Some(Some(error)) = self.feed.lock().open_faults.pop_front() {
            return Err(error);
        }
        let most = cx.batch.max_records.max(1) as usize;
        Ok(Box::new(MemoryReader {
            feed: self.feed.clone(),
            columns: self.columns.clone(),
            mine: lane.planned().into_keys().collect(),
            seen: lane.plan.into_keys().collect(),
            alone: lane.lanes == 1,
            positions: lane.positions,
            most,
            last: None,
        }))
    }

    async fn resolve(&self, _: &Context, to: &Edge) -> Result<Positions, Error> {
        let inner = self.feed.ask()?;
        let at = |records: &Vec<Fed>| match to {
            Edge::Beginning => 0,
            Edge::End => records.len() as u64,
        };
        Ok(inner.partitions.iter().map(|(name, records)| (name.clone(), Position::offset(at(records)))).collect())
    }
}

struct MemoryReader {
    feed: Arc<Feed>,
    columns: Arc<[Column]>,
    mine: BTreeSet<Partition>,
    /// Partitions that are planned, or were reported as unplanned.
    seen: BTreeSet<Partition>,
    /// Whether it is the only lane: then every partition that it reports will be its own.
    alone: bool,
    positions: Positions,
    most: usize,
    /// The partition that was read last: the next one has its turn.
    last: Option<Partition>,
}

impl MemoryReader {
    /// Returns the next records; `None` if there are none for now.
    fn take(&mut self) -> Result<Option<Read>, Error> {
        let mut inner = self.feed.lock();
        if inner.read_faults.front().is_some()
            && let Some(Some(error)) = inner.read_faults.pop_front()
        {
            return Err(error);
        }
        if self.mine.iter().any(|name| inner.away.contains(name)) {
            return Err(Error::transient("unreachable", "the memory source was asked to be away"));
        }
        let is_mine = |name: &&Partition| inner.confused || self.mine.contains(*name);
        let mine: Vec<Partition> = inner.partitions.keys().filter(is_mine).cloned().collect();
        let behind =
            self.last.as_ref().and_then(|last| mine.iter().position(|name| name == last)).map_or(0, |at| at + 1);
        for name in mine.iter().cycle().skip(behind).take(mine.len()) {
            let from = self.positions.get(name).and_then(Position::as_offset).unwrap_or(0) as usize;
            let there = inner.partitions[name].len();
            if from > there {
                return Err(lost(name, from, there));
            }
            if from < there {
                let mut records = records(&inner, name, from, (from + self.most).min(there));
                if !self.columns.is_empty() {
                    records = as_columns(records, &self.columns);
                }
                self.positions.insert(name.clone(), records.to.clone());
                self.last = Some(name.clone());
                return Ok(Some(Read::Records(records)));
            }
        }
        let all_planned =
            inner.partitions.keys().all(|name| if self.alone { &self.mine } else { &self.seen }.contains(name));
        Ok((inner.ended && all_planned).then_some(Read::End))
    }
}

fn lost(partition: &Partition, wanted: usize, there: usize) -> Error {
    Error::PositionLost {
        partition: partition.clone(),
        wanted: Position::offset(wanted as u64),
        earliest: Position::offset(0),
        latest: Position::offset(there as u64),
        reason: format!("it has only {there} records"),
    }
}

fn records(inner: &Inner, partition: &Partition, from: usize, to: usize) -> Records {
    let fed = &inner.partitions[partition][from..to];
    let (data, spans) = slices(fed.iter().map(|record| record.data.as_deref()));
    let (keys, key_spans) = slices(fed.iter().map(|record| record.key.as_deref()));
    Records {
        to: Position::offset(to as u64),
        bytes_read: data.len() as u64,
        data: data.into(),
        spans,
        offsets: (from as u64..to as u64).collect(),
        keys: Some(Slices { data: keys.into(), spans: key_spans }),
        timestamps: Some(fed.iter().map(|record| Some(record.timestamp)).collect()),
        ..Records::empty(partition.clone(), Position::offset(from as u64), Layout::Json)
    }
}

fn slices<'a>(values: impl Iterator<Item = Option<&'a str>>) -> (Vec<u8>, Vec<Span>) {
    let mut data = Vec::new();
    let spans = values.map(|value| match value {
        Some(text) => {
            data.extend_from_slice(text.as_bytes());
            Span::new(data.len() - text.len(), data.len())
        }
        None => Span::NULL,
    });
    let spans = spans.collect();
    (data, spans)
}

#[async_trait]
impl Reader for MemoryReader {
    async fn read(&mut self) -> Result<Read, Error> {
        loop {
            let feed = self.feed.clone();
            let changed = feed.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(read) = self.take()? {
                return Ok(read);
            }
            changed.await;
        }
    }

    fn lag(&self) -> Option<u64> {
        let inner = self.feed.lock();
        let mine = inner.partitions.iter().filter(|(name, _)| self.mine.contains(*name));
        let waiting = mine.map(|(name, records)| {
            let at = self.positions.get(name).and_then(Position::as_offset).unwrap_or(0);
            (records.len() as u64).saturating_sub(at)
        });
        Some(waiting.sum())
    }

    fn appeared(&mut self) -> Vec<(Partition, Position)> {
        let inner = self.feed.lock();
        let new = inner.partitions.keys().filter(|name| self.seen.insert((*name).clone()));
        new.map(|name| (name.clone(), Position::offset(0))).collect()
    }

    fn assign(&mut self, planned: Positions) {
        self.mine.extend(planned.keys().cloned());
        self.positions.extend(planned);
    }

    fn warnings(&mut self) -> Vec<dataflow_sdk::batch::Notice> {
        Vec::new()
    }

    async fn close(self: Box<Self>) {}
}
