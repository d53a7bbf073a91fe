#![allow(clippy::unwrap_used)]
use super::*;
use arrow::{
    array::AsArray,
    datatypes::{DataType, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type},
};
use dataflow_core::position::Position;
use dataflow_sdk::records::{CsvLayout, Oversized, Span};
use std::sync::Arc;

/// Records of these texts, with something between them as in a file.
pub(super) fn records<T: AsRef<[u8]>>(texts: &[T], layout: Layout) -> Records {
    let mut data = Vec::new();
    let mut spans = Vec::new();
    for text in texts {
        let start = data.len();
        data.extend_from_slice(text.as_ref());
        spans.push(Span::new(start, data.len()));
        data.push(b'\n');
    }
    let offsets = (0..texts.len() as u64).collect();
    Records { data: data.into(), spans, offsets, ..Records::empty("p/0".into(), Position::offset(0), layout) }
}

fn json<T: AsRef<[u8]>>(texts: &[T]) -> Records {
    records(texts, Layout::Json)
}

fn csv(header: &[&str], texts: &[&str]) -> Records {
    let layout = CsvLayout {
        delimiter: b',',
        quote: b'"',
        columns: header.iter().map(|name| (*name).into()).collect(),
        null_values: vec![String::new()],
    };
    records(texts, Layout::Csv(Arc::new(layout)))
}

fn field(path: &[&str], want: Want) -> Field {
    Field { path: path.iter().map(|key| (*key).into()).collect(), want }
}

fn decoder(fields: &[(&str, Want)]) -> Decoder {
    let fields = fields.iter().map(|(path, want)| field(&[path], *want)).collect();
    Decoder::new(fields, &Learned::default())
}

/// The one column of a want, and what was learned.
fn one(records: &Records, want: Want) -> (Column, Option<Learned>) {
    let mut decoded = decoder(&[("a", want)]).decode(records);
    assert_eq!(decoded.broken, []);
    (decoded.columns.remove(0), decoded.learned)
}

fn ints(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

fn texts(array: &ArrayRef) -> Vec<Option<&str>> {
    array.as_string::<i32>().iter().collect()
}

fn rows(misfits: &[Misfit]) -> Vec<u32> {
    misfits.iter().map(|misfit| misfit.row).collect()
}

fn learned(ty: Option<Learned>) -> Option<Type> {
    ty.and_then(|learned| learned.0.into_values().next())
}

#[test]
fn fields_are_found_wherever_they_stand() {
    let records = json(&[
        r#"{"id":1,"age":5,"address":{"city":"Ulm","zip":{"code":7}}}"#,
        r#" { "age" : 6 , "id" : 2 } "#,
        r#"{"a":1,"b":2,"age":7,"c":{"age":99}}"#,
        r#"{"\u0061ge":8,"address":{"zip":{"code":8},"x":[{"city":"no"}]}}"#,
        r#"{}"#,
        r#"{"age":null,"address":null}"#,
        r#"{"age":1,"age":9}"#,
        r#"{"address":{"city":"a"},"address":{"zip":{"code":1}}}"#,
        r#"{"address.city":"dotted","Age":3}"#,
        r#"{"address":{"city":"a"},"address":3}"#,
    ]);
    let fields = vec![
        field(&["age"], Want::Number),
        field(&["address", "city"], Want::Text),
        field(&["address.city"], Want::Text),
        field(&["address"], Want::Literal),
        field(&["address", "zip", "code"], Want::As(Type::Smallint)),
        field(&["age"], Want::Literal),
    ];
    let mut decoder = Decoder::new(fields, &Learned::default());
    for _ in 0..2 {
        let decoded = decoder.decode(&records);
        let columns = &decoded.columns;
        assert_eq!(
            ints(&columns[0].array),
            [Some(5), Some(6), Some(7), Some(8), None, None, Some(9), None, None, None]
        );
        assert_eq!(columns[0].present, 6);
        assert_eq!(columns[1].array.null_count(), 9);
        assert_eq!(texts(&columns[1].array)[0], Some("Ulm"));
        assert_eq!(texts(&columns[2].array)[8], Some("dotted"));
        let address = texts(&columns[3].array);
        assert_eq!(address[0], Some(r#"{"city":"Ulm","zip":{"code":7}}"#));
        assert_eq!((address[5], address[9]), (None, Some("3")));
        let codes: Vec<_> = columns[4].array.as_primitive::<Int16Type>().iter().flatten().collect();
        assert_eq!(codes, [7, 8, 1]);
        assert_eq!(texts(&columns[5].array)[6], Some("9"));
        assert!(columns.iter().all(|column| column.misfits.is_empty()));
        let keys: Vec<(&str, u64, u32)> =
            decoded.keys.iter().map(|key| (key.name.as_str(), key.records, key.last_row)).collect();
        assert_eq!(
            keys,
            [
                ("id", 2, 1),
                ("age", 6, 6),
                ("address", 5, 9),
                ("a", 1, 2),
                ("b", 1, 2),
                ("c", 1, 2),
                ("address.city", 1, 8),
                ("Age", 1, 8)
            ]
        );
    }
}

#[test]
fn broken_records_are_told_apart_and_leave_no_trace() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let mut records = json(&[
        &b"{\"a\":1}"[..],
        b"{\"a\":2,\"new\":1,}",
        b"[1]",
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        b"\xef\xbb\xbf{\"a\":3}",
        b"",
        b"{\"a\":4} x",
        b"null",
        b"{\"a\":5",
        b"{\"a\":6}",
    ]);
    records.spans[0] = Span::NULL;
    records.oversized.push(Oversized { row: 9, length: 99, hash: "abc".into() });
    let mut decoder = decoder(&[("a", Want::Number)]);
    let decoded = decoder.decode(&records);
    let codes: Vec<_> = decoded.broken.iter().map(|dead| (dead.row, dead.code)).collect();
    assert_eq!(
        codes,
        [
            (0, "tombstone"),
            (1, "not-json"),
            (2, "not-object"),
            (3, "not-utf8"),
            (4, "too-deep"),
            (5, "not-json"),
            (6, "not-json"),
            (7, "not-json"),
            (8, "not-object"),
            (9, "too-large"),
        ]
    );
    assert_eq!(
        decoded.broken[1].cause,
        "the record is not JSON: expected a key in double quotes at byte 15, found \"}\""
    );
    assert_eq!(decoded.broken[3].cause, "the record is not UTF-8 at byte 6");
    assert!(decoded.broken[5].cause.contains("byte order mark"));
    assert!(decoded.broken.iter().all(|dead| dead.stage == "decode"));
    assert_eq!(ints(&decoded.columns[0].array)[10], Some(6));
    assert_eq!((decoded.columns[0].array.null_count(), decoded.columns[0].present), (10, 1));
    assert_eq!(decoded.keys, [Key { name: "a".into(), records: 1, last_row: 10 }]);
    assert_eq!(decoder.decode(&json::<&str>(&[])).columns[0].array.len(), 0);
}

#[test]
fn keys_are_bounded_and_the_wanted_ones_are_found_all_the_same() {
    let mut decoder = decoder(&[("wanted", Want::Number)]);
    for batch in 0..3 {
        let members: Vec<String> = (0..12_000).map(|key| format!("\"k{batch}-{key}\":{key}")).collect();
        let text = format!("{{{},\"wanted\":1}}", members.join(","));
        let decoded = decoder.decode(&json(&[text.as_str(), "{\"wanted\":2}"]));
        assert_eq!(ints(&decoded.columns[0].array), [Some(1), Some(2)]);
        assert_eq!(decoded.keys.len(), 10_000);
        assert!(decoded.keys.contains(&Key { name: "wanted".into(), records: 2, last_row: 1 }));
    }
}

#[test]
fn numbers_widen_without_loss() {
    let mut decoder = decoder(&[("a", Want::Number)]);
    let mut go = |values: &[&str]| {
        let texts: Vec<String> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
        let mut decoded = decoder.decode(&json(&texts));
        (decoded.columns.remove(0), learned(decoded.learned))
    };
    let (column, ty) = go(&["null"]);
    assert_eq!((column.array.data_type(), ty), (&DataType::Int64, None));
    let (column, ty) =
        go(&["1", "-0", "1e3", "18.0", "9223372036854775807", "-9223372036854775808", "null", "9007199254740993"]);
    let big = 9_007_199_254_740_993;
    assert_eq!(
        ints(&column.array),
        [Some(1), Some(0), Some(1_000), Some(18), Some(i64::MAX), Some(i64::MIN), None, Some(big)]
    );
    assert_eq!(ty, Some(Type::Bigint));
    let (column, ty) = go(&["7"]);
    assert_eq!((ints(&column.array), ty), (vec![Some(7)], None));
    let (column, ty) = go(&["1", "18.50", "9223372036854775807", "-0.125"]);
    assert_eq!(ty, Some(Type::Decimal { precision: 22, scale: 3 }));
    assert_eq!(column.array.data_type(), &DataType::Decimal128(22, 3));
    let values: Vec<_> = column.array.as_primitive::<Decimal128Type>().iter().flatten().collect();
    assert_eq!(values, [1_000, 18_500, 9_223_372_036_854_775_807_000, -125]);
    let (column, ty) = go(&["3"]);
    assert_eq!((column.array.data_type(), ty), (&DataType::Decimal128(22, 3), None));
    let (column, ty) = go(&[
        "1.5",
        "1e-30",
        "9007199254740993",
        "9007199254740992",
        "12345678901234567890123456789012345678901234567890",
    ]);
    assert_eq!(ty, Some(Type::Double));
    let values: Vec<_> = column.array.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(values, [Some(1.5), Some(1e-30), None, Some(9_007_199_254_740_992.0), None]);
    assert_eq!(rows(&column.misfits), [2, 4]);
    assert!(column.misfits[0].cause.contains("an integer that a double does not hold exactly"), "{:?}", column.misfits);
    let (column, ty) = go(&["1E400", "\"25\"", "true", "6.02214076e23"]);
    assert_eq!((rows(&column.misfits), ty), (vec![0, 1, 2], None));
    assert!(column.misfits[0].cause.contains("out of range"));
}

#[test]
fn a_misfit_says_what_to_do() {
    let records = json(&[r#"{"a":"25"}"#, r#"{"a":25}"#, r#"{"a":[1,{"b":"c"}]}"#]);
    let (column, _) = one(&records, Want::Number);
    assert_eq!(
        column.misfits[0].cause,
        "field \"a\" has the string \"25\", a number was asked for; use cast(a as bigint)"
    );
    assert_eq!(column.misfits[1].cause, "field \"a\" has the array [1,{\"b\":\"c\"}], a number was asked for");
    let (column, _) = one(&records, Want::Text);
    assert_eq!(column.misfits[0].cause, "field \"a\" has the number 25, text was asked for; use cast(a as text)");
    let (column, _) = one(&records, Want::As(Type::Smallint));
    assert_eq!(
        column.misfits[0].cause,
        "field \"a\" has the string \"25\", an integer (smallint) was asked for; use cast(a as smallint)"
    );
    let long = json(&[format!("{{\"a\":\"{}\"}}", "é".repeat(500))]);
    assert!(one(&long, Want::Number).0.misfits[0].cause.len() < 300);
}

#[test]
fn text_boolean_and_literal() {
    let records = json(&[
        r#"{"a":"x\ny\u00e9"}"#,
        r#"{"a":"plain é"}"#,
        r#"{"a":12.50}"#,
        r#"{"a":true}"#,
        r#"{"a": {"b": [1, 2]} }"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":null}"#,
    ]);
    let (column, _) = one(&records, Want::Text);
    assert_eq!(texts(&column.array)[..2], [Some("x\nyé"), Some("plain é")]);
    assert_eq!(rows(&column.misfits), [2, 3, 4, 5]);
    let (column, _) = one(&records, Want::Literal);
    assert_eq!(texts(&column.array)[2..], [Some("12.50"), Some("true"), Some("{\"b\": [1, 2]}"), None, None]);
    assert_eq!(rows(&column.misfits), [5]);
    assert!(column.misfits[0].cause.contains("surrogate"));
    let (column, _) = one(&records, Want::Boolean);
    assert!(column.array.as_boolean().value(3));
    assert_eq!(rows(&column.misfits), [0, 1, 2, 4, 5]);
    let (column, _) = one(&records, Want::As(Type::Json));
    assert_eq!(texts(&column.array)[5..], [Some("\"\\ud800\""), None]);
    assert_eq!(texts(&column.array)[0], Some("\"x\\ny\\u00e9\""));
    assert_eq!(column.misfits, []);
}

#[test]
fn inference_takes_the_narrowest_type_that_holds_all() {
    let cases: &[(&[&str], Option<Type>)] = &[
        (&["null"], None),
        (&["1", "null", "2"], Some(Type::Bigint)),
        (&["1", "2.5"], Some(Type::Decimal { precision: 20, scale: 1 })),
        (&["12345678901234567890"], Some(Type::Decimal { precision: 20, scale: 0 })),
        (&["9999999999999999999"], Some(Type::Decimal { precision: 20, scale: 0 })),
        (&["1", "1e-30"], Some(Type::Double)),
        (&["true", "false"], Some(Type::Boolean)),
        (&["\"2026-01-02T03:04:05Z\"", "\"x\""], Some(Type::Text)),
        (&["1", "\"x\""], Some(Type::Json)),
        (&["true", "1"], Some(Type::Json)),
        (&["{}"], Some(Type::Json)),
        (&["[1]", "null"], Some(Type::Json)),
    ];
    for (values, expected) in cases {
        let texts: Vec<String> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
        let (column, ty) = one(&json(&texts), Want::Infer);
        assert_eq!(learned(ty), *expected, "{values:?}");
        assert_eq!(column.array.data_type(), &dataflow_sdk::batch::arrow_type(expected.unwrap_or(Type::Text)));
        assert_eq!(column.misfits, [], "{values:?}");
    }
    let mut decoder = decoder(&[("a", Want::Infer)]);
    decoder.decode(&json(&["{\"a\":1}"]));
    let decoded = decoder.decode(&json(&["{\"a\":1}", "{\"a\":\"1\"}", "{\"a\":null}"]));
    assert_eq!(texts(&decoded.columns[0].array), [Some("1"), Some("\"1\""), None]);
    assert_eq!(decoded.learned.unwrap().0, [("a#infer".to_owned(), Type::Json)].into());
}

#[test]
fn what_is_known_is_kept() {
    let known = Learned(
        [("a#number".to_owned(), Type::Decimal { precision: 21, scale: 2 }), ("b#infer".into(), Type::Text)].into(),
    );
    let mut decoder = Decoder::new(vec![field(&["a"], Want::Number)], &known);
    let decoded = decoder.decode(&json(&["{\"a\":1.25}"]));
    assert!(decoded.learned.is_none());
    let decoded = decoder.decode(&json(&["{\"a\":1.125}"]));
    assert_eq!(decoded.learned.unwrap().0.len(), 2);
    assert_eq!(learned_key(&field(&["a/b", "c~d"], Want::Number)), "a~1b/c~0d#number");
}

#[test]
fn exact_types() {
    let cases: &[(Type, &[&str], &[&str])] = &[
        (
            Type::Smallint,
            &["32767", "-32768", "1e2", "5.0"],
            &["32768", "1.5", "\"1\"", "1e400", "123456789012345678901234567890123456789012"],
        ),
        (Type::Integer, &["2147483647"], &["2147483648"]),
        (Type::Bigint, &["9223372036854775807", "-9223372036854775808"], &["9223372036854775808", "1e19"]),
        (Type::Real, &["1.5", "16777216", "1e10"], &["16777217", "1e39"]),
        (Type::Double, &["1.5", "9007199254740994", "1e308", "1180591620717411303424"], &["9007199254740993", "1e309"]),
        (
            Type::Decimal { precision: 5, scale: 2 },
            &["999.99", "1.500", "-0", "1e2", "10e-1"],
            &["1.005", "1000", "\"1\""],
        ),
        (Type::Number, &["1.50", "1e400"], &["\"1\"", "true"]),
        (Type::Text, &["\"\"", "\"x\""], &["1"]),
        (
            Type::Uuid,
            &["\"67E55044-10b1-426f-9247-bb680e5fe0c8\"", "\"67e5504410b1426f9247bb680e5fe0c8\""],
            &["\"x\"", "\"67e55044-10b1-426f-9247-bb680e5fe0cg\"", "1"],
        ),
        (
            Type::Binary,
            &["\"\"", "\"AQID\"", "\"AQI=\"", "\"AQI\"", "\"_-8=\""],
            &["\"A\"", "\"AQI==\"", "\"A Q\"", "\"AQJ=x\"", "3"],
        ),
        (Type::Boolean, &["true"], &["\"true\"", "1"]),
        (Type::Date, &["\"2024-02-29\""], &["\"2023-02-29\"", "\"2026-1-2\"", "\"2026-01-02T00:00:00Z\"", "1"]),
        (
            Type::Timestamp,
            &[
                "\"2026-01-02T03:04:05Z\"",
                "\"2026-01-02 03:04:05\"",
                "\"2026-01-02\"",
                "\"2026-01-02t03:04:60.123456789+05:30\"",
                "\"0000-01-01T00:00:00+00\"",
            ],
            &[
                "\"2026-01-02T03:04\"",
                "\"2026-13-02\"",
                "\"2026-01-02T24:00:00Z\"",
                "\"2026-01-02T03:04:05.Z\"",
                "\"yesterday\"",
                "1700000000",
                "\"2026-01-02T03:04:05+0x:00\"",
            ],
        ),
        (Type::Datetime, &["\"2026-01-02T03:04:05\"", "\"2026-01-02T03:04:05+01:00\""], &["\"x\""]),
        (Type::Json, &["1", "\"x\"", "{\"a\": [1]}", "true"], &[]),
    ];
    for (ty, good, bad) in cases {
        let texts: Vec<String> = good.iter().chain(*bad).map(|value| format!("{{\"a\":{value}}}")).collect();
        let (column, learned) = one(&json(&texts), Want::As(*ty));
        assert_eq!(column.array.data_type(), &dataflow_sdk::batch::arrow_type(*ty));
        let expected: Vec<u32> = (good.len() as u32..texts.len() as u32).collect();
        assert_eq!(rows(&column.misfits), expected, "{ty}: {:?}", column.misfits);
        assert_eq!(column.array.null_count(), bad.len());
        assert!(learned.is_none());
    }
}

#[test]
fn points_in_time() {
    let micros = |text: &str| time::timestamp(text).unwrap();
    assert_eq!(micros("1970-01-01T00:00:00Z"), 0);
    assert_eq!(micros("2026-01-02T03:04:05.123456789Z"), 1_767_323_045_123_456);
    assert_eq!(micros("2026-01-02T03:04:05.1+02:00"), 1_767_315_845_100_000);
    assert_eq!(micros("1969-12-31T23:59:59.5-0100"), 3_599_500_000);
    assert_eq!(micros("2000-02-29"), 951_782_400_000_000);
    assert_eq!(micros("0001-01-01 00:00:00"), -62_135_596_800_000_000);
}

#[test]
fn csv_values_take_the_class_that_is_asked_for() {
    let records =
        csv(&["id", "name", "a", "b"], &["1,Ann,007,yes", "2,\"B, \"\"C\"\"\",1.50,F", "3,\"\",,", "4,é,x,2"]);
    let mut decoder = decoder(&[
        ("id", Want::As(Type::Integer)),
        ("name", Want::Text),
        ("a", Want::Number),
        ("b", Want::Boolean),
        ("a", Want::Literal),
        ("none", Want::Text),
    ]);
    let decoded = decoder.decode(&records);
    assert_eq!(decoded.broken, []);
    let columns = &decoded.columns;
    assert_eq!(columns[0].array.as_primitive::<Int32Type>().values()[..], [1, 2, 3, 4]);
    assert_eq!(texts(&columns[1].array), [Some("Ann"), Some("B, \"C\""), Some(""), Some("é")]);
    let values: Vec<_> = columns[2].array.as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(values, [Some(70), Some(15), None, None]);
    assert_eq!(columns[2].misfits[0].cause, "field \"a\" has the value \"x\", a number was asked for");
    assert_eq!(columns[2].present, 4);
    let values: Vec<_> = columns[3].array.as_boolean().iter().collect();
    assert_eq!((values, rows(&columns[3].misfits)), (vec![Some(true), Some(false), None, None], vec![3]));
    assert_eq!(texts(&columns[4].array), [Some("007"), Some("1.50"), None, Some("x")]);
    assert_eq!(columns[5].present, 0);
    assert_eq!(decoded.keys.len(), 4);
}

#[test]
fn csv_inference() {
    let cases: &[(&[&str], Type)] = &[
        (&["1", "", "-2"], Type::Bigint),
        (&["1", "2.5"], Type::Decimal { precision: 20, scale: 1 }),
        (&["01", "2"], Type::Text),
        (&["true", "false"], Type::Boolean),
        (&["true", "1"], Type::Text),
        (&["1", "x"], Type::Text),
        (&["+1"], Type::Text),
    ];
    for (values, expected) in cases {
        let (column, ty) = one(&csv(&["a"], values), Want::Infer);
        assert_eq!(learned(ty), Some(*expected), "{values:?}");
        assert_eq!(column.misfits, []);
    }
    // What a type is known for makes no difference to what is a number.
    let known = |ty| Learned([("a#infer".to_owned(), ty)].into());
    let after =
        |ty, values: &[&str]| Decoder::new(vec![field(&["a"], Want::Infer)], &known(ty)).decode(&csv(&["a"], values));
    let decoded = after(Type::Bigint, &["1", "007"]);
    assert_eq!(texts(&decoded.columns[0].array), [Some("1"), Some("007")]);
    assert_eq!(learned(decoded.learned), Some(Type::Text));
    let decoded = after(Type::Boolean, &["true", "1"]);
    assert_eq!(texts(&decoded.columns[0].array), [Some("true"), Some("1")]);
    let decoded = after(Type::Json, &["1", "a\"b", "", "true"]);
    assert_eq!(texts(&decoded.columns[0].array), [Some("\"1\""), Some("\"a\\\"b\""), None, Some("\"true\"")]);
    assert_eq!(decoded.columns[0].misfits, []);
}

#[test]
fn csv_values_as_json() {
    let values = ["Ann", "\"{\"\"a\"\": [1]}\"", "12", "{x", "\"\""];
    let (column, _) = one(&csv(&["a"], &values), Want::As(Type::Json));
    assert_eq!(texts(&column.array), ["\"Ann\"", "{\"a\": [1]}", "\"12\"", "\"{x\"", "\"\""].map(Some));
    let (column, _) = one(&csv(&["a"], &["+007", "-00.50", "1.5E3", "000", "x"]), Want::As(Type::Number));
    assert_eq!(texts(&column.array), [Some("7"), Some("-0.50"), Some("1.5E3"), Some("0"), None]);
}

#[test]
fn csv_numbers_may_have_blanks_around_them() {
    let (column, ty) = one(&csv(&["a"], &[" 5", "+6 ", "\" 007\""]), Want::Number);
    assert_eq!((ints(&column.array), learned(ty)), (vec![Some(5), Some(6), Some(7)], Some(Type::Bigint)));
    let (column, ty) = one(&csv(&["a"], &[" 5.5", "1e400", "1 2", "."]), Want::Number);
    assert_eq!((rows(&column.misfits), learned(ty)), (vec![1, 2, 3], Some(Type::Decimal { precision: 20, scale: 1 })));
}

#[test]
fn broken_csv_records() {
    let records = csv(&["a", "b"], &["1,2", "1", "1,2,3", "\"1,2", "\"1\"x,2", ",", "1,", "\"\",\"\"\"\"", "1,a\"b"]);
    let decoded = decoder(&[("a", Want::Literal), ("b", Want::Literal)]).decode(&records);
    let codes: Vec<_> = decoded.broken.iter().map(|dead| (dead.row, dead.code)).collect();
    assert_eq!(codes, [(1, "csv-fields"), (2, "csv-fields"), (3, "not-csv"), (4, "not-csv")]);
    assert_eq!(decoded.broken[1].cause, "the record has 3 fields, the header has 2");
    assert_eq!(decoded.broken[3].cause, "field 1 (a) goes on behind its closing quote at byte 3");
    let values = texts(&decoded.columns[1].array);
    assert_eq!(values[5..], [None, None, Some("\""), Some("a\"b")]);
    assert_eq!(decoded.keys[0], Key { name: "a".into(), records: 5, last_row: 8 });
}

mod oracles;

proptest::proptest! {
    /// Zeros in front change no value, but make the text too long for the short way.
    #[test]
    fn decimals_are_the_same_the_short_way(sign in "-?", whole in "[0-9]{1,9}", fraction in "(\\.[0-9]{0,8})?") {
        let (short, long) = (format!("{sign}{whole}{fraction}"), format!("{sign}{}{whole}{fraction}", "0".repeat(18)));
        proptest::prop_assert_eq!(number::decimal(&short), number::decimal(&long));
    }
}
