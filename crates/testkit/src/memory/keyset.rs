//! A source in memory whose positions are texts, as those of a query that goes on after the last key it has seen.
use super::source::MemorySource;
use async_trait::async_trait;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    batch::Notice,
    extent::{Extent, Extents},
    source::{Assignment, Edge, Kept, Read, Reader, Source},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// Reads JSON records from memory, each after a key: a date and the record's number, `2024-01-03|42`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeysetMemorySource {
    /// Name of the [`Feed`](super::Feed) it reads.
    pub feed: String,
}

impl KeysetMemorySource {
    fn numbered(self) -> MemorySource {
        MemorySource { feed: self.feed, pace: 0, columns: Vec::new() }
    }
}

impl SourceConfig for KeysetMemorySource {
    const TYPE: &'static str = "memoryKeyset";
    const SUMMARY: &'static str = "Reads records from memory, after the last key it has seen.";
    const GUARANTEE: &'static str = "Positions are keys; exactly once while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn build(self) -> Box<dyn Source> {
        Box::new(Keyset { numbered: self.numbered().build() })
    }
    fn reads_like(&self, before: &Self) -> bool {
        self.feed == before.feed
    }
    fn keeps(&self, before: &Self, _: &Partition) -> Kept {
        if self.feed == before.feed { Kept::Yes } else { Kept::No }
    }
}

/// The key of the last of so many records; the beginning has none.
pub fn key(records: u64) -> Arc<str> {
    match records.checked_sub(1) {
        None => "start".into(),
        // As texts, they come in another order.
        Some(last) => format!("2024-01-{:02}|{last}", 1 + last / 10 % 28).into(),
    }
}

fn to_key(at: &Position) -> Position {
    Position { at: key(at.as_offset().unwrap_or(0)), identity: at.identity.clone() }
}

/// How many records come before a key; none: it is no key.
fn records_before(key: &str) -> Option<u64> {
    if key == "start" { Some(0) } else { key.split_once('|')?.1.parse::<u64>().ok()?.checked_add(1) }
}

fn to_number(at: &Position) -> Position {
    // A number is no position of this source: whoever makes one up has it begin anew.
    Position { identity: at.identity.clone(), ..Position::offset(records_before(&at.at).unwrap_or(0)) }
}

fn each(positions: Positions, of: fn(&Position) -> Position) -> Positions {
    positions.into_iter().map(|(partition, at)| (partition, of(&at))).collect()
}

fn error(error: Error) -> Error {
    match error {
        Error::PositionLost { partition, wanted, earliest, latest, reason } => Error::PositionLost {
            partition,
            wanted: to_key(&wanted),
            earliest: to_key(&earliest),
            latest: to_key(&latest),
            reason,
        },
        other => other,
    }
}

/// What a source has whose positions are numbers, at keys.
#[derive(Debug)]
struct Keyset {
    numbered: Box<dyn Source>,
}

#[async_trait]
impl Source for Keyset {
    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error> {
        self.numbered.partitions(cx).await
    }

    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        let planned = self.numbered.plan(cx, &each(known.clone(), to_number)).await?;
        Ok(planned.into_iter().map(|(partition, at)| (partition, to_key(&at))).collect())
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let lane =
            Assignment { positions: each(lane.positions, to_number), passed: each(lane.passed, to_number), ..lane };
        Ok(Box::new(KeysetReader { numbered: self.numbered.open(cx, lane).await? }))
    }

    fn beginning(&self) -> Position {
        to_key(&self.numbered.beginning())
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        Some(records_before(&one.at)?.cmp(&records_before(&other.at)?))
    }

    fn between(&self, from: Option<&Position>, to: &Position) -> Option<u64> {
        let from = from.map_or(Some(0), |from| records_before(&from.at))?;
        Some(records_before(&to.at)?.saturating_sub(from))
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        Ok(each(self.numbered.resolve(cx, to).await?, to_key))
    }

    async fn place(
        &self,
        cx: &Context,
        _: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let extents: Extents = self.extents(cx).await?;
        let (mut positions, mut problems) = (Positions::new(), Vec::new());
        for (partition, at) in named {
            let at = Position { at: at.as_str().into(), identity: None };
            let is_there = |extent: &Extent| {
                let last = extent.last.as_ref().and_then(|last| self.order(&at, last));
                last.is_some_and(Ordering::is_le)
            };
            if extents.get(partition.as_str()).is_some_and(is_there) {
                positions.insert(partition.as_str().into(), at);
            } else {
                problems.push(Problem::new("to.positions", "bad-position", format!("{partition}: {at} is no key")));
            }
        }
        Ok(if problems.is_empty() { Ok(positions) } else { Err(problems) })
    }
}

struct KeysetReader {
    numbered: Box<dyn Reader>,
}

#[async_trait]
impl Reader for KeysetReader {
    async fn read(&mut self) -> Result<Read, Error> {
        let Read::Records(mut records) = self.numbered.read().await.map_err(error)? else { return Ok(Read::End) };
        records.positions = Some(records.offsets.iter().map(|offset| key(*offset)).collect());
        // Not of the record's partition, but of what was read at once: nobody may take it for a position.
        records.offsets = (0..records.len() as u64).collect();
        (records.from, records.to) = (to_key(&records.from), to_key(&records.to));
        Ok(Read::Records(records))
    }

    fn lag(&self) -> Option<u64> {
        self.numbered.lag()
    }

    fn warnings(&mut self) -> Vec<Notice> {
        self.numbered.warnings()
    }

    fn appeared(&mut self) -> Vec<(Partition, Position)> {
        self.numbered.appeared().into_iter().map(|(partition, at)| (partition, to_key(&at))).collect()
    }

    fn assign(&mut self, planned: Positions) {
        self.numbered.assign(each(planned, to_number));
    }

    async fn close(self: Box<Self>) {
        self.numbered.close().await;
    }
}
