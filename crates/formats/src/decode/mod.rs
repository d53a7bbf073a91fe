//! Decoding on demand: only the wanted fields become columns.
//!
//! Pass 1 scans every record once, checks every byte, and records where the wanted values lie (`cell`); pass 2 builds
//! the columns from these locations, one after the other.
mod cell;
mod column;
mod csv;
mod inside;
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

use crate::{
    json::{self as text, Token},
    marks::Marks,
};
use arrow::{
    array::{Array, ArrayRef, StringArray},
    buffer::BooleanBuffer,
};
use cell::{Cell, Scanned, Text};
use column::Values;
use dataflow_core::types::Type;
use dataflow_sdk::{
    batch::Dead,
    declared::Numbers,
    records::{Layout, Records, Span},
};
use misfit::Asked;

/// A field of raw records that is wanted as a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Keys from the top: `["address", "city"]`. Case-sensitive, as written. `["a.b"]` is one key that contains a dot.
    /// No record has an empty path. Of CSV records only fields that are [declared](Decoder::declaring) as JSON have fields.
    pub path: Vec<String>,
    /// How its values are interpreted. The same path may be wanted in several ways.
    pub want: Want,
}

/// How the values of a field are interpreted.
///
/// JSON null, a missing field and a CSV value that stands for null are NULL. Numbers are compared by value, not by
/// spelling: `18.0` and `1.8e1` are the integer 18. Integers are never rounded: one that a column's type can't hold
/// exactly is a misfit. Half of a surrogate pair (`"\ud800"`) is not a character: its string is a misfit where text is
/// wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Numbers, each in its own type, independent of the others: bigint for an integer that fits, otherwise decimal
    /// (with one of a few scales, which limits the number of types), and double only if no decimal holds it but a
    /// double does. NULL is a bigint. CSV: also with a plus sign, leading zeros, and surrounding blanks.
    Number,
    /// JSON strings (CSV: the text).
    Text,
    /// true and false (CSV: these words, and `t f yes no y n 1 0`, in any case and with surrounding blanks).
    Boolean,
    /// Points in time, from text: RFC 3339; `2026-01-02 03:04:05.6` without a zone and `2026-01-02` count as UTC. In
    /// microseconds; finer ones in nanoseconds.
    Time,
    /// Any scalar as its text: a string's content, a number as written. For `cast(x as …)`. Nested values: their JSON
    /// text.
    Literal,
    /// Each value in its own type: a number as above, a boolean, text, or JSON text if it is nested. NULL is of the
    /// null type. CSV: numbers as JSON writes them without an exponent, true, false; everything else is text.
    Infer,
    /// Exactly this type; of CSV values only those in the canonical spelling of the type: `007` is not a bigint, and
    /// `yes` not a boolean.
    Strict(Type),
    /// Exactly this type. [`Type::Json`] is the JSON text of any value, as written; a CSV value has to be JSON, and is NULL if it is
    /// `null`.
    /// [`Type::Any`] is the same, except that a CSV value becomes a JSON string. [`Type::Number`] is a number as JSON
    /// writes it.
    As(Type),
}

/// Decodes the records of one pipeline lane, batch after batch.
#[derive(Debug)]
pub struct Decoder {
    fields: Vec<Field>,
    /// The scanned path of each field.
    slots: Vec<usize>,
    paths: Vec<Vec<String>>,
    /// The declared type of each scanned path.
    declared: Vec<Option<Type>>,
    /// Which numbers the columns of the sink hold.
    numbers: Numbers,
    /// The prefix of field names in causes: `meta`.
    within: Option<&'static str>,
    json: json::Scan,
    csv: csv::Scan,
}

/// The decoded form of one [`Records`].
#[derive(Debug)]
pub struct Decoded {
    /// One column per field, in their order, each with one value per record; NULL if missing, null, broken or a misfit.
    pub columns: Vec<Column>,
    /// Records that can't be read at all. By rising row. Codes: `not-json` (strictly RFC 8259), `not-object`,
    /// `too-deep` (more than [`MAX_DEPTH`](crate::MAX_DEPTH) levels), `not-utf8`, `too-large`, `tombstone`; for CSV
    /// `csv-fields` (too few or too many) and `not-csv` (quotes that don't match).
    pub broken: Vec<Dead>,
    /// Counts the records that could be read.
    pub read: u64,
    /// Top-level keys of the records, by first appearance. At most 10,000, of up to 1,024 bytes: the others are in
    /// [`Self::untracked`].
    pub keys: Vec<Key>,
    /// The untracked top-level keys, as written: beyond the limit, too long, or with half of a surrogate pair, which no
    /// expression can name. By rising row.
    pub untracked: Vec<Untracked>,
    /// The locations of the fields to be marked. Empty for CSV records.
    pub marks: Marks,
}

/// An untracked top-level key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untracked {
    /// The record that has it.
    pub row: u32,
    /// Its name in the buffer of the records, between the quotes.
    pub name: Span,
}

/// A decoded column.
#[derive(Debug)]
pub struct Column {
    /// Its values. If each has its own type and the types differ: a dense union, whose field [`JSON`] holds JSON texts.
    pub array: ArrayRef,
    /// Whether all its texts are JSON, when each value has its own type.
    pub json: bool,
    /// Values that don't fit. By rising row. The user of the column decides whether that kills the record.
    pub misfits: Vec<Misfit>,
    /// Counts the records that have the field, null included.
    pub present: u64,
    /// The records that lack the field; `None` if none does. One in which something else is where the object of a path should be
    /// (`{"a": null}` for a.b) has no such field, but says so: there it is NULL.
    pub absent: Option<BooleanBuffer>,
}

/// The common type of a field's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The type of a column that holds them; `None` while all values are null.
    pub ty: Option<Type>,
    /// The first value without a type in common with the earlier ones.
    pub odd: Option<String>,
}

/// A value that does not fit the wanted type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The record's row.
    pub row: u32,
    /// Field, value (shortened) and expected type.
    pub cause: String,
    /// For a source field, the type of a column that can hold both this value and the expected ones.
    pub suits: Option<Type>,
}

/// A top-level key of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Counts the records that have it.
    pub records: u64,
    /// The last record that has it.
    pub last_row: u32,
}

/// Converts texts to a type, like untyped ones of a source in canonical spelling. A text that doesn't fit becomes NULL and a
/// misfit.
pub fn texts(texts: &StringArray, ty: Type) -> (ArrayRef, Vec<Misfit>) {
    of_kind(texts, ty, |_| cell::Kind::Untyped)
}

/// Converts numbers, given as texts, to a type, as numbers of a source. One that doesn't fit becomes NULL and a misfit.
pub fn numbers(numbers: &StringArray, ty: Type) -> (ArrayRef, Vec<Misfit>) {
    // NaN and infinities are none.
    let kind = |text: &str| if number::is_json_number(text) { cell::Kind::Number } else { cell::Kind::Untyped };
    of_kind(numbers, ty, kind)
}

/// Infers the type of a column for untyped texts, as for the fields of CSV records.
pub fn type_of_texts(texts: &StringArray) -> Common {
    let cells = cells_of(texts, |_| cell::Kind::Untyped);
    Values::as_they_are(&cells, &Text::of_all(texts.value_data())).common(true)
}

fn cells_of(texts: &StringArray, kind: impl Fn(&str) -> cell::Kind) -> Vec<Cell> {
    let cell = |row: usize| {
        let (start, end) = (texts.value_offsets()[row] as u32, texts.value_offsets()[row + 1] as u32);
        Cell { start, end, kind: if texts.is_null(row) { cell::Kind::Null } else { kind(texts.value(row)) } }
    };
    (0..texts.len()).map(cell).collect()
}

fn of_kind(texts: &StringArray, ty: Type, kind: impl Fn(&str) -> cell::Kind) -> (ArrayRef, Vec<Misfit>) {
    let cells = cells_of(texts, kind);
    let text = Text::of_all(texts.value_data());
    Values::as_they_are(&cells, &text).column(ty, Asked::exactly(ty))
}

/// Converts JSON texts to a type, as the values of a field are. One that doesn't fit becomes NULL and a misfit.
pub fn values(texts: &StringArray, ty: Type) -> (ArrayRef, Vec<Misfit>) {
    let cell = |row: usize| {
        let start = texts.value_offsets()[row] as usize;
        let token = texts.is_valid(row).then(|| text::validate(texts.value(row).as_bytes()).ok()).flatten();
        let at = |token: Token| Token { start: start + token.start, end: start + token.end, ..token };
        token.map_or(Cell::MISSING, |token| Cell::of(at(token)))
    };
    let cells: Vec<Cell> = (0..texts.len()).map(cell).collect();
    let text = Text::of_all(texts.value_data());
    Values::as_they_are(&cells, &text).column(ty, Asked::exactly(ty))
}

impl Decoder {
    /// Creates a decoder of these fields.
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
        Self { slots, json, csv, fields, paths, declared, numbers: Numbers::Any, within: None }
    }

    /// Adds the declared types of fields: paths go into those of CSV records that are declared as JSON, and causes depend on them.
    pub fn declaring(mut self, declared: impl Fn(&[String]) -> Option<Type>) -> Self {
        self.declared = self.paths.iter().map(|path| declared(path)).collect();
        self.csv.declare(|name| declared(&[name.to_owned()]) == Some(Type::Json));
        self
    }

    /// Adds which numbers the columns of the sink hold: causes name types that work there.
    pub fn with_numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// Also records where the top-level fields with these names lie in JSON records, for
    /// [`overlay`](crate::encode::overlay). Call it once.
    pub fn marking<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.json.mark(names);
        self
    }

    /// Prefixes field names in causes: `meta`.
    pub fn within(mut self, what: &'static str) -> Self {
        self.within = Some(what);
        self
    }

    /// Decodes records of any layout. Never fails: unreadable records are in [`Decoded::broken`], values that don't fit
    /// in [`Column::misfits`].
    pub fn decode(&mut self, records: &Records) -> Decoded {
        let text = Text::of(records);
        let Scanned { cells, broken, keys, untracked, marks, documents } = self.scan(records, &text);
        let documents = Text::of_all(&documents);
        let columns = self.fields.iter().zip(&self.slots).map(|(field, slot)| {
            let values = Values {
                cells: &cells[*slot],
                text: if self.is_inside(*slot, records) { &documents } else { &text },
                within: self.within,
                path: &self.paths[*slot],
                declared: self.declared[*slot],
                numbers: self.numbers,
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
            let absent = (present < records.len() as u64).then(|| values.absent()).flatten();
            Column { array, json, misfits, present, absent }
        });
        let columns = columns.collect();
        let read = (records.len() - broken.len()) as u64;
        Decoded { columns, broken, read, keys, untracked, marks }
    }

    /// Infers for each field the type of a column that can hold all its values and similar ones: that of the source's column,
    /// if it has one; bigint for integers that fit, otherwise a number type. Mixed values give JSON, for CSV text.
    pub fn types(&mut self, records: &Records) -> Vec<Common> {
        let text = Text::of(records);
        let Scanned { cells, documents, .. } = self.scan(records, &text);
        let documents = Text::of_all(&documents);
        let known = |path: &[String]| match (&records.layout, path) {
            // One that may hold anything has the type of what it holds.
            (Layout::Columns(columns), [name]) => columns.type_of(name).filter(|ty| *ty != Type::Any),
            _ => None,
        };
        let ty = |slot: &usize| {
            let path = &self.paths[*slot];
            if let Some(ty) = known(path) {
                return Common { ty: Some(ty), odd: None };
            }
            let inside = self.is_inside(*slot, records);
            let untyped = matches!(records.layout, Layout::Csv(_)) && !inside;
            Values::as_they_are(&cells[*slot], if inside { &documents } else { &text }).common(untyped)
        };
        self.slots.iter().map(ty).collect()
    }

    /// Whether the values of a path lie within fields of these CSV records.
    fn is_inside(&self, slot: usize, records: &Records) -> bool {
        matches!(records.layout, Layout::Csv(_)) && self.csv.is_inside(slot)
    }

    fn scan(&mut self, records: &Records, text: &Text<'_>) -> Scanned {
        match &records.layout {
            Layout::Json | Layout::Columns(_) => self.json.scan(records, text),
            Layout::Csv(layout) => self.csv.scan(records, text, layout),
        }
    }
}
