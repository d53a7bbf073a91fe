//! Writes rows as JSON documents.
mod documents;
mod edit;
mod interval;
mod overlay;
mod rows;
#[cfg(test)]
mod tests;
mod value;

pub use documents::{documents, documents_from_columns};
pub use edit::edited;
pub use interval::{intervals, text as interval};
pub use overlay::overlay;
pub use rows::{Rows, Value};
pub use value::key;

use crate::decode::Misfit;
use arrow::{array::ArrayRef, buffer::BooleanBuffer};
use bytes::Bytes;
use dataflow_sdk::records::Span;

/// A column that is written as a field of each row.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Name of the field: one key, even if it contains a dot.
    pub name: &'a str,
    /// A value per row. NULL is written as null.
    pub array: &'a ArrayRef,
    /// Whether its texts are JSON and are written as they are, not as strings. Only for columns of text.
    pub raw: bool,
    /// The rows without the field; `None`: all have it.
    pub absent: Option<&'a BooleanBuffer>,
}

/// Rows as JSON documents.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The documents' buffer: often the original one.
    pub data: Bytes,
    /// One slice per row; [`Span::NULL`] for a tombstone and for a record that can't be read.
    pub spans: Vec<Span>,
    /// Values that JSON can't represent (NaN, infinity), written as null, and records that can't be read. By rising row
    /// of the output.
    pub misfits: Vec<Misfit>,
}
