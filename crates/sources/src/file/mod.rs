//! The `file` source: lines of JSON or CSV records, from files that are whole or that grow.
//!
//! A partition is a file, named by its path; its position is the (decompressed) byte offset, with what the file is known by.
mod content;
mod copies;
mod fields;
mod follow;
mod frames;
mod gone;
mod gzip;
mod identity;
mod late;
mod layout;
mod lines;
mod look;
mod lost;
mod matches;
mod missed;
mod names;
mod opening;
mod packed;
mod piece;
mod plan;
mod replaced;
mod rotation;
mod slot;
mod split;
mod tail;
#[cfg(feature = "testing")]
pub mod testing;
mod unpacked;
mod waiting;
mod whole;

#[cfg(test)]
mod tests;

use crate::blocking::blocking;
use crate::{
    ahead::{Ahead, Nothing},
    lost::OnPositionLost,
};
use async_trait::async_trait;
use dataflow_core::{
    position::{Partition, Position, Positions},
    spec::Millis,
    types::Type,
};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    batch::Warning,
    declared::Metadata,
    extent,
    source::{Assignment, Kept, Place, Placed, Reader, Source},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Reads records from files: JSON (one object a line) or CSV, plain, gzip or zstd.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileSource {
    /// Path of a file, or a pattern with `*`, `?`, `[…]` or `**`. The files that match are read in the order of their
    /// names.
    #[schemars(extend("x-path" = true))]
    pub path: String,
    /// How records are written. Default: by the name (`.csv`; `.json`, `.jsonl`, `.ndjson`), otherwise `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// CSV: the character between fields.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// CSV: the character around fields that hold delimiters or line breaks; doubled inside.
    #[serde(default = "quotation_mark")]
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
    /// How files are compressed. Default `auto`: by the name (`.gz`, `.zst`).
    #[serde(default)]
    pub compression: Compression,
    /// false: the files that match when the pipeline starts, each to the end that it has when it is reached, then the
    /// pipeline is completed; what comes later is read by the next start. true: go on for ever, with
    /// what is appended, with new files that match, and across rotation (a pattern may also match rotated names). A file
    /// that was rotated away before it was looked at is read if it got a number or a date (`app.log.1`,
    /// `app.log-20261231`, `app-20261231.log`); without a pattern, one that was also compressed by then is not read,
    /// which is said. A line counts once its line break is there. At most 64 files are held open; the others are opened when
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
    fn of(self, path: &Path) -> Self {
        match (self, path.extension().and_then(|ext| ext.to_str())) {
            (Self::Auto, Some("gz" | "gzip")) => Self::Gzip,
            (Self::Auto, Some("zst" | "zstd")) => Self::Zstd,
            (Self::Auto, _) => Self::None,
            (given, _) => given,
        }
    }
}

fn comma() -> char {
    ','
}
fn quotation_mark() -> char {
    '"'
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

impl SourceConfig for FileSource {
    const TYPE: &'static str = "file";
    const SUMMARY: &'static str = "Reads records from files: JSON lines or CSV, plain, gzip or zstd, whole or growing.";
    const GUARANTEE: &'static str = "A file is identified by device, inode, creation time, its first KiB and the last \
        KiB before the position, which is the (decompressed) byte offset; so reading continues at the exact position, \
        even if the file was renamed in its folder. A file with several names (links) is read once; two files with the \
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
        for (path, given) in [("delimiter", self.delimiter), ("quote", self.quote)] {
            if !given.is_ascii() || matches!(given, '\n' | '\r') {
                let problem = Problem::new(path, "invalid-value", format!("can't be {given:?}"));
                problems.push(problem.fix("give one ASCII character other than a line break"));
            }
        }
        if self.delimiter == self.quote {
            problems.push(Problem::new("quote", "invalid-value", "is the same as `delimiter`"));
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
        let how = |source: &Self| (source.format, source.delimiter, source.quote, source.header, source.compression);
        names::plain(&self.path) == names::plain(&before.path)
            && how(self) == how(before)
            && (&self.columns, &self.null_values) == (&before.columns, &before.null_values)
    }

    /// A place in a file stays one, however its records are read, unless its bytes are counted otherwise.
    fn keeps(&self, before: &Self, partition: &Partition) -> Kept {
        let path = &names::path(&partition.0);
        if !self.may_match(path) {
            return Kept::Unread;
        }
        if self.compression.of(path) == before.compression.of(path) { Kept::Yes } else { Kept::No }
    }

    fn reads_file(&self, path: &Path) -> bool {
        matches::leads_to(self, path)
    }
}

impl FileSource {
    fn is_pattern(&self) -> bool {
        matches::is_pattern(&self.path)
    }

    fn format_of(&self, path: &Path) -> Format {
        if let Some(format) = self.format {
            return format;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let name = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|ext| name.strip_suffix(ext)).unwrap_or(&name);
        // Rotated files bear a number behind the extension.
        let name = name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
        if name.ends_with(".csv") { Format::Csv } else { Format::Json }
    }

    /// Whether a line of a file begins there, as far as can be told.
    fn begins_record(&self, cx: &Context, partition: &Partition, at: &Position) -> Result<bool, Error> {
        let path = &names::path(&partition.0);
        let Some(before) = at.as_offset().and_then(|at| at.checked_sub(1)) else { return Ok(true) };
        if self.compression.of(path) != Compression::None {
            return Ok(true);
        }
        let mut byte = [0];
        let file = tail::open(path, cx)?;
        file.read_exact_at(&mut byte, before).map_err(|error| content::failed(&partition.0, before, error))?;
        Ok(byte == *b"\n")
    }

    /// Whether a file of this name is one to read.
    fn may_match(&self, path: &Path) -> bool {
        let literally = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let plain = |path: &Path| names::plain(path).to_string_lossy().into_owned();
        let pattern = plain(Path::new(&self.path));
        let path = plain(path);
        pattern == path
            || self.is_pattern()
                && glob::Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches_with(&path, literally))
    }

    /// Files that were begun and are to be read to their end, wherever they are.
    fn reading<'a>(&'a self, positions: &'a Positions) -> impl Iterator<Item = (PathBuf, identity::Identity)> + 'a {
        positions.iter().filter_map(|(partition, at)| {
            let (path, known) = (names::path(&partition.0), lost::known(at)?);
            (!known.ended && self.may_match(&path)).then_some((path, known))
        })
    }

    /// Whether the folder is there that its path names.
    fn is_in_folder(&self) -> bool {
        rotation::folder(&names::plain(&self.path)).is_dir()
    }

    /// Whether any file was read before.
    fn has_read(&self, positions: &Positions) -> bool {
        positions.keys().any(|partition| self.may_match(&names::path(&partition.0)))
    }

    /// The files that match now, by name, and what else does.
    fn matches(&self) -> Result<(Vec<PathBuf>, Vec<Warning>), Error> {
        let path = names::plain(&self.path);
        if !self.is_pattern() || path.exists() {
            return match std::fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => Err(content::is_directory(&names::name(&path))),
                Ok(_) => Ok((vec![path], Vec::new())),
                Err(error) => Err(content::failed(&names::name(&path), 0, error)),
            };
        }
        let found = matches::find(&self.path)?;
        let warning = |path: PathBuf| {
            let (code, what) = match std::fs::metadata(&path) {
                Err(_) => ("link-circle", "a circular link: it is read once it leads to a file"),
                Ok(meta) if meta.is_dir() => ("is-a-directory", "a directory: its content is not read"),
                Ok(_) => ("not-a-file", "a pipe, socket or device, which can't be read again: it is not read"),
            };
            let subject = names::name(&path);
            Warning { code, message: format!("{subject} matches `path`, but is {what}"), subject, records: 0 }
        };
        Ok((found.files, found.others.into_iter().map(warning).collect()))
    }

    /// The same, of which there must be one.
    fn some_matches(&self) -> Result<(Vec<PathBuf>, Vec<Warning>), Error> {
        match self.matches()? {
            (files, _) if files.is_empty() => Err(Error::fatal("no-match", format!("no file matches {:?}", self.path))
                .fix("correct `path`, or put a file there")),
            matches => Ok(matches),
        }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        // Files are read one after the other, in one lane.
        Ok(vec![names::plain(&self.path).to_string_lossy().as_ref().into()])
    }

    fn is_same(&self, one: &Position, other: &Position) -> bool {
        match (identity::file(one), identity::file(other)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        if lane.lane != 0 {
            return Ok(Box::new(Nothing { bounded: !self.follow }));
        }
        cx.paths.admit_pattern(&self.path)?;
        let (mut source, cx) = (self.clone(), cx.clone());
        source.on_position_lost = source.on_position_lost.of_reader(&cx);
        let positions = if cx.again { lost::again(&lane.positions) } else { lane.positions };
        match self.follow {
            true => {
                let work = blocking("file", move || follow::Follow::new(source, &cx, positions)).await?;
                Ok(Box::new(Ahead::new(work)))
            }
            false => {
                let work = blocking("file", move || whole::Whole::new(source, &cx, positions)).await?;
                Ok(Box::new(Ahead::new(work)))
            }
        }
    }

    /// A place in the middle of a line is no position: the rest of the line would be taken for a record. Nor has one file two:
    /// what comes later would be read from both.
    async fn place(
        &self,
        cx: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let source = self.clone();
        blocking("file", move || source.some_matches()).await?; // where nothing is, nothing can be told
        let extents = self.extents(cx).await?;
        let (mut placed, mut problems) = (Positions::new(), Vec::new());
        for (partition, at) in named {
            match extent::place(&extents, &BTreeMap::from([(partition.clone(), at.clone())])) {
                // The file is known by what lies before the position, which is read when it is opened there.
                Ok(position) => {
                    placed.extend(position.into_iter().map(|(name, at)| (name, Position { identity: None, ..at })))
                }
                Err(wrong) => problems.extend(wrong),
            }
        }
        let (source, cx, before) = (self.clone(), cx.clone(), at.clone());
        blocking("file", move || {
            problems.extend(names::same_file(&before, &placed));
            for (partition, at) in &placed {
                let end = extents.get(partition).and_then(|extent| extent.last.as_ref());
                if end.is_some_and(|end| end.at == at.at) || source.begins_record(&cx, partition, at)? {
                    continue;
                }
                let message = format!("{partition}: {at} is in the middle of a line");
                let problem = Problem::new("to.positions", "bad-position", message);
                let there = extents.get(partition).map_or_else(String::new, ToString::to_string);
                problems.push(problem.fix(format!("available: {there}; give the offset of the first byte of a line")));
            }
            Ok(if problems.is_empty() { Ok(placed) } else { Err(problems) })
        })
        .await
    }

    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        let (source, cx, count) = (self.clone(), cx.clone(), records.len());
        blocking("file", move || Ok(lines::of(&source, &cx, &records))).await.unwrap_or_else(|_| vec![None; count])
    }

    async fn resolve(&self, cx: &Context, to: &Place) -> Result<Positions, Error> {
        cx.paths.admit_pattern(&self.path)?;
        let (source, cx, to) = (self.clone(), cx.clone(), to.clone());
        blocking("file", move || {
            let files = match source.some_matches() {
                Err(error) if lost::is_nothing(&error) => Vec::new(),
                matches => matches?.0,
            };
            // A file of several names is read once.
            let mut seen = BTreeSet::new();
            let is_new =
                |path: &PathBuf| std::fs::metadata(path).map_or(true, |meta| seen.insert((meta.dev(), meta.ino())));
            let place = |path: PathBuf| {
                let position = match to {
                    Place::Beginning => lost::beginning(&path, &cx).unwrap_or(Position::offset(0)),
                    Place::End => lost::end(&source, &cx, &path)?,
                };
                Ok((names::partition(&path), position))
            };
            files.into_iter().filter(is_new).map(place).collect()
        })
        .await
    }

    /// Positions are bytes here: records are counted by reading them.
    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        let (source, cx, from, to) = (self.clone(), cx.clone(), from.clone(), to.clone());
        blocking("file", move || Ok(lost::count(&source, &cx, &from, &to))).await
    }

    async fn given_up(&self, cx: &Context, from: &Positions, to: Positions) -> Result<Positions, Error> {
        cx.paths.admit_pattern(&self.path)?;
        let (source, cx, from) = (self.clone(), cx.clone(), from.clone());
        blocking("file", move || {
            gone::given_up(&source, &cx, &from, to).map_err(|error| content::failed(&source.path, 0, error))
        })
        .await
    }
}
