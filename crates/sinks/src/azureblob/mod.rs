//! `azureblob`: objects as block blobs of a container of Azure.
mod failure;
mod store;

use crate::objects::{
    Layout, ObjectSink,
    store::{Reaches, Store},
};
use dataflow_s3::server;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    declared::SinkRows,
    sink::{DeliveryMode, Sink},
};
use dataflow_tls::Tls;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Writes objects to a container of Azure Blob Storage.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureBlobSink {
    /// The container. It must exist.
    pub container: String,
    /// What its objects look like.
    #[serde(flatten)]
    pub layout: Layout,
    /// The storage account. Default: that of the node's environment (`AZURE_STORAGE_ACCOUNT_NAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-address" = "host"))]
    pub account: Option<String>,
    /// The server, as `https://host:port`. Default: `https://ACCOUNT.blob.core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-address" = "host"))]
    pub endpoint: Option<String>,
    /// A key of the account. Default: what the node's environment has (`AZURE_…` variables, workload identity, managed identity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub access_key: Option<String>,
    /// A shared access signature instead of a key, as `sv=…&sig=…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub sas_token: Option<String>,
    /// Whether the endpoint may be `http://`, without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates: which authorities to trust, and what to show of oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// The longest time that a blob may stay open, in milliseconds.
const LONGEST_ROLL: u64 = 6 * 24 * 3_600_000;

/// Without secrets.
impl std::fmt::Debug for AzureBlobSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AzureBlobSink");
        shown.field("container", &self.container).field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl AzureBlobSink {
    /// How users call the server.
    fn server(&self) -> String {
        let server = self.endpoint.as_deref().or(self.account.as_deref()).unwrap_or("azure");
        server.trim_end_matches('/').to_lowercase()
    }

    fn check_container(&self) -> Option<Problem> {
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let name = &self.container;
        if (3..=63).contains(&name.len()) && name.chars().all(fits) {
            return None;
        }
        let message =
            format!("{name:?} can't be the name of a container: 3 to 63 lower-case letters, digits and hyphens");
        let fix = if name.contains('/') { "folders belong into `path`" } else { "give the container's name alone" };
        Some(Problem::new("container", "invalid-value", message).fix(fix))
    }

    fn check_login(&self) -> Option<Problem> {
        let both = self.access_key.is_some() && self.sas_token.is_some();
        let problem = || Problem::new("sasToken", "contradiction", "sasToken and accessKey are given");
        both.then(|| problem().fix("leave one of them out"))
    }
}

impl Reaches for AzureBlobSink {
    fn layout(&self) -> &Layout {
        &self.layout
    }
    fn reach(&self, cx: &Context) -> Result<Store, Error> {
        Ok(Arc::new(store::Azure::new(self, cx)?))
    }
}

impl SinkConfig for AzureBlobSink {
    const TYPE: &'static str = "azureblob";
    const SUMMARY: &'static str =
        "Writes blobs to a container of Azure Blob Storage, as JSON lines, CSV, Parquet or Avro.";
    const DELIVERY: DeliveryMode = DeliveryMode::Staged;
    const GUARANTEE: &'static str = "Exactly once: blobs are uploaded in blocks, and appear whole once the journal counts their records, not before. \
        Azure keeps blocks that are not committed for a week, and nobody can ask it to keep them for longer: an outage between the two that lasts \
        longer makes the pipeline fail and say which records. Nor can blocks be discarded: what was never sealed goes after a week, too. \
        Void if somebody overwrites blobs, or changes the folder _dataflow. Blobs may be moved or deleted once they appear; only if the node is killed in the same moment, \
        within one request, and finds them gone when it starts again, does the pipeline fail and ask whether somebody has them. \
        Proved with Azurite, Microsoft's emulator.";
    const CONNECTION: Option<&'static str> = Some("azureblob");

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.check_container().into_iter().collect();
        problems.extend(server::check(self.endpoint.as_deref(), self.allow_http, self.tls.as_ref()));
        problems.extend(self.check_login());
        problems.extend(self.layout.check());
        if self.layout.roll.max_age.0 > LONGEST_ROLL {
            let message = "must be 6 days or less: Azure keeps blocks that are not committed for a week";
            problems.push(Problem::new("roll.maxAge", "out-of-range", message));
        }
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(ObjectSink(self))
    }

    fn target(&self) -> String {
        format!("{} {}/{}", self.server(), self.container, self.layout.root())
    }

    fn rows(&self) -> SinkRows {
        self.layout.rows()
    }

    fn tuning() -> &'static [&'static str] {
        &["roll", "maxOpenObjects", "maxOpenBytes", "compression", "accessKey", "sasToken", "allowHttp", "tls"]
    }
}
