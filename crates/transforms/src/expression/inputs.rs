//! The columns that expressions and sinks ask for, each known by a number.
use super::class::{Class, default_type};
use arrow::datatypes::DataType;
use dataflow_formats::decode::{Field, Want};
use indexmap::IndexSet;

/// A column that expressions can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// A decoded field of the source.
    Field(usize),
    /// Metadata.
    Meta(usize),
    /// A computed column.
    Register(usize),
}

/// All columns that a program needs besides those that it computes, and what is known of those.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// Fields of the source.
    pub(crate) fields: IndexSet<Field>,
    /// Metadata, by path.
    pub(crate) meta: IndexSet<Field>,
    /// Computed columns: their class, and their type as long as no data says otherwise.
    pub(crate) registers: Vec<(Class, DataType)>,
    /// Paths of source fields that expressions name.
    pub(crate) named: IndexSet<Vec<String>>,
}

impl Inputs {
    /// The column of a source field, taken in a certain way.
    pub(crate) fn field(&mut self, path: Vec<String>, want: Want) -> usize {
        self.fields.insert_full(Field { path, want }).0
    }
    /// The column of a piece of metadata, taken in a certain way.
    pub(crate) fn meta(&mut self, path: Vec<String>, want: Want) -> usize {
        self.meta.insert_full(Field { path, want }).0
    }
    /// The type of a column as long as no data says otherwise.
    pub(crate) fn default_type(&self, slot: Slot) -> DataType {
        match slot {
            Slot::Field(index) => default_type(self.fields[index].want),
            Slot::Meta(index) => default_type(self.meta[index].want),
            Slot::Register(index) => self.registers[index].1.clone(),
        }
    }
    /// Whether data may give a column another numeric type than its default.
    pub(crate) fn is_number(&self, slot: Slot) -> bool {
        match slot {
            Slot::Field(index) => self.fields[index].want == Want::Number,
            Slot::Meta(index) => self.meta[index].want == Want::Number,
            Slot::Register(index) => self.registers[index].0 == Class::Number,
        }
    }
}
