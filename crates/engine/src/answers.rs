//! What a region answers, in the terms of the domain. What users see is made of it at the edge.
use dataflow_core::{
    id::{BatchId, PipelineId},
    ledger::Counters,
    pipeline::{RecordedEvent, Status, event::Cause, state::LastRun},
    position::Positions,
    spec::PipelineSpec,
    time::Timestamp,
    warned::Warned,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::{causes::DeadLettersByCause, claims::Claims, dead_letters::DeadLetter};

/// A pipeline at a moment: its state from the journal, overlaid by what its run says meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineSnapshot {
    /// Its id.
    pub id: PipelineId,
    /// What it is, without its secrets.
    pub spec: PipelineSpec,
    /// What it is doing.
    pub status: Status,
    /// Told to stop and not yet stopped.
    pub stopping: bool,
    /// Stopping to be changed.
    pub updating: bool,
    /// Counts its changes.
    pub version: u64,
    /// The reading order.
    pub generation: u64,
    /// When the last checkpoint was taken.
    pub checkpoint_at: Option<Timestamp>,
    /// Where each partition goes on.
    pub positions: Positions,
    /// What became of its records. Those in flight are read, too.
    pub counters: Counters,
    /// Records read by this run and in no sink commit yet.
    pub in_flight: u64,
    /// Records committed per second, over the last ten seconds.
    pub per_second: f64,
    /// Records (files: bytes) that wait at the source, if it can be told.
    pub lag: Option<u64>,
    /// What is wrong now.
    pub error: Option<Failing>,
    /// What is worth knowing.
    pub warnings: Vec<Warned>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
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
pub struct History {
    /// Events, in the order that was asked for.
    #[serde(with = "as_stored")]
    pub events: Vec<RecordedEvent>,
    /// After which number the next ones are; none: these are the last.
    pub next: Option<u64>,
}

/// Between nodes, events have their stored shape, which all of a cluster's nodes can read.
mod as_stored {
    use dataflow_core::pipeline::RecordedEvent;
    use dataflow_journal::stored;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(events: &[RecordedEvent], to: S) -> Result<S::Ok, S::Error> {
        let stored = events.iter().map(stored::encode).collect::<Result<Vec<String>, _>>();
        stored.map_err(ser::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RecordedEvent>, D::Error> {
        let stored = Vec::<String>::deserialize(from)?;
        stored.iter().map(|event| stored::decode(event)).collect::<Result<_, _>>().map_err(de::Error::custom)
    }
}

/// Some of a pipeline's dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The oldest first, without their bytes unless these were asked for.
    pub letters: Vec<DeadLetter>,
    /// After which number the next ones are; none: these are the last.
    pub next: Option<u64>,
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

/// What a pipeline's runs have done since the node started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Flow {
    /// What became durable.
    pub counters: Counters,
    /// Runs that ended by a failure.
    pub failures: u64,
}
