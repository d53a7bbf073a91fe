//! Records that came as the columns of a table.
use super::Span;
use dataflow_core::types::Type;
use std::{ops::Range, sync::Arc};

/// A column: one that a source has, that a sink wants, or that a first batch has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name of the field, exactly. Of an output field, a dotted name is first looked for as one key, then as a path.
    pub name: String,
    /// Its type. [`arrow_type`](crate::batch::arrow_type) is what a sink gets.
    pub ty: Type,
}

/// Where the values of records lie that came as the columns of a table, and of which types these are. Each record is a JSON object
/// all the same, so that it is passed on, kept as a dead letter and proven like any other; but nobody has to look for its values.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The columns, in the order of the objects' fields; each has another name.
    pub columns: Arc<[Column]>,
    /// The values as they are written, record by record: slices of [`Records::data`](super::Records::data), each right behind its
    /// key and the colon. [`Span::NULL`]: the record lacks the field, or is [too large](super::Records::oversized).
    pub values: Vec<Span>,
}

impl Columns {
    /// The values of a record, in the order of the columns.
    pub fn of(&self, row: usize) -> &[Span] {
        &self.values[self.range(row..row + 1)]
    }

    /// The type of a column.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.ty)
    }

    /// Those of these records alone.
    pub(super) fn slice(&self, rows: Range<usize>) -> Self {
        Self { columns: self.columns.clone(), values: self.values[self.range(rows)].to_vec() }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len * self.columns.len());
    }

    fn range(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.columns.len()..rows.end * self.columns.len()
    }
}
