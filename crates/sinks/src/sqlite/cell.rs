//! Values of arrow columns as SQLite stores them.
use super::affinity::Affinity;
use crate::table::{Slot, decimal::Decimal, shown::shown, time};
use arrow::{
    array::{
        Array, AsArray, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use dataflow_core::types::Type;
use dataflow_formats::decode;
use dataflow_sdk::Error;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// Most digits of an integer of 64 bits.
const INTEGER_DIGITS: usize = 19;

/// An arrow column, ready to be read as SQLite stores it.
pub(super) struct Reader<'a> {
    values: Values<'a>,
    /// What SQLite may make of the values; none: it keeps whatever comes.
    guard: Option<Affinity>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Integer(&'a Int64Array),
    Real(&'a Float64Array),
    Text(&'a StringArray),
    /// Numbers as they are written.
    Number(&'a StringArray),
    /// JSON texts, in a column that makes numbers of texts.
    Json(&'a StringArray),
    /// JSON whose scalars are stored as themselves.
    Anything(&'a StringArray),
    Timestamp(&'a TimestampMicrosecondArray, &'static str),
    Date(&'a Date32Array),
    Blob(&'a BinaryArray),
}

impl<'a> Reader<'a> {
    /// A reader of a column that was asked for as `slot` says, of a table that is strict or not.
    pub(super) fn new(slot: &Slot, strict: bool, array: &'a dyn Array) -> Result<Self, Error> {
        let affinity = Affinity::of(&slot.declared, strict);
        let as_they_come = matches!(affinity, Affinity::Text | Affinity::Blob);
        let values = match slot.column.ty {
            Type::Boolean => array.as_boolean_opt().map(Values::Boolean),
            Type::Bigint => array.as_primitive_opt::<Int64Type>().map(Values::Integer),
            Type::Double => array.as_primitive_opt::<Float64Type>().map(Values::Real),
            Type::Text => array.as_string_opt().map(Values::Text),
            Type::Number => array.as_string_opt().map(Values::Number),
            Type::Any => array.as_string_opt().map(Values::Anything),
            Type::Json if as_they_come => array.as_string_opt().map(Values::Text),
            Type::Json => array.as_string_opt().map(Values::Json),
            Type::Timestamp => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(|array| Values::Timestamp(array, "Z"))
            }
            Type::Datetime => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(|array| Values::Timestamp(array, ""))
            }
            Type::Date => array.as_primitive_opt::<Date32Type>().map(Values::Date),
            Type::Binary => array.as_binary_opt().map(Values::Blob),
            // No declared type is asked for as one of these.
            Type::Smallint | Type::Integer | Type::Real | Type::Decimal { .. } | Type::Uuid => None,
        };
        let values = values.ok_or_else(|| {
            let message = format!(
                "column {} arrived as {}, but was requested as {}",
                slot.column.name,
                array.data_type(),
                slot.column.ty
            );
            Error::fatal("internal", message).for_user()
        })?;
        let safe = match (&values, affinity) {
            (Values::Integer(_), Affinity::Integer | Affinity::Numeric | Affinity::Blob)
            | (Values::Text(_), Affinity::Text | Affinity::Blob)
            | (Values::Boolean(_), Affinity::Numeric)
            // No date is a number.
            | (Values::Timestamp(..) | Values::Date(_) | Values::Blob(_), _) => true,
            _ => false,
        };
        Ok(Self { values, guard: (!safe).then_some(affinity) })
    }

    fn array(&self) -> &dyn Array {
        match &self.values {
            Values::Boolean(array) => *array,
            Values::Integer(array) => *array,
            Values::Real(array) => *array,
            Values::Text(array) | Values::Number(array) | Values::Json(array) | Values::Anything(array) => *array,
            Values::Timestamp(array, _) => *array,
            Values::Date(array) => *array,
            Values::Blob(array) => *array,
        }
    }

    /// The value of a row, or why it can't be stored.
    pub(super) fn value(&self, row: usize) -> Result<ToSqlOutput<'a>, String> {
        if self.array().is_null(row) {
            return Ok(ToSqlOutput::Owned(Value::Null));
        }
        let value = match &self.values {
            Values::Boolean(array) => ToSqlOutput::Owned(Value::Integer(array.value(row).into())),
            Values::Integer(array) => ToSqlOutput::Owned(Value::Integer(array.value(row))),
            Values::Real(array) => ToSqlOutput::Owned(Value::Real(array.value(row))),
            Values::Text(array) => text(array.value(row)),
            Values::Number(array) => ToSqlOutput::Owned(number(array.value(row))?),
            Values::Json(array) => json(array.value(row))?,
            Values::Anything(array) => anything(array.value(row))?,
            Values::Timestamp(array, zone) => ToSqlOutput::Owned(Value::Text(time::date_time(array.value(row), zone))),
            Values::Date(array) => ToSqlOutput::Owned(Value::Text(time::date(array.value(row).into()))),
            Values::Blob(array) => ToSqlOutput::Borrowed(ValueRef::Blob(array.value(row))),
        };
        match self.guard {
            Some(affinity) => kept(value, affinity),
            None => Ok(value),
        }
    }
}

/// A value that the column gives back as it is, or why it doesn't.
fn kept(value: ToSqlOutput<'_>, affinity: Affinity) -> Result<ToSqlOutput<'_>, String> {
    let stored = match &value {
        ToSqlOutput::Borrowed(stored) => *stored,
        ToSqlOutput::Owned(stored) => stored.into(),
        _ => return Ok(value),
    };
    if affinity.keeps(stored) {
        return Ok(value);
    }
    Err(match stored {
        ValueRef::Text(text) => {
            let text = shown(&String::from_utf8_lossy(text));
            format!(
                "SQLite would convert the text {text:?} to a number in a column of this type; a TEXT column keeps it"
            )
        }
        ValueRef::Integer(integer) => {
            format!("a column of this type can't hold {integer} exactly; INTEGER or TEXT can")
        }
        _ => "not a number (NaN) would be stored as NULL".into(),
    })
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

/// A JSON value in a column that would make a number of a JSON text that is one.
fn json(json: &str) -> Result<ToSqlOutput<'_>, String> {
    match json.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Ok(ToSqlOutput::Owned(number(json)?)),
        _ => Ok(text(json)),
    }
}

/// A JSON value in a column that takes anything.
fn anything(json: &str) -> Result<ToSqlOutput<'_>, String> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(content) => ToSqlOutput::Owned(Value::Text(content)),
            Err(_) => return Err(format!("{} has half of a surrogate pair", shown(json))),
        },
        Some(b'-' | b'0'..=b'9') => ToSqlOutput::Owned(number(json)?),
        _ => match json {
            "true" => ToSqlOutput::Owned(Value::Integer(1)),
            "false" => ToSqlOutput::Owned(Value::Integer(0)),
            "null" => ToSqlOutput::Owned(Value::Null),
            _ => text(json),
        },
    })
}

/// A number as SQLite can hold it without loss: an integer of 64 bits, or a double that reads back as the same digits.
fn number(text: &str) -> Result<Value, String> {
    if let Ok(integer) = text.parse::<i64>() {
        return Ok(Value::Integer(integer));
    }
    // SQLite makes an integer of a double, too, with all the digits that the double has by chance.
    let integer = Decimal::of(text).and_then(|number| number.integer(INTEGER_DIGITS)?.parse().ok());
    if let Some(integer) = integer {
        return Ok(Value::Integer(integer));
    }
    decode::double(text).map(Value::Real).map_err(|_| {
        let text = shown(text);
        format!("SQLite can't hold {text} exactly as a number; a JSON column can")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_or_refused_but_never_rounded() {
        assert_eq!(number("9007199254740993"), Ok(Value::Integer(9_007_199_254_740_993)));
        assert_eq!(number("18.50"), Ok(Value::Real(18.5)));
        assert_eq!(number("-0.30000000000000004"), Ok(Value::Real(-0.300_000_000_000_000_04)));
        assert_eq!(number("1e400").ok(), None);
        assert_eq!(number("1E3"), Ok(Value::Integer(1000)));
        assert_eq!(number("0.0"), Ok(Value::Integer(0)));
        assert_eq!(number("-4.825730070377955e18"), Ok(Value::Integer(-4_825_730_070_377_955_000)));
        assert!(number("12345678901234567890.5").is_err_and(|cause| cause.contains("exactly")));
        assert_eq!(number("48.053808600000004"), Ok(Value::Real(48.053_808_6)), "17 digits are read back as they were");
        assert_eq!(number("9007199254740993.0"), Ok(Value::Integer(9_007_199_254_740_993)));
        assert!(number("1e-400").is_err());
        assert_eq!(number("10000000000000000000"), Ok(Value::Real(1e19)));
        assert!(number("10000000000000000001").is_err());
    }

    #[test]
    fn untyped_columns_take_scalars_as_themselves() {
        assert_eq!(anything("\"a\\nb\""), Ok(ToSqlOutput::Owned(Value::Text("a\nb".into()))));
        assert_eq!(anything("12"), Ok(ToSqlOutput::Owned(Value::Integer(12))));
        assert_eq!(anything("true"), Ok(ToSqlOutput::Owned(Value::Integer(1))));
        assert_eq!(anything("[1,2]"), Ok(ToSqlOutput::Borrowed(ValueRef::Text(b"[1,2]"))));
    }
}
