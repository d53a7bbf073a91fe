//! What follows from a position that is not there any more.
use super::{
    FileSource,
    content::{Content, failed},
    identity::Identity,
    names::{name, partition},
    split::{Caps, Splitter},
    tail::{BLOCK, position},
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{
    Context, Error, Records,
    records::{self, Layout},
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// A position that is not there any more.
pub(super) struct Lost<'a> {
    pub(super) wanted: Position,
    pub(super) reason: &'a str,
}

/// The failure, or the interval that passes over what is lost, of a file that holds something else now.
pub(super) fn moved(source: &FileSource, path: &Path, file: &File, lost: Lost<'_>) -> Result<Box<Records>, Error> {
    let Lost { wanted, reason } = lost;
    let partition = partition(path);
    let known = |at| Identity::of(file, at).map_err(|error| failed(&name(path), 0, error));
    let at_end = |at| Ok::<_, Error>(position(at, known(at)?.map(|known| known.ending(!source.follow))));
    let earliest = position(0, known(0)?);
    // How many records a file held that is gone can't be known; those that are there and passed over can.
    match source.on_position_lost {
        OnPositionLost::Fail => {
            let end = length(source, path, file)?;
            Err(Error::PositionLost { partition, wanted, earliest, latest: at_end(end)?, reason: reason.into() })
        }
        OnPositionLost::Earliest => Ok(passed_over(partition, wanted, earliest, 0, reason)),
        OnPositionLost::Latest => {
            let (count, end) = whole_records(source, path, file)?;
            Ok(passed_over(partition, wanted, at_end(end)?, count, reason))
        }
    }
}

/// The same, of a file that is gone.
pub(super) fn gone(
    source: &FileSource,
    partition: Partition,
    wanted: Position,
    reason: &str,
) -> Result<Box<Records>, Error> {
    if source.on_position_lost == OnPositionLost::Fail {
        let none = Position::offset(0);
        return Err(Error::PositionLost {
            partition,
            wanted,
            earliest: none.clone(),
            latest: none,
            reason: reason.into(),
        });
    }
    let known = super::tail::identity(&wanted, &partition.0)?.map(|known| known.ending(true));
    let to = position(wanted.as_offset().unwrap_or(0), known);
    Ok(passed_over(partition, wanted, to, 0, reason))
}

/// An interval of which so many records were lost, as far as that can be known.
pub(super) fn passed_over(
    partition: Partition,
    wanted: Position,
    to: Position,
    count: u64,
    reason: &str,
) -> Box<Records> {
    tracing::warn!(%partition, %wanted, %to, reason, "position lost; going on");
    let mut passed = Records::empty(partition, wanted, Layout::Json);
    passed.to = to.clone();
    passed.lost = Some(records::Lost { records: count, to });
    Box::new(passed)
}

/// The position after the last record that is there.
pub(super) fn end(source: &FileSource, cx: &Context, path: &Path) -> Result<Position, Error> {
    let failed = |error| failed(&name(path), 0, error);
    let file = super::tail::open(path, cx)?;
    let end = match source.follow {
        true => last_line_break(&file).map_err(failed)?,
        false => length(source, path, &file)?,
    };
    let known = Identity::of(&file, end).map_err(failed)?;
    Ok(position(end, known.map(|known| known.ending(!source.follow))))
}

/// Number of bytes in a file, decompressed.
fn length(source: &FileSource, path: &Path, file: &File) -> Result<u64, Error> {
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
    let clone = file.try_clone().map_err(|error| failed(&name(path), 0, error))?;
    let Ok(mut content) = Content::new(path, clone, source.compression, 0)? else { return Ok((0, 0)) };
    let dialect = source.dialect(path);
    let caps = Caps { records: 8192, bytes: 8 * BLOCK, record_bytes: BLOCK };
    let mut splitter = Splitter::new(0, dialect, caps);
    let (mut records, mut end) = (0, 0);
    loop {
        if !splitter.scan() {
            if content.append(&mut splitter.buffer, BLOCK)? > 0 {
                continue;
            }
            if !(if source.follow { splitter.is_ready() } else { splitter.finish() }) {
                break;
            }
        }
        let split = splitter.take();
        (records, end) = (records + split.spans.len() as u64, split.to);
    }
    let header = u64::from(dialect.is_some() && source.header);
    Ok((records.saturating_sub(header), end))
}
