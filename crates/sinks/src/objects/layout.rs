//! What objects look like, where they are, and when they are full: the settings that all stores have in common.
use super::{Roll, template::Template};
use crate::table::Unknown;
use dataflow_core::types::Type;
use dataflow_formats::dialect;
use dataflow_sdk::{
    Problem,
    declared::{Numbers, SideExpression, SinkRows},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What objects look like.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// The folder of the objects: text, and expressions over the output record in braces, as in
    /// `events/dt={to_char(ts, 'YYYY-MM-DD')}/country={country}`. Default: none, so that they are in the bucket, container or folder itself.
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

impl Layout {
    /// What was checked before.
    pub(super) fn template(&self) -> Template {
        Template::parse(&self.path).unwrap_or_default()
    }

    /// The folder that everything of it is in: with a slash at the end, or nothing.
    pub(crate) fn root(&self) -> String {
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

    fn unknown(&self) -> Unknown {
        self.unknown_fields.unwrap_or(if self.columns.is_some() { Unknown::Ignore } else { Unknown::Add })
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

    /// Findings that the schema can't tell.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(why) = Template::parse(&self.path) {
            problems.push(Problem::new("path", "invalid-value", format!("the path has {why}")));
        }
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

    /// What a sink wants of each row, in the order in which `rows` takes it.
    pub(crate) fn rows(&self) -> SinkRows {
        let side = |text: &str| SideExpression { path: "path".into(), text: text.into(), ty: Type::Text };
        let columns = self.columns.iter().flatten().map(|name| (name.clone(), None));
        SinkRows {
            columns: columns.collect(),
            unknown_fields: (self.format != Format::Json).then(|| self.unknown().into()),
            numbers: if self.format.has_types() { Numbers::Decimals } else { Numbers::Any },
            left_out_on_purpose: self.columns.is_some() || self.unknown_fields == Some(Unknown::Ignore),
            side: self.template().expressions().map(side).collect(),
            ..SinkRows::default()
        }
    }
}
