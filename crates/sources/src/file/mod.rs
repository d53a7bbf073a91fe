//! The `file` source: records from lines of JSON or CSV, Parquet or Avro, in files that are whole or that grow.
//!
//! A partition is a file, named by its path; its position is the (decompressed) byte offset, or the number of a row, with what the
//! file is known by.
mod alias;
mod begins;
mod content;
mod copies;
mod fields;
mod follow;
mod frames;
mod gone;
mod gzip;
mod identity;
mod lag;
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
mod rows;
mod settings;
mod slot;
mod split;
mod table;
mod tail;
#[cfg(feature = "testing")]
pub mod testing;
mod unpacked;
mod waiting;
mod whole;

#[cfg(test)]
mod tests;

pub use settings::{Compression, FileSource, Format, LastLine};

/// What reads the bytes of objects as those of files.
pub(crate) use {
    content::Content,
    split::Splitter,
    table::{Bytes, Opened, Part, Table, cut_short},
    tail::{BLOCK, caps},
};

use crate::ahead::{Ahead, Nothing};
use crate::blocking::blocking;
use async_trait::async_trait;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Problem,
    batch::Warning,
    extent,
    source::{Assignment, Edge, LagUnit, Placed, Reader, Source},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

impl FileSource {
    fn is_pattern(&self) -> bool {
        matches::is_pattern(&self.path)
    }

    pub(crate) fn format_of(&self, path: &Path) -> Format {
        if let Some(format) = self.format {
            return format;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let name = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|ext| name.strip_suffix(ext)).unwrap_or(&name);
        // Rotated files bear a number behind the extension.
        let name = name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
        let known = [(".csv", Format::Csv), (".parquet", Format::Parquet), (".avro", Format::Avro)];
        known.iter().find(|(ext, _)| name.ends_with(ext)).map_or(Format::Json, |(_, format)| *format)
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

    /// Files that were begun and are to be read to their end, wherever they are. Blocks may be added to one of Avro after that.
    fn reading<'a>(&'a self, positions: &'a Positions) -> impl Iterator<Item = (PathBuf, identity::Identity)> + 'a {
        positions.iter().filter_map(|(partition, at)| {
            let (path, known) = (names::path(&partition.0), lost::known(at)?);
            let is_over = known.ended && !(self.follow && self.format_of(&path) == Format::Avro);
            (!is_over && self.may_match(&path)).then_some((path, known))
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
        blocking("file", move || {
            let (positions, said) = source.renamed(positions, &cx);
            Ok(match source.follow {
                true => {
                    let work = follow::Follow::new(source, &cx, positions)?;
                    Box::new(Ahead::new(alias::Renamed { said, work })) as Box<dyn Reader>
                }
                false => {
                    let work = whole::Whole::new(source, &cx, positions)?;
                    Box::new(Ahead::new(alias::Renamed { said, work }))
                }
            })
        })
        .await
    }

    /// A place in the middle of a record is no position: the rest of it would be taken for a record. Nor has one file two:
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
            let (before, _) = source.renamed(before, &cx);
            problems.extend(names::same_file(&before, &placed));
            for (partition, at) in &placed {
                let end = extents.get(partition).and_then(|extent| extent.last.as_ref());
                if end.is_some_and(|end| end.at == at.at) || source.begins_record(&cx, partition, at, &before)? {
                    continue;
                }
                let message = format!("{partition}: {at} is in the middle of a record");
                let problem = Problem::new("to.positions", "bad-position", message);
                let there = extents.get(partition).map_or_else(String::new, ToString::to_string);
                problems
                    .push(problem.fix(format!("available: {there}; give the offset of the first byte of a record")));
            }
            Ok(if problems.is_empty() { Ok(placed) } else { Err(problems) })
        })
        .await
    }

    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        let (source, cx, count) = (self.clone(), cx.clone(), records.len());
        blocking("file", move || Ok(lines::of(&source, &cx, &records))).await.unwrap_or_else(|_| vec![None; count])
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
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
                    Edge::Beginning => lost::beginning(&path, &cx).unwrap_or(Position::offset(0)),
                    Edge::End => lost::end(&source, &cx, &path)?,
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

    fn renames(&self) -> bool {
        true
    }

    fn lag_unit(&self) -> LagUnit {
        LagUnit::Bytes
    }

    async fn lag(&self, cx: &Context, at: &Positions) -> Result<Option<u64>, Error> {
        cx.paths.admit_pattern(&self.path)?;
        let (source, cx, at) = (self.clone(), cx.clone(), at.clone());
        blocking("file", move || lag::lag(&source, &cx, &at).map(Some)).await
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
