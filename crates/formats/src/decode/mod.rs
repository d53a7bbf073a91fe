//! Decoding on demand: only the fields that are asked for become columns.
//!
//! Pass 1 goes once over every record, checks every byte of it, and notes where the wanted values lie (`cell`); pass 2
//! makes the columns, one after the other, from these places.
mod cell;
mod column;
mod csv;
mod json;
mod keys;
mod misfit;
mod number;
mod remedy;
mod scalar;
#[cfg(test)]
mod tests;
mod time;
mod varied;

pub use keys::MAX_NAME;
pub use number::{double, real, shape};
pub use time::{days, micros};
pub use varied::JSON;

use crate::marks::Marks;
use arrow::{
    array::{Array, ArrayRef, StringArray},
    buffer::BooleanBuffer,
};
use cell::{Cell, Scanned, Text};
use column::Values;
use dataflow_core::types::{Type, widen};
use dataflow_sdk::{
    batch::Dead,
    records::{Layout, Records, Span},
};
use misfit::Asked;

/// A column that is wanted of raw records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Keys from the top: `["address", "city"]`. Case-sensitive, as written. `["a.b"]` is one key with a dot in it. An
    /// empty path is in no record. CSV records have top-level fields only.
    pub path: Vec<String>,
    /// What its values are taken as. The same path may be wanted in several ways.
    pub want: Want,
}

/// What the values of a field are taken as.
///
/// JSON null and a missing field are NULL, and a CSV value that stands for null is. All numbers are taken by value, not
/// by how they are written: `18.0` and `1.8e1` are the integer 18. No integer is ever rounded: one that a column's type
/// doesn't hold exactly is a misfit. Half of a surrogate pair (`"\ud800"`) is no character: its string is a misfit where
/// text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Numbers, each of a type of its own, whatever the others are: bigint if it is an integer that fits, otherwise decimal
    /// (one of a few scales, so that there are few types), and double only where no decimal holds it and a double does.
    /// NULL is a bigint. CSV: also with a plus sign, leading zeros, and blanks around.
    Number,
    /// JSON strings (CSV: the text).
    Text,
    /// true and false (CSV: their words, and `t f yes no y n 1 0`, in any case and with blanks around).
    Boolean,
    /// Points in time, from text: RFC 3339; `2026-01-02 03:04:05.6` without a zone and `2026-01-02` are taken as UTC.
    /// In microseconds, but for those that are finer: they are in nanoseconds.
    Time,
    /// Anything scalar, as its text: a string's content, a number as written. For `cast(x as …)`. Nested: its JSON text.
    Literal,
    /// Each value of a type of its own: a number as above, true and false, text, and JSON text where it is nested. NULL is
    /// of the null type. CSV: numbers as JSON writes them without an exponent, true, false; everything else is text.
    Infer,
    /// Exactly this type; of CSV values only those that are written as the type is: `007` is no bigint, and `yes` no boolean.
    Strict(Type),
    /// Exactly this type. [`Type::Json`] is the JSON text of any value, as it is written; a CSV value has to be one.
    /// [`Type::Any`] is the same, but that a CSV value is a JSON string. [`Type::Number`] is a number as JSON writes it.
    As(Type),
}

/// Decodes records of one pipeline lane, again and again.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
    /// For each field, which of the scanned paths it is.
    slots: Vec<usize>,
    paths: Vec<Vec<String>>,
    /// For each of the scanned paths, the type that its field is declared with.
    declared: Vec<Option<Type>>,
    /// What a field is called in causes, but for its path: `meta`.
    within: Option<&'static str>,
    json: json::Scan,
    csv: csv::Scan,
}

/// What a decoder made of one [`Records`].
#[derive(Debug)]
pub struct Decoded {
    /// One column per field, in their order, each with one value per record; NULL where missing, null, broken or misfit.
    pub columns: Vec<Column>,
    /// Records that can't be read at all. By rising row. Codes: `not-json` (RFC 8259, to the letter), `not-object`,
    /// `too-deep` (more than [`MAX_DEPTH`](crate::MAX_DEPTH) levels), `not-utf8`, `too-large`, `tombstone`; of CSV
    /// `csv-fields` (too few or too many) and `not-csv` (quotes that don't match).
    pub broken: Vec<Dead>,
    /// Records that could be read.
    pub read: u64,
    /// Top-level keys of the records, in order of first appearance. At most 10,000, of up to 1,024 bytes: what is
    /// beyond is in [`Self::untracked`].
    pub keys: Vec<Key>,
    /// The top-level keys that are not tracked, as they are written: one key too many, or too long, or with half of a
    /// surrogate pair, which nobody can ask for. By rising row.
    pub untracked: Vec<Untracked>,
    /// Where the fields lie that were to be marked. CSV records have none.
    pub marks: Marks,
}

/// A top-level key that is not tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untracked {
    /// The record that has it.
    pub row: u32,
    /// Where in the buffer of the records its name is written, between the quotes.
    pub name: Span,
}

/// A decoded column.
#[derive(Debug)]
pub struct Column {
    /// Its values. Where each has a type of its own and they differ: a dense union, in which the field named [`JSON`] has
    /// JSON texts.
    pub array: ArrayRef,
    /// Whether all its texts are JSON, of values with a type of their own.
    pub json: bool,
    /// Values that don't fit. By rising row. Whether that kills the record is for who uses the column to say.
    pub misfits: Vec<Misfit>,
    /// Number of records that have the field at all (null included).
    pub present: u64,
    /// The records that don't have it; none: all do.
    pub absent: Option<BooleanBuffer>,
}

/// What the values of a field have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The type of a column that holds them; none while there is no value but null.
    pub ty: Option<Type>,
    /// The first value that has no type in common with those before it.
    pub odd: Option<String>,
}

/// A value that does not fit what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which record.
    pub row: u32,
    /// Field, value (shortened) and what it should have been.
    pub cause: String,
    /// Of a source field, the type of a column that takes the value and those that it was taken for.
    pub suits: Option<Type>,
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

/// Texts taken as a type, as untyped ones of a source are; if `strict`, only as they are spelled. What doesn't fit is NULL and a
/// misfit.
pub fn texts(texts: &StringArray, ty: Type, strict: bool) -> (ArrayRef, Vec<Misfit>) {
    let cell = |row: usize| {
        let (start, end) = (texts.value_offsets()[row] as u32, texts.value_offsets()[row + 1] as u32);
        Cell { start, end, kind: if texts.is_null(row) { cell::Kind::Null } else { cell::Kind::Untyped } }
    };
    let cells: Vec<Cell> = (0..texts.len()).map(cell).collect();
    let text = Text::of_all(texts.value_data());
    Values { cells: &cells, text: &text, within: None, path: &[], declared: None, strict }
        .column(ty, Asked::exactly(ty))
}

impl Decoder {
    /// A decoder of these fields.
    pub fn new(fields: Vec<Field>) -> Self {
        let mut paths: Vec<Vec<String>> = Vec::new();
        let slots = fields.iter().map(|field| match paths.iter().position(|path| *path == field.path) {
            Some(slot) => slot,
            None => {
                paths.push(field.path.clone());
                paths.len() - 1
            }
        });
        let slots = slots.collect();
        let (json, csv, declared) = (json::Scan::new(&paths), csv::Scan::new(&paths), vec![None; paths.len()]);
        Self { slots, json, csv, fields, paths, declared, within: None }
    }

    /// The same, told the types that fields are declared with: a cause that has to do with one of them says so.
    pub fn declaring(mut self, declared: impl Fn(&[String]) -> Option<Type>) -> Self {
        self.declared = self.paths.iter().map(|path| declared(path)).collect();
        self
    }

    /// The same, noting where the top-level fields of these names lie in JSON records: what
    /// [`overlay`](crate::encode::overlay) asks for. Called once.
    pub fn marking<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.json.mark(names);
        self
    }

    /// The same, calling its fields in causes those of something: `meta`.
    pub fn within(mut self, what: &'static str) -> Self {
        self.within = Some(what);
        self
    }

    /// Decodes records of any layout. Never fails: what can't be read is in [`Decoded::broken`], what doesn't fit in
    /// [`Column::misfits`].
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let text = Text::of(records);
        let Scanned { cells, broken, keys, untracked, marks } = self.scan(records, &text);
        let columns = self.fields.iter().zip(&self.slots).map(|(field, slot)| {
            let values = Values {
                cells: &cells[*slot],
                text: &text,
                within: self.within,
                path: &self.paths[*slot],
                declared: self.declared[*slot],
                strict: matches!(field.want, Want::Infer | Want::Strict(_)),
            };
            let mut json = false;
            let (array, misfits) = match field.want {
                Want::Number | Want::Infer | Want::Time => {
                    let (array, all_json, misfits) = varied::column(&values, field.want);
                    json = all_json;
                    (array, misfits)
                }
                Want::Text => values.column(Type::Text, Asked::class("text")),
                Want::Boolean => values.column(Type::Boolean, Asked::class("a boolean")),
                Want::Literal => values.literals(),
                Want::As(ty) | Want::Strict(ty) => values.column(ty, Asked::exactly(ty)),
            };
            let present = values.present();
            let absent = (present < records.len() as u64).then(|| values.absent());
            Column { array, json, misfits, present, absent }
        });
        let columns = columns.collect();
        let read = (records.len() - broken.len()) as u64;
        Decoded { columns, broken, read, keys, untracked, marks }
    }

    /// For each field the type of a column that holds all its values, whatever they are, with room for more: a bigint for
    /// integers that fit, otherwise a number. What is mixed is JSON, of CSV text.
    pub fn types(&mut self, records: &Records) -> Vec<Common> {
        let text = Text::of(records);
        let cells = self.scan(records, &text).cells;
        let untyped = matches!(records.layout, Layout::Csv(_));
        let mut scratch = String::new();
        let ty = |slot: &usize| {
            let cells = &cells[*slot];
            let path = &self.paths[*slot];
            let values = Values { cells, text: &text, within: self.within, path, declared: None, strict: true };
            let mut common = Common::default();
            for cell in cells {
                let Some(own) = values.roomy(*cell, &mut scratch) else { continue };
                let before = *common.ty.get_or_insert(own);
                let ty = match widen(before, own) {
                    Type::Json if untyped => Type::Text,
                    ty => ty,
                };
                if ty != before && matches!(ty, Type::Json | Type::Text) {
                    common.odd.get_or_insert_with(|| misfit::shortened(text.json(*cell)));
                }
                common.ty = Some(ty);
            }
            common
        };
        self.slots.iter().map(ty).collect()
    }

    fn scan(&mut self, records: &Records, text: &Text<'_>) -> Scanned {
        match &records.layout {
            Layout::Json => self.json.scan(records, text),
            Layout::Csv(layout) => self.csv.scan(records, text, layout),
        }
    }
}
