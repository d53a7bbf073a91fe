//! An object that is read: its records from a place on.
use super::{
    S3Source,
    known::{Known, offset},
    list::Listed,
    object::{Bucket, Cursor, Object},
};
use crate::file::{self, BLOCK, Content, FileSource, Part, Splitter, Table};
use dataflow_core::position::{Partition, Position};
use dataflow_s3::Trouble;
use dataflow_sdk::{Context, Error, Records, batch::Warning, records::Layout};
use std::{path::Path, sync::Arc};

/// Bytes of a block of an object that is read from its beginning to its end, and of one that is read here and there: by columns.
const IN_TURN: u64 = 4 << 20;
const HERE_AND_THERE: u64 = 1 << 20;
/// Most blocks that are held of each.
const FEW: usize = 2;
const SOME: usize = 16;

/// An object that is read.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) partition: Partition,
    pub(super) object: Arc<Object>,
    rows: Rows,
    layout: Layout,
    pub(super) known: Known,
    /// After the last records taken.
    pub(super) position: Position,
    at: u64,
    pub(super) warning: Option<Warning>,
    shared: Arc<Vec<(String, String)>>,
}

/// Its records.
#[derive(Debug)]
enum Rows {
    /// Nothing is in it.
    None,
    Lines(Box<(Content<Cursor>, Splitter)>),
    Table(Table),
}

/// What opening an object came to.
#[derive(Debug)]
pub(super) enum Opened {
    Ready(Box<Open>),
    /// It has less than the position says: why that is not there.
    Lost(String),
}

impl Open {
    /// An object from a position on, which is of this content or the very beginning.
    pub(super) fn at(
        source: &S3Source,
        cx: &Context,
        bucket: &Bucket,
        listed: Listed,
        from: Position,
    ) -> Result<Opened, Trouble> {
        let (files, name, partition) = (source.files(), source.name(&listed.key), source.partition(&listed.key));
        let path = Path::new(&name);
        let table = files.is_table(path);
        let (block, most) = if table { (HERE_AND_THERE, SOME) } else { (IN_TURN, FEW) };
        let object = Arc::new(Object::new(bucket.clone(), listed.clone(), block, most));
        let at = offset(&from);
        let (layout, warning, rows) = match Self::rows(&files, cx, path, &object, at) {
            Ok(Ok(opened)) => opened,
            Ok(Err(lost)) => return Ok(Opened::Lost(lost)),
            Err(error) => return Err(object.trouble(error)),
        };
        let shared = [
            ("file", name.clone()),
            ("bucket", source.bucket.clone()),
            ("object", listed.key),
            ("etag", listed.etag.clone()),
            ("modified", listed.modified),
        ];
        Ok(Opened::Ready(Box::new(Self {
            partition,
            object,
            rows,
            layout,
            known: Known { etag: listed.etag, size: listed.size, ended: false },
            position: from,
            at,
            warning,
            shared: Arc::new(shared.map(|(name, value)| (name.to_owned(), value)).into()),
        })))
    }

    #[allow(clippy::type_complexity, reason = "what a failure is, and what a loss")]
    fn rows(
        files: &FileSource,
        cx: &Context,
        path: &Path,
        object: &Arc<Object>,
        at: u64,
    ) -> Result<Result<(Layout, Option<Warning>, Rows), String>, Error> {
        let caps = file::caps(cx);
        if object.listed.size == 0 {
            let lost = || Err("the object is empty".to_owned());
            return Ok(if at == 0 { Ok((Layout::Json, None, Rows::None)) } else { lost() });
        }
        if files.is_table(path) {
            let mut table = match files.table_of(path, object.clone(), caps)? {
                file::Opened::Ready(table) => table,
                file::Opened::Unfinished(why) => return Err(file::cut_short(&path.to_string_lossy(), &why)),
            };
            return Ok(match table.seek(at)? {
                Ok(()) => Ok((Layout::Json, None, Rows::Table(table))),
                Err(rows) => Err(format!("the object has only {rows} rows")),
            });
        }
        let cursor = || Cursor { object: object.clone(), at: 0 };
        let header = || Ok(Content::new(path, cursor(), files.compression, 0)?.ok());
        // Without a header there is no record either.
        let Some((layout, begin, warning)) = files.layout_of(path, true, header)? else {
            return Ok(Ok((Layout::Json, None, Rows::None)));
        };
        let start = at.max(begin);
        Ok(match Content::new(path, cursor(), files.compression, start)? {
            Ok(content) => {
                let splitter = Splitter::new(start, files.dialect(path), caps);
                Ok((layout, warning, Rows::Lines(Box::new((content, splitter)))))
            }
            Err(length) => Err(format!("the object has only {length} bytes")),
        })
    }

    /// The next records; none after the last, once that is said.
    pub(super) fn next(&mut self) -> Result<Option<Box<Records>>, Trouble> {
        let next = match &mut self.rows {
            Rows::None => Ok(self.end()),
            Rows::Lines(_) => self.lines(),
            Rows::Table(_) => self.table(),
        };
        next.map_err(|error| self.object.trouble(error))
    }

    fn empty(&self) -> Records {
        let mut records = Records::empty(self.partition.clone(), self.position.clone(), self.layout.clone());
        records.shared = self.shared.clone();
        records
    }

    fn reached(&mut self, mut records: Records, at: u64, ended: bool) -> Option<Box<Records>> {
        self.known.ended = ended;
        self.at = at;
        records.to = self.known.at(at);
        self.position = records.to.clone();
        Some(Box::new(records))
    }

    /// That it was read to its end is part of the position, and said once.
    fn end(&mut self) -> Option<Box<Records>> {
        if self.known.ended { None } else { self.reached(self.empty(), self.at, true) }
    }

    fn table(&mut self) -> Result<Option<Box<Records>>, Error> {
        let Rows::Table(table) = &mut self.rows else { return Ok(None) };
        let Some(Part { first, rows }) = table.next()? else {
            return match table.cut() {
                Some(why) => Err(file::cut_short(&self.partition.0, &why)),
                None => Ok(self.end()),
            };
        };
        let mut records = rows.into_records(self.empty());
        records.offsets = (first..first + records.len() as u64).collect();
        let at = self.at + records.len() as u64;
        Ok(self.reached(records, at, false))
    }

    fn lines(&mut self) -> Result<Option<Box<Records>>, Error> {
        loop {
            let Rows::Lines(lines) = &mut self.rows else { return Ok(None) };
            let (content, splitter) = &mut **lines;
            if splitter.scan() {
                return Ok(self.take(false));
            }
            match content.append(&mut splitter.buffer, BLOCK) {
                Err(_) if splitter.is_ready() => return Ok(self.take(false)),
                Err(error) => return Err(error),
                Ok(0) if splitter.finish() => return Ok(self.take(true)),
                Ok(0) => return Ok(self.end()),
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self, last: bool) -> Option<Box<Records>> {
        let Rows::Lines(lines) = &mut self.rows else { return None };
        let splitter = &mut lines.1;
        let split = splitter.take();
        let ended = last && splitter.end() == split.to;
        let mut records = self.empty();
        records.data = split.data.into();
        records.spans = split.spans;
        records.offsets = split.offsets;
        records.oversized = split.oversized;
        records.bytes_read = split.to - self.at;
        self.reached(records, split.to, ended)
    }

    /// About how many bytes of it are not read.
    pub(super) fn left(&self) -> u64 {
        match &self.rows {
            _ if self.known.ended => 0,
            Rows::None => 0,
            Rows::Lines(lines) if lines.0.is_compressed() => self.known.size.saturating_sub(lines.0.file().at),
            Rows::Lines(_) => self.known.size.saturating_sub(self.at),
            Rows::Table(table) => table.left(self.known.size),
        }
    }
}
