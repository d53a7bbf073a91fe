//! MySQL's types: which type a column has here, and how the server's text of a value becomes one.
use dataflow_core::types::Type;
use dataflow_formats::{decode, encode::Value};
use dataflow_mysql::Column;

/// How the server's text of a value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `1` and `0`.
    Boolean,
    /// Digits, taken as they are, but for zeros that only fill.
    Number,
    /// A number of single precision, written with more digits than it has.
    Single,
    Text,
    Json,
    Binary,
    /// A point in time, in UTC.
    Timestamp,
    /// A date and a time of day.
    Datetime,
    Date,
}

/// A column as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its type here.
    pub(super) ty: Type,
    pub(super) form: Form,
    /// What stands before and after its name, so that its text says all of it.
    around: [String; 2],
}

/// The flags of the protocol.
mod flag {
    pub(super) const NOT_NULL: u16 = 1;
    pub(super) const UNSIGNED: u16 = 1 << 5;
    pub(super) const ENUM: u16 = 1 << 8;
    pub(super) const SET: u16 = 1 << 11;
}
/// The collation of bytes.
const BYTES: u16 = 63;

/// How a column is read. The types are the protocol's: <https://mariadb.com/kb/en/result-set-packets/#field-types>.
pub(super) fn reading(column: &Column) -> Reading {
    let is_unsigned = column.flags & flag::UNSIGNED != 0;
    let whole = |signed, unsigned| (if is_unsigned { unsigned } else { signed }, Form::Number);
    let (ty, form) = match (column.ty, column.format.as_str()) {
        (_, "json") | (245, _) => (Type::Json, Form::Json),
        (_, "uuid") => (Type::Uuid, Form::Text),
        (1, _) => (Type::Smallint, Form::Number),
        (2, _) => whole(Type::Smallint, Type::Integer),
        (9, _) => (Type::Integer, Form::Number),
        (3, _) => whole(Type::Integer, Type::Bigint),
        (8, _) => whole(Type::Bigint, Type::Decimal { precision: 20, scale: 0 }),
        (13, _) => (Type::Smallint, Form::Number),
        (4, _) => (Type::Real, Form::Single),
        (5, _) => (Type::Double, Form::Number),
        (0 | 246, _) => (decimal(column, is_unsigned), Form::Number),
        (7, _) => (Type::Timestamp, Form::Timestamp),
        (12, _) => (Type::Datetime, Form::Datetime),
        (10 | 14, _) => (Type::Date, Form::Date),
        (16, _) if column.length == 1 => (Type::Boolean, Form::Boolean),
        // Times of day and spans of time, the digits of several bits, addresses.
        (11 | 16, _) | (_, "inet4" | "inet6") => (Type::Text, Form::Text),
        // Geometry is its number of the reference system and WKB, a vector its numbers.
        (242 | 255, _) => (Type::Binary, Form::Binary),
        _ if column.collation == BYTES && column.ty != 6 => (Type::Binary, Form::Binary),
        _ => (Type::Text, Form::Text),
    };
    let around = match column.ty {
        4 => ["(".into(), " + 0e0)".into()],
        16 if column.length == 1 => ["(".into(), " + 0)".into()],
        16 => ["lpad(bin(cast(".into(), format!(" as unsigned)), {}, '0')", column.length)],
        _ => [String::new(), String::new()],
    };
    Reading { ty, form, around }
}

/// Without the places of point and sign.
fn decimal(column: &Column, is_unsigned: bool) -> Type {
    let others = u32::from(column.decimals > 0) + u32::from(!is_unsigned);
    match u8::try_from(column.length.saturating_sub(others)) {
        Ok(precision @ 1..=38) if column.decimals <= precision => Type::Decimal { precision, scale: column.decimals },
        _ => Type::Number,
    }
}

/// Whether a column may be NULL.
pub(super) fn is_nullable(column: &Column) -> bool {
    column.flags & flag::NOT_NULL == 0
}

/// What a column holds in the place of points in time; none: it holds such.
pub(super) fn no_point_in_time(column: &Column) -> Option<&'static str> {
    match column.ty {
        7 | 12 => None,
        10 | 14 => Some("a date"),
        11 => Some("a time of day"),
        13 => Some("a year"),
        _ => Some("no time"),
    }
}

/// Whether a column has times without a zone.
pub(super) fn is_local(column: &Column) -> bool {
    column.ty == 12
}

/// What a key's values are to the server, if it can be told where one of them is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    /// Another number.
    Number,
    /// A time, of so many digits behind the second.
    Time(u8),
    Text,
    Bytes,
}

/// None: the server sorts such values otherwise than it compares them, or says too little of them.
pub(super) fn kind(column: &Column) -> Option<Kind> {
    let is_choice = column.flags & (flag::ENUM | flag::SET) != 0;
    match column.ty {
        1 | 2 | 3 | 8 | 9 | 13 => Some(Kind::Whole),
        0 | 5 | 246 => Some(Kind::Number),
        7 | 10 | 11 | 12 | 14 => Some(Kind::Time(column.decimals)),
        15 | 253 | 254 | 249..=252 if !is_choice && column.format != "json" => match column.collation {
            BYTES if column.format.is_empty() => Some(Kind::Bytes),
            _ => Some(Kind::Text),
        },
        _ => None,
    }
}

impl Reading {
    /// What is selected of a column with this name.
    pub(super) fn selected(&self, name: &str) -> String {
        let [before, after] = &self.around;
        format!("{before}{name}{after}")
    }
}

impl Form {
    /// A value, of which `scratch` keeps what had to be made of its text.
    pub(super) fn value<'a>(self, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Value<'a> {
        if self == Self::Binary {
            return Value::Binary(bytes);
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Value::Foreign(bytes) };
        match self {
            Self::Boolean => Value::Boolean(text != "0"),
            Self::Number => Value::Number(unfilled(text)),
            Self::Single => match single(text, scratch) {
                Some(()) => std::str::from_utf8(scratch).map_or(Value::Number(text), Value::Number),
                None => Value::Number(text),
            },
            Self::Text | Self::Binary => Value::Text(text),
            Self::Json => Value::Json(text),
            // What the calendar here doesn't have (0000-00-00, 2026-02-00) stays the server's text.
            Self::Timestamp => decode::micros(text).map_or(Value::Text(text), Value::Timestamp),
            Self::Datetime => decode::micros(text).map_or(Value::Text(text), Value::Datetime),
            Self::Date => decode::days(text).map_or(Value::Text(text), Value::Date),
        }
    }
}

/// Without the zeros of `zerofill`, and of years.
pub(super) fn unfilled(text: &str) -> &str {
    match text.strip_prefix('0') {
        Some(rest) if rest.starts_with(|next: char| next.is_ascii_digit()) => unfilled(rest),
        _ => text,
    }
}

/// The fewest digits that give the number of single precision back.
fn single(text: &str, scratch: &mut Vec<u8>) -> Option<()> {
    let number = text.parse::<f64>().ok()? as f32;
    scratch.clear();
    serde_json::to_writer(scratch, &number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_server_become_values() {
        let mut scratch = Vec::new();
        for (form, text, expected) in [
            (Form::Boolean, "1", Value::Boolean(true)),
            (Form::Number, "00042", Value::Number("42")),
            (Form::Number, "000.50", Value::Number("0.50")),
            (Form::Number, "0", Value::Number("0")),
            (Form::Number, "-18446744073709551615.10", Value::Number("-18446744073709551615.10")),
            (Form::Single, "0.10000000149011612", Value::Number("0.1")),
            (Form::Single, "3.4028234663852886e38", Value::Number("3.4028235e+38")),
            (Form::Timestamp, "2026-01-02 03:04:05.678901", Value::Timestamp(1_767_323_045_678_901)),
            (Form::Datetime, "0000-00-00 00:00:00", Value::Text("0000-00-00 00:00:00")),
            (Form::Date, "2026-02-00", Value::Text("2026-02-00")),
            (Form::Date, "1970-01-02", Value::Date(1)),
        ] {
            assert_eq!(form.value(text.as_bytes(), &mut scratch), expected, "{text}");
        }
        assert_eq!(Form::Text.value(b"\xff", &mut scratch), Value::Foreign(b"\xff"));
    }

    #[test]
    fn types_hold_all_values_of_a_column() {
        let of = |ty, flags, length, decimals| reading(&Column { ty, flags, length, decimals, ..Column::default() }).ty;
        assert_eq!(of(3, flag::UNSIGNED, 10, 0), Type::Bigint);
        assert_eq!(of(8, flag::UNSIGNED, 20, 0), Type::Decimal { precision: 20, scale: 0 });
        assert_eq!(of(246, 0, 12, 2), Type::Decimal { precision: 10, scale: 2 });
        assert_eq!(of(246, flag::UNSIGNED, 10, 0), Type::Decimal { precision: 10, scale: 0 });
        assert_eq!(of(246, 0, 67, 30), Type::Number);
    }
}
