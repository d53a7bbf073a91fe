//! What users are shown: the JSON of the REST API, the CLI and the web page.
use crate::causes::DeadLettersByCause;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dataflow_core::{
    pipeline::Status,
    problem::Problem,
    spec::{Component, PipelineSpec},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A point in time as users see it: RFC 3339, UTC, milliseconds.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis())
        .map_or_else(|_| format!("{} ms since 1970", at.millis()), |at| format!("{at:.3}"))
}

/// A pipeline as users see it. Times are RFC 3339, UTC.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineView {
    /// Its id.
    pub pipeline_id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Free keys and values.
    pub labels: BTreeMap<String, String>,
    /// What it is doing.
    pub status: Status,
    /// Told to stop and not yet stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    /// Stopping to be changed, as the history says; then it runs again. Until then it is what is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub updating: bool,
    /// Where records come from.
    #[schema(value_type = Object)]
    pub source: Component,
    /// What is done to each record.
    #[schema(value_type = Vec<Object>)]
    pub transforms: Vec<Component>,
    /// Where records go.
    #[schema(value_type = Object)]
    pub sink: Component,
    /// The rest of the spec, under its own names: only what was set (`batch`, `schema`, `restart`, …).
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub settings: serde_json::Map<String, Value>,
    /// Counts its changes; the ETag.
    pub version: u64,
    /// How far it is.
    pub checkpoint: CheckpointView,
    /// What became of its records.
    pub metrics: MetricsView,
    /// What is wrong now.
    pub error: Option<ErrorView>,
    /// What is worth knowing.
    pub warnings: Vec<WarningView>,
    /// Its dead letters, counted by cause. Not in lists, and only if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters_by_cause: Option<DeadLettersByCause>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

impl PipelineView {
    /// Whether the pipeline is what the spec says. Of a secret that was given in place of a reference nobody can tell.
    pub fn is_of(&self, spec: &PipelineSpec) -> bool {
        let name_fits = self.name == spec.name || spec.name.is_empty() && self.name == self.pipeline_id;
        name_fits
            && self.description == spec.description
            && self.labels == spec.labels
            && self.source == spec.source
            && self.transforms == spec.transforms
            && self.sink == spec.sink
            && self.settings == settings(spec)
    }
}

/// What was set of a spec beside what has a place of its own.
pub(crate) fn settings(spec: &PipelineSpec) -> serde_json::Map<String, Value> {
    const SHOWN: [&str; 6] = ["name", "description", "labels", "source", "transforms", "sink"];
    match serde_json::to_value(spec) {
        Ok(Value::Object(all)) => all.into_iter().filter(|(name, _)| !SHOWN.contains(&name.as_str())).collect(),
        _ => serde_json::Map::new(),
    }
}

/// How far a pipeline is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointView {
    /// The reading order.
    pub generation: u64,
    /// When the last checkpoint was taken.
    pub at: Option<String>,
    /// Where each partition goes on.
    pub positions: Vec<PositionView>,
}

/// Where a partition goes on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PositionView {
    /// Which partition.
    pub partition: String,
    /// Where.
    pub position: String,
}

/// The ledger of a pipeline: `recordsRead = recordsFiltered + recordsDelivered + recordsAbsorbed + recordsDead + recordsLost + recordsInFlight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsView {
    /// Input records read.
    pub records_read: u64,
    /// Left out on purpose.
    pub records_filtered: u64,
    /// In the sink.
    pub records_delivered: u64,
    /// In durable operator state.
    pub records_absorbed: u64,
    /// Kept as dead letters.
    pub records_dead: u64,
    /// Passed over by an explicit choice.
    pub records_lost: u64,
    /// Bytes of files that were lost with records that nobody could count.
    pub bytes_lost: u64,
    /// Read by this run and in no sink commit yet.
    pub records_in_flight: u64,
    /// Rows written to the sink.
    pub rows_written: u64,
    /// Bytes of input records whose fate is durable.
    pub bytes_read: u64,
    /// Commits.
    pub batches: u64,
    /// Input records committed per second, over the last ten seconds.
    pub records_per_second: f64,
    /// Records (files: bytes) that wait at the source, if it can be told.
    pub lag: Option<u64>,
}

/// What is wrong with a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorView {
    /// Stable code.
    pub code: String,
    /// Which stage.
    pub stage: String,
    /// In which lane, where it is tried again and is of one lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<u32>,
    /// What failed and why.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Since when.
    pub since: String,
    /// Attempts in a row so far.
    pub attempts: u32,
    /// When it is tried again; none: it waits for a user.
    pub retry_at: Option<String>,
}

/// Something worth knowing that stops nothing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarningView {
    /// Stable code.
    pub code: String,
    /// What to know.
    pub message: String,
    /// How many records it concerned.
    pub records: u64,
}

/// A page of pipelines.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PipelinePage {
    /// The pipelines.
    pub items: Vec<PipelineView>,
    /// What to give as `after` for the next page; none: this is the last.
    pub next: Option<String>,
    /// Shards whose pipelines are missing here, and why: something of them is damaged in the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// The answer to a pushed batch.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedView {
    /// The batch's id.
    pub batch_id: String,
    /// Number of records taken in.
    pub accepted: u64,
    /// Position after its last record.
    pub position: String,
    /// Whether all of them are through: delivered to the sink, dropped by a filter, or kept as dead letters. Only there if it
    /// was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<bool>,
    /// How many of them are dead letters; only there once all are through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
}

/// A page of a pipeline's lifecycle.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// Events, in the order that was asked for.
    pub items: Vec<HistoryItem>,
    /// What to give as `after` for the next page.
    pub next: Option<u64>,
}

/// An event of a pipeline's lifecycle.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// Its number among the events of this id, which counts those of progress, too, that are not shown. `after` resumes by it.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why, if the user has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The W3C `traceparent` of the request that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The command it follows from.
    pub command: String,
    /// Its type: `PipelineCreated`, …
    pub event: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterPage {
    /// Dead letters, oldest first, without their bytes.
    pub items: Vec<DeadLetter>,
    /// What to give as `after` for the next page.
    pub next: Option<u64>,
}

/// A record that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its number, from 1.
    pub number: u64,
    /// Where in the source.
    pub partition: String,
    /// Its place in the partition.
    pub position: String,
    /// Of a file that is still there, and not compressed: the line at which it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The record's id.
    pub record_id: String,
    /// Where it failed: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Stable code.
    pub code: String,
    /// Why.
    pub cause: String,
    /// When.
    pub at: String,
    /// Its length in bytes.
    pub length: u64,
    /// Hash of the whole, if only its head was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Of CSV whose fields are named by its file: the line that names them. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The original bytes as text, if they are UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// The original bytes in base64, if they are not UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_base64: Option<String>,
}

impl DeadLetter {
    /// The original bytes, as far as they were kept; none of a letter from a list.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.original, &self.original_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(text)) => BASE64_STANDARD.decode(text).ok(),
            (None, None) => None,
        }
    }
}

/// Why the last run went on where it did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryView {
    /// The run; none: it never ran.
    pub run: Option<u64>,
    /// When it was opened.
    pub at: Option<String>,
    /// The epoch it holds.
    pub epoch: Option<u64>,
    /// The reading order.
    pub generation: u64,
    /// Each lane.
    pub lanes: Vec<LaneRecovery>,
}

/// Why a lane went on where it did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LaneRecovery {
    /// Which lane.
    pub lane: u32,
    /// What decided: `fresh`, `agreed`, `tokenAdopted`, `journal`, `atLeastOnce`.
    pub decision: String,
    /// In words.
    pub explanation: String,
    /// Commit number of the journal's checkpoint.
    pub journal_sequence: u64,
    /// Commit number of the sink's token.
    pub token_sequence: Option<u64>,
    /// Where it went on.
    pub positions: Vec<PositionView>,
}

/// What a region holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionView {
    /// Shards owned here.
    pub shards_owned: usize,
    /// Pipelines of those shards.
    pub pipelines: usize,
    /// Pipelines by status.
    pub by_status: BTreeMap<String, usize>,
    /// Entities in memory.
    pub entities: usize,
    /// Runs under way.
    pub runs: usize,
    /// Why the journal can't be written now, if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritable: Option<String>,
    /// Why shards are closed, of each that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
}

/// All findings about a spec.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// Whether there are none.
    pub valid: bool,
    /// The findings.
    pub problems: Vec<Problem>,
    /// Things worth knowing.
    pub warnings: Vec<Problem>,
}
