//! The one door to all pipelines, wherever they live.
use crate::{
    answers::{
        Claims, DeadLetter, DeadLetters, History, LastRecovery, LetterPlace, Listing, Measured, Overview,
        PipelineSnapshot, Received,
    },
    causes::DeadLettersByCause,
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    id::{Actor, BatchId, CommandId, PipelineId, Reason, SinkName, TraceParent},
    pipeline::{Rejected, Status},
    shard::ShardId,
    spec::PipelineSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use xxhash_rust::xxh3::xxh3_64;

/// A message for a pipeline, addressed by its id alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardingEnvelope {
    /// The pipeline it is for.
    pub pipeline: PipelineId,
    /// What it says.
    pub message: Message,
}

/// What may be said to a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A request that changes something.
    Command(UserCommand),
    /// A question.
    Query(UserQuery),
}

/// A question, as the doors send it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserQuery {
    /// Who asks.
    pub actor: Actor,
    /// How long the answer is waited for.
    pub within: Duration,
    /// The branch of which sink it is about, where it is about one; none: of the only one.
    pub sink: Option<SinkName>,
    /// What is asked.
    pub query: Query,
}

/// A request that changes something, as the doors send it. The entity gives it its time, incarnation, lanes and settlement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserCommand {
    /// `Idempotency-Key`; made up by the door if the user gave none.
    pub id: CommandId,
    /// Who asks.
    pub actor: Actor,
    /// Why, in the user's words.
    pub reason: Option<Reason>,
    /// `traceparent`.
    pub trace: Option<TraceParent>,
    /// `If-Match`.
    pub expected_version: Option<u64>,
    /// What is asked.
    pub action: Action,
}

/// What users may ask for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Make a pipeline. Checked by the door before, and again here.
    Create(Box<PipelineSpec>),
    /// Change it; one that runs is stopped, changed and started again. The reply comes once it was changed, or after `wait`
    /// with `updating: true`.
    Update {
        /// What it is from now on.
        spec: Box<PipelineSpec>,
        /// Even if that gives up positions.
        reset: bool,
        /// Even if another target goes on without what was delivered so far.
        retarget: bool,
        /// Even if the sink can't be asked what it has.
        force: bool,
        /// How long the reply waits for the stop, if it runs.
        wait: Duration,
    },
    /// Run it.
    Start {
        /// The branch of which sink; none: all that do not run.
        sink: Option<SinkName>,
    },
    /// Stop it; the reply comes once it has stopped, or after `wait` with `stopping: true`.
    Stop {
        /// The branch of which sink; none: all branches.
        sink: Option<SinkName>,
        /// How long the reply waits.
        wait: Duration,
    },
    /// Stop it if it runs, and run it.
    Restart {
        /// The branch of which sink; none: all branches.
        sink: Option<SinkName>,
        /// How long the reply waits for the stop.
        wait: Duration,
    },
    /// Go on from elsewhere.
    ResetCheckpoint {
        /// Where.
        to: ResetPoint,
        /// The branch of which sink; none: all branches.
        sink: Option<SinkName>,
        /// Even if the sink can't be asked what it has, acknowledged pushed records are lost, or records are written twice.
        force: bool,
        /// Even if the target has progress of another node for this pipeline, which can't write to it any more then.
        take_over: bool,
    },
    /// Forget it.
    Delete {
        /// Even if dead letters, or pushed records that are not delivered yet, are lost with it.
        discard: bool,
    },
    /// Take in pushed records.
    Ingest {
        /// The batch's id.
        batch_id: BatchId,
        /// Number of records in the body, counted and checked by the door.
        records: u64,
        /// Hash of the records, made by the door.
        hash: String,
        /// The body as it came.
        #[serde(with = "crate::base64_bytes")]
        body: Bytes,
        /// Answer only once the sink has committed them; at most this long.
        delivered: Option<Duration>,
        /// Whether it is pushed again in its old place, to a journal that was restored from before it.
        replay: bool,
    },
}

impl Action {
    /// How long its reply waits for a stop.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Update { wait, .. } | Self::Stop { wait, .. } | Self::Restart { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// What tells it apart from another one under the same id: what is asked, not how long its answer is waited for.
    pub fn hash(&self) -> u64 {
        xxh3_64(self.asked().to_string().as_bytes())
    }

    /// The request in a form of its own, whose hashes are stored: objects are sorted, and what is not asked is left away,
    /// so that a request that is repeated to a later version is still the same.
    fn asked(&self) -> Value {
        let mut asked = match self {
            Self::Create(spec) => json!(["create", spec]),
            Self::Update { spec, reset, retarget, force, wait: _ } => {
                json!(["update", spec, flags(&[("reset", *reset), ("retarget", *retarget), ("force", *force)])])
            }
            Self::Start { sink } => of_sink("start", sink),
            Self::Stop { sink, wait: _ } => of_sink("stop", sink),
            Self::Restart { sink, wait: _ } => of_sink("restart", sink),
            Self::ResetCheckpoint { to, sink, force, take_over } => {
                let flags = flags(&[("force", *force), ("take-over", *take_over)]);
                match sink {
                    None => json!(["reset-checkpoint", to, flags]),
                    Some(sink) => json!(["reset-checkpoint", to, flags, sink]),
                }
            }
            Self::Delete { discard } => json!(["delete", flags(&[("discard", *discard)])]),
            Self::Ingest { batch_id, records, hash, body: _, delivered: _, replay: _ } => {
                json!(["ingest", batch_id, records, hash])
            }
        };
        asked.sort_all_objects();
        asked
    }
}

/// A request about all sinks, or about one.
fn of_sink(what: &str, sink: &Option<SinkName>) -> Value {
    match sink {
        None => json!([what]),
        Some(sink) => json!([what, sink]),
    }
}

/// Those that are set.
fn flags<'a>(flags: &[(&'a str, bool)]) -> Vec<&'a str> {
    flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetPoint {
    /// From the source's first record.
    Beginning,
    /// From behind the source's last record.
    End,
    /// From these positions; partitions that are not named keep theirs. (partition, position)
    Positions(BTreeMap<String, String>),
    /// From what the sink's token says.
    SinkToken,
    /// From what the journal's checkpoint says.
    Journal,
}

/// In which order events are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The oldest first.
    #[default]
    Rising,
    /// The newest first.
    Falling,
}

/// A question about a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Query {
    /// What it is and does now.
    State,
    /// Its lifecycle.
    History {
        /// In which order.
        order: Order,
        /// Only what comes after this number, in that order.
        after: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Its dead letters, of several sinks one after the other, the oldest of each first.
    DeadLetters {
        /// With their bytes, then perhaps fewer than `limit`.
        bytes: bool,
        /// Only those after this place.
        after: LetterPlace,
        /// At most so many.
        limit: usize,
    },
    /// One dead letter.
    DeadLetter(u64),
    /// Its dead letters, counted by cause.
    Causes,
    /// Why the last run went on where it did.
    Recovery,
    /// What it claims to have done, for those who verify it.
    Claims,
}

/// The answer to a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To commands and [`Query::State`].
    Pipeline(Box<PipelineSnapshot>),
    /// To [`Action::Delete`].
    Deleted(()),
    /// To [`Action::Ingest`].
    Received(Received),
    /// To [`Query::History`].
    History(History),
    /// To [`Query::DeadLetters`].
    DeadLetters(DeadLetters),
    /// To [`Query::DeadLetter`].
    DeadLetter(Box<DeadLetter>),
    /// To [`Query::Causes`].
    Causes(DeadLettersByCause),
    /// To [`Query::Recovery`].
    Recovery(Box<LastRecovery>),
    /// To [`Query::Claims`].
    Claims(Box<Claims>),
}

/// Why a message got no answer.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum AskError {
    /// The pipeline turned it down.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The shard's owner can't be reached, or is busy; the message may be sent again with the same command id.
    #[error("the pipeline can't be reached at the moment: {0}")]
    Unavailable(String),
    /// Another node owns this shard, or takes it over: its owner may be asked, with the same command id.
    #[error("this node does not own the pipeline's shard ({0}): another node has taken it over, or is about to")]
    NotOwner(ShardId),
    /// Something that it takes is damaged in the journal, and what.
    #[error("{0}")]
    Damaged(String),
    /// Another build has written something that it takes, in a shape that this one can't read, and what.
    #[error("{0}")]
    OtherBuild(String),
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl AskError {
    /// The same, said of a sink that has a name, where it is about a sink.
    pub(crate) fn of_sink(self, sink: Option<&SinkName>) -> Self {
        match self {
            Self::Rejected(rejected) => rejected.of_sink(sink).into(),
            other => other,
        }
    }
}

/// Only a journal that is away may be asked again.
impl From<dataflow_journal::Error> for AskError {
    fn from(error: dataflow_journal::Error) -> Self {
        match error {
            dataflow_journal::Error::Corrupt(_)
            | dataflow_journal::Error::Broken(_)
            | dataflow_journal::Error::Trimmed { .. }
            | dataflow_journal::Error::NotAsLeft(_) => Self::Damaged(error.to_string()),
            dataflow_journal::Error::OtherBuild(_) => Self::OtherBuild(error.to_string()),
            dataflow_journal::Error::Unavailable(_) => Self::Unavailable(error.to_string()),
            dataflow_journal::Error::Fenced { shard, .. } => Self::NotOwner(shard),
        }
    }
}

/// Which pipelines to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ListQuery {
    /// Only those after this id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only those of this status.
    pub status: Option<Status>,
    /// Only those with all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// The one door to all pipelines: takes a message to the entity wherever its shard lives. A local one in this crate; a
/// cluster's takes its place without api or engine knowing.
#[async_trait]
pub trait ShardRegion: Send + Sync {
    /// Delivers a message and returns the answer.
    async fn ask(&self, envelope: ShardingEnvelope) -> Result<Reply, AskError>;
    /// Lists pipelines by rising id.
    async fn list(&self, query: ListQuery) -> Result<Listing, AskError>;
    /// What this node holds: shards owned, pipelines known, entities in memory, runs.
    async fn overview(&self) -> Overview;
    /// What this node measures of each branch of its pipelines.
    async fn measured(&self) -> Vec<Measured>;
    /// Completes whenever a pipeline's view may have changed since `seen`; returns the new number. For watchers.
    async fn changed(&self, pipeline: &PipelineId, seen: u64) -> u64;
}

#[cfg(test)]
mod tests;
