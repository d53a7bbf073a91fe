//! What a user declares: a source, transforms, a sink, and how to run them.
mod check;
mod duration;
mod json;
mod sinks;
mod sources;
pub use check::check;
pub use duration::Millis;
pub use json::{Unique, from_json};
pub use sinks::NamedSink;

use crate::{id::PipelineId, types::Type};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A source, transform or sink: its type and that type's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// Which connector or transform: `kafka`, `filter`, `postgres`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its settings, as its own schema says.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

/// What a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineSpec {
    /// What people call it; the id if it is not given.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Free keys and values to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where records come from.
    pub source: Component,
    /// What is done to each record, in order.
    #[serde(default)]
    pub transforms: Vec<Component>,
    /// Where records go. Either this or `sinks`.
    #[serde(default = "Component::none", skip_serializing_if = "Component::is_none")]
    pub sink: Component,
    /// Where records go, if to several sinks: each of them gets all records, on its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<NamedSink>,
    /// Types of source fields, where the data or their use does not say enough.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub schema: IndexMap<String, Type>,
    /// What becomes of a record with a value that does not fit the type asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = OnTypeMismatch::default()))]
    pub on_type_mismatch: OnTypeMismatch,
    /// How much is taken at once.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = BatchSpec::default()))]
    pub batch: BatchSpec,
    /// Number of lanes, fixed for a generation. Default: as many as the source has partitions, at most the node's cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes: Option<u32>,
    /// How often progress is written to the journal.
    #[serde(default = "default_checkpoint_interval", skip_serializing_if = "is_default_checkpoint_interval")]
    #[schemars(extend("default" = default_checkpoint_interval()))]
    pub checkpoint_interval: Millis,
    /// How long a stop waits for what is under way.
    #[serde(default = "default_stop_timeout", skip_serializing_if = "is_default_stop_timeout")]
    #[schemars(extend("default" = default_stop_timeout()))]
    pub stop_timeout: Millis,
    /// Largest record, in bytes; a larger one is a dead letter.
    #[serde(default = "default_max_record_bytes", skip_serializing_if = "is_default_max_record_bytes")]
    #[schemars(extend("default" = default_max_record_bytes()))]
    pub max_record_bytes: u64,
    /// Most bytes read and not yet committed.
    #[serde(default = "default_max_in_flight_bytes", skip_serializing_if = "is_default_max_in_flight_bytes")]
    #[schemars(extend("default" = default_max_in_flight_bytes()))]
    pub max_in_flight_bytes: u64,
    /// When and how a failed pipeline is started again.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = RestartPolicy::default()))]
    pub restart: RestartPolicy,
}

impl PipelineSpec {
    /// This spec, with the id as its name if it has none.
    #[must_use]
    pub fn named(mut self, id: &PipelineId) -> Self {
        if self.name.is_empty() {
            self.name = id.as_str().into();
        }
        self
    }

    /// Whether it does the same as `other`: they differ at most in name, description and labels.
    pub fn runs_like(&self, other: &Self) -> bool {
        let described = Self {
            name: self.name.clone(),
            description: self.description.clone(),
            labels: self.labels.clone(),
            ..other.clone()
        };
        *self == described
    }

    /// Whether it makes the same of the same records as `other`, which has the same source and sink as far as a generation
    /// goes: what they differ in is only how they are run.
    pub fn gives_like(&self, other: &Self) -> bool {
        self.transforms == other.transforms
            && self.schema == other.schema
            && self.max_record_bytes == other.max_record_bytes
            && self.on_type_mismatch == other.on_type_mismatch
    }
}

/// How large a batch may get. A batch is as large as what waits, between one record and these caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BatchSpec {
    /// Most records in a batch.
    pub max_records: u32,
    /// Most bytes in a batch.
    pub max_bytes: u64,
    /// How long an incomplete batch waits for more.
    pub linger: Millis,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max_records: 4_096, max_bytes: 8 << 20, linger: Millis(50) }
    }
}

/// What becomes of a record with a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTypeMismatch {
    /// It is kept as a dead letter.
    #[default]
    Dead,
    /// The value is taken as NULL.
    Null,
}

/// When and how a failed pipeline is started again: exponential back-off with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestartPolicy {
    /// Most restarts in a row without progress; none given: without limit. 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Wait before the first restart.
    pub initial: Millis,
    /// Longest wait.
    pub max: Millis,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { max_attempts: None, initial: Millis(1_000), max: Millis(300_000) }
    }
}

impl RestartPolicy {
    /// The wait before restart number `attempt` (from 0), without jitter, in milliseconds; none: no more restarts.
    pub fn wait_ms(&self, attempt: u32) -> Option<u64> {
        if self.max_attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        Some(self.initial.0.saturating_mul(1 << attempt.min(30)).min(self.max.0))
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! defaults {
    ($($default:ident $is:ident: $ty:ty = $value:expr;)*) => {$(
        fn $default() -> $ty { $value }
        fn $is(value: &$ty) -> bool { *value == $value }
    )*};
}
defaults! {
    default_checkpoint_interval is_default_checkpoint_interval: Millis = Millis(1_000);
    default_stop_timeout is_default_stop_timeout: Millis = Millis(30_000);
    default_max_record_bytes is_default_max_record_bytes: u64 = 16 << 20;
    default_max_in_flight_bytes is_default_max_in_flight_bytes: u64 = 64 << 20;
}
