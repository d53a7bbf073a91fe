//! Writing rows as JSON documents, one on a line.
mod documents;
mod edit;
mod overlay;
#[cfg(test)]
mod tests;
mod value;

pub use documents::{documents, documents_from_columns, single_line};
pub use edit::edited;
pub use overlay::overlay;

use crate::decode::Misfit;
use arrow::array::ArrayRef;
use bytes::Bytes;
use dataflow_sdk::records::Span;

/// A column to be written as a field of each row.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Name of the field: one key, also if there is a dot in it.
    pub name: &'a str,
    /// A value per row. NULL is written as null.
    pub array: &'a ArrayRef,
    /// Its texts are JSON and go in as they are, not as strings. Only for columns of text.
    pub raw: bool,
    /// A record without the field goes without it, where the value is NULL.
    pub optional: bool,
}

/// Rows as JSON documents, each without a line break.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The buffer: often the original one.
    pub data: Bytes,
    /// One slice a row; [`Span::NULL`] for a tombstone and for a record that can't be read.
    pub spans: Vec<Span>,
    /// Values that JSON can't hold (NaN, infinity): null stands in their place. Records that can't be read. By rising row
    /// of the output.
    pub misfits: Vec<Misfit>,
}
