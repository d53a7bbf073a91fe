//! Which lines of their files records are: positions are bytes, and people look for lines.
use super::{FileSource, names, tail};
use dataflow_core::position::Partition;
use dataflow_sdk::{Context, source::Placed};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::fs::FileExt,
};

/// Most bytes that are read for it at once.
const MOST: u64 = 256 << 20;

/// The line at which each record begins; none if its file is gone, holds something else by now, is compressed or too long.
pub(super) fn of(source: &FileSource, cx: &Context, records: &[Placed]) -> Vec<Option<u64>> {
    let mut of_file: BTreeMap<&Partition, Vec<usize>> = BTreeMap::new();
    let offset = |place: usize| records[place].position.as_offset();
    for (place, record) in records.iter().enumerate().filter(|(place, _)| offset(*place).is_some()) {
        of_file.entry(&record.partition).or_default().push(place);
    }
    let (mut lines, mut left) = (vec![None; records.len()], MOST);
    for (partition, mut places) in of_file {
        let path = names::path(&partition.0);
        if !source.may_match(&path) || !source.counts_bytes(&path) {
            continue;
        }
        let Ok(file) = tail::open(&path, cx) else { continue };
        places.sort_by_key(|place| offset(*place));
        let (mut reader, mut at, mut line) = (BufReader::with_capacity(1 << 16, &file), 0, 1);
        for place in places {
            let (Some(offset), bytes) = (offset(place), &records[place].bytes) else { continue };
            let Some(rest) = left.checked_sub(offset - at) else { break };
            let Ok(newlines) = newlines(&mut reader, offset - at) else { break };
            (left, at, line) = (rest, offset, line + newlines);
            let mut there = vec![0; bytes.len()];
            let is_there = file.read_exact_at(&mut there, offset).is_ok() && there == *bytes;
            lines[place] = (is_there && !bytes.is_empty()).then_some(line);
        }
    }
    lines
}

/// How many lines end in the next so many bytes.
fn newlines(reader: &mut BufReader<&File>, mut bytes: u64) -> io::Result<u64> {
    let mut newlines = 0;
    while bytes > 0 {
        let buffer = reader.fill_buf()?;
        let some = buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        if some == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        newlines += memchr::memchr_iter(b'\n', &buffer[..some]).count() as u64;
        reader.consume(some);
        bytes -= some as u64;
    }
    Ok(newlines)
}
