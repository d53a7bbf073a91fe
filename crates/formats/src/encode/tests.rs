#![allow(clippy::unwrap_used)]
use super::*;
use crate::decode::Decoder;
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
        Int64Array, LargeStringArray, ListArray, NullArray, StringArray, StringViewArray, StructArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    },
    datatypes::{DataType, Field, Int32Type},
};
use dataflow_core::position::Position;
use dataflow_sdk::records::{CsvLayout, Layout, Records};
use proptest::prelude::*;
use std::sync::Arc;

fn column<'a>(name: &'a str, array: &'a ArrayRef) -> Column<'a> {
    Column { name, array, raw: false, absent: None }
}

fn texts(documents: &Documents) -> Vec<&str> {
    documents.spans.iter().map(|span| std::str::from_utf8(span.of(&documents.data)).unwrap()).collect()
}

/// The values of a column as written.
fn values(array: impl arrow::array::Array + 'static) -> Vec<String> {
    let array: ArrayRef = Arc::new(array);
    let documents = documents_from_columns(&[column("a", &array)], array.len());
    texts(&documents)
        .iter()
        .map(|text| text.strip_prefix("{\"a\":").unwrap().strip_suffix('}').unwrap().into())
        .collect()
}

/// The overlay of records after they have been decoded.
fn overlaid(records: &Records, rows: &[u32], set: &[Column<'_>], remove: &[String]) -> Documents {
    let names = set.iter().map(|column| column.name).chain(remove.iter().map(String::as_str));
    let decoded = Decoder::new(Vec::new()).marking(names).decode(records);
    overlay(records, rows, set, remove, &decoded.marks)
}

fn records(texts: &[&str], layout: Layout) -> Records {
    let data = texts.concat();
    let mut at = 0;
    let spans = texts.iter().map(|text| {
        at += text.len();
        Span::new(at - text.len(), at)
    });
    let spans = spans.collect();
    Records { data: data.into(), spans, ..Records::empty("p/0".into(), Position::offset(0), layout) }
}

#[test]
fn values_of_all_types() {
    assert_eq!(values(BooleanArray::from(vec![Some(true), None])), ["true", "null"]);
    assert_eq!(values(Int8Array::from(vec![-128, 0])), ["-128", "0"]);
    assert_eq!(values(Int64Array::from(vec![i64::MIN, i64::MAX])), ["-9223372036854775808", "9223372036854775807"]);
    assert_eq!(values(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
    assert_eq!(values(Float64Array::from(vec![0.1, 1e300, -0.0, 5.0])), ["0.1", "1e+300", "-0.0", "5.0"]);
    assert_eq!(values(Float32Array::from(vec![0.1])), ["0.1"]);
    assert_eq!(values(NullArray::new(1)), ["null"]);
    let decimals = vec![1850, -5, 0, 100, -12345];
    let decimals = Decimal128Array::from(decimals).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(values(decimals), ["18.5", "-0.05", "0", "1", "-123.45"]);
    let long = vec![i128::from(u64::MAX), i128::from(u64::MAX) + 1, -i128::from(u64::MAX) - 1, 7];
    let long = Decimal128Array::from(long).with_precision_and_scale(38, 25).unwrap();
    assert_eq!(
        values(long),
        [
            "0.0000018446744073709551615",
            "0.0000018446744073709551616",
            "-0.0000018446744073709551616",
            "0.0000000000000000000000007"
        ]
    );
    let hundreds = Decimal128Array::from(vec![5, 0]).with_precision_and_scale(3, -2).unwrap();
    assert_eq!(values(hundreds), ["500", "0"]);
    let quoted = ["\"a\\\"\\n\\u0001é\""];
    assert_eq!(values(StringArray::from(vec!["a\"\n\u{1}é"])), quoted);
    assert_eq!(values(LargeStringArray::from(vec!["a\"\n\u{1}é"])), quoted);
    assert_eq!(values(StringViewArray::from(vec!["a\"\n\u{1}é"])), quoted);
    let bytes: Vec<&[u8]> = vec![b"", b"\x01", b"\x01\x02", b"\x01\x02\x03", b"\xfb\xff"];
    assert_eq!(values(BinaryArray::from(bytes)), ["\"\"", "\"AQ==\"", "\"AQI=\"", "\"AQID\"", "\"+/8=\""]);
    assert_eq!(
        values(Date32Array::from(vec![0, 20_455, -719_528])),
        ["\"1970-01-01\"", "\"2026-01-02\"", "\"0000-01-01\""]
    );
    let micros = vec![1_767_323_045_123_456, 1_767_323_045_000_000, -1, 1_767_323_045_120_000];
    assert_eq!(
        values(TimestampMicrosecondArray::from(micros).with_timezone("UTC")),
        [
            "\"2026-01-02T03:04:05.123456Z\"",
            "\"2026-01-02T03:04:05Z\"",
            "\"1969-12-31T23:59:59.999999Z\"",
            "\"2026-01-02T03:04:05.12Z\""
        ]
    );
    assert_eq!(values(TimestampNanosecondArray::from(vec![1])), ["\"1970-01-01T00:00:00.000000001\""]);
    assert_eq!(values(TimestampSecondArray::from(vec![253_402_300_800])), ["\"+10000-01-01T00:00:00\""]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    assert_eq!(values(list), ["[1,null]", "null", "[]"]);
    let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let object = StructArray::from(vec![(Arc::new(Field::new("x\"", DataType::Int64, true)), inner)]);
    assert_eq!(values(object), ["{\"x\\\"\":7}", "{\"x\\\"\":null}"]);
    let interval = arrow::datatypes::IntervalMonthDayNano::new(14, -3, 4_500_000_000);
    let interval = arrow::array::IntervalMonthDayNanoArray::from(vec![Some(interval), None]);
    assert_eq!(values(interval), ["\"1 year 2 mons -3 days +00:00:04.5\"", "null"]);
    let lengths = arrow::array::DurationMicrosecondArray::from(vec![-90_000_000_000]);
    assert_eq!(values(lengths), ["\"-1 days -01:00:00\""]);
}

#[test]
fn what_json_has_no_number_for_is_a_misfit() {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::NAN, f64::INFINITY]));
    let documents = documents_from_columns(&[column("x", &array)], 3);
    assert_eq!(texts(&documents), ["{\"x\":1.5}", "{\"x\":null}", "{\"x\":null}"]);
    assert_eq!(documents.misfits.iter().map(|misfit| misfit.row).collect::<Vec<_>>(), [1, 2]);
    assert!(documents.misfits[0].cause.starts_with("field \"x\" has a value which JSON can't represent"));
    assert_eq!(texts(&documents_from_columns(&[], 2)), ["{}", "{}"]);
}

#[test]
fn raw_columns_are_spliced_as_they_are() {
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":\n [1,\r2]}"), None]));
    let documents = documents_from_columns(&[Column { name: "j", array: &json, raw: true, absent: None }], 2);
    assert_eq!(texts(&documents), ["{\"j\":{\"a\":\n [1,\r2]}}", "{\"j\":null}"]);
    assert_eq!(texts(&documents.on_lines()), ["{\"j\":{\"a\":  [1, 2]}}", "{\"j\":null}"]);
}

#[test]
fn records_pass_as_they_came() {
    let mut came = records(&["{\"a\": 1}", "{\"b\":2 }"], Layout::Json);
    let passed = documents(&came, &[1, 0, 0]);
    assert_eq!(texts(&passed), ["{\"b\":2 }", "{\"a\": 1}", "{\"a\": 1}"]);
    assert_eq!(passed.on_lines().data.as_ptr(), came.data.as_ptr());
    came.data = "\r{\"a\":\n1}\n{\"b\":2}".into();
    came.spans = vec![Span::new(0, 10), Span::NULL, Span::new(10, 17)];
    let passed = documents(&came, &[0, 1, 2]);
    assert_eq!(texts(&passed), ["\r{\"a\":\n1}\n", "", "{\"b\":2}"]);
    let lines = passed.on_lines();
    assert_eq!(texts(&lines), [" {\"a\": 1} ", "", "{\"b\":2}"]);
    assert!(lines.spans[1].is_null());
}

#[test]
fn fields_are_replaced_in_place_added_and_left_out() {
    let came = records(
        &[
            "{\"id\": 1e0, \"na\\u006de\" : \"x\\/y\",\"age\":5,\"tags\":[ 1,\n2 ]}",
            "{\"age\":1,\"other\":{\"age\":2},\"age\":3}",
            "{}",
            " { \"name\":null } ",
            "{\"name\":1,\"age\":{\"age\":[]},\"b\" :2 , \"c\":\"}\"}",
        ],
        Layout::Json,
    );
    let age: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), Some(20), None, Some(40), Some(50)]));
    let new: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]));
    let set = [column("age", &age), column("new.one", &new)];
    let made = overlaid(&came, &[0, 1, 2, 3, 4], &set, &["name".into()]);
    assert_eq!(
        texts(&made),
        [
            "{\"id\": 1e0, \"age\":10,\"tags\":[ 1,\n2 ],\"new.one\":\"a\"}",
            "{\"age\":20,\"other\":{\"age\":2},\"new.one\":\"b\"}",
            "{\"age\":null,\"new.one\":\"c\"}",
            " { \"age\":40,\"new.one\":\"d\" } ",
            "{\"age\":50,\"b\" :2 , \"c\":\"}\",\"new.one\":\"e\"}",
        ]
    );
    assert_eq!(made.misfits, []);
    let made = overlaid(&came, &[3, 0, 0, 2, 2], &set[1..], &[]);
    assert_eq!(
        texts(&made),
        [
            " { \"name\":null,\"new.one\":\"a\" } ",
            "{\"id\": 1e0, \"na\\u006de\" : \"x\\/y\",\"age\":5,\"tags\":[ 1,\n2 ],\"new.one\":\"b\"}",
            "{\"id\": 1e0, \"na\\u006de\" : \"x\\/y\",\"age\":5,\"tags\":[ 1,\n2 ],\"new.one\":\"c\"}",
            "{\"new.one\":\"d\"}",
            "{\"new.one\":\"e\"}",
        ]
    );
}

/// Blanks and line breaks belong to what stays as it is; a field that is left out goes with one comma and the blanks around it.
#[test]
fn what_is_not_changed_stays_byte_for_byte() {
    let new: ArrayRef = Arc::new(Int64Array::from(vec![9]));
    let cases = [
        ("\n{\n \"a\": 1,\r\n\t\"b\" : 2\n}\r\n", "", "\n{\n \"a\": 9,\r\n\t\"b\" : 2\n}\r\n"),
        ("{\n \"b\": 2 ,\n \"a\": 1\n}", "", "{\n \"b\": 2 ,\n \"a\": 9\n}"),
        ("{ \"b\" : [\n]\n } ", "", "{ \"b\" : [\n],\"a\":9\n } "),
        ("{\n} ", "", "{\"a\":9\n} "),
        ("{\n \"b\": 2,\n \"a\": 1\n}", "b", "{\n \"a\": 9\n}"),
        ("{\n \"a\": 1,\n \"b\": 2\n}", "b", "{\n \"a\": 9\n}"),
        ("{\n \"c\": 3,\n \"b\": 2 ,\n \"b\": 2\n}", "b", "{\n \"c\": 3,\"a\":9\n}"),
        ("{\n \"b\": 2 ,\"b\": 2\n}", "b", "{\n \"a\":9\n}"),
        ("{\"b\":2, \"c\" : 3, \"b\":2 , \"d\":\n4}", "b", "{\"c\" : 3, \"d\":\n4,\"a\":9}"),
        ("{ \"\\u0061\" :\n1 }", "", "{ \"\\u0061\" :\n9 }"),
        ("{\"a\":1, \"c\":3, \"a\":2}", "", "{\"a\":9, \"c\":3}"),
    ];
    for (text, remove, expected) in cases {
        let made = overlaid(&records(&[text], Layout::Json), &[0], &[column("a", &new)], &[remove.into()]);
        assert_eq!(texts(&made), [expected], "{text:?} without {remove:?}");
    }
}

#[test]
fn csv_records_become_documents() {
    let layout = CsvLayout {
        delimiter: b';',
        quote: b'\'',
        columns: vec!["a".into(), "b\"".into(), "a".into()],
        null_values: vec!["NULL".into()],
        header: None,
    };
    let came = records(&["1;'x '' y';NULL", ";'NULL';2", "1"], Layout::Csv(Arc::new(layout)));
    let made = documents(&came, &[0, 1, 2]);
    assert_eq!(texts(&made), ["{\"b\\\"\":\"x ' y\",\"a\":null}", "{\"b\\\"\":\"NULL\",\"a\":\"2\"}", ""]);
    let set: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let made = overlaid(&came, &[1], &[column("b\"", &set)], &["a".into()]);
    assert_eq!(texts(&made), ["{\"b\\\"\":true}"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlaid_documents_are_those_of_serde_json(
        values in prop::collection::vec((crate::json::tests::values(), crate::json::tests::values()), 1..6),
        remove in prop::sample::subsequence(vec!["a", "b", "c", "d", "ab"], 0..3),
    ) {
        use serde_json::{Map, Value};
        let object = |value: &Value| value.as_object().cloned().unwrap_or_else(|| Map::from_iter([("a".to_owned(), value.clone())]));
        let objects: Vec<Map<String, Value>> = values.iter().map(|(value, _)| object(value)).collect();
        let pretty: Vec<String> = objects.iter().map(|object| serde_json::to_string_pretty(object).unwrap()).collect();
        let came = records(&pretty.iter().map(String::as_str).collect::<Vec<_>>(), Layout::Json);
        let new: ArrayRef = Arc::new(StringArray::from_iter_values(values.iter().map(|(_, value)| value.to_string())));
        let rows: Vec<u32> = (0..values.len() as u32).collect();
        let names: Vec<String> = remove.iter().map(|name| (*name).into()).collect();
        let made = overlaid(&came, &rows, &[Column { name: "b", array: &new, raw: true, absent: None }], &names);
        for ((text, pretty), (_, value)) in texts(&made).into_iter().zip(&pretty).zip(&values) {
            // Both sides are read by serde_json, because it doesn't read every double exactly.
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let mut object = read(pretty).as_object().cloned().unwrap();
            for name in &names {
                object.remove(name);
            }
            object.insert("b".into(), read(&value.to_string()));
            prop_assert_eq!(read(text), Value::Object(object));
        }
    }

    #[test]
    fn written_columns_are_decoded_to_themselves(
        rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<String>>(), -62_000_000_000_000_000..200_000_000_000_000_000_i64, any::<i128>(), any::<Vec<u8>>()), 1..10),
        scale in 0_u8..38,
    ) {
        use crate::decode::{Field as Wanted, Want};
        use dataflow_core::types::Type;
        let decimals = Decimal128Array::from_iter_values(rows.iter().map(|row| row.3 % 10_i128.pow(38)));
        let columns: Vec<(ArrayRef, Type)> = vec![
            (Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))), Type::Bigint),
            (Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.as_deref()))), Type::Text),
            (Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.2)).with_timezone("UTC")), Type::Timestamp),
            (Arc::new(decimals.with_precision_and_scale(38, scale as i8).unwrap()), Type::Decimal { precision: 38, scale }),
            (Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.4))), Type::Binary),
        ];
        let names = ["a", "b", "c", "d", "e"];
        let named: Vec<Column<'_>> = names.iter().zip(&columns).map(|(name, (array, _))| column(name, array)).collect();
        let documents = documents_from_columns(&named, rows.len());
        prop_assert_eq!(&documents.misfits, &[]);
        let mut came = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
        (came.data, came.spans) = (documents.data, documents.spans);
        let fields = names.iter().zip(&columns).map(|(name, (_, ty))| Wanted { path: vec![(*name).into()], want: Want::As(*ty) });
        let decoded = Decoder::new(fields.collect()).decode(&came);
        for (column, (array, _)) in decoded.columns.iter().zip(&columns) {
            prop_assert_eq!(&column.misfits, &[]);
            prop_assert_eq!(&column.array, array);
        }
    }
}
