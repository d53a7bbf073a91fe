//! Decoding on demand: only the fields that are asked for become columns.
use arrow::array::ArrayRef;
use dataflow_core::types::{Learned, Type};
use dataflow_sdk::{
    batch::Dead,
    records::{Records, Span},
};

/// A column that is wanted of raw records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Keys from the top: `["address", "city"]`. Case-sensitive, as written.
    pub path: Vec<String>,
    /// What its values are taken as. The same path may be wanted in several ways.
    pub want: Want,
}

/// What the values of a field are taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Numbers: bigint while all are integers that fit, then decimal, then double. Learned, and only widens.
    Number,
    /// JSON strings (CSV: the text).
    Text,
    /// true and false (CSV: their words).
    Boolean,
    /// Points in time, from RFC 3339 text.
    Time,
    /// Anything scalar, as its text: a string's content, a number as written. For `cast(x as …)`. Nested: its JSON text.
    Literal,
    /// The narrowest type that holds all values; learned, and only widens. Mixed or nested: [`Type::Json`].
    Infer,
    /// Exactly this type.
    As(Type),
}

/// Decodes records of one pipeline lane, again and again.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
}

/// What a decoder made of one [`Records`].
#[derive(Debug)]
pub struct Decoded {
    /// One column per field, in their order, each with one value per record; NULL where missing, null, broken or misfit.
    pub columns: Vec<Column>,
    /// Records that can't be read at all (not JSON, not an object, too large, tombstones). By rising row.
    pub broken: Vec<Dead>,
    /// Top-level keys of the records, in order of first appearance.
    pub keys: Vec<Key>,
    /// All that is known of types now, if it is more than before.
    pub learned: Option<Learned>,
}

/// A decoded column.
#[derive(Debug)]
pub struct Column {
    /// Its values.
    pub array: ArrayRef,
    /// Values that don't fit. By rising row. Whether that kills the record is for who uses the column to say.
    pub misfits: Vec<Misfit>,
    /// Number of records that have the field at all (null included).
    pub present: u64,
}

/// A value that does not fit what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which record.
    pub row: u32,
    /// Field, value (shortened) and what it should have been.
    pub cause: String,
}

/// A top-level key of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Number of records that have it.
    pub records: u64,
    /// The last record that has it.
    pub last_row: u32,
}

impl Decoder {
    /// A decoder of these fields that goes on from what is known of their types.
    pub fn new(fields: Vec<Field>, learned: &Learned) -> Self {
        let _ = learned;
        Self { fields }
    }
    /// Decodes records of any layout.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let _ = (&self.fields, records, Span::NULL);
        unimplemented!()
    }
}
