//! The columns that expressions and sinks ask for, each known by a number.
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

/// What is known of a computed column before there is any data.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    /// Its class.
    pub(crate) class: Class,
    /// Its type as long as no data says otherwise.
    pub(crate) default_type: DataType,
    /// Its type, if it is the same whatever the data is.
    pub(crate) fixed: Option<Type>,
}

/// All columns that a program needs besides those that it computes, and what is known of those.
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
            Slot::Register(index) => self.registers[index].default_type.clone(),
        }
    }
    /// Whether data may give a column another numeric type than its default.
    pub(crate) fn is_number(&self, slot: Slot) -> bool {
        match slot {
            Slot::Field(index) => self.fields[index].want == Want::Number,
            Slot::Meta(index) => self.meta[index].want == Want::Number,
            Slot::Register(index) => {
                self.registers[index].class == Class::Number && self.registers[index].fixed.is_none()
            }
        }
    }
    /// Whether data may give a column a type of any class.
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
