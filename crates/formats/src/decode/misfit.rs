//! Messages about values and records that don't fit.
use super::{
    Cell, Text,
    cell::Kind,
    number,
    remedy::{self, Misfitting},
};
use crate::foreign;
use dataflow_core::types::Type;
use dataflow_sdk::{declared::Numbers, records::Oversized};

/// The number of characters shown of a value.
const SHOWN: usize = 64;

/// The type that a column asks for, for messages about its misfits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// In words: `a number`.
    pub what: &'static str,
    /// The exact type, if one was asked for.
    pub ty: Option<Type>,
    /// The declared type of the field.
    pub declared: Option<Type>,
    /// Which numbers the columns of the sink hold.
    pub numbers: Numbers,
}

impl Asked {
    /// Asks for a class of values.
    pub(super) fn class(what: &'static str) -> Self {
        Self { what, ty: None, declared: None, numbers: Numbers::Any }
    }

    /// Asks for an exact type.
    pub(super) fn exactly(ty: Type) -> Self {
        let what = match ty {
            Type::Boolean => "a boolean",
            Type::Smallint | Type::Integer | Type::Bigint => "an integer",
            Type::Real | Type::Double | Type::Decimal { .. } | Type::Number => "a number",
            Type::Text | Type::Uuid => "text",
            Type::Timestamp => "a point in time",
            Type::Datetime => "a date and time",
            Type::Date => "a date",
            Type::Binary => "base64",
            Type::Json | Type::Any => "JSON",
        };
        Self { what, ty: Some(ty), declared: None, numbers: Numbers::Any }
    }
}

impl Asked {
    /// Whether it is a number of some kind.
    pub(super) fn is_number(self) -> bool {
        matches!(self.what, "a number" | "an integer")
    }

    /// Whether its values are spelled as texts, of which it takes only some.
    fn is_of_texts(self) -> bool {
        self.is_time() || matches!(self.ty, Some(Type::Uuid | Type::Binary))
    }

    /// Whether it is a time or a date.
    pub(super) fn is_time(self) -> bool {
        matches!(self.what, "a point in time" | "a date and time" | "a date")
    }
}

/// Why a value of the right class doesn't fit; empty if it is of another class.
pub(super) type Why = &'static str;

/// The value is of another class.
pub(super) const CLASS: Why = "";
/// Untyped text denotes a value of the class in another spelling: converting it would lose information.
pub(super) const SPELLING: Why = "which is not spelled like one";
/// Untyped text is not the JSON that it was to be.
pub(super) const NOT_JSON: Why = "which is not JSON";
/// A string contains half of a surrogate pair.
pub(super) const SURROGATE: Why = "which has half of a surrogate pair";

/// Describes field, value and expected type. `name` is the field as an expression names it.
#[cold]
pub(super) fn cause(path: &str, name: &str, cell: Cell, text: &Text<'_>, asked: Asked, why: Why) -> String {
    let value = match cell.kind {
        Kind::String | Kind::Escaped => format!("the string {}", shortened(text.json(cell))),
        Kind::Number => format!("the number {}", shortened(text.raw(cell))),
        Kind::Object => format!("the object {}", shortened(text.raw(cell))),
        Kind::Array => format!("the array {}", shortened(text.raw(cell))),
        Kind::Untyped | Kind::Doubled | Kind::NotJson => format!("the value {:?}", shortened(text.raw(cell))),
        Kind::True => "true".into(),
        Kind::False => "false".into(),
        Kind::Null | Kind::Missing | Kind::Barred => "null".into(),
    };
    let named = |ty: &String| asked.what.to_lowercase().ends_with(ty);
    let ty = asked.ty.map(|ty| ty.to_string()).filter(|ty| !named(ty)).map(|ty| format!(" ({ty})")).unwrap_or_default();
    let mut cause = if path.is_empty() { value } else { format!("field {path:?} has {value}") };
    if !why.is_empty() {
        cause.push(' ');
        cause.push_str(why);
    }
    cause.push_str(&format!(", {}{ty} was asked for", asked.what));
    let mut scratch = String::new();
    let text = text.content(cell, &mut scratch);
    if let Some(remedy) = text
        .filter(|_| !name.is_empty())
        .and_then(|text| remedy::remedy(&Misfitting { name, kind: cell.kind, text, asked, why }))
    {
        cause.push_str("; ");
        cause.push_str(&remedy);
    }
    cause
}

/// The type of a column that can hold the misfit together with the values that fit; none: no type does everywhere.
#[cold]
pub(super) fn suits(cell: Cell, text: &Text<'_>, asked: Asked, why: Why) -> Option<Type> {
    let content = || match cell.kind {
        Kind::Number | Kind::Untyped => text.raw(cell),
        _ => "",
    };
    Some(match cell.kind {
        _ if why == SURROGATE => return None,
        _ if asked.is_number() && number::is_plain(content()) => number::wide(content(), asked),
        Kind::Number if asked.is_number() => number::wide(content(), asked),
        Kind::Untyped | Kind::Doubled | Kind::NotJson => Type::Text,
        // Those that fit are texts, too.
        Kind::String | Kind::Escaped if asked.is_of_texts() => Type::Text,
        _ => Type::Json,
    })
}

pub(super) fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.into(),
    }
}

/// The cause for a record that is not UTF-8.
pub(super) fn not_utf8(record: &[u8], at: usize) -> (&'static str, String) {
    ("not-utf8", format!("the record is not UTF-8 at byte {at}; {}", foreign::encoding(record)))
}

/// The cause for a last line without a line break, if the spec rejects it.
pub(super) fn unfinished() -> (&'static str, String) {
    (
        "unfinished",
        "the file ends without a line break after this record, which may be half-written (lastLine: dead)".into(),
    )
}

/// The cause for a record over the size limit.
pub(super) fn oversized(large: &Oversized) -> (&'static str, String) {
    let Oversized { length, hash, .. } = large;
    (
        "too-large",
        format!("the record has {length} bytes, more than maxRecordBytes allows (xxh3-64 of all of it: {hash})"),
    )
}
