//! Avro: object container files, of which one block is held at a time.
mod block;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use super::{super::split::Caps, Opened, Part, Source, Table, until};
use block::{Block, Codec, Cut, Header};
use dataflow_formats::encode::Rows;
use dataflow_sdk::{Error, batch::Column};
use schema::Schema;
use std::{fmt, sync::Arc};
use value::{Bytes, Fields};

/// A file that is read.
pub(crate) struct Avro {
    source: Source,
    caps: Caps,
    columns: Arc<[Column]>,
    schema: Schema,
    codec: Codec,
    sync: [u8; 16],
    /// Where the first block begins.
    first: u64,
    /// The next row.
    at: u64,
    /// Where the block after the open one begins.
    next: u64,
    open: Option<Open>,
    cut: Option<Cut>,
}

impl fmt::Debug for Avro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avro").field("source", &self.source).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A block that is read.
struct Open {
    /// Where it begins in the file.
    begin: u64,
    bytes: Vec<u8>,
    /// The next value in `bytes`.
    at: usize,
    /// How many rows are left.
    left: u64,
}

/// Opens a file before its first row.
pub(super) fn open(source: Source, caps: Caps) -> Result<Opened, Error> {
    let Header { schema, codec, sync, end } = match block::header(&source)? {
        Ok(header) => header,
        Err(cut) => return Ok(Opened::Unfinished(cut.to_string())),
    };
    let schema = Schema::parse(&schema).map_err(|why| source.damaged("in its schema", why))?;
    let columns = schema.columns().map_err(|why| source.unsupported(why))?.into();
    let (at, open, cut) = (0, None, None);
    let avro = Avro { source, caps, columns, schema, codec, sync, first: end, at, next: end, open, cut };
    Ok(Opened::Ready(Table::Avro(Box::new(avro))))
}

impl Avro {
    /// The number of rows in whole blocks.
    pub(super) fn count(&mut self) -> Result<u64, Error> {
        (self.at, self.next, self.open) = (0, self.first, None);
        while let Some(block) = self.block()? {
            (self.at, self.next) = (self.end(&block)?, block.end);
        }
        Ok(self.at)
    }

    pub(super) fn seek(&mut self, row: u64) -> Result<Result<(), u64>, Error> {
        (self.at, self.next, self.open) = (0, self.first, None);
        while self.at < row {
            let Some(block) = self.block()? else { return Ok(Err(self.at)) };
            let end = self.end(&block)?;
            if end <= row {
                (self.at, self.next) = (end, block.end);
                continue;
            }
            self.enter(block)?;
            while self.at < row {
                self.pass(|fields| fields.pass())?;
            }
        }
        Ok(Ok(()))
    }

    /// Where the block lies of the next row.
    pub(super) fn place(&self) -> u64 {
        self.open.as_ref().filter(|open| open.left > 0).map_or(self.next, |open| open.begin)
    }

    /// Why what comes next is no block, if the file does not end here.
    pub(super) fn cut(&self) -> Option<String> {
        self.cut.as_ref().map(ToString::to_string)
    }

    pub(super) fn next(&mut self) -> Result<Option<Part>, Error> {
        let (first, mut rows) = (self.at, Rows::new(self.columns.clone(), self.caps.record_bytes));
        while rows.len() < self.caps.records && rows.bytes() < self.caps.bytes {
            match self.row(&mut rows) {
                Ok(true) => {}
                Ok(false) => break,
                // What is there comes first, and then this once more.
                Err(_) if !rows.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok((!rows.is_empty()).then_some(Part { first, rows }))
    }

    /// Takes the next row, or opens the block with it; false: there is none.
    fn row(&mut self, rows: &mut Rows) -> Result<bool, Error> {
        if self.open.as_ref().is_some_and(|open| open.left > 0) {
            let (last, until) = (self.columns.len(), until(rows.bytes(), self.caps));
            return self
                .pass(|mut fields| {
                    rows.write(|column, out| {
                        fields.write(column, out, until)?;
                        if column + 1 == last { fields.end().map(|()| true) } else { Ok(true) }
                    })
                })
                .map(|()| true);
        }
        let Some(block) = self.block()? else { return Ok(false) };
        self.enter(block).map(|()| true)
    }

    /// The row after a block.
    fn end(&self, block: &Block) -> Result<u64, Error> {
        let end = self.at.checked_add(block.rows).filter(|end| i64::try_from(*end).is_ok());
        let place = || format!("in the block at byte {}", self.next);
        end.ok_or_else(|| self.source.damaged(&place(), "it has more rows than can be counted"))
    }

    /// The next block, if it is whole.
    fn block(&mut self) -> Result<Option<Block>, Error> {
        self.cut = None;
        match block::next(&self.source, self.next, &self.sync)? {
            Ok(block) => Ok(block),
            Err(cut) => {
                self.cut = Some(cut);
                Ok(None)
            }
        }
    }

    fn enter(&mut self, block: Block) -> Result<(), Error> {
        self.end(&block)?;
        let bytes = block.bytes(&self.source, self.codec)?;
        if (block.rows == 0 || self.columns.is_empty()) && !bytes.is_empty() {
            return Err(self.source.damaged(&format!("in the block at byte {}", self.next), value::LONGER));
        }
        self.open = Some(Open { begin: self.next, bytes, at: 0, left: block.rows });
        self.next = block.end;
        Ok(())
    }

    /// Takes one value of the open block.
    fn pass(&mut self, take: impl FnOnce(Fields<'_, '_, '_>) -> Result<(), &'static str>) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut bytes = Bytes::new(&open.bytes[open.at..]);
        if let Err(why) = take(self.schema.fields(&mut bytes, open.left == 1)) {
            let place = format!("in the block at byte {}, at row {}", open.begin, self.at);
            return Err(self.source.damaged(&place, why));
        }
        open.at = open.bytes.len() - bytes.left();
        open.left -= 1;
        self.at += 1;
        Ok(())
    }
}
