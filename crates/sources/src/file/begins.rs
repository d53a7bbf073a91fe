//! Whether a record begins at a place of a file: what lies in the middle of one would be taken for a record.
use super::{
    Compression, FileSource,
    content::{Content, failed},
    identity::Identity,
    lost, names,
    split::{Caps, Splitter},
    tail,
};
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{Context, Error};
use std::os::unix::fs::FileExt;

/// Most bytes that are read to find out.
const MOST: u64 = if cfg!(test) { 64 << 10 } else { 256 << 20 };
const BLOCK: usize = 64 << 10;

impl FileSource {
    /// Whether a record begins there. In a plain file of lines the byte before it tells; CSV, of which a quoted field may hold line
    /// breaks, is read from its beginning, or from the place `before` that was reached, and what is compressed from its beginning.
    ///
    /// # Errors
    /// The file can't be read, or too much of it would have to be.
    pub(super) fn begins_record(
        &self,
        cx: &Context,
        partition: &Partition,
        at: &Position,
        before: &Positions,
    ) -> Result<bool, Error> {
        let (path, at) = (&names::path(&partition.0), lost::offset(at));
        let Some(last) = at.checked_sub(1) else { return Ok(true) };
        let (dialect, file) = (self.dialect(path), tail::open(path, cx)?);
        if self.is_table(path) {
            return Ok(at <= self.rows(path, &file)?);
        }
        let is_plain = self.compression.of(path) == Compression::None;
        if is_plain && dialect.is_none() {
            let mut byte = [0];
            file.read_exact_at(&mut byte, last).map_err(|error| failed(&partition.0, last, error))?;
            return Ok(byte == *b"\n");
        }
        // At the end of a file that has ended there may be half a record.
        let is_begin = |reached: &&Position| {
            let is_it = |known: Identity| !known.ended && known.is(&file).unwrap_or(false);
            lost::offset(reached) <= at && lost::known(reached).is_some_and(is_it)
        };
        let from = before.get(partition).filter(is_begin).map_or(0, lost::offset);
        let to_read = if is_plain { at - from } else { at };
        if to_read > MOST {
            let message = format!("more than {} MiB of {partition} would have to be read", MOST >> 20);
            return Err(Error::fatal("unchecked", message));
        }
        let clone = file.try_clone().map_err(|error| failed(&partition.0, 0, error))?;
        let Ok(mut content) = Content::new(path, clone, self.compression, from)? else { return Ok(false) };
        let caps = Caps { records: 8192, bytes: 8 * BLOCK, record_bytes: BLOCK };
        let (mut splitter, mut left) = (Splitter::new(from, dialect, caps), at - from);
        while left > 0 {
            let block = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            match content.append(&mut splitter.buffer, block)? as u64 {
                0 => return Ok(false),
                count => left -= count,
            }
            while splitter.scan() {
                splitter.take();
            }
        }
        Ok(!splitter.has_rest())
    }
}
