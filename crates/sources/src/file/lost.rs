//! Handles a position that no longer exists.
use super::{
    FileSource,
    content::{Content, failed},
    identity::Identity,
    names::{name, partition},
    split::{Caps, Splitter},
    tail::{BLOCK, position},
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    records::{self, Layout},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

/// A position that is not there any more.
pub(super) struct Lost<'a> {
    pub(super) wanted: Position,
    pub(super) reason: &'a str,
    /// Bytes that had been there, and were not read.
    pub(super) bytes: u64,
}

/// The failure, or the interval that passes over what is lost, of a file that holds something else now.
pub(super) fn moved(source: &FileSource, path: &Path, file: &File, lost: Lost<'_>) -> Result<Box<Records>, Error> {
    let Lost { wanted, reason, bytes } = lost;
    let told = match bytes {
        0 => reason.to_owned(),
        bytes => format!("{reason}; {bytes} bytes of it were not read"),
    };
    let reason = told.as_str();
    let partition = partition(path);
    let failed = |error| failed(&name(path), 0, error);
    let at_end = |at| place(source, path, file, at).map_err(failed);
    let earliest = position(0, Some(Identity::of(file, 0).map_err(failed)?));
    // How many records a file held that is gone can't be known; those that are there and passed over can.
    match source.on_position_lost {
        OnPositionLost::Fail => {
            let end = length(source, path, file)?;
            let what = if source.is_table(path) { "row numbers" } else { "byte offsets" };
            let reason = format!("{reason}; its positions are {what}");
            Err(Error::PositionLost { partition, wanted, earliest, latest: at_end(end)?, reason })
        }
        OnPositionLost::Earliest => Ok(passed_over(partition, wanted, earliest, Loss { records: 0, bytes, reason })),
        OnPositionLost::Latest => {
            let (count, end) = whole_records(source, path, file)?;
            Ok(passed_over(partition, wanted, at_end(end)?, Loss { records: count, bytes, reason }))
        }
    }
}

pub(super) fn offset(position: &Position) -> u64 {
    position.as_offset().unwrap_or(0)
}

pub(super) fn known(position: &Position) -> Option<Identity> {
    position.identity.as_ref().and_then(|text| text.parse().ok())
}

/// Whether `file`, which lies where that of `partition` was, is another one that is known.
pub(super) fn is_another(positions: &Positions, partition: &Partition, file: &File) -> bool {
    let is = |known: Identity| known.is(file).unwrap_or(false);
    positions.get(partition).and_then(known).is_some_and(|own| !is(own)) && positions.values().filter_map(known).any(is)
}

/// Bytes after a position that were there when its file was last looked at.
pub(super) fn unread(position: &Position) -> u64 {
    known(position).map_or(0, |known| known.unread(offset(position)))
}

/// What is passed over, as far as it can be known.
pub(super) struct Loss<'a> {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) reason: &'a str,
}

/// An interval of which records were lost.
pub(super) fn passed_over(partition: Partition, wanted: Position, to: Position, loss: Loss<'_>) -> Box<Records> {
    let Loss { records, bytes, reason } = loss;
    tracing::warn!(%partition, %wanted, %to, bytes, reason, "position lost; continuing");
    let mut passed = Records::empty(partition, wanted, Layout::Json);
    passed.to = to.clone();
    passed.lost = Some(records::Lost { records, bytes, reason: reason.to_owned(), to });
    Box::new(passed)
}

/// An interval without records.
pub(super) fn between(partition: Partition, from: Position, to: Position) -> Box<Records> {
    let mut records = Records::empty(partition, from, Layout::Json);
    records.to = to;
    Box::new(records)
}

/// Whether the error says that nothing is there.
pub(super) fn is_nothing(error: &Error) -> bool {
    matches!(error.code(), "no-match" | "file-missing")
}

/// The place of a file that was found and of which nothing was read.
pub(super) fn beginning(path: &Path, cx: &Context) -> Option<Position> {
    let known = Identity::of(&super::tail::open(path, cx).ok()?, 0).ok()?;
    Some(position(0, Some(known)))
}

/// Positions to read from again, each known by the file as it was at the end of what was read: here it has not ended.
pub(super) fn again(positions: &Positions) -> Positions {
    let again = |at: &Position| match known(at) {
        Some(known) if !known.given_up && (offset(at) == 0 || offset(at) < known.place()) => {
            position(offset(at), Some(known.ending(false)))
        }
        _ => at.clone(),
    };
    positions.iter().map(|(partition, at)| (partition.clone(), again(at))).collect()
}

/// The position after the last record that is there.
pub(super) fn end(source: &FileSource, cx: &Context, path: &Path) -> Result<Position, Error> {
    let failed = |error| failed(&name(path), 0, error);
    let file = super::tail::open(path, cx)?;
    let end = match source.follow && !source.is_table(path) {
        true => last_line_break(&file).map_err(failed)?,
        false => length(source, path, &file)?,
    };
    place(source, path, &file, end).map_err(failed)
}

/// A position at the end of what a file holds, which is read as `path`. A compressed one is known by all its bytes, unless nothing of
/// it can be read yet: then it may still be written.
fn place(source: &FileSource, path: &Path, file: &File, at: u64) -> io::Result<Position> {
    let packed = !source.counts_bytes(path) && at > 0;
    let known = Identity::of(file, if packed { file.metadata()?.len() } else { at })?;
    Ok(position(at, Some(known.ending(!source.follow || packed))))
}

/// Number of bytes in a file, decompressed, or of its rows.
fn length(source: &FileSource, path: &Path, file: &File) -> Result<u64, Error> {
    if source.is_table(path) {
        return source.rows(path, file);
    }
    let file = file.try_clone().map_err(|error| failed(&name(path), 0, error))?;
    match Content::new(path, file, source.compression, u64::MAX)? {
        Err(length) => Ok(length),
        Ok(_) => Ok(u64::MAX),
    }
}

/// Where the line begins that has no line break yet.
fn last_line_break(file: &File) -> io::Result<u64> {
    let mut file = file;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(begin))?;
        let block = &mut block[..(end - begin) as usize];
        file.read_exact(block)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Number of records in a file, and the offset after the last: a line that may still grow is none yet.
fn whole_records(source: &FileSource, path: &Path, file: &File) -> Result<(u64, u64), Error> {
    records_in(source, path, file, 0..u64::MAX, &|| false)
}

/// How many records lie from one position to a later one, of each file that is there; unless nobody waits for it any more.
pub(super) fn count(source: &FileSource, cx: &Context, from: &Positions, to: &Positions) -> BTreeMap<Partition, u64> {
    let between = |(partition, to): (&Partition, &Position)| {
        let path = super::names::path(&partition.0);
        let file = super::tail::open(&path, cx).ok()?;
        let is = |at: &&Position| known(at).is_none_or(|known| known.is(&file).unwrap_or(false));
        // Nothing of a file is there any more in whose place is another; what of it was not read the next reader says.
        if !is(&to) {
            return Some((partition.clone(), 0));
        }
        let range = from.get(partition).filter(is).map_or(0, offset)..offset(to);
        if range.is_empty() {
            return Some((partition.clone(), 0));
        }
        let (records, _) = records_in(source, &path, &file, range, &|| cx.stop.is_cancelled()).ok()?;
        (!cx.stop.is_cancelled()).then(|| (partition.clone(), records))
    };
    to.iter().filter_map(between).collect()
}

/// Number of records of a file that begin in a range, and the offset after the last; fewer, once it is to `stop`.
fn records_in(
    source: &FileSource,
    path: &Path,
    file: &File,
    range: Range<u64>,
    stop: &dyn Fn() -> bool,
) -> Result<(u64, u64), Error> {
    if source.is_table(path) {
        let end = range.end.min(source.rows(path, file)?);
        return Ok((end.saturating_sub(range.start), end));
    }
    let clone = file.try_clone().map_err(|error| failed(&name(path), 0, error))?;
    let Ok(mut content) = Content::new(path, clone, source.compression, range.start)? else {
        return Ok((0, range.start));
    };
    let dialect = source.dialect(path);
    let caps = Caps { records: 8192, bytes: 8 * BLOCK, record_bytes: BLOCK };
    let mut splitter = Splitter::new(range.start, dialect, caps);
    let (mut records, mut end) = (0, range.start);
    while end < range.end && !stop() {
        if !splitter.scan() {
            if content.append(&mut splitter.buffer, BLOCK)? > 0 {
                continue;
            }
            if !(if source.follow { splitter.is_ready() } else { splitter.finish() }) {
                break;
            }
        }
        let split = splitter.take();
        (records, end) = (records + split.offsets.partition_point(|at| *at < range.end) as u64, split.to);
    }
    let header = u64::from(dialect.is_some() && source.header && range.start == 0);
    Ok((records.saturating_sub(header), end))
}
