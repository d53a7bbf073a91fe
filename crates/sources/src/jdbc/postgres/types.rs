//! PostgreSQL's types: which type a column has here, and how the server's text of a value becomes one.
use super::array;
use dataflow_core::types::Type;
use dataflow_formats::{decode, encode::Value};
use tokio_postgres::types::{Kind, Type as Native};

/// How the server's text of a value is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `t` and `f`.
    Boolean,
    /// Digits, taken as they are; `NaN` and infinities are texts.
    Number,
    /// Text as it is.
    Text,
    /// JSON.
    Json,
    /// Hexadecimal digits.
    Binary,
    /// A point in time, in UTC.
    Timestamp,
    /// A date and a time of day.
    Datetime,
    /// A date.
    Date,
    /// A list of such values, and what is between them.
    Array(Box<Form>, char),
}

/// A column as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its type here.
    pub(super) ty: Type,
    pub(super) form: Form,
    /// A cast without which its text would depend on the server's settings, or say too little.
    pub(super) cast: Option<&'static str>,
}

/// How a column of this type and modifier is read.
pub(super) fn reading(native: &Native, modifier: i32) -> Reading {
    let plain = |ty, form| Reading { ty, form, cast: None };
    match native.kind() {
        Kind::Domain(base) => return reading(base, modifier),
        Kind::Composite(_) => return Reading { ty: Type::Json, form: Form::Json, cast: Some("to_json") },
        // Two types of the catalogue that are written like no other array.
        Kind::Array(_) if matches!(*native, Native::INT2_VECTOR | Native::OID_VECTOR) => {
            return plain(Type::Text, Form::Text);
        }
        Kind::Array(element) => {
            let of = reading(element, -1);
            return match of.cast {
                Some("to_json") => Reading { ty: Type::Json, ..of },
                Some(_) => {
                    Reading { ty: Type::Json, form: Form::Array(Box::new(of.form), ','), cast: Some("numeric[]") }
                }
                None => {
                    let between = if *element == Native::BOX { ';' } else { ',' };
                    plain(Type::Json, Form::Array(Box::new(of.form), between))
                }
            };
        }
        _ => {}
    }
    match *native {
        Native::BOOL => plain(Type::Boolean, Form::Boolean),
        Native::INT2 => plain(Type::Smallint, Form::Number),
        Native::INT4 => plain(Type::Integer, Form::Number),
        Native::INT8 | Native::OID => plain(Type::Bigint, Form::Number),
        Native::FLOAT4 => plain(Type::Real, Form::Number),
        Native::FLOAT8 => plain(Type::Double, Form::Number),
        Native::NUMERIC => plain(numeric(modifier), Form::Number),
        // Its text depends on the server's locale.
        Native::MONEY => Reading { ty: Type::Number, form: Form::Number, cast: Some("numeric") },
        Native::BYTEA => plain(Type::Binary, Form::Binary),
        Native::TIMESTAMPTZ => plain(Type::Timestamp, Form::Timestamp),
        Native::TIMESTAMP => plain(Type::Datetime, Form::Datetime),
        Native::DATE => plain(Type::Date, Form::Date),
        Native::UUID => plain(Type::Uuid, Form::Text),
        Native::JSON | Native::JSONB => plain(Type::Json, Form::Json),
        Native::RECORD => Reading { ty: Type::Json, form: Form::Json, cast: Some("to_json") },
        // Texts, enums, times of day, intervals, networks, ranges, geometry, XML, types of extensions: the server's own text.
        _ => plain(Type::Text, Form::Text),
    }
}

/// `numeric(p,s)` where a decimal of ours holds it; any number otherwise.
fn numeric(modifier: i32) -> Type {
    let known = (modifier >= 4).then(|| ((modifier - 4) >> 16 & 0xffff, (((modifier - 4) & 0x7ff) ^ 1024) - 1024));
    match known.map(|(precision, scale)| (u8::try_from(precision), u8::try_from(scale))) {
        Some((Ok(precision @ 1..=38), Ok(scale))) if scale <= precision => Type::Decimal { precision, scale },
        _ => Type::Number,
    }
}

impl Form {
    /// A value, of which `scratch` keeps what had to be made of its text.
    pub(super) fn value<'a>(&self, text: &'a str, scratch: &'a mut Vec<u8>) -> Value<'a> {
        match self {
            Self::Boolean => Value::Boolean(text == "t"),
            Self::Number => Value::Number(text),
            Self::Text => Value::Text(text),
            Self::Json => Value::Json(text),
            Self::Binary => match unhex(text, scratch) {
                Some(()) => Value::Binary(scratch),
                None => Value::Text(text),
            },
            // What the calendar here doesn't have (infinity, years before 1 or after 9999) stays the server's text.
            Self::Timestamp => decode::micros(text).map_or(Value::Text(text), Value::Timestamp),
            Self::Datetime => decode::micros(text).map_or(Value::Text(text), Value::Datetime),
            Self::Date => decode::days(text).map_or(Value::Text(text), Value::Date),
            Self::Array(element, between) => match array::json(text, element, *between, scratch) {
                Some(()) => std::str::from_utf8(scratch).map_or(Value::Text(text), Value::Json),
                // An array that does not begin at 1 is no list: as one it would be another value.
                None => Value::Text(text),
            },
        }
    }
}

/// The bytes of `\x00ff`.
fn unhex(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16);
    bytes.clear();
    for pair in digits.chunks(2) {
        let &[high, low] = pair else { return None };
        bytes.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_limits() {
        assert_eq!(numeric(-1), Type::Number);
        assert_eq!(numeric((10 << 16 | 2) + 4), Type::Decimal { precision: 10, scale: 2 });
        assert_eq!(numeric((50 << 16 | 2) + 4), Type::Number);
        assert_eq!(numeric((2 << 16 | 0x7fd) + 4), Type::Number); // numeric(2,-3)
    }

    #[test]
    fn texts_of_the_server_become_values() {
        let mut scratch = Vec::new();
        for (form, text, expected) in [
            (Form::Boolean, "t", Value::Boolean(true)),
            (Form::Number, "123456789012345678901234567890.10", Value::Number("123456789012345678901234567890.10")),
            (Form::Timestamp, "2026-01-02 03:04:05.678901+00", Value::Timestamp(1_767_323_045_678_901)),
            (Form::Timestamp, "infinity", Value::Text("infinity")),
            (Form::Timestamp, "0044-03-15 12:00:00+00 BC", Value::Text("0044-03-15 12:00:00+00 BC")),
            (Form::Datetime, "1969-12-31 23:59:59.999999", Value::Datetime(-1)),
            (Form::Date, "1970-01-02", Value::Date(1)),
            (Form::Date, "10000-01-01", Value::Text("10000-01-01")),
            (Form::Binary, "\\x00fF", Value::Binary(&[0, 255])),
            (Form::Binary, "\\x", Value::Binary(&[])),
            (Form::Array(Box::new(Form::Number), ','), "{1,NULL}", Value::Json("[1,null]")),
            (Form::Array(Box::new(Form::Number), ','), "[0:1]={1,2}", Value::Text("[0:1]={1,2}")),
        ] {
            assert_eq!(form.value(text, &mut scratch), expected, "{text}");
        }
    }
}
