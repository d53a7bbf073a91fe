//! What is said of values and records that don't fit.
use super::{Cell, Text, cell::Kind, number, remedy};
use dataflow_core::types::Type;
use dataflow_sdk::records::Oversized;

/// Characters of a value that are shown.
const SHOWN: usize = 64;

/// What a column asks for, for its misfits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// In words: `a number`.
    pub what: &'static str,
    /// The exact type, where one was asked for.
    pub ty: Option<Type>,
    /// The type that a cast would have to name for the value to be taken, if one can help.
    pub cast: Option<&'static str>,
}

impl Asked {
    /// A class of values.
    pub(super) fn class(what: &'static str, cast: &'static str) -> Self {
        Self { what, ty: None, cast: Some(cast) }
    }

    /// Exactly a type.
    pub(super) fn exactly(ty: Type) -> Self {
        let (what, cast) = match ty {
            Type::Boolean => ("a boolean", Some("boolean")),
            Type::Smallint => ("an integer", Some("smallint")),
            Type::Integer => ("an integer", Some("integer")),
            Type::Bigint => ("an integer", Some("bigint")),
            Type::Real => ("a number", Some("real")),
            Type::Double => ("a number", Some("double")),
            Type::Decimal { .. } | Type::Number => ("a number", Some("decimal")),
            Type::Text => ("text", Some("text")),
            Type::Timestamp => ("a point in time", None),
            Type::Datetime => ("a date and time", None),
            Type::Date => ("a date", None),
            Type::Uuid => ("text", None),
            Type::Binary => ("base64", None),
            Type::Json => ("JSON", None),
        };
        Self { what, ty: Some(ty), cast }
    }
}

impl Asked {
    /// Whether it is a number of some kind.
    pub(super) fn is_number(self) -> bool {
        matches!(self.what, "a number" | "an integer")
    }

    /// Whether it is a time or a date.
    pub(super) fn is_time(self) -> bool {
        matches!(self.what, "a point in time" | "a date and time" | "a date")
    }
}

/// Why a value of the right class doesn't fit; empty: it is of another class.
pub(super) type Why = &'static str;

/// The value is of another class.
pub(super) const CLASS: Why = "";
/// A string has half of a surrogate pair.
pub(super) const SURROGATE: Why = "which has half of a surrogate pair";

/// Field, value and what it should have been.
#[cold]
pub(super) fn cause(path: &str, cell: Cell, text: &Text<'_>, asked: Asked, why: Why) -> String {
    let value = match cell.kind {
        Kind::String | Kind::Escaped => format!("the string {}", shortened(text.json(cell))),
        Kind::Number => format!("the number {}", shortened(text.raw(cell))),
        Kind::Object => format!("the object {}", shortened(text.raw(cell))),
        Kind::Array => format!("the array {}", shortened(text.raw(cell))),
        Kind::Untyped | Kind::Doubled => format!("the value {:?}", shortened(text.raw(cell))),
        Kind::True => "true".into(),
        Kind::False => "false".into(),
        Kind::Null | Kind::Missing => "null".into(),
    };
    let ty = asked.ty.map(|ty| format!(" ({ty})")).unwrap_or_default();
    let mut cause = if path.is_empty() { value } else { format!("field {path:?} has {value}") };
    if !why.is_empty() {
        cause.push(' ');
        cause.push_str(why);
    }
    cause.push_str(&format!(", {}{ty} was asked for", asked.what));
    let scalar = !matches!(cell.kind, Kind::Object | Kind::Array | Kind::Untyped | Kind::Doubled);
    // A string that is no number doesn't become one by a cast.
    let is_word = matches!(cell.kind, Kind::String | Kind::Escaped) && !number::is_number(text.raw(cell).trim_ascii());
    let remedy = match cell.kind {
        _ if path.is_empty() => None,
        Kind::String | Kind::Escaped => remedy::remedy(path, text.raw(cell), false, asked),
        Kind::Untyped | Kind::Doubled => remedy::remedy(path, text.raw(cell), true, asked),
        Kind::Number if asked.is_time() => remedy::epoch(path, text.raw(cell)),
        _ => None,
    };
    if let Some(remedy) = remedy.filter(|_| why.is_empty() || asked.is_time()) {
        cause.push_str("; ");
        cause.push_str(&remedy);
    } else if let Some(cast) = asked.cast.filter(|_| why.is_empty() && scalar && !(asked.is_number() && is_word)) {
        let whole = number::integer(text.raw(cell)).is_some();
        let cast = if cast == "double" && asked.ty.is_none() && whole { "bigint" } else { cast };
        cause.push_str(&format!("; use cast({path} as {cast})"));
    }
    cause
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.into(),
    }
}

/// Why a last line without a line break is broken, where the spec says so.
pub(super) fn unfinished() -> (&'static str, String) {
    (
        "unfinished",
        "the file ends without a line break after this record, which may be half-written (lastLine: dead)".into(),
    )
}

/// Why a record over the limit is broken.
pub(super) fn oversized(large: &Oversized) -> (&'static str, String) {
    let Oversized { length, hash, .. } = large;
    (
        "too-large",
        format!("the record has {length} bytes, more than maxRecordBytes allows (xxh3-64 of all of it: {hash})"),
    )
}
