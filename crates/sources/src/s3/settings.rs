//! The settings of the source.
use super::keys::Key;
use crate::{
    file::{Compression, FileSource, Format, LastLine},
    lost::OnPositionLost,
};
use dataflow_core::{position::Partition, spec::Millis, types::Type};
use dataflow_formats::dialect;
use dataflow_s3::{Access, check_bucket};
use dataflow_sdk::{
    Problem, SourceConfig,
    declared::Metadata,
    source::{Kept, Source},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

/// Reads records from objects of a bucket.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Source {
    /// The bucket.
    pub bucket: String,
    /// Which objects: a folder (`events/2026/`, all below it), a pattern with `*`, `?`, `[…]` or `**` (`events/*/part-*.json.gz`), or the key of one
    /// object. Default: all of the bucket. What is below a name that begins with `_` or `.` is not read, unless `path` itself names such a one.
    #[serde(default)]
    pub path: String,
    /// How records are written. Default: by each object's name (`.csv`; `.json`, `.jsonl`, `.ndjson`; `.parquet`; `.avro`), otherwise
    /// `json`.
    #[serde(default)]
    pub format: Option<Format>,
    /// CSV: the character between fields.
    #[serde(default = "dialect::comma")]
    pub delimiter: char,
    /// CSV: the character around fields that hold delimiters or line breaks; doubled inside.
    #[serde(default = "dialect::quotation_mark")]
    pub quote: char,
    /// CSV: whether the first record of each object holds the names of the fields. If not, give `columns`.
    #[serde(default = "yes")]
    pub header: bool,
    /// CSV without header: the names of the fields, in order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// CSV: unquoted texts that stand for null.
    #[serde(default = "nothing")]
    pub null_values: Vec<String>,
    /// How objects are compressed. Default `auto`: by the name (`.gz`, `.zst`). Parquet and Avro are compressed within, which
    /// they say themselves.
    #[serde(default)]
    pub compression: Compression,
    /// false: the objects that are there, then the pipeline is completed; what comes later is read by the next start. true: go on for ever
    /// with objects that are new, whatever their keys.
    #[serde(default)]
    pub follow: bool,
    /// With `follow`, how long to wait before the bucket is listed again: a request for each thousand keys below `path`.
    #[serde(default = "half_a_minute")]
    pub poll_interval: Millis,
    /// What to do when an object was overwritten or deleted before it was read to its end.
    #[serde(default)]
    pub on_position_lost: OnPositionLost,
    /// Where the bucket is, and who asks for it.
    #[serde(flatten)]
    pub access: Access,
}

fn yes() -> bool {
    true
}
fn nothing() -> Vec<String> {
    vec![String::new()]
}
fn half_a_minute() -> Millis {
    Millis(30_000)
}

impl S3Source {
    /// How objects are read: as files of these settings are.
    pub(super) fn files(&self) -> FileSource {
        FileSource {
            path: self.path.clone(),
            format: self.format,
            delimiter: self.delimiter,
            quote: self.quote,
            header: self.header,
            columns: self.columns.clone(),
            null_values: self.null_values.clone(),
            compression: self.compression,
            follow: false,
            poll_interval: self.poll_interval,
            on_position_lost: self.on_position_lost,
            last_line: LastLine::Take,
        }
    }

    /// Whether a position in an object of this name is a place among the bytes that lie there.
    pub(super) fn counts_bytes(&self, name: &str) -> bool {
        self.files().counts_bytes(Path::new(name))
    }
}

impl SourceConfig for S3Source {
    const TYPE: &'static str = "s3";
    const SUMMARY: &'static str = "Reads objects of S3 or a server that speaks its protocol: JSON lines or CSV, plain, gzip or zstd; Parquet, Avro.";
    const GUARANTEE: &'static str = "Each object is read once. It is known by its key and its ETag: one that is overwritten with other content is \
        another object, which is read from its beginning (warning `object-overwritten`); one that is written again with the same content \
        in the same way (parts of another size give another ETag) is the same one. \
        All keys are listed in each look, so that an object is found whatever its key and its time are. Each request for bytes demands the ETag that was listed, so that \
        contents are never mixed. The position is the (decompressed) byte offset, or the number of a row, from which reading goes on exactly. An object that is overwritten \
        or deleted before it was read to its end is a lost position (`onPositionLost`). Objects that appear and are overwritten or deleted between two looks are not seen. \
        For each object that was read, the pipeline's state keeps its key and ETag, some 150 bytes.";
    const CONNECTION: Option<&'static str> = Some("s3");
    const METADATA: Option<&'static [Metadata]> = Some(&[
        ("file", Type::Text),
        ("bucket", Type::Text),
        ("object", Type::Text),
        ("etag", Type::Text),
        ("modified", Type::Timestamp),
    ]);

    fn is_untyped(&self) -> bool {
        self.files().is_untyped()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = check_bucket(&self.bucket).into_iter().chain(self.check_path()).collect();
        problems.extend(self.access.check());
        problems.extend(self.files().check_format());
        if self.poll_interval.0 == 0 {
            problems.push(Problem::new("pollInterval", "out-of-range", "must be greater than 0"));
        }
        problems
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    /// Neither the server's address nor who asks says which objects these are: their ETags do.
    fn reads_like(&self, before: &Self) -> bool {
        (&self.bucket, &self.path) == (&before.bucket, &before.path) && self.files().splits_like(&before.files())
    }

    /// A place in an object stays one, however its records are read, unless its bytes are counted otherwise.
    fn keeps(&self, before: &Self, partition: &Partition) -> Kept {
        match self.key_of(partition) {
            Some(key) if self.key(key) == Key::Read => {
                let path = Path::new(&*partition.0);
                if self.files().counts(path) == before.files().counts(path) { Kept::Yes } else { Kept::No }
            }
            _ => Kept::Unread,
        }
    }

    /// Another object may come to have this key.
    fn lasting_ids(&self) -> bool {
        false
    }

    fn reads(&self, place: &str) -> bool {
        let folder = format!("objects {} {}/", self.access.server(), self.bucket);
        place
            .strip_prefix(&folder)
            .is_some_and(|root| root.starts_with(self.prefix()) && (self.is_pattern() || self.path == self.prefix()))
    }
}
