//! Values as SQLite stores them, each with a type of its own.
use crate::jdbc::position::{Key, KeyValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use dataflow_formats::encode::Value;
use rusqlite::types::{Value as Stored, ValueRef};
use std::borrow::Cow;

/// A value of a record.
pub(super) fn value(stored: ValueRef<'_>) -> Value<'_> {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Double(number),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_or(Value::Foreign(bytes), Value::Text),
        ValueRef::Blob(bytes) => Value::Binary(bytes),
    }
}

/// What a value says of the row that it identifies.
pub(super) fn text(stored: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match stored {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(KeyValue::Real(number).text().into()),
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
        ValueRef::Blob(bytes) => Some(BASE64_STANDARD.encode(bytes).into()),
    }
}

/// A value in whose order rows are read.
///
/// # Errors
/// What it is, if a position can't name it.
pub(super) fn key(stored: ValueRef<'_>) -> Result<KeyValue, &'static str> {
    match stored {
        ValueRef::Null => Err("NULL"),
        ValueRef::Integer(number) => Ok(KeyValue::Whole(number)),
        ValueRef::Real(number) if number.is_finite() => Ok(KeyValue::Real(number)),
        ValueRef::Real(_) => Err("an infinity"),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(KeyValue::Text(text.into())),
            Err(_) => Err("a text that is not UTF-8"),
        },
        ValueRef::Blob(bytes) => Ok(KeyValue::Bytes(bytes.into())),
    }
}

/// The value of a key as SQLite stores it.
pub(super) fn stored(value: &KeyValue) -> Stored {
    match value {
        KeyValue::Whole(number) => Stored::Integer(*number),
        KeyValue::Real(number) => Stored::Real(*number),
        KeyValue::Text(text) => Stored::Text(text.clone()),
        KeyValue::Bytes(bytes) => Stored::Blob(bytes.clone()),
    }
}

/// Whether two keys that differ may be the same for SQLite: as numbers of two kinds, or by a collation (NOCASE, RTRIM).
pub(super) fn may_be_equal(one: &Key, other: &Key) -> bool {
    let folded = |text: &str| text.trim_end_matches(' ').to_ascii_lowercase();
    one.len() == other.len()
        && one.iter().zip(other).all(|values| match values {
            (KeyValue::Text(one), KeyValue::Text(other)) => one == other || folded(one) == folded(other),
            (KeyValue::Whole(whole), KeyValue::Real(real)) | (KeyValue::Real(real), KeyValue::Whole(whole)) => {
                *whole as f64 == *real
            }
            (one, other) => one == other,
        })
}
