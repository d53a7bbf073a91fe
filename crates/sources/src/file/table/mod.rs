//! Files of typed columns: Parquet and Avro. A position in one is the number of a row.
//!
//! Their rows become records of which it is known where their values lie, as those of a database do; nothing is read as a float that is
//! none.
mod avro;
mod number;
mod parquet;

use super::{Compression, FileSource, Format, content::failed, names::name, split::Caps};
use dataflow_core::types::Type;
use dataflow_formats::{
    encode::{Rows, Value},
    foreign,
};
use dataflow_sdk::Error;
use std::{fmt, fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

/// What opening such a file came to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Its rows can be read.
    Ready(Table),
    /// It is not whole yet: why not.
    Unfinished(String),
}

/// A file of columns that is read.
#[derive(Debug)]
pub(crate) enum Table {
    Parquet(Box<parquet::Parquet>),
    Avro(Box<avro::Avro>),
}

/// Rows, and the number of the first.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) rows: Rows,
}

impl FileSource {
    /// Whether a file of this name has rows rather than bytes as positions.
    pub(crate) fn is_table(&self, path: &Path) -> bool {
        matches!(self.format_of(path), Format::Parquet | Format::Avro)
    }

    /// Whether a position in a file of this name is a place among the bytes that lie there.
    pub(crate) fn counts_bytes(&self, path: &Path) -> bool {
        self.counts(path) == (Compression::None, None)
    }

    /// Opens a file that [is a table](Self::is_table), before its first row.
    pub(super) fn open_table(&self, path: &Path, file: &File, caps: Caps) -> Result<Opened, Error> {
        let clone = file.try_clone().map_err(|error| failed(&name(path), 0, error))?;
        self.table_of(path, Arc::new(clone), caps)
    }

    /// The same of other things than files, which have these bytes.
    pub(crate) fn table_of(&self, path: &Path, bytes: Arc<dyn Bytes>, caps: Caps) -> Result<Opened, Error> {
        let name = name(path);
        if self.compression.of(path) != Compression::None {
            let error = Error::fatal(
                "unsupported",
                format!("{name} is compressed as a whole, in which no place can be looked for"),
            );
            return Err(error.fix("decompress it: Parquet and Avro are compressed within"));
        }
        let file = Source { name: name.into(), file: bytes };
        match self.format_of(path) {
            Format::Avro => avro::open(file, caps),
            _ => parquet::open(file, caps),
        }
    }

    /// The number of rows of a file that [is a table](Self::is_table), as far as it is whole.
    pub(super) fn rows(&self, path: &Path, file: &File) -> Result<u64, Error> {
        let caps = Caps { records: 1, bytes: 1, record_bytes: 1 };
        match self.open_table(path, file, caps)? {
            Opened::Ready(Table::Parquet(parquet)) => Ok(parquet.len()),
            Opened::Ready(Table::Avro(mut avro)) => avro.count(),
            Opened::Unfinished(_) => Ok(0),
        }
    }
}

impl Table {
    /// Goes to the row with this number. If there are fewer, the error is how many.
    pub(crate) fn seek(&mut self, row: u64) -> Result<Result<(), u64>, Error> {
        match self {
            Self::Parquet(parquet) => Ok(parquet.seek(row)),
            Self::Avro(avro) => avro.seek(row),
        }
    }

    /// The next rows; none after the last that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, Error> {
        match self {
            Self::Parquet(parquet) => parquet.next(),
            Self::Avro(avro) => avro.next(),
        }
    }

    /// Why what comes after the last row is no end, if it is none.
    pub(crate) fn cut(&self) -> Option<String> {
        match self {
            Self::Parquet(_) => None,
            Self::Avro(avro) => avro.cut(),
        }
    }

    /// About how many of a file's bytes hold the rows that were not read.
    pub(crate) fn left(&self, length: u64) -> u64 {
        match self {
            Self::Parquet(parquet) => {
                let left = u128::from(parquet.len() - parquet.at()) * u128::from(length);
                left.checked_div(parquet.len().into()).map_or(0, |left| left as u64)
            }
            Self::Avro(avro) => length.saturating_sub(avro.place()),
        }
    }

    /// Whether rows may be added at its end.
    pub(super) fn may_grow(&self) -> bool {
        matches!(self, Self::Avro(_))
    }
}

/// Most bytes that are written of a record that is too large, unless it may be larger.
const MOST_WRITTEN: usize = 64 << 20;

/// Where to stop writing the record that begins at `start`: it is too large by then.
fn until(start: usize, caps: Caps) -> usize {
    start + caps.record_bytes.max(MOST_WRITTEN)
}

/// The type of decimals of so many digits.
fn decimal_type(precision: i32, scale: i32) -> Type {
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Type::Decimal { precision, scale },
        _ => Type::Number,
    }
}

const SECOND: i64 = 1_000_000_000;

/// A point in time, or without a `zone` a date and time of day, of which so many are a second.
fn moment(value: i64, per_second: i64, zone: bool) -> Value<'static> {
    let nanos = (value.rem_euclid(per_second) * (SECOND / per_second)) as u32;
    Value::Instant { seconds: value.div_euclid(per_second), nanos, zone }
}

/// A time of day, of which so many are a second; what none has stays a number.
fn time(value: i64, per_second: i64) -> Value<'static> {
    let is = (0..86_400 * per_second).contains(&value);
    if is { Value::Time(value * (SECOND / per_second)) } else { Value::Integer(value) }
}

/// Bytes that can be read at any place: those of a file, or of an object in a bucket.
pub(crate) trait Bytes: fmt::Debug + Send + Sync {
    /// How many there are.
    fn length(&self) -> io::Result<u64>;
    /// Reads some that lie at a place; 0 at the end.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }
}

/// A file, from which is read at any place.
#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    file: Arc<dyn Bytes>,
}

impl Source {
    fn len(&self) -> Result<u64, Error> {
        self.file.length().map_err(|error| failed(&self.name, 0, error))
    }

    /// As many bytes at a place as are there, at most `most`.
    fn at(&self, at: u64, most: usize) -> Result<Vec<u8>, Error> {
        let (mut bytes, mut count) = (vec![0; most], 0);
        while count < most {
            match self.file.read_at(&mut bytes[count..], at + count as u64) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.name, at, error)),
            }
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Its content is not what was written.
    fn damaged(&self, place: &str, why: impl fmt::Display) -> Error {
        let message = format!("{} is damaged {place}: {why}", self.name);
        Error::fatal("file-damaged", message).fix(format!(
            "put a whole file in its place, and set the position of {} in the checkpoint to 0 to write its records again (a key keeps them from being doubled)",
            self.name
        ))
    }

    fn unsupported(&self, what: impl fmt::Display) -> Error {
        Error::fatal("unsupported", format!("{} can't be read: {what}", self.name))
            .fix("write it anew without that, or leave it out of `path`")
    }

    /// It does not begin as a file of its format does.
    fn not(&self, format: &str, begin: &[u8]) -> Error {
        let error = Error::fatal("file-corrupt", format!("{} does not begin as {format} does", self.name));
        error.fix(foreign::format(begin).unwrap_or("set `format` to what it is, or put a whole file in its place"))
    }
}

/// The error for a file that is not whole and won't be.
pub(crate) fn cut_short(name: &str, why: &str) -> Error {
    Error::fatal("file-cut-short", format!("{name} is not whole: {why}"))
        .fix("put a whole one in its place, or take it away to go on without the rest; `follow: true` waits for one that is still written")
}
