//! Writes the rows of a table as records of which it is known where their values lie.
#[cfg(test)]
mod tests;

use super::value;
use crate::{
    json::{Kind, validate, write_content, write_string},
    oversized::{KEPT, oversized},
};
use dataflow_sdk::{
    Records,
    batch::Column,
    records::{Columns, Layout, Oversized, Span},
};
use std::{convert::Infallible, sync::Arc};

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The row has no such field.
    Missing,
    /// NULL.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number of single precision; NaN and infinities, which are no numbers of JSON, are texts.
    Real(f32),
    /// The same of double precision.
    Double(f64),
    /// A number as it is written, with all its digits; what JSON does not write as a number (`NaN`) is text.
    Number(&'a str),
    /// Text.
    Text(&'a str),
    /// Text in some other encoding than UTF-8. It is written as it is, so that the record is a dead letter (`not-utf8`).
    Foreign(&'a [u8]),
    /// Bytes, which JSON has as base64.
    Binary(&'a [u8]),
    /// Microseconds since the Unix epoch.
    Timestamp(i64),
    /// Microseconds since 1970, wherever that was.
    Datetime(i64),
    /// A point in time that microseconds don't hold, or, without a `zone`, a date and time of day: seconds since 1970, and what comes after.
    Instant {
        /// Whole seconds, rounded down.
        seconds: i64,
        /// Nanoseconds after these.
        nanos: u32,
        /// Whether it is in UTC.
        zone: bool,
    },
    /// A time of day: nanoseconds since midnight.
    Time(i64),
    /// Days since 1970.
    Date(i32),
    /// A JSON value, such as an array; what is none is text.
    Json(&'a str),
}

impl Value<'_> {
    /// Writes it as a JSON value.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Missing | Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Self::Integer(value) => value::whole(value.into(), out),
            Self::Real(value) if value.is_finite() => value::float(value, out),
            Self::Double(value) if value.is_finite() => value::float(value, out),
            Self::Real(value) => write_string(not_finite(value.into()), out),
            Self::Double(value) => write_string(not_finite(value), out),
            Self::Number(text) if validate(text.as_bytes()).is_ok_and(|token| token.kind == Kind::Number) => {
                out.extend_from_slice(text.trim_ascii().as_bytes());
            }
            Self::Json(text) if validate(text.as_bytes()).is_ok() => {
                out.extend_from_slice(text.trim_ascii().as_bytes());
            }
            Self::Number(text) | Self::Text(text) | Self::Json(text) => write_string(text, out),
            Self::Foreign(bytes) => quoted(out, |out| {
                for chunk in bytes.utf8_chunks() {
                    write_content(chunk.valid(), out);
                    out.extend_from_slice(chunk.invalid());
                }
            }),
            Self::Binary(bytes) => quoted(out, |out| value::base64(bytes, out)),
            Self::Timestamp(micros) => quoted(out, |out| value::moment(micros, 1_000_000, true, out)),
            Self::Datetime(micros) => quoted(out, |out| value::moment(micros, 1_000_000, false, out)),
            Self::Instant { seconds, nanos, zone } => {
                quoted(out, |out| value::instant(seconds, nanos.into(), 1_000_000_000, zone, out));
            }
            Self::Time(nanos) => quoted(out, |out| {
                value::time_of_day(nanos.div_euclid(1_000_000_000), out);
                value::fraction(nanos.rem_euclid(1_000_000_000), 1_000_000_000, out);
            }),
            Self::Date(days) => quoted(out, |out| value::date(days.into(), out)),
        }
    }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// The rows of a table, on their way to be records.
#[derive(Debug)]
pub struct Rows {
    columns: Arc<[Column]>,
    /// Of each column, its key and the colon behind it.
    keys: Vec<Vec<u8>>,
    /// Most bytes of a record.
    limit: usize,
    data: Vec<u8>,
    spans: Vec<Span>,
    values: Vec<Span>,
    oversized: Vec<Oversized>,
}

impl Rows {
    /// No rows yet of these columns, each of which has another name. A record of more than `limit` bytes is noted as oversized.
    pub fn new(columns: Arc<[Column]>, limit: usize) -> Self {
        let keys = columns.iter().map(|column| value::key(&column.name)).collect();
        let (data, spans, values, oversized) = Default::default();
        Self { columns, keys, limit, data, spans, values, oversized }
    }

    /// Adds a row: a value for each column, in their order.
    ///
    /// # Panics
    /// If there are not as many values as columns.
    pub fn push<'v>(&mut self, values: impl IntoIterator<Item = Value<'v>>) {
        let mut values = values.into_iter();
        let written = self.write(|_, out| {
            let value = values.next().unwrap_or_else(|| panic!("a row has fewer values than columns"));
            value.write(out);
            Ok::<_, Infallible>(value != Value::Missing)
        });
        written.unwrap_or_else(|never| match never {});
        assert!(values.next().is_none(), "a row has more values than columns");
    }

    /// Adds a row whose values `write` writes as JSON, each of the column with this number, in their order; false: the row has no
    /// such field. Where that fails, there is no such row.
    ///
    /// # Errors
    /// That of `write`.
    pub fn write<E>(&mut self, mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool, E>) -> Result<(), E> {
        let (start, first) = (self.data.len(), self.values.len());
        self.data.push(b'{');
        for (nth, key) in self.keys.iter().enumerate() {
            let before = self.data.len();
            if before > start + 1 {
                self.data.push(b',');
            }
            self.data.extend_from_slice(key);
            let at = self.data.len();
            match write(nth, &mut self.data) {
                Ok(true) => self.values.push(Span::new(at, self.data.len())),
                Ok(false) => {
                    self.data.truncate(before);
                    self.values.push(Span::NULL);
                }
                Err(error) => {
                    self.data.truncate(start);
                    self.values.truncate(first);
                    return Err(error);
                }
            }
        }
        self.data.push(b'}');
        let record = &self.data[start..];
        if record.len() > self.limit {
            self.oversized.push(oversized(self.spans.len(), record));
            self.data.truncate(start + KEPT);
            self.values[first..].fill(Span::NULL);
        }
        self.spans.push(Span::new(start, self.data.len()));
        Ok(())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all records so far.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The rows as what is in these records, which have nothing in them yet.
    pub fn into_records(self, records: Records) -> Records {
        let Self { columns, data, spans, values, oversized, .. } = self;
        let layout = Layout::Columns(Columns { columns, values });
        Records { bytes_read: data.len() as u64, data: data.into(), spans, oversized, layout, ..records }
    }
}
