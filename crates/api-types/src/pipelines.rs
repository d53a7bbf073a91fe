//! A pipeline, and what it has done.
use crate::{CheckpointView, DeadLettersByCause};
use dataflow_core::{pipeline, spec::Component};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;

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
    /// Started, and its source and sink are not all open yet: `error` says why, if they can't be opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opening: bool,
    /// Where records come from.
    #[schema(value_type = Object)]
    pub source: Component,
    /// What is done to each record.
    #[schema(value_type = Vec<Object>)]
    pub transforms: Vec<Component>,
    /// Where records go, if to one sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub sink: Option<Component>,
    /// Where records go, if to several, and how far each is. What is said of the pipeline as a whole is of all of them together then:
    /// sums of what they count, and the worst of what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkView>,
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

/// One of several sinks of a pipeline. It reads the source, has a ledger, fails and starts again for itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Which records it gets; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Its type and settings.
    #[schema(value_type = Object)]
    pub sink: Component,
    /// What it is doing.
    pub status: Status,
    /// Told to stop and not yet stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    /// Stopping to be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub updating: bool,
    /// Started, and its source and sink are not open yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opening: bool,
    /// How far it is.
    pub checkpoint: CheckpointView,
    /// What became of its records. Those for which its condition isn't true are filtered.
    pub metrics: MetricsView,
    /// What is wrong now.
    pub error: Option<ErrorView>,
    /// What is worth knowing.
    pub warnings: Vec<WarningView>,
    /// Its dead letters, counted by cause. Not in lists, and only if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters_by_cause: Option<DeadLettersByCause>,
}

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not there, or deleted.
    Absent,
    /// Made, never started.
    Configured,
    /// To be kept running.
    Running,
    /// Stopped by a user.
    Stopped,
    /// Could not go on.
    Failed,
    /// All of a bounded source is committed.
    Completed,
}

impl From<pipeline::Status> for Status {
    fn from(status: pipeline::Status) -> Self {
        match status {
            pipeline::Status::Absent => Self::Absent,
            pipeline::Status::Configured => Self::Configured,
            pipeline::Status::Running => Self::Running,
            pipeline::Status::Stopped => Self::Stopped,
            pipeline::Status::Failed => Self::Failed,
            pipeline::Status::Completed => Self::Completed,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Configured => "configured",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Completed => "completed",
        })
    }
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
    /// Of which sink, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
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
    /// Of which of several sinks, where it is said of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
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

/// The answer to the making of a pipeline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedView {
    /// `created`, or `unchanged` if there was the same one already.
    pub status: String,
    /// Its id.
    pub pipeline_id: String,
    /// The pipeline, as GET shows it.
    pub pipeline: PipelineView,
}

/// The answer to the deletion of a pipeline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedView {
    /// `deleted`, or `absent` if there was none.
    pub status: String,
    /// Its id.
    pub pipeline_id: String,
}
