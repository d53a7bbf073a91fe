//! The columns that expressions and sinks ask for, each with a number.
use super::class::{Class, default_type};
use arrow::datatypes::DataType;
use dataflow_core::types::Type;
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

/// The known properties of a computed column before there is any data.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    /// Its class.
    pub(crate) class: Class,
    /// Its type until data shows another.
    pub(crate) default_type: DataType,
    /// Its type, if it doesn't depend on the data.
    pub(crate) fixed: Option<Type>,
}

/// All columns that a program reads, and the known properties of those that it computes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// Fields of the source.
    pub(crate) fields: IndexSet<Field>,
    /// Metadata, by path.
    pub(crate) meta: IndexSet<Field>,
    /// Computed columns.
    pub(crate) registers: Vec<Register>,
    /// Paths of source fields that expressions name.
    pub(crate) named: IndexSet<Vec<String>>,
    /// Paths of source fields that are removed.
    pub(crate) removed: IndexSet<Vec<String>>,
}

impl Inputs {
    /// Returns the column of a source field for this use.
    pub(crate) fn field(&mut self, path: Vec<String>, want: Want) -> usize {
        self.fields.insert_full(Field { path, want }).0
    }
    /// Returns the column of a piece of metadata for this use.
    pub(crate) fn meta(&mut self, path: Vec<String>, want: Want) -> usize {
        self.meta.insert_full(Field { path, want }).0
    }
    /// The type of a column until data shows another.
    pub(crate) fn default_type(&self, slot: Slot) -> DataType {
        match slot {
            Slot::Field(index) => default_type(self.fields[index].want),
            Slot::Meta(index) => default_type(self.meta[index].want),
            Slot::Register(index) => self.registers[index].default_type.clone(),
        }
    }
    /// Returns whether data may give a column another numeric type than its default.
    pub(crate) fn is_number(&self, slot: Slot) -> bool {
        match slot {
            Slot::Field(index) => self.fields[index].want == Want::Number,
            Slot::Meta(index) => self.meta[index].want == Want::Number,
            Slot::Register(index) => {
                self.registers[index].class == Class::Number && self.registers[index].fixed.is_none()
            }
        }
    }
    /// Returns whether data may give a column a type of any class.
    pub(crate) fn is_open(&self, slot: Slot) -> bool {
        match slot {
            Slot::Field(index) => self.fields[index].want == Want::Infer,
            Slot::Meta(index) => self.meta[index].want == Want::Infer,
            Slot::Register(index) => {
                let Register { class, fixed, .. } = &self.registers[index];
                fixed.is_none() && *class != Class::Number
            }
        }
    }
}
