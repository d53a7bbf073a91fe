//! `file`: JSON lines or CSV, appended to one file.
pub(crate) mod audit;
mod choices;
pub mod compression;
mod handle;
pub(crate) mod lines;
mod mark;
mod missing;
pub(crate) mod open;
pub(crate) mod ruled;
mod still;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

pub use compression::Compression;

use crate::{
    on_disk::{self, FileId},
    table::Unknown,
};
use async_trait::async_trait;
use dataflow_formats::dialect;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    audit::{Audit, Audited},
    declared::SinkRows,
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces},
};
use handle::Handle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// Appends records to a file on the node's machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileSink {
    /// Path of the file. Its folder must be there; the file is made.
    #[schemars(extend("x-path" = true))]
    pub path: PathBuf,
    /// How a record is written. Default: by the name (`.csv`, also before `.gz` or `.zst`), otherwise `json`.
    pub format: Option<Format>,
    /// Compression; by default what the path's extension says (`.gz`, `.zst`, otherwise none). Each commit is a frame of its own.
    pub compression: Option<Compression>,
    /// What to do about lines that are there when the pipeline starts for the first time. What it wrote itself is always
    /// kept, also where it goes on from elsewhere: move the file away to write all again.
    #[serde(default)]
    pub if_exists: IfExists,
    /// CSV: between fields, one ASCII character.
    #[serde(default = "dialect::comma")]
    pub delimiter: char,
    /// CSV: around fields that need it, one ASCII character; doubled inside.
    #[serde(default = "dialect::quotation_mark")]
    pub quote: char,
    /// CSV: whether an empty file gets a line with the names of the columns first.
    #[serde(default = "yes")]
    pub header: bool,
    /// CSV: names of the fields to write, in order. By default those of the header that is there, otherwise all fields
    /// of the first batch, which is a matter of time: give them where records have different fields.
    pub columns: Option<Vec<String>>,
    /// CSV: what becomes of fields that are not among the columns; by default `ignore`. A header can't grow, so `add` is not
    /// possible.
    pub unknown_fields: Option<Unknown>,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON document a line.
    Json,
    /// One CSV record a line. Null and missing are nothing between two delimiters, an empty text is two quotes; nested
    /// values are JSON.
    Csv,
}

/// What to do if the file is there at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// Write after what is there.
    #[default]
    Append,
    /// Fail, unless it is empty.
    Fail,
    /// Empty it. Of a file that a pipeline turns to later only one that is empty is taken.
    Replace,
}

impl FileSink {
    /// How records are written: as the spec says, or the name.
    pub(super) fn format(&self) -> Format {
        let name = self.path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let name = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        self.format.unwrap_or(if name.ends_with(".csv") { Format::Csv } else { Format::Json })
    }

    fn is_csv(&self) -> bool {
        self.format() == Format::Csv
    }

    fn csv(&self) -> lines::Csv {
        lines::Csv { delimiter: self.delimiter as u8, quote: self.quote as u8 }
    }

    /// As the spec says, or the name.
    fn compression(&self) -> Compression {
        self.compression.unwrap_or_else(|| Compression::of(&self.path))
    }
}

fn yes() -> bool {
    true
}

impl SinkConfig for FileSink {
    const TYPE: &'static str = "file";
    const SUMMARY: &'static str = "Appends records to a file, as JSON lines or CSV.";
    const DELIVERY: DeliveryMode = DeliveryMode::Staged;
    const GUARANTEE: &'static str = "Exactly once: each checkpoint makes the file durable and remembers its length; \
        after a crash the file is truncated to that length and continued from there. A file that was removed, replaced, \
        truncated or written to by others is detected at the next commit or opening and rejected, as is a journal older \
        than the file. Void if others write to it at the time of a crash, or change lines in its middle; a reader that \
        follows the file may see records that a crash takes back and writes again.";
    const SINGLE_LANE: bool = true;

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(Problem::new("path", "missing-field", "the path is empty").fix("give the path of a file"));
        }
        problems.extend(dialect::check(self.delimiter, self.quote));
        if self.format() == Format::Csv && !self.header && self.columns.is_none() {
            let problem = Problem::new("columns", "missing-field", "CSV without a header needs its columns named");
            problems.push(problem.fix("give columns, or set header: true"));
        }
        if self.format() == Format::Json && self.columns.is_some() {
            let problem =
                Problem::new("columns", "not-applicable", "columns are for format: csv; JSON lines hold whole records");
            problems.push(problem.fix("set format: csv, or select fields with a map transform"));
        }
        let unknown = |code: &str, message: &str| Problem::new("unknownFields", code, message);
        match (self.format(), self.unknown_fields) {
            (Format::Json, Some(_)) => problems.push(
                unknown("not-applicable", "unknownFields is for format: csv; JSON lines hold whole records")
                    .fix("leave it out, or select fields with a map transform"),
            ),
            (Format::Csv, Some(Unknown::Add)) => problems.push(
                unknown("unsupported", "no column can be added to a CSV file: its header is written once, and every line has as many fields")
                    .fix("name all fields in columns, write JSON lines (format: json), or set unknownFields to ignore, dead or fail"),
            ),
            _ => {}
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            problems.push(
                Problem::new("columns", "too-few", "columns names no field").fix("name one or leave columns out"),
            );
        }
        problems
    }
    fn target(&self) -> String {
        on_disk::spelled(&self.path)
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }
    fn rows(&self) -> SinkRows {
        let columns = self.columns.iter().flatten().map(|name| (name.clone(), None));
        let unknown_fields = (self.format() == Format::Csv).then(|| self.unknown_fields.unwrap_or_default().into());
        let left_out_on_purpose = self.columns.is_some() || self.unknown_fields == Some(Unknown::Ignore);
        SinkRows { columns: columns.collect(), unknown_fields, left_out_on_purpose, ..SinkRows::default() }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let (config, paths) = (self.clone(), cx.paths.clone());
        let asking = Arc::new(());
        let wanted = Arc::downgrade(&asking);
        let opened = crate::blocking::run(move || open::open(&config, &paths, &lane, &wanted)).await;
        drop(asking);
        opened?
    }
    async fn missing(&self, cx: &Context, handle: &serde_json::Value, rows: u64) -> Result<Option<u64>, Error> {
        let (config, paths) = (self.clone(), cx.paths.clone());
        let handle = Handle::from_json(handle.clone())?;
        // What can't be looked at is not known to be there.
        let lines = move || {
            paths.admit(&config.path).ok().and_then(|()| missing::lines_before(&config, &handle, handle.length))
        };
        let there = crate::blocking::run(lines).await.ok().flatten();
        Ok(Some(rows.saturating_sub(there.unwrap_or(0))))
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        cx.paths.admit(&self.path)?;
        let Some(handle) = traces.handle.clone() else { return Ok(false) };
        let (path, handle) = (self.path.clone(), Handle::from_json(handle)?);
        crate::blocking::run(move || std::fs::metadata(path).is_ok_and(|there| FileId::from(&there) == handle.id()))
            .await
    }
    async fn audit(&self, _: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        let config = self.clone();
        crate::blocking::run(move || audit::open(&config, &audit).map(Some)).await?
    }
}
