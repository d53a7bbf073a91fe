//! Decoding on demand: only the fields that are asked for become columns.
//!
//! Pass 1 goes once over every record, checks every byte of it, and notes where the wanted values lie (`cell`); pass 2
//! makes the columns, one after the other, from these places.
mod cell;
mod column;
mod csv;
mod json;
mod keys;
mod learning;
mod misfit;
mod number;
mod scalar;
#[cfg(test)]
mod tests;
mod time;

pub use learning::learned_key;

use crate::marks::Marks;
use arrow::{array::ArrayRef, buffer::BooleanBuffer};
use cell::{Cell, Scanned, Text};
use dataflow_core::types::{Learned, Type};
use dataflow_sdk::{
    batch::Dead,
    records::{Layout, Records},
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
    /// Numbers: bigint while all are integers that fit, then decimal (19 or more digits before the point, 38 in all),
    /// then double. Learned, and only widens. Once double, a number written with digits only is a misfit if a double
    /// doesn't hold it exactly. CSV: also with a plus sign, leading zeros, and blanks around.
    Number,
    /// JSON strings (CSV: the text).
    Text,
    /// true and false (CSV: their words, and `t f yes no y n 1 0`, in any case and with blanks around).
    Boolean,
    /// Points in time, from text: RFC 3339; `2026-01-02 03:04:05.6` without a zone and `2026-01-02` are taken as UTC.
    /// What is finer than a microsecond is cut off.
    Time,
    /// Anything scalar, as its text: a string's content, a number as written. For `cast(x as …)`. Nested: its JSON text.
    Literal,
    /// The narrowest type that holds all values; learned, and only widens. Mixed or nested: [`Type::Json`]. CSV: numbers as
    /// JSON writes them, true, false; everything else, and what is mixed, is text.
    /// Until there is a value, a column of type text without any, and nothing is learned.
    Infer,
    /// Exactly this type. [`Type::Json`] is the JSON text of any value, as it is written; a CSV value is a JSON string,
    /// unless it is a JSON object or array. [`Type::Number`] is a number as JSON writes it.
    As(Type),
}

/// Decodes records of one pipeline lane, again and again.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
    /// For each field, which of the scanned paths it is.
    slots: Vec<usize>,
    paths: Vec<Vec<String>>,
    learned: Learned,
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
    /// Top-level keys of the records, in order of first appearance. At most 10,000, of up to 1,024 bytes: what is
    /// beyond is not tracked.
    pub keys: Vec<Key>,
    /// Where the fields lie that were to be marked. CSV records have none.
    pub marks: Marks,
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
    /// The records that don't have it; none: all do.
    pub absent: Option<BooleanBuffer>,
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
        let mut paths: Vec<Vec<String>> = Vec::new();
        let slots = fields.iter().map(|field| match paths.iter().position(|path| *path == field.path) {
            Some(slot) => slot,
            None => {
                paths.push(field.path.clone());
                paths.len() - 1
            }
        });
        let slots = slots.collect();
        Self {
            slots,
            json: json::Scan::new(&paths),
            csv: csv::Scan::new(&paths),
            fields,
            paths,
            learned: learned.clone(),
        }
    }

    /// The same, noting where the top-level fields of these names lie in JSON records: what
    /// [`overlay`](crate::encode::overlay) asks for. Called once.
    pub fn marking<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.json.mark(names);
        self
    }

    /// Decodes records of any layout. Never fails: what can't be read is in [`Decoded::broken`], what doesn't fit in
    /// [`Column::misfits`].
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let text = Text::of(records);
        let Scanned { cells, broken, keys, marks } = match &records.layout {
            Layout::Json => self.json.scan(records, &text),
            Layout::Csv(layout) => self.csv.scan(records, &text, layout),
        };
        let mut more = false;
        let columns = self.fields.iter().zip(&self.slots).map(|(field, slot)| {
            let values = column::Values {
                cells: &cells[*slot],
                text: &text,
                path: &self.paths[*slot],
                strict: field.want == Want::Infer,
            };
            let (array, misfits) = match field.want {
                Want::Number | Want::Infer => {
                    let key = learned_key(field);
                    let known = self.learned.0.get(&key).copied();
                    let (array, misfits, ty) = learning::column(&values, field.want, known);
                    if let Some(ty) = ty.filter(|ty| known != Some(*ty)) {
                        self.learned.0.insert(key, ty);
                        more = true;
                    }
                    (array, misfits)
                }
                Want::Text => values.column(Type::Text, Asked::class("text", "text")),
                Want::Boolean => values.column(Type::Boolean, Asked::class("a boolean", "boolean")),
                Want::Time => values.column(Type::Timestamp, Asked { what: "a point in time", ty: None, cast: None }),
                Want::Literal => values.literals(),
                Want::As(ty) => values.column(ty, Asked::exactly(ty)),
            };
            let present = values.present();
            let absent = (present < records.len() as u64).then(|| values.absent());
            Column { array, misfits, present, absent }
        });
        let columns = columns.collect();
        Decoded { columns, broken, keys, marks, learned: more.then(|| self.learned.clone()) }
    }
}
