//! What a node is told: one TOML file, then the environment, then the command line; each overrules the one before.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! dataDir = "/var/lib/dataflow"
//! shutdownTimeout = "30s"
//!
//! [log]
//! level = "info"
//! format = "text"
//!
//! [connections.kafka.default]
//! brokers = "kafka-1:9092,kafka-2:9092"
//!
//! [secrets]
//! files = ["/etc/dataflow/secrets"]
//!
//! [paths]
//! allow = ["/var/spool/dataflow"]
//! ```
mod environment;
mod load;
mod reach;
mod secrets;
#[cfg(test)]
mod tests;

pub use load::{Overrides, load};
pub use secrets::Environment;

use dataflow_core::spec::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// Connections of the node: by kind (`kafka`, `postgres`), then by name. `default` is what a pipeline gets that names none.
pub type Connections = BTreeMap<String, BTreeMap<String, Map<String, Value>>>;

/// Everything a node can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Address of the REST API. Only a loopback address: there is no authentication.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Further names by which the API may be called, of a reverse proxy for instance; `localhost` and loopback addresses
    /// always may. Keeps pages of other sites from calling it through the user's browser.
    pub hosts: Vec<String>,
    /// Folder of everything the node keeps: journal, chunks, lock. Made if it is missing, readable by its owner only.
    pub data_dir: PathBuf,
    /// How a stop of the node waits for pipelines to settle.
    pub shutdown_timeout: Millis,
    /// Threads for decoding and expressions. Default: one for each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub compute_threads: Option<usize>,
    /// What is logged to stderr, and how.
    pub log: Log,
    /// Which secrets pipelines may refer to. Connections are the operator's own, and may refer to any.
    pub secrets: SecretSettings,
    /// Which files pipelines may read and write.
    pub paths: PathSettings,
    /// Servers that pipelines may name (`"connection": "main"`), by kind and name.
    pub connections: Connections,
    /// The file that the settings were read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// Which secrets pipelines may refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecretSettings {
    /// Folders that the file of a `${file:path}` may be in. Default: `secrets` beside the settings file, or in the working
    /// folder if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathBuf>>,
    /// Names that may stand in `${env:NAME}`. Default: none.
    pub env: Vec<String>,
}

/// Which files pipelines may read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PathSettings {
    /// Folders of files that sources and sinks may use. Default: the working folder. The node's own data, its settings and
    /// its secrets are never among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<PathBuf>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            hosts: Vec::new(),
            data_dir: PathBuf::from("dataflow-data"),
            shutdown_timeout: Millis(45_000),
            compute_threads: None,
            log: Log::default(),
            secrets: SecretSettings::default(),
            paths: PathSettings::default(),
            connections: Connections::new(),
            file: None,
        }
    }
}

impl Settings {
    /// Threads for decoding and expressions, and the most lanes that a pipeline gets where its spec names none: the
    /// machine's cores unless it is set.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.compute_threads.unwrap_or_else(cores).max(1)
    }
}

/// What is logged to stderr, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, also for a module alone: `info,dataflow_engine=debug`.
    pub level: String,
    /// Lines for people, or JSON for programs.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
