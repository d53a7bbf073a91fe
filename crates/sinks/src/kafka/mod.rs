//! `kafka`: records of a Kafka topic, written in transactions.
//!
//! A commit is one transaction of the lane's own producer: the rows, and beside them the token, in a compacted topic
//! (`tokens`). Opening a lane fences its earlier producers, reads what that topic has, and decides whether the lane may
//! write (`admission`).
mod admission;
mod client;
mod ledger;
mod message;
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
use dataflow_kafka::{Cluster, Names, SaslMechanism, SecurityProtocol, Setting};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    declared::{SideExpression, SinkRows},
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces},
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes records to a Kafka topic, in transactions.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaSink {
    /// Bootstrap brokers, as a list or separated by commas: `host:port`. Usually from the node's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-address" = "host"))]
    pub brokers: Option<Names>,
    /// The topic to write to. It must exist, unless `createTopic` is given.
    pub topic: String,
    /// The key of each record: an expression over the output record, whose value is written as text. Default: the key that the
    /// record has in Kafka, byte for byte; from other sources, its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Headers of each record: an expression for each name, whose value is written as text.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The partition of each record: an expression that gives its number. Default, and where it gives null: by the hash of the
    /// key, as Java's client has it; a record without a key goes to any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// How the batches of records are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// How the record itself is written.
    #[serde(default)]
    pub format: Format,
    /// Creates the topic if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_topic: Option<CreateTopic>,
    /// The topic that keeps the progress of all pipelines that write to this cluster. It is created if it is missing.
    #[serde(default = "tokens_topic")]
    pub tokens_topic: String,
    /// How long a commit may take before the brokers abort it. What a frozen node has begun holds back readers of the topic for
    /// as long, until another one takes over.
    #[serde(default = "one_minute")]
    pub transaction_timeout: Millis,
    /// The protocol between client and brokers.
    #[serde(default)]
    pub security_protocol: SecurityProtocol,
    /// The login mechanism, with `SASL_PLAINTEXT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user name of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl_username: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub sasl_password: Option<String>,
    /// More settings for the client library (librdkafka), by its own names: `{"linger.ms": 20}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub properties: IndexMap<String, Setting>,
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
    "dataflow-tokens".into()
}
fn one_minute() -> Millis {
    Millis(60_000)
}

/// Without the password, and without settings that may hold one.
impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("brokers", &self.brokers).field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl KafkaSink {
    fn cluster(&self) -> Cluster<'_> {
        Cluster {
            brokers: self.brokers.as_ref(),
            security_protocol: self.security_protocol,
            sasl_mechanism: self.sasl_mechanism,
            sasl_username: self.sasl_username.as_deref(),
            sasl_password: self.sasl_password.as_deref(),
            properties: &self.properties,
        }
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
        let mut problems = self.cluster().check(properties::OWNED);
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

    fn target(&self) -> String {
        let mut brokers: Vec<String> = self.cluster().brokers().into_iter().map(str::to_lowercase).collect();
        brokers.sort_unstable();
        format!("{} {}", brokers.join(","), self.topic)
    }

    /// In the order in which `message` takes them.
    fn rows(&self) -> SinkRows {
        let expression = |path: String, text: &String, ty| SideExpression { path, text: text.clone(), ty };
        let mut side = Vec::new();
        side.extend(self.key.iter().map(|key| expression("key".into(), key, Type::Text)));
        side.extend(self.partition.iter().map(|number| expression("partition".into(), number, Type::Integer)));
        let headers = self.headers.iter();
        side.extend(headers.map(|(name, value)| expression(format!("headers.{name}"), value, Type::Text)));
        SinkRows { side, tombstones: true, ..SinkRows::default() }
    }

    fn tuning() -> &'static [&'static str] {
        &["compression", "createTopic", "transactionTimeout"]
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn delivery(&self) -> DeliveryMode {
        Self::DELIVERY
    }
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let (config, stop) = (self.clone(), cx.stop.clone());
        crate::blocking::run(move || opening::open(config, lane, stop)).await?
    }
    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        let (config, stop, fence) = (self.clone(), cx.stop.clone(), fence.clone());
        crate::blocking::run(move || {
            let client = client::Client::new(&config, &fence.pipeline);
            let Some(tokens) = tokens::look(&client)? else { return Ok(None) };
            tokens.read(&fence.pipeline, &stop)?.token(&fence)
        })
        .await?
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let (config, stop, traces) = (self.clone(), cx.stop.clone(), traces.clone());
        crate::blocking::run(move || {
            let client = client::Client::new(&config, &traces.pipeline);
            let (Some(tokens), Some(topic)) = (tokens::look(&client)?, topic::look(&client, &config.topic)?) else {
                return Ok(false);
            };
            Ok(tokens.read(&traces.pipeline, &stop)?.has_traces(&traces, &config.topic, topic.id.as_deref()))
        })
        .await?
    }
}
