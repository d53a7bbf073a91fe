//! Fixes for values that nearly fit, in the notations of other programs.
//!
//! A recommended expression can be copied as it is, is accepted, and gives the intended value; without that certainty
//! nothing is recommended.
mod name;
mod number;
mod time;

pub(super) use name::expression;

use super::{
    cell::Kind,
    misfit::{Asked, Why},
    number::wide,
    scalar,
};
use dataflow_core::types::Type;

/// A value that doesn't fit.
pub(super) struct Misfitting<'a> {
    /// Its field, as an expression names it.
    pub name: &'a str,
    /// The kind of value.
    pub kind: Kind,
    /// Its content.
    pub text: &'a str,
    /// The type that was asked for.
    pub asked: Asked,
    /// Why it doesn't fit.
    pub why: Why,
}

/// Words that denote a missing value.
const NOTHING: [&str; 15] =
    ["na", "n/a", "#n/a", "null", "none", "nil", "nan", "-", "--", "?", ".", "unknown", "missing", "\\n", ""];

/// Suggests a fix for a value, if its cause is a usual one. An expression reads a declared field in its declared type,
/// so it can convert the value only after the declaration is removed.
pub(super) fn remedy(value: &Misfitting<'_>) -> Option<String> {
    let remedy = usual(value);
    let Asked { ty, declared: Some(declared), .. } = value.asked else { return remedy };
    let remedy = remedy.map(|remedy| match remedy {
        _ if !remedy.contains("use ") => remedy,
        _ if remedy.starts_with("use ") => format!("remove it from schema and {remedy} in a map"),
        _ => format!("remove it from schema and, {remedy} in a map"),
    });
    // A declared number is a double where the sink has no other.
    let own = ty == Some(declared) || declared == Type::Number && ty == Some(Type::Double);
    let wide = (own && number::is_kept(value)).then(|| wide(value.text.trim_ascii(), value.asked));
    let wider = wide.filter(|wide| *wide != declared).map(|wide| format!("declare it as \"{wide}\" in schema"));
    match (wider, remedy) {
        (Some(wider), Some(remedy)) => Some(format!("{wider}, or {remedy}")),
        (wider, remedy) => wider.or(remedy),
    }
}

fn usual(value: &Misfitting<'_>) -> Option<String> {
    let Misfitting { name, kind, text, asked, .. } = *value;
    let (is_text, is_untyped) =
        (matches!(kind, Kind::String | Kind::Escaped), matches!(kind, Kind::Untyped | Kind::Doubled));
    if (is_text || is_untyped)
        && (asked.is_time() || asked.is_number())
        && NOTHING.contains(&text.trim().to_lowercase().as_str())
    {
        // An empty one is in quotes, or it would be null; no setting makes it that.
        return Some(match is_untyped && !text.is_empty() {
            true => format!("if it stands for no value, set nullValues: [{text:?}, \"\"] at the source"),
            false => {
                // A double, or the type itself, would round the numbers of other records.
                let ty = if asked.is_number() { number::usual(asked) } else { sql(asked) };
                let value = text_of(value);
                format!("if it stands for no value, use cast(nullif({value}, '{text}') as {ty})")
            }
        });
    }
    match kind {
        Kind::String | Kind::Escaped | Kind::Untyped | Kind::Doubled if asked.is_time() => time::of_text(value),
        Kind::Number if asked.is_time() => time::of_number(name, text, asked),
        Kind::String | Kind::Escaped | Kind::Untyped | Kind::Doubled | Kind::Number if asked.is_number() => {
            number::remedy(value)
        }
        Kind::Number | Kind::True | Kind::False if asked.what == "text" && asked.ty != Some(Type::Uuid) => {
            Some(format!("use cast({name} as text)"))
        }
        Kind::String | Kind::Escaped | Kind::Untyped | Kind::Doubled if asked.what == "a boolean" => {
            scalar::boolean(text.trim_ascii()).map(|_| format!("use cast({name} as boolean)"))
        }
        _ => None,
    }
}

/// The text of a field whose value is a text, also in records where it is a number: functions of texts don't take numbers.
fn text_of(value: &Misfitting<'_>) -> String {
    let name = value.name;
    match value.kind {
        Kind::String | Kind::Escaped => format!("cast({name} as text)"),
        _ => name.into(),
    }
}

/// The type as an expression names it.
fn sql(asked: Asked) -> String {
    match asked.ty {
        Some(Type::Decimal { precision, scale }) => format!("decimal({precision}, {scale})"),
        Some(Type::Datetime) => "timestamp".into(),
        Some(Type::Date) => "date".into(),
        Some(ty @ (Type::Smallint | Type::Integer | Type::Bigint | Type::Real)) => ty.to_string(),
        _ if asked.is_time() => "timestamptz".into(),
        _ => "double".into(),
    }
}
