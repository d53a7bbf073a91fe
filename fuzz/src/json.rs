//! The JSON decoder: the verdict and the values of serde_json, the columns of arrow-json.
use crate::records::{self, Members, brackets, depth, is_json};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float64Type, Int64Type, Schema},
};
use dataflow_core::types::Type;
use dataflow_formats::{
    MAX_DEPTH,
    decode::{Column, Decoder, Field, Want},
};
use dataflow_sdk::records::Layout;

/// Between the records of an input.
const SEPARATOR: u8 = 0x1e;

/// The path that most columns are made of.
const NAME: &str = "a";

const WANTS: [Want; 10] = [
    Want::As(Type::Json),
    Want::Text,
    Want::As(Type::Bigint),
    Want::As(Type::Double),
    Want::Boolean,
    Want::Literal,
    Want::Number,
    Want::Infer,
    Want::Time,
    Want::As(Type::Decimal { precision: 38, scale: 9 }),
];

/// Records with the byte 0x1e between them.
pub fn check(data: &[u8]) {
    let texts: Vec<&[u8]> = data.split(|byte| *byte == SEPARATOR).collect();
    let mut fields: Vec<Field> = WANTS.iter().map(|want| Field { path: vec![NAME.into()], want: *want }).collect();
    let nested = [["a", "b"], ["b", "a"]].map(|path| Field { path: path.map(Into::into).into(), want: WANTS[0] });
    fields.extend(nested);
    let decoded = Decoder::new(fields).decode(&records::of(texts.iter().copied(), Layout::Json));
    let mut broken = decoded.broken.iter().peekable();
    for (row, bytes) in texts.iter().enumerate() {
        let dead = broken.next_if(|dead| dead.row == row as u32).map(|dead| dead.code);
        assert_eq!(dead, verdict(bytes), "of {:?}", String::from_utf8_lossy(bytes));
        if dead.is_some() {
            assert!(decoded.columns.iter().all(|column| is_null(column, row)), "a broken record has no values");
            continue;
        }
        let text = std::str::from_utf8(bytes).unwrap();
        if let Some(members) = Members::of(text) {
            values(&decoded.columns, row, &members);
            columns(&decoded.columns, row, text);
        }
    }
    assert_eq!(broken.next(), None);
}

/// What makes a text no record, if anything does.
fn verdict(bytes: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("not-utf8") };
    match is_json(text) {
        // Whatever comes behind the level that is too deep is not looked at.
        _ if too_deep(text) => Some("too-deep"),
        false => Some("not-json"),
        true if !text.trim_start().starts_with('{') => Some("not-object"),
        true => None,
    }
}

/// Whether a text is JSON as far as the bracket that is one too many.
fn too_deep(text: &str) -> bool {
    if depth(text) <= MAX_DEPTH {
        return false;
    }
    let (mut level, mut closing) = (0_usize, Vec::new());
    for (at, bracket) in brackets(text) {
        match bracket {
            b'{' | b'[' => {
                level += 1;
                closing.push(if bracket == b'{' { '}' } else { ']' });
                if level > MAX_DEPTH {
                    // The same, closed behind that bracket.
                    let closed: String = closing.iter().rev().collect();
                    return is_json(&format!("{}{closed}", &text[..=at]));
                }
            }
            _ => {
                level = level.saturating_sub(1);
                closing.pop();
            }
        }
    }
    false
}

fn fits(column: &Column, row: usize) -> bool {
    column.misfits.iter().all(|misfit| misfit.row != row as u32)
}

/// Whether a column has no value for a record, of whatever type it is.
pub(crate) fn is_null(column: &Column, row: usize) -> bool {
    column.array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}

fn text_of(array: &ArrayRef, row: usize) -> Option<&str> {
    let texts = array.as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row))
}

/// The values are those of serde_json.
fn values(columns: &[Column], row: usize, members: &Members<'_>) {
    let inner = |outer: &str, name: &str| Members::of(members.last(outer)?)?.last(name);
    let (ab, ba) = (inner("a", "b"), inner("b", "a"));
    let value = members.last(NAME);
    // Names with half of a surrogate pair can't be read by serde_json, and hide the others.
    let readable = |outer: &str| members.last(outer).is_none_or(|value| !value.contains("\\u"));
    for (column, expected, known) in [
        (&columns[0], value, true),
        (&columns[WANTS.len()], ab, readable("a")),
        (&columns[WANTS.len() + 1], ba, readable("b")),
    ] {
        if known {
            assert!(fits(column, row));
            assert_eq!(text_of(&column.array, row), expected.filter(|value| *value != "null"));
        }
    }
    let Some(value) = value.filter(|value| *value != "null") else { return };
    let [_, text, bigint, double, boolean, literal, ..] = columns else { unreachable!("there are more columns") };
    let is_number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let string = value.starts_with('"').then(|| serde_json::from_str::<String>(value).ok());
    match &string {
        Some(content) => {
            assert_eq!(text_of(&text.array, row), content.as_deref());
            assert_eq!(text_of(&literal.array, row), content.as_deref());
            assert_eq!(fits(text, row), content.is_some(), "half of a surrogate pair is no text");
        }
        None => {
            assert!(!fits(text, row));
            assert_eq!(text_of(&literal.array, row), Some(value));
        }
    }
    assert_eq!(fits(boolean, row), ["true", "false"].contains(&value));
    if !is_number {
        assert!(!fits(bigint, row) && !fits(double, row));
        return;
    }
    let whole = !value.contains(['.', 'e', 'E']);
    if whole {
        let integer = bigint.array.as_primitive::<Int64Type>();
        assert_eq!(integer.is_valid(row).then(|| integer.value(row)), value.parse().ok());
    }
    let nearest: f64 = value.parse().unwrap();
    match fits(double, row) {
        true => {
            assert_eq!(double.array.as_primitive::<Float64Type>().value(row).to_bits(), nearest.to_bits(), "{value}")
        }
        false => assert!(!nearest.is_normal() || value.len() > 15, "{value} is a double"),
    }
}

/// Where a value fits, arrow-json has the same.
fn columns(columns: &[Column], row: usize, text: &str) {
    if text.contains("\\u") {
        return; // it joins surrogate pairs wrongly from U+20000 on, and fails at halves of them, whatever is asked for
    }
    let [_, strings, integers, doubles, booleans, ..] = columns else { unreachable!("there are more columns") };
    for (column, ty) in [
        (strings, DataType::Utf8),
        (integers, DataType::Int64),
        (doubles, DataType::Float64),
        (booleans, DataType::Boolean),
    ] {
        if !fits(column, row) || column.array.is_null(row) {
            continue;
        }
        // arrow-json takes integers with a point or an exponent for doubles first.
        if ty == DataType::Int64 && column.array.as_primitive::<Int64Type>().value(row).unsigned_abs() > 1 << 53 {
            continue;
        }
        let schema = Schema::new(vec![arrow::datatypes::Field::new(NAME, ty, true)]);
        let mut reader = arrow::json::ReaderBuilder::new(schema.into()).build(text.as_bytes()).unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!(batch.column(0), &column.array.slice(row, 1), "{text}");
    }
}
