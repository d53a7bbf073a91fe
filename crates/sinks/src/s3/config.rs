//! The settings of an S3 sink.
use super::{Roll, template::Template};
use crate::table::Unknown;
use dataflow_core::types::Type;
use dataflow_formats::dialect;
use dataflow_sdk::{
    Problem, SinkConfig,
    declared::{SideExpression, SinkRows},
    sink::{DeliveryMode, Sink},
};
use dataflow_tls::Tls;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes objects to a bucket of S3, or of a server that speaks its protocol.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Sink {
    /// The bucket. It must exist.
    pub bucket: String,
    /// The folder of the objects: text, and expressions over the output record in braces, as in
    /// `events/dt={to_char(ts, 'YYYY-MM-DD')}/country={country}`. Default: the bucket itself.
    #[serde(default)]
    pub path: String,
    /// How records are written.
    #[serde(default)]
    pub format: Format,
    /// How objects are compressed. Default: `zstd` for Parquet and Avro, otherwise `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// When an object is full.
    #[serde(default)]
    pub roll: Roll,
    /// Most objects that a lane keeps open: one for each folder that its records go to. One more, and the oldest is closed early.
    #[serde(default = "hundred")]
    pub max_open_objects: u32,
    /// Most bytes that a lane keeps in memory for its open objects. More, and the oldest is closed early.
    #[serde(default = "default_open_bytes")]
    pub max_open_bytes: u64,
    /// CSV: between fields, one ASCII character.
    #[serde(default = "dialect::comma")]
    pub delimiter: char,
    /// CSV: around fields that need it, one ASCII character; doubled inside.
    #[serde(default = "dialect::quotation_mark")]
    pub quote: char,
    /// CSV: whether each object begins with the names of its columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// CSV, Parquet and Avro: names of the fields to write, in order. By default all fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// CSV, Parquet and Avro: what becomes of fields that are not among the columns so far. By default `add`: objects that begin from
    /// then on have the column; with `columns`, `ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<Unknown>,
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

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON document a line; a record that nothing has changed, as the very bytes that came in.
    #[default]
    Json,
    /// One CSV record a line, as the `file` sink writes it.
    Csv,
    /// Parquet, with the types of the columns.
    Parquet,
    /// Avro (an object container file), with the types of the columns.
    Avro,
}

impl Format {
    /// Whether its columns have types.
    pub(super) fn has_types(self) -> bool {
        matches!(self, Self::Parquet | Self::Avro)
    }
}

/// How objects are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip; in Avro `deflate`, which is the same without its frame.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Snappy: Parquet and Avro only.
    Snappy,
}

fn hundred() -> u32 {
    100
}
fn default_open_bytes() -> u64 {
    64 << 20
}
fn yes() -> bool {
    true
}

/// Without secrets.
impl std::fmt::Debug for S3Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Sink").field("bucket", &self.bucket).field("path", &self.path).finish_non_exhaustive()
    }
}

impl S3Sink {
    /// What was checked before.
    pub(super) fn template(&self) -> Template {
        Template::parse(&self.path).unwrap_or_default()
    }

    /// The folder that everything of it is in: with a slash at the end, or nothing.
    pub(super) fn root(&self) -> String {
        self.template().root()
    }

    pub(super) fn compression(&self) -> Compression {
        let default = if self.format.has_types() { Compression::Zstd } else { Compression::None };
        self.compression.unwrap_or(default)
    }

    /// The end of an object's name.
    pub(super) fn extension(&self) -> &'static str {
        match (self.format, self.compression()) {
            (Format::Parquet, _) => "parquet",
            (Format::Avro, _) => "avro",
            (Format::Json, Compression::Gzip) => "json.gz",
            (Format::Json, Compression::Zstd) => "json.zst",
            (Format::Json, _) => "json",
            (Format::Csv, Compression::Gzip) => "csv.gz",
            (Format::Csv, Compression::Zstd) => "csv.zst",
            (Format::Csv, _) => "csv",
        }
    }

    /// How users call the server.
    pub(super) fn server(&self) -> String {
        self.endpoint.as_deref().map_or_else(|| "s3".into(), |endpoint| endpoint.trim_end_matches('/').to_lowercase())
    }

    pub(super) fn speaks_tls(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("https://"))
    }

    fn unknown(&self) -> Unknown {
        self.unknown_fields.unwrap_or(if self.columns.is_some() { Unknown::Ignore } else { Unknown::Add })
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

    fn check_server(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(endpoint) = &self.endpoint {
            let is_http = endpoint.starts_with("http://");
            if !is_http && !endpoint.starts_with("https://") {
                let message = format!("{endpoint:?} is not a URL that begins with https:// or http://");
                problems.push(Problem::new("endpoint", "invalid-value", message));
            } else if is_http && !self.allow_http {
                let problem = Problem::new("endpoint", "contradiction", "http:// sends records without encryption");
                problems.push(problem.fix("use https://, or set allowHttp: true"));
            }
        }
        if let Some(tls) = &self.tls {
            problems.extend(tls.check("tls"));
            if !self.speaks_tls() {
                let problem = Problem::new("tls", "not-applicable", "the endpoint is http://, without TLS");
                problems.push(problem.fix("write https:// in `endpoint`, or leave `tls` out"));
            }
        }
        let keys = [("accessKeyId", &self.access_key_id), ("secretAccessKey", &self.secret_access_key)];
        if let [(given, Some(_)), (missing, None)] | [(missing, None), (given, Some(_))] = keys {
            let message = format!("{given} is given without {missing}");
            problems.push(
                Problem::new(missing, "missing-field", message).fix("give both, or neither to use the environment's"),
            );
        }
        problems
    }

    fn check_format(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.format.has_types() && self.compression == Some(Compression::Snappy) {
            let problem = Problem::new("compression", "not-applicable", "snappy is for format: parquet and avro");
            problems.push(problem.fix("use zstd or gzip"));
        }
        problems.extend(dialect::check(self.delimiter, self.quote));
        if self.format == Format::Json {
            let given = [("columns", self.columns.is_some()), ("unknownFields", self.unknown_fields.is_some())];
            for (name, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = format!("{name} is for format: csv, parquet and avro; JSON lines hold whole records");
                problems.push(
                    Problem::new(name, "not-applicable", message)
                        .fix("leave it out, or select fields with a map transform"),
                );
            }
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            let problem = Problem::new("columns", "too-few", "columns names no field");
            problems.push(problem.fix("name one or leave columns out"));
        }
        problems
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
        if let Err(why) = Template::parse(&self.path) {
            problems.push(Problem::new("path", "invalid-value", format!("the path has {why}")));
        }
        problems.extend(self.check_server());
        problems.extend(self.check_format());
        problems.extend(self.roll.check());
        if self.max_open_objects == 0 {
            problems.push(Problem::new("maxOpenObjects", "too-few", "must be 1 or more"));
        }
        if self.max_open_bytes < super::object::PART as u64 {
            let message = format!("must be {} (8 MiB) or more: the size of a part", super::object::PART);
            problems.push(Problem::new("maxOpenBytes", "out-of-range", message));
        }
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }

    fn target(&self) -> String {
        format!("{} {}/{}", self.server(), self.bucket, self.root())
    }

    /// In the order in which `rows` takes them.
    fn rows(&self) -> SinkRows {
        let side = |text: &str| SideExpression { path: "path".into(), text: text.into(), ty: Type::Text };
        let columns = self.columns.iter().flatten().map(|name| (name.clone(), None));
        SinkRows {
            columns: columns.collect(),
            unknown_fields: (self.format != Format::Json).then(|| self.unknown().into()),
            left_out_on_purpose: self.columns.is_some() || self.unknown_fields == Some(Unknown::Ignore),
            side: self.template().expressions().map(side).collect(),
            ..SinkRows::default()
        }
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
