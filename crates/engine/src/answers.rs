//! What a region answers, in the terms of the domain. What users see is made of it at the edge.
use dataflow_core::{
    branch::{BranchId, BranchNumber},
    id::{BatchId, Generation, Incarnation, PipelineId, SinkName},
    ledger::Counters,
    level::WriteLevel,
    pipeline::{
        RecordedEvent, Status,
        event::{Cause, LaneProgress, Lost},
        state::LastRun,
    },
    position::Positions,
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
    warned::Warned,
};
use dataflow_journal::stored;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, ops::Deref, str::FromStr};

/// A pipeline at a moment: its state from the journal, overlaid by what its runs say meanwhile. What is said of it as a whole is
/// read as if it were its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineSnapshot {
    /// Its id.
    pub id: PipelineId,
    /// What it is, without its secrets.
    pub spec: PipelineSpec,
    /// Counts its changes.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its only branch, or all of them together: sums of what they count, and the worst of what they say.
    pub whole: BranchSnapshot,
    /// Its branches, where sinks have names.
    pub sinks: Vec<BranchSnapshot>,
}

/// A branch of a pipeline at a moment, or all of them together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BranchSnapshot {
    /// What its sink is called; none: it is the only one.
    pub sink: Option<SinkName>,
    /// What it is doing.
    pub status: Status,
    /// Told to stop and not yet stopped.
    pub stopping: bool,
    /// Stopping to be changed.
    pub updating: bool,
    /// Started, and its source and sink are not all open yet.
    pub opening: bool,
    /// The reading order.
    pub generation: u64,
    /// When the last checkpoint was taken.
    pub checkpoint_at: Option<Timestamp>,
    /// Where each partition goes on.
    pub positions: Positions,
    /// What became of its records. Those in flight are read, too.
    pub counters: Counters,
    /// Records read by its run and in no sink commit yet.
    pub in_flight: u64,
    /// Records committed per second, over the last ten seconds.
    pub per_second: f64,
    /// Records (files: bytes) that wait at the source, if it can be told.
    pub lag: Option<u64>,
    /// What is wrong now.
    pub error: Option<Failing>,
    /// What is worth knowing.
    pub warnings: Vec<Warned>,
}

impl Deref for PipelineSnapshot {
    type Target = BranchSnapshot;

    fn deref(&self) -> &BranchSnapshot {
        &self.whole
    }
}

impl PipelineSnapshot {
    /// Whether the pipeline is what the spec says. Of a secret that was given in place of a reference nobody can tell.
    pub fn is_of(&self, spec: &PipelineSpec) -> bool {
        self.spec == spec.clone().named(&self.id)
    }
}

/// What is wrong with a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failing {
    /// What.
    pub cause: Cause,
    /// Of which sink, where there are several.
    pub sink: Option<SinkName>,
    /// In which lane, where it is tried again and is of one lane.
    pub lane: Option<u32>,
    /// Since when.
    pub since: Timestamp,
    /// Attempts in a row so far.
    pub attempts: u32,
    /// When it is tried again; none: it waits for a user.
    pub retry_at: Option<Timestamp>,
}

/// Some of the pipelines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    /// The pipelines, by rising id.
    pub pipelines: Vec<PipelineSnapshot>,
    /// After which id the next ones are; none: these are the last.
    pub next: Option<PipelineId>,
    /// Shards whose pipelines are missing here, and why: something of them is damaged in the journal.
    pub closed: Vec<String>,
}

/// What became of a pushed batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Received {
    /// The batch.
    pub batch: BatchId,
    /// Number of records taken in.
    pub accepted: u64,
    /// Records pushed up to its last one.
    pub to: u64,
    /// Whether all of them are through; none: it was not asked for.
    pub delivered: Option<bool>,
    /// How many of them are dead letters, once all are through.
    pub dead: Option<u64>,
}

/// Some of what has happened to a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "SentHistory", into = "SentHistory")]
pub struct History {
    /// The write level of its journal, which all of a cluster's nodes can read.
    pub level: WriteLevel,
    /// Events, in the order that was asked for.
    pub events: Vec<RecordedEvent>,
    /// What the sinks of its branches are called, where they have names.
    pub sinks: BTreeMap<BranchNumber, SinkName>,
    /// After which number the next ones are; none: these are the last.
    pub next: Option<u64>,
}
/// A history between nodes: events have the shape in which they are stored.
#[derive(Serialize, Deserialize)]
struct SentHistory {
    level: WriteLevel,
    events: Vec<String>,
    sinks: BTreeMap<BranchNumber, SinkName>,
    next: Option<u64>,
}

impl From<History> for SentHistory {
    fn from(History { level, events, sinks, next }: History) -> Self {
        let sent = |event| stored::encode(event, level).unwrap_or_else(|error| unreachable!("it was stored: {error}"));
        Self { level, events: events.iter().map(sent).collect(), sinks, next }
    }
}

impl TryFrom<SentHistory> for History {
    type Error = dataflow_journal::Error;
    fn try_from(SentHistory { level, events, sinks, next }: SentHistory) -> Result<Self, Self::Error> {
        let events = events.iter().map(|event| stored::decode(event, WriteLevel::NEWEST)).collect::<Result<_, _>>()?;
        Ok(Self { level, events, sinks, next })
    }
}

/// A record that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Of which sink, where there are several; not in chunks.
    pub sink: Option<SinkName>,
    /// Its number among those of its sink, from 1; 0: it has none yet.
    pub number: u64,
    /// Where in the source.
    pub partition: String,
    /// Its place in the partition.
    pub position: String,
    /// Of a file that is still there, and not compressed: the line at which it begins.
    pub line: Option<u64>,
    /// The generation that read it; none: the journal does not have it.
    pub generation: Option<Generation>,
    /// The record's id.
    pub record_id: String,
    /// Where it failed: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Stable code.
    pub code: String,
    /// Why.
    pub cause: String,
    /// When; none: the journal does not have it.
    pub at: Option<Timestamp>,
    /// Its length in bytes.
    pub length: u64,
    /// Hash of the whole, if only its head was kept.
    pub hash: Option<String>,
    /// Of CSV whose fields are named by its file: the line that names them. Not in lists.
    pub header: Option<String>,
    /// Its bytes, as far as they were kept. Not in lists.
    #[serde(with = "crate::base64_bytes::optional")]
    pub original: Option<Vec<u8>>,
    /// What came with the bytes. Not in lists.
    pub sent: Sent,
}

/// What a record came with beside its bytes: all that is needed to send it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its key.
    #[serde(with = "crate::base64_bytes::optional")]
    pub key: Option<Vec<u8>>,
    /// Its own metadata (headers), a JSON object.
    pub metadata: Option<String>,
    /// Its time.
    pub timestamp: Option<Timestamp>,
}

/// Some of a pipeline's dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The oldest first, without their bytes unless these were asked for.
    pub letters: Vec<DeadLetter>,
    /// After which place the next ones are; none: these are the last.
    pub next: Option<LetterPlace>,
}

/// Where a page ends, and the next one goes on: after a number, `5`, of a sink where there are several, `large/5`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LetterPlace {
    /// Of which sink; none: of the first, or of the one that is asked for.
    pub sink: Option<SinkName>,
    /// The number of a dead letter.
    pub number: u64,
}

impl From<u64> for LetterPlace {
    fn from(number: u64) -> Self {
        Self { sink: None, number }
    }
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sink {
            Some(sink) => write!(f, "{sink}/{}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

impl FromStr for LetterPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sink, number) = match text.split_once('/') {
            Some((sink, number)) => {
                (Some(SinkName::try_from(sink.to_owned()).map_err(|error| error.to_string())?), number)
            }
            None => (None, text),
        };
        let refused =
            |_| format!("must be the number of a dead letter (5), or its sink and number (large/5), not {text:?}");
        let number = number.parse().map_err(refused)?;
        Ok(Self { sink, number })
    }
}

impl TryFrom<String> for LetterPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LetterPlace> for String {
    fn from(place: LetterPlace) -> Self {
        place.to_string()
    }
}

/// Why the last run went on where it did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastRecovery {
    /// The reading order.
    pub generation: u64,
    /// The run; none: it never ran.
    pub run: Option<LastRun>,
}

/// What a node holds of the region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// Shards owned here.
    pub shards_owned: usize,
    /// Shards that this node was to take over and was not told to release: the same, and those that are closed, or that
    /// another node has taken over.
    pub shards_assigned: usize,
    /// Pipelines of those shards, by status.
    pub by_status: BTreeMap<Status, usize>,
    /// Entities in memory.
    pub entities: usize,
    /// Runs under way.
    pub runs: usize,
    /// Why the journal can't be written now, if it can't.
    pub unwritable: Option<String>,
    /// Why shards are closed, of each that is.
    pub closed: Vec<String>,
}

/// What a node measures of a branch of a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// What its sink is called; none: it is the only one.
    pub sink: Option<SinkName>,
    /// What it is doing.
    pub status: Status,
    /// What its runs have done, if there were any since the node started.
    pub flow: Option<Flow>,
    /// What waits at its source, if that can be told.
    pub lag: Option<Lag>,
}

/// What waits at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lag {
    /// So many records.
    Records(u64),
    /// So many bytes.
    Bytes(u64),
}

/// What a pipeline's runs have done since the node started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// What became durable.
    pub counters: Counters,
    /// Runs that ended by a failure.
    pub failures: u64,
}

/// What a branch of a pipeline claims to have done in its present generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The branch.
    pub branch: BranchId,
    /// What its sink is called; none: it is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkName>,
    /// Which one of that id.
    pub incarnation: Incarnation,
    /// What it is doing.
    pub status: Status,
    /// Whether nothing more happens to it by itself.
    pub at_rest: bool,
    /// What it is.
    pub spec: PipelineSpec,
    /// What was learned of the types of its fields.
    pub learned: InferredTypes,
    /// The reading order.
    pub generation: Generation,
    /// Number of lanes; none: it was never started in this generation.
    pub lanes: Option<u32>,
    /// Where the generation began. A partition that is missing began at its beginning.
    pub begin: Positions,
    /// Where each lane is, and what it has counted in this generation.
    pub by_lane: Vec<LaneProgress>,
    /// Counts of all earlier generations. So many dead letters at the head of the list are theirs.
    pub earlier: Counters,
    /// What was passed over in this generation, by an explicit choice; or will be, where a lane is still at its `from`.
    pub lost: Vec<Lost>,
    /// What specs before the present one have done of this generation, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// When its transforms or types were changed in the middle of the generation while it was not known how far it
    /// was: which spec has done what can't be told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
}

/// What one spec has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// The spec.
    pub spec: PipelineSpec,
    /// Where it ends. Nothing is of it in a partition that is missing.
    pub until: Positions,
}
