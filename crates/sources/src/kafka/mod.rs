//! The `kafka` source: records of Kafka topics.
//!
//! The run decides which partitions are read, and from which offset (`Assignment`), never a consumer group. An offset
//! becomes a checkpoint in the engine; here it is only the start of reading (`start`) and part of each batch
//! (`gather`).
mod client;
mod first;
mod gather;
mod headers;
mod out;
mod poll;
mod properties;
mod reader;
mod shared;
mod start;
mod told;
mod topics;
mod vanished;

#[cfg(test)]
mod tests;

use crate::blocking::blocking;
use crate::lost::OnPositionLost;
use async_trait::async_trait;
use client::Client;
use dataflow_core::{
    position::{Partition, Position, Positions},
    spec::Millis,
    types::Type,
};
use dataflow_kafka::Cluster;
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    declared::Metadata,
    extent,
    records::KeyFormat,
    source::{Assignment, Edge, Kept, Reader, Source},
};
use first::Start;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use topics::Pattern;

/// Reads records from Kafka topics.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaSource {
    /// The topic to read.
    #[serde(default)]
    pub topic: Option<String>,
    /// Several topics to read, instead of `topic`.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Reads the topics, also those that appear later, whose whole names match this regular expression: `orders-.*`. Not
    /// those that begin with `__`, nor `dataflow-tokens`: name them in `topics`, which may be given beside it.
    #[serde(default)]
    pub topic_pattern: Option<Pattern>,
    /// Where to begin at the first start of the pipeline. Partitions that appear later are read from their beginning.
    #[serde(default)]
    pub start: Start,
    /// Whether records of transactions are read before these are committed.
    #[serde(default)]
    pub isolation: Isolation,
    /// The type of the keys' bytes, which `meta.key` returns. A record with another kind of key is a dead letter if its
    /// key is used.
    #[serde(default)]
    pub key_format: KeyFormat,
    /// What to do when a position is no longer in the log: its records have expired, the topic was recreated, or the
    /// log lost its end (and may have been written on from there).
    #[serde(default)]
    pub on_position_lost: OnPositionLost,
    /// The consumer group that checkpoints are reported to, for tools that show lag. Nothing is ever read from it.
    /// Default: `dataflow-` and the pipeline's id.
    #[serde(default)]
    pub group_id: Option<String>,
    /// How often to search for new partitions, and new topics that match the pattern.
    #[serde(default = "metadata_interval")]
    pub metadata_interval: Millis,
    /// How the brokers are reached.
    #[serde(flatten)]
    pub cluster: Cluster,
}

/// Whether records of transactions are read before these are committed, in Kafka's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Only committed records are read. A transaction that is open holds up what comes after it.
    #[default]
    ReadCommitted,
    /// All records are read as they arrive, also those of transactions that are aborted later.
    ReadUncommitted,
}

impl Isolation {
    /// As the client library calls it.
    fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// Without the password, and without settings that may hold one.
impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("cluster", &self.cluster)
            .field("topics", &self.named())
            .field("pattern", &self.topic_pattern)
            .finish_non_exhaustive()
    }
}

fn metadata_interval() -> Millis {
    Millis(30_000)
}

impl SourceConfig for KafkaSource {
    const TYPE: &'static str = "kafka";
    const SUMMARY: &'static str = "Reads records from Kafka topics.";
    const GUARANTEE: &'static str = "Offsets come from the pipeline's own checkpoint, never from a consumer group or a \
        default of the client. Only committed transactions are read, unless `isolation` says otherwise. A position is known by its topic's id and the \
        epoch of its leader besides the offset, so that a topic recreated under its name is noticed, as are an offset that is \
        no longer in the log and a log that lost its end and was rewritten (`onPositionLost`). Brokers before Kafka 2.8 give topics no ids: there, a topic that is recreated and filled past \
        the checkpoint can't be distinguished from the old one.";
    const CONNECTION: Option<&'static str> = Some("kafka");
    const METADATA: Option<&'static [Metadata]> = Some(&[
        ("key", Type::Text), // or as `keyFormat` says
        ("timestamp", Type::Timestamp),
        ("topic", Type::Text),
        ("partition", Type::Bigint),
        ("headers", Type::Json),
    ]);

    fn key_type(&self) -> Type {
        self.key_format.ty()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.cluster.check(properties::OWNED);
        problems.extend(self.check_topics());
        problems.extend(self.start.check(|topic| self.reads_topic(topic)));
        if self.metadata_interval.0 == 0 {
            problems.push(Problem::new("metadataInterval", "out-of-range", "must be greater than 0"));
        }
        problems
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    /// Independent of the brokers: a topic is identified by its id.
    fn reads_like(&self, before: &Self) -> bool {
        let text = |source: &Self| source.topic_pattern.as_ref().map(ToString::to_string);
        let what = |source: &Self| (text(source), source.key_format, source.isolation);
        self.named() == before.named() && what(self) == what(before)
    }

    fn keeps(&self, _: &Self, partition: &Partition) -> Kept {
        if topic_of(partition).is_some_and(|topic| self.reads_topic(topic)) { Kept::Yes } else { Kept::Unread }
    }

    fn reads(&self, place: &str) -> bool {
        self.cluster.topic_of(place).is_some_and(|topic| self.reads_topic(topic))
    }

    fn begins(&self) -> String {
        self.start.to_string()
    }
}

impl KafkaSource {
    fn group(&self, cx: &Context) -> String {
        self.group_id.clone().unwrap_or_else(|| format!("dataflow-{}", cx.branch))
    }
}

fn partition(topic: &str, number: i32) -> Partition {
    format!("{topic}/{number}").as_str().into()
}

fn topic_of(partition: &Partition) -> Option<&str> {
    partition.0.rsplit_once('/').map(|(topic, _)| topic)
}

/// The position of an offset in a topic with this `id`.
fn position(offset: i64, id: Option<&Arc<str>>) -> Position {
    Position { at: offset.to_string().into(), identity: id.cloned() }
}

/// The position after a record that the leader of this epoch accepted: `id@epoch`.
fn position_after(offset: i64, id: Option<&Arc<str>>, epoch: Option<i32>) -> Position {
    match (id, epoch) {
        (Some(id), Some(epoch)) => position(offset, Some(&format!("{id}@{epoch}").into())),
        _ => position(offset, id),
    }
}

/// Returns the topic's id and the leader's epoch of a position, as far as it has them.
fn known_by(position: &Position) -> (Option<&str>, Option<i32>) {
    let Some(identity) = position.identity.as_deref() else { return (None, None) };
    match identity.split_once('@') {
        Some((id, epoch)) => (Some(id), epoch.parse().ok()),
        None => (Some(identity), None),
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error> {
        let (source, cx) = (self.clone(), cx.clone());
        blocking("Kafka", move || {
            let client = Client::new(&source, &cx, 1)?;
            Ok(client.partitions()?.iter().map(|found| partition(&found.topic, found.number)).collect())
        })
        .await
    }

    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        let (source, cx, known) = (self.clone(), cx.clone(), known.clone());
        blocking("Kafka", move || {
            let client = Client::new(&source, &cx, 1)?;
            start::plan(&source, &client, &known)
        })
        .await
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let (mut source, cx) = (self.clone(), cx.clone());
        source.on_position_lost = source.on_position_lost.of_reader(&cx);
        Ok(Box::new(blocking("Kafka", move || reader::open(source, &cx, lane)).await?))
    }

    fn is_same(&self, one: &Position, other: &Position) -> bool {
        let (one, other) = (known_by(one).0, known_by(other).0);
        one.is_none() || other.is_none() || one == other
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        let (source, cx, to) = (self.clone(), cx.clone(), to.clone());
        blocking("Kafka", move || {
            let client = Client::new(&source, &cx, 1)?;
            let mut positions = Positions::new();
            for found in client.partitions()? {
                let log = client.log(&found.topic, found.number)?;
                let at = match to {
                    Edge::Beginning => log.earliest,
                    Edge::End => log.latest,
                };
                positions.insert(partition(&found.topic, found.number), position(at, found.id.as_ref()));
            }
            Ok(positions)
        })
        .await
    }

    /// Offsets stand for records: those of a log that is compacted, and of transactions, are fewer.
    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        // What was never read begins where `start` says.
        let from = self.plan(cx, from).await?.into_iter().collect();
        Ok(extent::count(self, &self.extents(cx).await?, &from, to))
    }
}
