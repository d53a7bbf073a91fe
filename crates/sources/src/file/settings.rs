//! The settings of the source, and what they say before a file is opened.
use super::{matches, names};
use crate::lost::OnPositionLost;
use dataflow_core::{position::Partition, spec::Millis, types::Type};
use dataflow_formats::dialect;
use dataflow_sdk::{
    Problem, SourceConfig,
    declared::Metadata,
    source::{Kept, Source},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Reads records from files: JSON (one object a line) or CSV, plain, gzip or zstd; Parquet or Avro.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileSource {
    /// Path of a file, or a pattern with `*`, `?`, `[…]` or `**`. The files that match are read in the order of their
    /// names.
    #[schemars(extend("x-path" = true))]
    pub path: String,
    /// How records are written. Default: by the name (`.csv`; `.json`, `.jsonl`, `.ndjson`; `.parquet`; `.avro`), otherwise
    /// `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// CSV: the character between fields.
    #[serde(default = "dialect::comma")]
    pub delimiter: char,
    /// CSV: the character around fields that hold delimiters or line breaks; doubled inside.
    #[serde(default = "dialect::quotation_mark")]
    pub quote: char,
    /// CSV: whether the first record of each file holds the names of the fields. If not, give `columns`.
    #[serde(default = "yes")]
    pub header: bool,
    /// CSV without header: the names of the fields, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// CSV: unquoted texts that stand for null.
    #[serde(default = "nothing")]
    pub null_values: Vec<String>,
    /// How files are compressed. Default `auto`: by the name (`.gz`, `.zst`). Parquet and Avro are compressed within, which
    /// they say themselves.
    #[serde(default)]
    pub compression: Compression,
    /// false: the files that match when the pipeline starts, each to the end that it has when it is reached, then the
    /// pipeline is completed; what comes later is read by the next start. true: go on for ever, with
    /// what is appended, with new files that match, and across rotation (a pattern may also match rotated names). A file
    /// that was rotated away before it was looked at is read if it got a number or a date (`app.log.1`,
    /// `app.log-20261231`, `app-20261231.log`); without a pattern, one that was also compressed by then is not read,
    /// which is said. A line counts once its line break is there, a Parquet file once its footer is, and
    /// the rows of an Avro file once their block is whole. At most 64 files are held open; the others are opened when
    /// they have changed.
    #[serde(default)]
    pub follow: bool,
    /// How often growing files are looked at.
    #[serde(default = "poll_interval")]
    pub poll_interval: Millis,
    /// What to do when a file was truncated or replaced under its checkpoint, or it or a later generation of it was removed
    /// before it was read to its end.
    #[serde(default)]
    pub on_position_lost: OnPositionLost,
    /// What a last line without a line break is, in a file that won't grow (one that is not followed, or was rotated).
    #[serde(default)]
    pub last_line: LastLine,
}

/// What a last line without a line break is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LastLine {
    /// A record. Where it was cut off in the middle, JSON is a dead letter anyhow, and so is CSV with too few fields; of
    /// CSV that is cut off in its last field nobody can tell. If it grows after it was taken, that is a lost position.
    #[default]
    Take,
    /// A dead letter (`unfinished`), as it may be half-written.
    Dead,
}

/// How records are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Comma-separated values (or separated by something else).
    Csv,
    /// Apache Parquet; each row is a record.
    Parquet,
    /// Apache Avro object container files; each row is a record.
    Avro,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
    /// By the name: `.gz`, `.zst`.
    #[default]
    Auto,
}

impl Compression {
    pub(crate) fn of(self, path: &Path) -> Self {
        match (self, path.extension().and_then(|ext| ext.to_str())) {
            (Self::Auto, Some("gz" | "gzip")) => Self::Gzip,
            (Self::Auto, Some("zst" | "zstd")) => Self::Zstd,
            (Self::Auto, _) => Self::None,
            (given, _) => given,
        }
    }
}

fn yes() -> bool {
    true
}
fn nothing() -> Vec<String> {
    vec![String::new()]
}
fn poll_interval() -> Millis {
    Millis(200)
}

impl FileSource {
    /// Whether the same records are found in the same bytes.
    pub(crate) fn splits_like(&self, before: &Self) -> bool {
        let how = |source: &Self| (source.format, source.delimiter, source.quote, source.header, source.compression);
        how(self) == how(before) && (&self.columns, &self.null_values) == (&before.columns, &before.null_values)
    }

    /// What positions in a file of this name count.
    pub(crate) fn counts(&self, path: &Path) -> (Compression, Option<Format>) {
        (self.compression.of(path), self.is_table(path).then(|| self.format_of(path)))
    }

    /// What is wrong with how records are to be read.
    pub(crate) fn check_format(&self) -> Vec<Problem> {
        let mut problems = dialect::check(self.delimiter, self.quote);
        let path = Path::new(&self.path);
        if self.is_table(path) && self.compression.of(path) != Compression::None {
            let problem = Problem::new("compression", "contradiction", "is for JSON and CSV");
            problems.push(
                problem.fix("decompress the files: Parquet and Avro are compressed within, and say so themselves"),
            );
        }
        let csv = self.is_untyped();
        if csv && !self.header && self.columns.is_empty() {
            let problem = Problem::new("columns", "missing-field", "must name the fields because there is no header");
            problems.push(problem.fix("give `columns: [\"id\", …]`, or set `header: true`"));
        }
        for (at, name) in self.columns.iter().enumerate() {
            if name.is_empty() || self.columns[..at].contains(name) {
                let what = if name.is_empty() { "is empty" } else { "is also the name of an earlier field" };
                let problem = Problem::new(format!("columns[{at}]"), "invalid-value", what);
                problems.push(problem.fix("give each field a unique name"));
            }
        }
        if csv && self.header && !self.columns.is_empty() {
            let problem =
                Problem::new("columns", "contradiction", "can't be given because the first line names the fields");
            problems.push(problem.fix("omit `columns`, or set `header: false`"));
        }
        if !csv && !self.columns.is_empty() {
            problems.push(Problem::new("columns", "contradiction", "is for CSV").fix("set `format: csv`, or omit it"));
        }
        problems
    }
}

impl SourceConfig for FileSource {
    const TYPE: &'static str = "file";
    const SUMMARY: &'static str =
        "Reads records from files: JSON lines or CSV, plain, gzip or zstd; Parquet, Avro; whole or growing.";
    const GUARANTEE: &'static str = "A file is identified by device, inode, creation time, its first KiB and the last \
        KiB before the position, which is the (decompressed) byte offset; Parquet and Avro files by their first \
        KiB and the last that they had when they were opened, and the position in them is the number of the row. So \
        reading continues at the exact position, even if the file was renamed in its folder. A file with several names (links) is read once; two files with the \
        same content are two files. Changes of other bytes before the position are not detected. A file that is \
        truncated, replaced or removed before it was read to its end is detected, even if none of it was read \
        (`onPositionLost`). Reading of a file that was compressed (`app.log` as `app.log.gz` or `app.log.1.gz`) \
        continues in the compressed file. With `follow`, a file that `copytruncate` has copied to the name of an older \
        generation (`app.log.1`) is read to its end in the copy; without a copy, a file that had been read to its end \
        continues at its beginning, and the history reports it. Names that are not UTF-8 are written with `\\xE9` for \
        such bytes, and `\\\\` for a backslash.";
    const METADATA: Option<&'static [Metadata]> = Some(&[("file", Type::Text)]);

    fn is_untyped(&self) -> bool {
        self.format_of(Path::new(&self.path)) == Format::Csv
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.is_empty() {
            problems.push(
                Problem::new("path", "missing-field", "is empty").fix("give a file or a pattern like \"logs/*.json\""),
            );
        }
        if self.is_pattern()
            && let Err(error) = glob::Pattern::new(&self.path)
        {
            problems.push(Problem::new("path", "bad-pattern", format!("is not a valid pattern: {error}")));
        }
        problems.extend(self.check_format());
        if self.follow && matches!(self.compression, Compression::Gzip | Compression::Zstd) {
            let problem = Problem::new("follow", "contradiction", "can't be combined with compression");
            problems.push(problem.fix("follow the uncompressed files, or set `follow: false`"));
        }
        if self.poll_interval.0 == 0 {
            problems.push(Problem::new("pollInterval", "out-of-range", "must be greater than 0"));
        }
        problems
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    fn reads_like(&self, before: &Self) -> bool {
        names::plain(&self.path) == names::plain(&before.path) && self.splits_like(before)
    }

    /// A place in a file stays one, however its records are read, unless its bytes are counted otherwise.
    fn keeps(&self, before: &Self, partition: &Partition) -> Kept {
        let path = names::path(&partition.0);
        let Some(now) = self.name_of(&path) else { return Kept::Unread };
        if self.counts(&now) == before.counts(&path) { Kept::Yes } else { Kept::No }
    }

    /// A file that is rotated or replaced has other lines where these were.
    fn lasting_ids(&self) -> bool {
        false
    }

    fn reads_file(&self, path: &Path) -> bool {
        matches::leads_to(self, path)
    }
}
