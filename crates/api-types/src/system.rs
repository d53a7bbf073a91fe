//! The node itself.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a node says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Which journal it writes: `sqlite`, `memory`.
    pub journal: String,
    /// Where its files are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<String>,
    /// When it was started. RFC 3339, UTC.
    pub started_at: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
}

/// A node and what it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemView {
    /// The node.
    #[serde(flatten)]
    pub node: NodeView,
    /// What it holds.
    pub region: RegionView,
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

/// How a node is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `live`, `ready` or `not-ready`.
    pub status: String,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
