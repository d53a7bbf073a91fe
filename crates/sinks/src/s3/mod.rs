//! `s3`: objects in a bucket of S3, or of a server that speaks its protocol.
mod store;

use crate::objects::{
    Layout, ObjectSink,
    store::{Reaches, Store},
};
use dataflow_s3::{Access, check_bucket};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    declared::SinkRows,
    sink::{DeliveryMode, Sink},
};
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
    /// Where the bucket is, and who asks for it.
    #[serde(flatten)]
    pub access: Access,
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
        let mut problems: Vec<Problem> = check_bucket(&self.bucket).into_iter().collect();
        problems.extend(self.access.check());
        problems.extend(self.layout.check());
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(ObjectSink(self))
    }

    fn target(&self) -> String {
        format!("{} {}/{}", self.access.server(), self.bucket, self.layout.root())
    }

    /// All objects whose keys begin so.
    fn writes(&self) -> Vec<(&'static str, String)> {
        vec![("path", format!("objects {} {}/{}", self.access.server(), self.bucket, self.layout.root()))]
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
