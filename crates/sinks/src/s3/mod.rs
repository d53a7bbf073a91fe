//! `s3`: objects in a bucket of S3, or of a server that speaks its protocol.
mod failure;
mod store;

use crate::objects::{
    Layout, ObjectSink, server,
    store::{Reaches, Store},
};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    declared::SinkRows,
    sink::{DeliveryMode, Sink},
};
use dataflow_tls::Tls;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Writes objects to a bucket of S3, or of a server that speaks its protocol.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Sink {
    /// The bucket. It must exist.
    pub bucket: String,
    /// What its objects look like.
    #[serde(flatten)]
    pub layout: Layout,
    /// The server, as `https://host:port`. Default: Amazon's in the region. Usually from the node's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-address" = "host"))]
    pub endpoint: Option<String>,
    /// The region. Default: that of the environment, or `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The id of the access key. Default: what the node's environment has (variables, web identity, container, instance).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub secret_access_key: Option<String>,
    /// The token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub session_token: Option<String>,
    /// Whether the endpoint may be `http://`, without encryption.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates: which authorities to trust, and what to show of oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether the server knows conditional writes (`If-Match`), as S3, MinIO and R2 do. Without them a frozen owner of the pipeline is
    /// noticed later, but publishes nothing either.
    #[serde(default = "yes")]
    pub conditional_writes: bool,
}

fn yes() -> bool {
    true
}

/// Without secrets.
impl std::fmt::Debug for S3Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Sink").field("bucket", &self.bucket).field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl S3Sink {
    /// How users call the server.
    fn server(&self) -> String {
        self.endpoint.as_deref().map_or_else(|| "s3".into(), |endpoint| endpoint.trim_end_matches('/').to_lowercase())
    }

    fn speaks_tls(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"))
    }

    fn check_bucket(&self) -> Option<Problem> {
        let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '.' | '_');
        let name = &self.bucket;
        if (3..=63).contains(&name.len()) && name.chars().all(fits) && !name.contains("..") {
            return None;
        }
        let message =
            format!("{name:?} can't be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens");
        let fix = if name.contains('/') { "folders belong into `path`" } else { "give the bucket's name alone" };
        Some(Problem::new("bucket", "invalid-value", message).fix(fix))
    }

    fn check_login(&self) -> Option<Problem> {
        let keys = [("accessKeyId", &self.access_key_id), ("secretAccessKey", &self.secret_access_key)];
        let ([(given, Some(_)), (missing, None)] | [(missing, None), (given, Some(_))]) = keys else { return None };
        let message = format!("{given} is given without {missing}");
        Some(Problem::new(missing, "missing-field", message).fix("give both, or neither to use the environment's"))
    }
}

impl Reaches for S3Sink {
    fn layout(&self) -> &Layout {
        &self.layout
    }
    fn reach(&self, cx: &Context) -> Result<Store, Error> {
        Ok(Arc::new(store::S3::new(self, cx)?))
    }
}

impl SinkConfig for S3Sink {
    const TYPE: &'static str = "s3";
    const SUMMARY: &'static str =
        "Writes objects to S3 or a server that speaks its protocol, as JSON lines, CSV, Parquet or Avro.";
    const DELIVERY: DeliveryMode = DeliveryMode::Staged;
    const GUARANTEE: &'static str = "Exactly once: objects are uploaded in parts, and appear whole once the journal counts their records, \
        not before. Void if uploads that are not completed yet are aborted by others (a lifecycle rule of less than the longest outage: \
        the pipeline then fails and says which records), or if somebody overwrites objects, or changes the folder _dataflow. \
        Objects may be moved or deleted once they appear; only if the node is killed in the same moment, within one request, and \
        finds them gone when it starts again, does the pipeline fail and ask whether somebody has them.";
    const CONNECTION: Option<&'static str> = Some("s3");

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.check_bucket().into_iter().collect();
        problems.extend(server::check(self.endpoint.as_deref(), self.allow_http, self.tls.as_ref()));
        problems.extend(self.check_login());
        problems.extend(self.layout.check());
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(ObjectSink(self))
    }

    fn target(&self) -> String {
        format!("{} {}/{}", self.server(), self.bucket, self.layout.root())
    }

    fn rows(&self) -> SinkRows {
        self.layout.rows()
    }

    fn tuning() -> &'static [&'static str] {
        &[
            "roll",
            "maxOpenObjects",
            "maxOpenBytes",
            "compression",
            "region",
            "accessKeyId",
            "secretAccessKey",
            "sessionToken",
            "allowHttp",
            "tls",
            "conditionalWrites",
        ]
    }
}
