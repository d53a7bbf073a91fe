//! `kafka`: records of a Kafka topic, written in transactions.
//!
//! A commit is one transaction of the lane's own producer: the rows, and beside them the token, in a compacted topic
//! (`tokens`). Opening a lane fences its earlier producers, reads what that topic has, and decides whether the lane may
//! write (`admission`).
mod admission;
mod audit;
mod client;
mod fingerprint;
mod ledger;
mod message;
mod offsets;
mod opening;
mod producer;
mod properties;
#[cfg(test)]
mod tests;
mod tokens;
mod topic;
mod writer;

use async_trait::async_trait;
use dataflow_core::{
    spec::Millis,
    token::{Fence, Token},
    types::Type,
};
use dataflow_kafka::Cluster;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    audit::{Audit, Audited},
    declared::{SideExpression, SinkRows},
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces, Waits},
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Writes records to a Kafka topic, in transactions.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaSink {
    /// The topic to write to. It must exist, unless `createTopic` is given.
    pub topic: String,
    /// The key of each record: an expression over the output record, whose value is written as text. Default: the key that the
    /// record has in Kafka, byte for byte; from other sources, its id.
    #[serde(default)]
    pub key: Option<String>,
    /// Headers of each record: an expression for each name, whose value is written as text.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// The partition of each record: an expression that gives its number. Default, and where it gives null: by the hash of the
    /// key, as Java's client has it; a record without a key goes to any.
    #[serde(default)]
    pub partition: Option<String>,
    /// What becomes of what has the record's key: an expression over the output record. It is written as a tombstone if the value is
    /// `delete` or `d`, and as a record if it is null, `index`, `upsert`, `create`, `insert`, `update`, `read`, `c`, `i`, `u` or `r`.
    /// Records without data are tombstones in any case.
    #[serde(default)]
    pub op: Option<String>,
    /// How the batches of records are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// How the record itself is written.
    #[serde(default)]
    pub format: Format,
    /// Creates the topic if it is missing.
    #[serde(default)]
    pub create_topic: Option<CreateTopic>,
    /// The topic that keeps the progress of all pipelines that write to this cluster. It is created if it is missing.
    #[serde(default = "tokens_topic")]
    pub tokens_topic: String,
    /// How long a commit may take before the brokers abort it. What a frozen node has begun holds back readers of the topic for
    /// as long, until another one takes over.
    #[serde(default = "one_minute")]
    pub transaction_timeout: Millis,
    /// How the brokers are reached.
    #[serde(flatten)]
    pub cluster: Cluster,
}

/// How batches of records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: small, slow.
    Gzip,
    /// Snappy: fast.
    Snappy,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: small and fast.
    Zstd,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON document; a record that nothing has changed, as the very bytes that came in.
    #[default]
    Json,
}

/// How a missing topic is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateTopic {
    /// The number of its partitions.
    pub partitions: u16,
    /// On how many brokers each is kept.
    pub replication: u16,
}

fn tokens_topic() -> String {
    dataflow_kafka::TOKENS_TOPIC.into()
}
fn one_minute() -> Millis {
    Millis(60_000)
}

/// Without the password, and without settings that may hold one.
impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("cluster", &self.cluster).field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// The same, with the certificates that it names read.
    fn read(&self, cx: &Context) -> Result<Self, Error> {
        Ok(Self { cluster: self.cluster.read(&cx.paths)?, ..self.clone() })
    }
}

impl SinkConfig for KafkaSink {
    const TYPE: &'static str = "kafka";
    const SUMMARY: &'static str = "Writes records to a Kafka topic, in transactions.";
    const DELIVERY: DeliveryMode = DeliveryMode::Transactional;
    const GUARANTEE: &'static str = "Exactly once, for consumers with isolation.level=read_committed (others also see what was aborted): records and \
         progress (topic `tokensTopic`, in the same cluster) are written in one transaction. Void if somebody changes or deletes that topic, or if the brokers lose what they have \
         acknowledged (an unclean election).";
    const CONNECTION: Option<&'static str> = Some("kafka");

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.cluster.check(properties::OWNED);
        problems.extend(dataflow_kafka::check_topic("topic", &self.topic));
        problems.extend(dataflow_kafka::check_topic("tokensTopic", &self.tokens_topic));
        if self.topic == self.tokens_topic {
            let problem = Problem::new("topic", "reserved", format!("{} holds the progress of pipelines", self.topic));
            problems.push(problem.fix("write to another topic"));
        }
        if !(1_000..=900_000).contains(&self.transaction_timeout.0) {
            let problem = Problem::new("transactionTimeout", "out-of-range", "must be from 1 s to 15 min");
            problems.push(problem.fix("leave it out: the default is 1 min"));
        }
        if let Some(CreateTopic { partitions, replication }) = self.create_topic {
            for (path, number) in [("createTopic.partitions", partitions), ("createTopic.replication", replication)] {
                if number == 0 {
                    problems.push(Problem::new(path, "too-few", "must be 1 or more"));
                }
            }
        }
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }

    /// With the topic of tokens: progress that is elsewhere is missing there.
    fn target(&self) -> String {
        format!("{} {} (progress in {})", self.cluster.places().join(","), self.topic, self.tokens_topic)
    }

    fn writes(&self) -> Vec<(&'static str, String)> {
        let topics = [("topic", &self.topic), ("tokensTopic", &self.tokens_topic)].into_iter();
        topics.flat_map(|(setting, topic)| self.cluster.topic(topic).map(move |place| (setting, place))).collect()
    }

    /// In the order in which `message` takes them.
    fn rows(&self) -> SinkRows {
        let expression = |path: String, text: &String, ty| SideExpression { path, text: text.clone(), ty };
        let mut side = Vec::new();
        side.extend(self.key.iter().map(|key| expression("key".into(), key, Type::Text)));
        side.extend(self.partition.iter().map(|number| expression("partition".into(), number, Type::Integer)));
        let headers = self.headers.iter();
        side.extend(headers.map(|(name, value)| expression(format!("headers.{name}"), value, Type::Text)));
        SinkRows { side, tombstones: true, op: self.op.clone(), ..SinkRows::default() }
    }

    fn tuning() -> &'static [&'static str] {
        &[
            "compression",
            "createTopic",
            "transactionTimeout",
            "tokensTopic",
            "properties",
            "securityProtocol",
            "saslMechanism",
            "saslUsername",
            "oauth",
            "tls",
        ]
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let (config, stop) = (self.read(cx)?, cx.stop.clone());
        crate::blocking::run(move || opening::open(config, lane, stop)).await?
    }
    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        let (config, stop, fence) = (self.read(cx)?, cx.stop.clone(), fence.clone());
        crate::blocking::run(move || {
            let client = client::Client::new(&config, &fence.branch);
            let Some(tokens) = tokens::look(&client)? else { return Ok(None) };
            tokens.read(&fence.branch, &BTreeSet::new(), &stop, &Waits::default())?.token(&fence)
        })
        .await?
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let (config, stop, traces) = (self.read(cx)?, cx.stop.clone(), traces.clone());
        crate::blocking::run(move || {
            let client = client::Client::new(&config, &traces.branch);
            let (Some(tokens), Some(topic)) = (tokens::look(&client)?, topic::look(&client, &config.topic)?) else {
                return Ok(false);
            };
            Ok(tokens.read(&traces.branch, &BTreeSet::new(), &stop, &Waits::default())?.has_traces(
                &traces,
                &config.topic,
                topic.id.as_deref(),
            ))
        })
        .await?
    }
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        let (config, cx) = (self.read(cx)?, cx.clone());
        Ok(Some(crate::blocking::run(move || audit::open(&config, &cx, audit)).await??))
    }
}
