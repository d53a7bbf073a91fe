//! Parquet: one row group after the other is read, in batches of rows, and only the pages that are needed for these are held.
mod cells;
mod footer;
mod meaning;
mod shape;
#[cfg(test)]
mod tests;

pub(super) use cells::interval;

use super::{super::split::Caps, Opened, Part, Source, Table, until};
use ::parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
            RowSelectionPolicy, RowSelector,
        },
    },
    errors::ParquetError,
    file::{
        metadata::{
            FileMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
        },
        reader::{ChunkReader, Length},
    },
};
use arrow::{array::RecordBatch, datatypes::TimeUnit, error::ArrowError};
use bytes::Bytes;
use cells::Cells;
use dataflow_formats::encode::Rows;
use dataflow_sdk::{Error, batch::Column};
use shape::Shape;
use std::{
    convert::Infallible,
    fmt,
    io::{self, BufReader, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// How a file begins, and ends.
const MAGIC: &[u8; 4] = b"PAR1";
/// How one ends whose footer is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// Most rows that are read at once.
const MOST_ROWS: usize = 8192;

/// A file that is read.
pub(crate) struct Parquet {
    source: Source,
    caps: Caps,
    columns: Arc<[Column]>,
    shapes: Vec<Shape>,
    /// How the library reads it.
    plain: ArrowReaderMetadata,
    /// The same, with each INT96 in seconds, and the columns that have one.
    coarse: Option<(ArrowReaderMetadata, Vec<usize>)>,
    /// The number of the first row of each row group, and at the end that of all.
    groups: Vec<u64>,
    /// The next row.
    at: u64,
    group: Option<Group>,
}

impl fmt::Debug for Parquet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parquet").field("source", &self.source).field("at", &self.at).finish_non_exhaustive()
    }
}

/// The row group that is read.
struct Group {
    plain: ParquetRecordBatchReader,
    coarse: Option<ParquetRecordBatchReader>,
    cells: Vec<Cells>,
    /// The next row of `cells`, and how many these are.
    next: usize,
    rows: usize,
}

/// Opens a file before its first row.
pub(super) fn open(source: Source, caps: Caps) -> Result<Opened, Error> {
    let length = source.len()?;
    let begin = source.at(0, 64)?;
    if !MAGIC.starts_with(&begin[..begin.len().min(4)]) && !begin.starts_with(ENCRYPTED) {
        return Err(source.not("Parquet", &begin));
    }
    let end = source.at(length.saturating_sub(4), 4)?;
    if begin.starts_with(ENCRYPTED) || end == ENCRYPTED {
        return Err(source.unsupported("it is encrypted"));
    }
    if length < 12 || end != MAGIC {
        return Ok(Opened::Unfinished("it has no footer yet, which Parquet has at the end".into()));
    }
    look(&source, length)?;
    let footer = |error| failed(&source, "in its footer", error);
    let read = guarded(|| ParquetMetaDataReader::new().with_metadata_options(Some(unused())).parse_and_finish(&source))
        .map_err(footer)?;
    let (plain, coarse) = guarded(|| how(&read)).map_err(footer)?;
    let leaves = read.file_metadata().schema_descr().columns();
    let (columns, shapes) = shape::columns(plain.schema(), leaves).map_err(|why| source.unsupported(why))?;
    let mut groups = vec![0_u64];
    for group in read.row_groups() {
        let rows = u64::try_from(group.num_rows())
            .map_err(|_| source.damaged("in its footer", "a row group has a negative number of rows"))?;
        let end = groups[groups.len() - 1].checked_add(rows).filter(|end| i64::try_from(*end).is_ok());
        groups.push(end.ok_or_else(|| source.damaged("in its footer", "it has more rows than can be counted"))?);
    }
    let (columns, group, at) = (columns.into(), None, 0);
    let parquet = Parquet { source, caps, columns, shapes, plain, coarse, groups, at, group };
    Ok(Opened::Ready(Table::Parquet(Box::new(parquet))))
}

/// Whether the library may read the footer of a file of this length.
fn look(source: &Source, length: u64) -> Result<(), Error> {
    let tail = source.at(length - 8, 4)?;
    let size = tail.try_into().map_or(0, u32::from_le_bytes);
    let damaged = |why| source.damaged("in its footer", why);
    let begin = (length - 8).checked_sub(size.into()).ok_or_else(|| damaged("it is longer than the file"))?;
    if size > footer::MOST_BYTES {
        return Err(source.unsupported("its footer has more than 256 MiB"));
    }
    footer::look(&source.at(begin, size as usize)?).map_err(|fault| match fault {
        footer::Fault::Damaged(why) => damaged(why),
        footer::Fault::Unsupported(why) => source.unsupported(why),
    })
}

/// Statistics, which nothing here asks for: what is wrong in them hinders nobody.
fn unused() -> ParquetMetaDataOptions {
    ParquetMetaDataOptions::new()
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

type Coarse = Option<(ArrowReaderMetadata, Vec<usize>)>;

/// How the library is to read a file: the physical values, once more with seconds where they are INT96.
fn how(read: &ParquetMetaData) -> Result<(ArrowReaderMetadata, Coarse), ParquetError> {
    let of = read.file_metadata();
    let schema = Arc::new(shape::physical(of.schema_descr())?);
    let int96 = shape::with_int96(&schema);
    let file = FileMetaData::new(of.version(), of.num_rows(), of.created_by().map(str::to_owned), None, schema, None);
    let metadata = Arc::new(ParquetMetaData::new(file, read.row_groups().to_vec()));
    let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::try_new(metadata.clone(), options())?;
    let wanted = |unit| {
        let wanted = shape::wanted(plain.schema(), unit);
        ArrowReaderMetadata::try_new(metadata.clone(), options().with_schema(wanted.into()))
    };
    let coarse = if int96.is_empty() { None } else { Some((wanted(TimeUnit::Second)?, int96)) };
    Ok((wanted(TimeUnit::Nanosecond)?, coarse))
}

/// What the library makes of a file, which may be anything: a panic must not end the reader. What can't be caught (memory that is not
/// there, a stack that is full) [`footer`] keeps from it.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(ParquetError::General(why.unwrap_or("it can't be decoded").to_owned()))
    })
}

fn failed(source: &Source, place: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(what) => source.unsupported(what),
        ParquetError::General(what) if what.starts_with("Disabled feature") => source.unsupported(what),
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => super::failed(&source.name, 0, *error),
            Err(error) => source.damaged(place, error),
        },
        other => source.damaged(place, other),
    }
}

impl Parquet {
    /// The number of rows.
    pub(super) fn len(&self) -> u64 {
        self.groups[self.groups.len() - 1]
    }

    /// The next row.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn seek(&mut self, row: u64) -> Result<(), u64> {
        (self.at, self.group) = (row, None);
        if row > self.len() { Err(self.len()) } else { Ok(()) }
    }

    pub(super) fn next(&mut self) -> Result<Option<Part>, Error> {
        let (first, mut rows) = (self.at, Rows::new(self.columns.clone(), self.caps.record_bytes));
        while rows.len() < self.caps.records && rows.bytes() < self.caps.bytes && self.at < self.len() {
            let Some(group) = self.group.as_mut().filter(|group| group.next < group.rows) else {
                match self.fill() {
                    Ok(()) => continue,
                    // What is there comes first, and then this once more.
                    Err(_) if !rows.is_empty() => break,
                    Err(error) => return Err(error),
                }
            };
            let row = group.next;
            let until = until(rows.bytes(), self.caps);
            let written = rows.write(|column, out| {
                let begin = out.len();
                group.cells[column].write(row, out, until);
                out.truncate(until.max(begin));
                Ok::<_, Infallible>(true)
            });
            written.unwrap_or_else(|never| match never {});
            group.next += 1;
            self.at += 1;
        }
        Ok((!rows.is_empty()).then_some(Part { first, rows }))
    }

    /// Reads the next batch of rows, of which there is one.
    fn fill(&mut self) -> Result<(), Error> {
        let nth = self.groups.partition_point(|first| *first <= self.at) - 1;
        let (begin, end) = (self.groups[nth], self.groups[nth + 1]);
        let place = format!("in row group {nth}, after row {}", self.at);
        let damaged = |error| failed(&self.source, &place, error);
        let mut group = match self.group.take().filter(|_| self.at > begin) {
            Some(group) => group,
            None => guarded(|| self.open_group(nth, self.at - begin)).map_err(damaged)?,
        };
        let batch = guarded(|| next(&mut group.plain)).map_err(damaged)?;
        let coarse = match &mut group.coarse {
            Some(coarse) => guarded(|| next(coarse)).map_err(damaged)?,
            None => None,
        };
        let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) else {
            return Err(self.source.damaged(&place, format!("it should go to row {end}")));
        };
        let (rows, left) = (batch.num_rows() as u64, end - self.at);
        if rows > left || rows == left && guarded(|| next(&mut group.plain)).map_err(damaged)?.is_some() {
            return Err(self.source.damaged(&place, format!("it goes beyond row {end}")));
        }
        let int96 = self.coarse.as_ref().map_or(&[][..], |(_, columns)| columns);
        let cells = self.shapes.iter().enumerate().map(|(nth, shape)| {
            let place = int96.iter().position(|column| *column == nth);
            let coarse = coarse.as_ref().filter(|coarse| coarse.num_rows() == batch.num_rows());
            Cells::new(shape, batch.column(nth), place.and_then(|place| Some(coarse?.column(place))))
        });
        let Some(cells) = cells.collect() else {
            return Err(self.source.damaged(&place, "its columns are not what its schema says"));
        };
        (group.cells, group.next, group.rows) = (cells, 0, batch.num_rows());
        self.group = Some(group);
        Ok(())
    }

    /// The rows of a row group after so many.
    fn open_group(&self, nth: usize, skip: u64) -> Result<Group, ParquetError> {
        let group = self.plain.metadata().row_group(nth);
        let rows = usize::try_from(group.num_rows()).unwrap_or(0).max(1);
        let wide = usize::try_from(group.total_byte_size()).unwrap_or(0) / rows;
        let batch = (self.caps.bytes / wide.max(1)).clamp(1, self.caps.records.min(MOST_ROWS));
        let reader = |metadata: &ArrowReaderMetadata, columns: Option<&[usize]>| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata.clone());
            let all = columns.map(|columns| ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied()));
            let builder = builder.with_projection(all.unwrap_or_else(ProjectionMask::all));
            let builder = builder.with_row_groups(vec![nth]).with_batch_size(batch);
            match skip {
                0 => builder.build(),
                // Rows that are passed over are not decoded.
                _ => {
                    // One more than there should be, to see that it is not there.
                    let rest = rows - skip as usize + 1;
                    let selection = vec![RowSelector::skip(skip as usize), RowSelector::select(rest)];
                    let builder = builder.with_row_selection_policy(RowSelectionPolicy::Selectors);
                    builder.with_row_selection(selection.into()).build()
                }
            }
        };
        let coarse = self.coarse.as_ref().map(|(metadata, columns)| reader(metadata, Some(columns))).transpose()?;
        Ok(Group { plain: reader(&self.plain, None)?, coarse, cells: Vec::new(), next: 0, rows: 0 })
    }
}

fn next(reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, ParquetError> {
    reader.next().transpose().map_err(|error| match error {
        ArrowError::ParquetError(what) => ParquetError::General(what),
        other => ParquetError::General(other.to_string()),
    })
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.file.length().unwrap_or(0)
    }
}

impl ChunkReader for Source {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(From { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let there = Length::len(self).saturating_sub(start);
        if there < length as u64 {
            return Err(ParquetError::EOF(format!(
                "{length} bytes should be at byte {start}, where only {there} are left"
            )));
        }
        let (mut bytes, mut count) = (vec![0; length], 0);
        while count < length {
            match self.file.read_at(&mut bytes[count..], start + count as u64) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes.into())
    }
}

/// What lies in a file from a place on.
pub(super) struct From {
    source: Source,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
