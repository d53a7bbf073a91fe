//! A record says the same whether it came as columns or as its JSON text.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    decode::{Column as Decoded, Decoder, Field, Want},
    encode,
};
use dataflow_core::{position::Position, types::Type};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const NAMES: [&str; 9] = ["n", "d", "f", "b", "t", "at", "raw", "more", "say \"x\"\n"];

/// A value that owns what [`Value`] borrows.
#[derive(Clone, Debug)]
enum Given {
    Missing,
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Number(String),
    Text(String),
    Binary(Vec<u8>),
    Timestamp(i64),
    Datetime(i64),
    Date(i32),
    Json(String),
}

impl Given {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Missing => Value::Missing,
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Number(text) => Value::Number(text),
            Self::Text(text) => Value::Text(text),
            Self::Binary(bytes) => Value::Binary(bytes),
            Self::Timestamp(micros) => Value::Timestamp(*micros),
            Self::Datetime(micros) => Value::Datetime(*micros),
            Self::Date(days) => Value::Date(*days),
            Self::Json(text) => Value::Json(text),
        }
    }

    /// What JSON makes of it, by other code than what is tested.
    fn as_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            // The oracle rounds others.
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 1e15 => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Null => serde_json::Value::Null,
            Self::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            _ => return None,
        })
    }
}

fn given() -> impl Strategy<Value = Given> {
    const JSON: [&str; 7] = [r#"{"k":{"x":1},"y":"\u00e9"}"#, "[1,[2]]", " {} ", "\"s\"", "12", "{", "[1,"];
    const NUMBERS: [&str; 8] =
        ["0", "-1.50", "123456789012345678901234567890.5", "1e400", "NaN", "-Infinity", "+1", "01"];
    prop_oneof![
        Just(Given::Missing),
        Just(Given::Null),
        any::<bool>().prop_map(Given::Boolean),
        any::<i64>().prop_map(Given::Integer),
        any::<f64>().prop_map(Given::Double),
        (-1_000i32..1_000).prop_map(|value| Given::Double(value.into())),
        prop::sample::select(NUMBERS.to_vec()).prop_map(|text| Given::Number(text.into())),
        ".{0,12}".prop_map(Given::Text),
        prop::sample::select(vec!["2026-01-02", "2026-01-02T03:04:05.6Z", "true", "7", "a\u{0}\"\\"])
            .prop_map(|text| Given::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Given::Binary),
        (-60_000_000_000_000_000i64..60_000_000_000_000_000).prop_map(Given::Timestamp),
        (-60_000_000_000_000_000i64..60_000_000_000_000_000).prop_map(Given::Datetime),
        (-700_000i32..700_000).prop_map(Given::Date),
        prop::sample::select(JSON.to_vec()).prop_map(|text| Given::Json(text.into())),
    ]
}

fn columns() -> Arc<[Column]> {
    let column = |name: &&str| Column { name: (*name).into(), ty: Type::Text };
    NAMES.iter().map(column).collect()
}

fn of(rows: &[Vec<Given>], limit: usize) -> Records {
    let mut all = Rows::new(columns(), limit);
    rows.iter().for_each(|row| all.push(row.iter().map(Given::value)));
    let offsets = (0..rows.len() as u64).collect();
    all.into_records(Records { offsets, ..Records::empty("t".into(), Position::offset(0), Layout::Json) })
}

/// The same records, in which everything has to be looked for.
fn plain(records: &Records) -> Records {
    Records { layout: Layout::Json, ..records.clone() }
}

fn decoder() -> Decoder {
    let wants = [
        Want::Number,
        Want::Text,
        Want::Boolean,
        Want::Time,
        Want::Literal,
        Want::Infer,
        Want::Strict(Type::Bigint),
        Want::As(Type::Bigint),
        Want::As(Type::Double),
        Want::As(Type::Decimal { precision: 20, scale: 2 }),
        Want::As(Type::Number),
        Want::As(Type::Timestamp),
        Want::As(Type::Datetime),
        Want::As(Type::Date),
        Want::As(Type::Binary),
        Want::As(Type::Json),
        Want::As(Type::Any),
    ];
    let field = |path: &[&str], want| Field { path: path.iter().map(|key| (*key).into()).collect(), want };
    let mut fields: Vec<Field> = NAMES.iter().flat_map(|name| wants.map(|want| field(&[name], want))).collect();
    fields.push(field(&["more", "k", "x"], Want::Number));
    fields.push(field(&["more", "y"], Want::Text));
    fields.push(field(&["not there"], Want::Infer));
    Decoder::new(fields).marking(["t", "more"])
}

fn shown(columns: &[Decoded]) -> Vec<String> {
    let shown = |Decoded { array, json, misfits, present, absent }: &Decoded| {
        let absent: Option<Vec<bool>> = absent.as_ref().map(|absent| absent.iter().collect());
        format!("{array:?} {json} {misfits:?} {present} {absent:?}")
    };
    columns.iter().map(shown).collect()
}

fn rows() -> impl Strategy<Value = Vec<Vec<Given>>> {
    prop::collection::vec(prop::collection::vec(given(), NAMES.len()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_decoded_the_same(rows in rows(), again in rows()) {
        let (mut of_columns, mut of_texts) = (decoder(), decoder());
        for rows in [rows, again] {
            let records = of(&rows, usize::MAX);
            let (known, looked_for) = (of_columns.decode(&records), of_texts.decode(&plain(&records)));
            prop_assert_eq!(shown(&known.columns), shown(&looked_for.columns));
            prop_assert_eq!((&known.keys, known.read, &known.untracked), (&looked_for.keys, rows.len() as u64, &vec![]));
            prop_assert!(known.broken.is_empty() && looked_for.broken.is_empty());
            let all: Vec<u32> = (0..rows.len() as u32).collect();
            let changed = |records: &Records, marks| {
                let documents = encode::overlay(records, &all, &[], &["t".into(), "more".into()], marks);
                documents.spans.iter().map(|span| span.of(&documents.data).to_vec()).collect::<Vec<_>>()
            };
            prop_assert_eq!(changed(&records, &known.marks), changed(&plain(&records), &looked_for.marks));
        }
    }

    #[test]
    fn its_text_is_json_with_these_values(rows in rows()) {
        let records = of(&rows, usize::MAX);
        for (row, values) in rows.iter().enumerate() {
            let read: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(records.bytes(row).unwrap()).unwrap();
            for (name, given) in NAMES.iter().zip(values) {
                prop_assert_eq!(read.contains_key(*name), !matches!(given, Given::Missing), "{}", name);
                if let Some(expected) = given.as_json() {
                    let value: serde_json::Value = serde_json::from_str(read[*name].get()).unwrap();
                    prop_assert_eq!(value, expected, "{}", name);
                }
            }
        }
    }

    #[test]
    fn parts_are_parts_of_the_whole(rows in rows(), at in 0usize..12) {
        let records = of(&rows, usize::MAX);
        let at = at.min(rows.len());
        let texts = |records: &Records| shown(&decoder().decode(records).columns);
        let mut head = records.clone();
        head.truncate(at);
        for (part, expected) in [(records.slice(0..at), &rows[..at]), (records.slice(at..rows.len()), &rows[at..]), (head, &rows[..at])] {
            prop_assert_eq!(texts(&part), texts(&of(expected, usize::MAX)));
        }
        let every: Vec<u32> = (0..rows.len() as u32).step_by(2).collect();
        let kept: Vec<Vec<Given>> = every.iter().map(|row| rows[*row as usize].clone()).collect();
        prop_assert_eq!(texts(&records.contents(&every)), texts(&of(&kept, usize::MAX)));
    }
}

#[test]
fn a_record_over_the_limit_is_noted() {
    let row = |text: &str| {
        let mut row = vec![Given::Null; NAMES.len()];
        row[4] = Given::Text(text.into());
        row
    };
    let records = of(&[row("a"), row(&"x".repeat(100_000)), row("b")], 1_000);
    assert_eq!((records.oversized.len(), records.oversized[0].row, records.spans[1].len()), (1, 1, KEPT));
    let decoded = decoder().decode(&records);
    assert_eq!((decoded.broken.len(), decoded.broken[0].code, decoded.read), (1, "too-large", 2));
    assert_eq!(shown(&decoded.columns), shown(&decoder().decode(&plain(&records)).columns));
}

#[test]
fn a_column_has_its_type_also_before_it_has_a_value() {
    let columns: Arc<[Column]> = [("at", Type::Timestamp), ("doc", Type::Json), ("n", Type::Number)]
        .map(|(name, ty)| Column { name: name.into(), ty })
        .into();
    let mut rows = Rows::new(columns, usize::MAX);
    rows.push([Value::Null, Value::Json(r#"{"a":1}"#), Value::Missing]);
    let records = rows.into_records(Records::empty("t".into(), Position::offset(0), Layout::Json));
    let field = |path: &[&str]| Field { path: path.iter().map(|key| (*key).into()).collect(), want: Want::Infer };
    let types = Decoder::new(vec![field(&["at"]), field(&["n"]), field(&["doc", "a"]), field(&["x"])]).types(&records);
    let types: Vec<_> = types.into_iter().map(|common| common.ty).collect();
    assert_eq!(types, [Some(Type::Timestamp), Some(Type::Number), Some(Type::Bigint), None]);
}

#[test]
fn text_in_another_encoding_is_neither_altered_nor_taken() {
    let columns: Arc<[Column]> = ["a", "b"].map(|name| Column { name: name.into(), ty: Type::Text }).into();
    let mut rows = Rows::new(columns, usize::MAX);
    rows.push([Value::Text("x"), Value::Integer(1)]);
    rows.push([Value::Foreign(b"caf\xe9 \"\n"), Value::Integer(2)]);
    rows.push([Value::Foreign("é".as_bytes()), Value::Integer(3)]);
    let records = rows.into_records(Records::empty("t".into(), Position::offset(0), Layout::Json));
    assert_eq!(records.bytes(1), Some(&b"{\"a\":\"caf\xe9 \\\"\\n\",\"b\":2}"[..]));
    for records in [plain(&records), records] {
        let field = Field { path: vec!["b".into()], want: Want::As(Type::Bigint) };
        let decoded = Decoder::new(vec![field]).decode(&records);
        let broken: Vec<_> = decoded.broken.iter().map(|dead| (dead.row, dead.code)).collect();
        assert_eq!((broken, decoded.read), (vec![(1, "not-utf8")], 2));
    }
}
