//! The columns that expressions and sinks ask for, each with a number.
use super::class::{Class, default_type};
use arrow::datatypes::DataType;
use dataflow_core::types::Type;
use dataflow_formats::decode::{Field, Want};
use indexmap::{IndexMap, IndexSet};
use std::collections::HashMap;

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
    /// Whether its values are untyped texts of the source.
    pub(crate) untyped: bool,
}

/// The elements of unnested lists: each use of one, or of a field in one, is a column of its own, decoded as that use asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elements {
    /// The columns, by the column of the whole elements.
    columns: IndexMap<(usize, Field), usize>,
    /// Columns whose values are as they are in the elements: of which whole elements, and where in them.
    plain: HashMap<usize, (usize, Vec<String>)>,
}

impl Elements {
    /// The fields that are wanted of the elements of a column, and the column of each.
    pub(crate) fn of(&self, whole: usize) -> impl Iterator<Item = (&Field, usize)> {
        self.columns.iter().filter(move |((of, _), _)| *of == whole).map(|((_, field), column)| (field, *column))
    }
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
    /// What of the elements of lists is wanted.
    pub(crate) elements: Elements,
    /// Computed columns whose values have a type each, and the columns of them as expressions want them, with their names.
    pub(crate) reread: IndexMap<(usize, Want), (String, usize)>,
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
    /// A new computed column.
    pub(crate) fn register(&mut self, register: Register) -> usize {
        self.registers.push(register);
        self.registers.len() - 1
    }

    /// A new column of whole elements of a list, each of the type that it has by itself.
    pub(crate) fn whole_elements(&mut self) -> usize {
        let whole = self.register(Register {
            class: Class::Any,
            default_type: default_type(Want::Infer),
            fixed: None,
            untyped: false,
        });
        self.elements.plain.insert(whole, (whole, Vec::new()));
        whole
    }

    /// The column of a field within the values of a computed column, or of these, as an expression takes them; none if that has
    /// no values of which that could be told.
    pub(crate) fn element(&mut self, register: usize, within: &[String], class: Class) -> Option<usize> {
        let (whole, path) = self.elements.plain.get(&register)?;
        let (whole, path) = (*whole, [path.as_slice(), within].concat());
        let want = class.want();
        if path.is_empty() && want == Want::Infer {
            return Some(whole);
        }
        let field = Field { path: path.clone(), want };
        if let Some(known) = self.elements.columns.get(&(whole, field.clone())) {
            return Some(*known);
        }
        let class = if class == Class::Literal { Class::Any } else { class };
        let column = self.register(Register { class, default_type: default_type(want), fixed: None, untyped: false });
        self.elements.columns.insert((whole, field), column);
        if want == Want::Infer {
            self.elements.plain.insert(column, (whole, path));
        }
        Some(column)
    }

    /// The column of a computed one as an expression takes it: another one, read as a field would be, if only the data tells
    /// its types.
    pub(crate) fn taken(&mut self, register: usize, name: &str, class: Class) -> usize {
        let want = class.want();
        if !self.is_open(Slot::Register(register)) || matches!(want, Want::Infer | Want::Literal) {
            return register;
        }
        if let Some((_, known)) = self.reread.get(&(register, want)) {
            return *known;
        }
        let column = self.register(Register { class, default_type: default_type(want), fixed: None, untyped: false });
        self.reread.insert((register, want), (name.into(), column));
        column
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
                fixed.is_none() && *class == Class::Any
            }
        }
    }
}
