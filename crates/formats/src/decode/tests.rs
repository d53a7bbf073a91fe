#![allow(clippy::unwrap_used)]
use super::*;
use arrow::{
    array::AsArray,
    datatypes::{DataType, Int16Type, Int32Type, Int64Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use dataflow_core::position::Position;
use dataflow_sdk::records::{CsvLayout, Oversized, Span};
use std::sync::Arc;

/// Records with these texts, with bytes between them as in a file.
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
        header: None,
    };
    records(texts, Layout::Csv(Arc::new(layout)))
}

fn field(path: &[&str], want: Want) -> Field {
    Field { path: path.iter().map(|key| (*key).into()).collect(), want }
}

fn decoder(fields: &[(&str, Want)]) -> Decoder {
    let fields = fields.iter().map(|(path, want)| field(&[path], *want)).collect();
    Decoder::new(fields)
}

/// Decodes the column of a single want.
fn one(records: &Records, want: Want) -> Column {
    let mut decoded = decoder(&[("a", want)]).decode(records);
    assert_eq!(decoded.broken, []);
    decoded.columns.remove(0)
}

/// The common type of all values of the field.
fn inferred(records: &Records) -> Option<Type> {
    decoder(&[("a", Want::Infer)]).types(records)[0].ty
}

/// `type value` of each row.
fn own(column: &Column) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let row = |row| match column.array.as_union_opt() {
        Some(union) => (union.value(row), 0),
        None => (column.array.clone(), row),
    };
    let shown = |(array, row): (ArrayRef, usize)| {
        let value = ArrayFormatter::try_new(&array, &options).unwrap().value(row).to_string();
        format!("{} {value}", array.data_type())
    };
    (0..column.array.len()).map(row).map(shown).collect()
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
    let mut decoder = Decoder::new(fields);
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
    assert!(decoded.broken[3].cause.starts_with("the record is not UTF-8 at byte 6; "), "{}", decoded.broken[3].cause);
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
fn each_number_has_a_type_of_its_own() {
    let cases = [
        ("null", "Int64 -"),
        ("1", "Int64 1"),
        ("-0", "Int64 0"),
        ("1e3", "Int64 1000"),
        ("18.0", "Int64 18"),
        ("9223372036854775807", "Int64 9223372036854775807"),
        ("9223372036854775808", "Decimal128(38, 0) 9223372036854775808"),
        ("18.50", "Decimal128(21, 2) 18.50"),
        ("-0.005", "Decimal128(27, 8) -0.00500000"),
        ("48.053808600000004", "Decimal128(37, 18) 48.053808600000004000"),
        ("12345678901234567890.5", "Decimal128(38, 1) 12345678901234567890.5"),
        ("1e-30", "Decimal128(38, 30) 0.000000000000000000000000000001"),
        ("1e300", "Float64 1e300"),
        ("5e-324", "Float64 5e-324"),
        ("1e-400", "misfit"),
        ("1E400", "misfit"),
        ("12345678901234567890123456789012345678901234567890", "misfit"),
        ("\"25\"", "misfit"),
        ("true", "misfit"),
    ];
    let line = |value: &str| format!("{{\"a\":{value}}}");
    for (value, expected) in cases {
        let column = one(&json(&[line(value)]), Want::Number);
        let found = if column.misfits.is_empty() { own(&column).remove(0) } else { "misfit".into() };
        assert_eq!(found, expected, "{value}");
    }
    let lines: Vec<String> = cases.iter().map(|(value, _)| line(value)).collect();
    let together = one(&json(&lines), Want::Number);
    let misfits = rows(&together.misfits);
    let of = |(row, found): (usize, String)| if misfits.contains(&(row as u32)) { "misfit".into() } else { found };
    let found: Vec<String> = own(&together).into_iter().enumerate().map(of).collect();
    assert_eq!(found, cases.map(|(_, expected)| expected));
    let amounts = one(&json(&["1.5", "2.25"].map(line)), Want::Number);
    assert_eq!(amounts.array.data_type(), &DataType::Decimal128(21, 2), "one type, one column");
}

#[test]
fn each_value_has_a_type_of_its_own() {
    let values = ["1", "\"x\"", "null", "true", "[1]", "2.5", "\"1\"", "{\"b\": 1}"];
    let lines: Vec<String> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
    let column = one(&json(&lines), Want::Infer);
    assert_eq!(
        own(&column),
        [
            "Int64 1",
            "Utf8 x",
            "Null -",
            "Boolean true",
            "Utf8 [1]",
            "Decimal128(21, 2) 2.50",
            "Utf8 1",
            "Utf8 {\"b\": 1}"
        ]
    );
    let DataType::Union(fields, _) = column.array.data_type() else { panic!("no union") };
    let id = |row| column.array.as_union().type_id(row);
    let is_json = |row| fields.iter().any(|(at, field)| at == id(row) && field.name() == JSON);
    assert_eq!((0..8).map(is_json).collect::<Vec<_>>(), [false, false, false, false, true, false, false, true]);
    assert!(one(&json(&[r#"{"a": []}"#]), Want::Infer).json);
}

#[test]
fn points_in_time_are_as_fine_as_they_are_written() {
    let times = ["2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456789Z", "9999-12-31", "0001-01-01T00:00:00Z"];
    let mut lines: Vec<String> = times.iter().map(|time| format!("{{\"a\":\"{time}\"}}")).collect();
    let column = one(&json(&lines), Want::Time);
    let union = column.array.as_union();
    let types: Vec<String> = (0..4).map(|row| union.value(row).data_type().to_string()).collect();
    let micros = "Timestamp(µs, \"UTC\")";
    assert_eq!(types, [micros, "Timestamp(ns, \"UTC\")", micros, micros]);
    lines.push(r#"{"a": "9999-12-31T00:00:00.000000001Z"}"#.into());
    lines.push(r#"{"a": "2026-01-02T03:04:05.1234567891Z"}"#.into());
    let column = one(&json(&lines), Want::Time);
    assert_eq!(rows(&column.misfits), [4, 5]);
    assert!(column.misfits[0].cause.contains("between 1677 and 2262"), "{:?}", column.misfits);
    let column = one(&json(&lines), Want::As(Type::Timestamp));
    assert_eq!(rows(&column.misfits), [1, 4, 5]);
    assert!(column.misfits[0].cause.contains("finer than the microseconds"), "{:?}", column.misfits);
}

#[test]
fn a_floating_point_number_is_exact_if_it_reads_back_the_same() {
    let doubles = [
        ("48.053808600000004", true),
        ("0.1", true),
        ("0.30000000000000004", true),
        ("9007199254740992.0", true),
        ("9007199254740993.0", false),
        ("9007199254740993", false),
        ("0.10000000000000001", true),
        ("0.100000000000000011", false),
        ("699814047877201.2", true),
        ("699814047877201.3", true),
        ("699814047877201.27", false),
        ("0.1000000000000000055511151231257827021181583404541015625", true),
        ("1e-400", false),
        ("0e-400", true),
        ("-0.0", true),
        ("4.9e-324", true),
        ("5e-324", true),
        ("3e-324", false),
        ("1.7976931348623157e308", true),
        ("1e309", false),
        ("100000000000000000000", true),
    ];
    let reals = [
        ("0.1", true),
        ("16777217", false),
        ("16777216.0", true),
        ("3.4028235e38", true),
        ("1e-46", false),
        ("0.100000001490116119384765625", true),
        ("1.23456789", false),
    ];
    for (ty, cases) in [(Type::Double, doubles.as_slice()), (Type::Real, reals.as_slice())] {
        for (text, exact) in cases {
            let column = one(&json(&[format!("{{\"a\":{text}}}")]), Want::As(ty));
            assert_eq!(column.misfits.is_empty(), *exact, "{ty} {text}: {:?}", column.misfits);
        }
    }
}

#[test]
fn an_untyped_value_goes_strictly_into_a_type_that_nobody_named() {
    for (ty, good, bad) in [
        (Type::Bigint, ["1", "-20", "0"].as_slice(), ["01067", "+49351", "1e5", " 5", "1.5", "x"].as_slice()),
        (Type::Number, &["1.50", "0.5"], &["00.5", "1e5", "+1"]),
        (Type::Boolean, &["true", "false"], &["yes", "1", "TRUE"]),
        (Type::Text, &["01067", "+49351"], &[]),
    ] {
        let values: Vec<&str> = good.iter().chain(bad).copied().collect();
        let column = one(&csv(&["a"], &values), Want::Strict(ty));
        let expected: Vec<u32> = (good.len() as u32..values.len() as u32).collect();
        assert_eq!(rows(&column.misfits), expected, "{ty}");
    }
}

#[test]
fn a_misfit_knows_the_usual_causes() {
    let cause = |want, text: &str| one(&csv(&["a"], &[&format!("\"{text}\"")]), want).misfits.remove(0).cause;
    let time = Want::As(Type::Timestamp);
    for (want, text, remedy) in [
        (Want::Number, "NA", "nullValues: [\"NA\", \"\"]"),
        (Want::Number, "N/A", "nullValues: [\"N/A\", \"\"]"),
        (Want::As(Type::Double), "-", "nullValues: [\"-\", \"\"]"),
        (Want::As(Type::Bigint), "NaN", "nullValues: [\"NaN\", \"\"]"),
        (Want::Number, "1,234,567.89", "cast(replace(a, ',', '') as decimal(38, 10))"),
        (Want::Number, "1 234", "cast(replace(a, ' ', '') as decimal(38, 10))"),
        (Want::Number, "3,14", "cast(replace(a, ',', '.') as decimal(38, 10))"),
        (Want::Number, "1.234,56", "cast(replace(replace(a, '.', ''), ',', '.') as decimal(38, 10))"),
        (Want::Number, "1,234", "if the comma separates thousands"),
        (
            Want::Number,
            "€ 12.50",
            "cast(regexp_replace(a, '^[^-+0-9.]+|[^0-9]+$|[^0-9.,eE+-]', '', 'g') as decimal(38, 10))",
        ),
        (
            Want::Number,
            "12.50 USD",
            "cast(regexp_replace(a, '^[^-+0-9.]+|[^0-9]+$|[^0-9.,eE+-]', '', 'g') as decimal(38, 10))",
        ),
        (Want::Number, "12.5 %", "/ 100"),
        (Want::Number, "", "use cast(nullif(a, '') as decimal(38, 10))"),
        (Want::Strict(Type::Boolean), "t", "use cast(a as boolean)"),
        (time, "NA", "nullValues: [\"NA\", \"\"]"),
        (time, "31.12.2026", "to_timestamp(a, 'DD.MM.YYYY')"),
        (time, "12/31/2026 10:30", "to_timestamp(a, 'MM/DD/YYYY HH24:MI')"),
        (time, "01/02/2026", "if the day comes first"),
        (time, "20260102", "to_timestamp(a, 'YYYYMMDD')"),
        (time, "1767323045", "use to_timestamp_seconds(a)"),
    ] {
        let cause = cause(want, text);
        assert!(cause.contains(remedy), "{text}: {cause}");
    }
    let word = one(&json(&[r#"{"a": "NA"}"#]), Want::Number).misfits.remove(0).cause;
    assert!(word.ends_with("use cast(nullif(cast(a as text), 'NA') as decimal(38, 10))"), "{word}");
    let count = one(&json(&[r#"{"a": 1767323045123}"#]), Want::Time).misfits.remove(0).cause;
    assert!(count.ends_with("use to_timestamp_millis(a)"), "{count}");
}

#[test]
fn a_misfit_says_what_to_do() {
    let records = json(&[r#"{"a":"25"}"#, r#"{"a":25}"#, r#"{"a":[1,{"b":"c"}]}"#]);
    let column = one(&records, Want::Number);
    assert_eq!(
        column.misfits[0].cause,
        "field \"a\" has the string \"25\", a number was asked for; use cast(a as decimal(38, 10))"
    );
    assert_eq!(column.misfits[1].cause, "field \"a\" has the array [1,{\"b\":\"c\"}], a number was asked for");
    let column = one(&records, Want::Text);
    assert_eq!(column.misfits[0].cause, "field \"a\" has the number 25, text was asked for; use cast(a as text)");
    let column = one(&records, Want::As(Type::Smallint));
    assert_eq!(
        column.misfits[0].cause,
        "field \"a\" has the string \"25\", an integer (smallint) was asked for; use cast(a as decimal(38, 10))"
    );
    let long = json(&[format!("{{\"a\":\"{}\"}}", "é".repeat(500))]);
    assert!(one(&long, Want::Number).misfits[0].cause.len() < 300);
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
    let column = one(&records, Want::Text);
    assert_eq!(texts(&column.array)[..2], [Some("x\nyé"), Some("plain é")]);
    assert_eq!(rows(&column.misfits), [2, 3, 4, 5]);
    let column = one(&records, Want::Literal);
    assert_eq!(texts(&column.array)[2..], [Some("12.50"), Some("true"), Some("{\"b\": [1, 2]}"), None, None]);
    assert_eq!(rows(&column.misfits), [5]);
    assert!(column.misfits[0].cause.contains("surrogate"));
    let column = one(&records, Want::Boolean);
    assert!(column.array.as_boolean().value(3));
    assert_eq!(rows(&column.misfits), [0, 1, 2, 4, 5]);
    let column = one(&records, Want::As(Type::Json));
    assert_eq!(texts(&column.array)[5..], [Some("\"\\ud800\""), None]);
    assert_eq!(texts(&column.array)[0], Some("\"x\\ny\\u00e9\""));
    assert_eq!(column.misfits, []);
}

#[test]
fn inference_takes_a_type_that_holds_all_and_more() {
    let cases: &[(&[&str], Option<Type>)] = &[
        (&["null"], None),
        (&["1", "null", "2"], Some(Type::Bigint)),
        (&["1", "2.5"], Some(Type::Number)),
        (&["10.0"], Some(Type::Number)),
        (&["1", "1e3"], Some(Type::Number)),
        (&["12345678901234567890"], Some(Type::Number)),
        (&["1", "1e300"], Some(Type::Number)),
        (&["1e400"], Some(Type::Number)),
        (&["1e-400"], Some(Type::Number)),
        (&["\"\\ud800\""], Some(Type::Text)),
        (&["true", "false"], Some(Type::Boolean)),
        (&["\"2026-01-02T03:04:05Z\"", "\"x\""], Some(Type::Text)),
        (&["1", "\"x\""], Some(Type::Json)),
        (&["true", "1"], Some(Type::Json)),
        (&["{}"], Some(Type::Json)),
        (&["[1]", "null"], Some(Type::Json)),
    ];
    for (values, expected) in cases {
        let texts: Vec<String> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
        assert_eq!(inferred(&json(&texts)), *expected, "{values:?}");
    }
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
        (Type::Real, &["1.5", "16777216", "1e10"], &["16777217", "1e39", "9007199254740993.0"]),
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
                "\"2026-01-02t03:04:60.123456000+05:30\"",
                "\"0001-01-01T00:00:00+00\"",
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
        (
            Type::Datetime,
            &["\"2026-01-02T03:04:05\"", "\"2026-01-02\"", "\"2026-01-02T03:04:05Z\"", "\"2026-01-02T03:04:05-00:00\""],
            &["\"x\"", "\"2026-01-02T03:04:05+01:00\"", "\"2026-01-02 03:04:05-0030\""],
        ),
        (Type::Json, &["1", "\"x\"", "{\"a\": [1]}", "true"], &[]),
    ];
    for (ty, good, bad) in cases {
        let texts: Vec<String> = good.iter().chain(*bad).map(|value| format!("{{\"a\":{value}}}")).collect();
        let column = one(&json(&texts), Want::As(*ty));
        assert_eq!(column.array.data_type(), &dataflow_sdk::batch::arrow_type(*ty));
        let expected: Vec<u32> = (good.len() as u32..texts.len() as u32).collect();
        assert_eq!(rows(&column.misfits), expected, "{ty}: {:?}", column.misfits);
        assert_eq!(column.array.null_count(), bad.len());
    }
}

#[test]
fn points_in_time() {
    let micros = |text: &str| match time::point(text).unwrap() {
        varied::Value::Micros(Some(micros)) => micros,
        other => panic!("{other:?}"),
    };
    assert_eq!(micros("1970-01-01T00:00:00Z"), 0);
    assert_eq!(micros("2026-01-02T03:04:05.123456Z"), 1_767_323_045_123_456);
    assert_eq!(micros("2026-01-02T03:04:05.1+02:00"), 1_767_315_845_100_000);
    assert_eq!(micros("1969-12-31T23:59:59.5-0100"), 3_599_500_000);
    assert_eq!(micros("2000-02-29"), 951_782_400_000_000);
    assert_eq!(micros("0001-01-01 00:00:00"), -62_135_596_800_000_000);
    assert_eq!(micros("9999-12-31T23:59:59.999999Z"), 253_402_300_799_999_999);
    assert_eq!(micros("9999-12-31T23:30:00+01:00"), 253_402_295_400_000_000);
    for outside in ["9999-12-31T23:30:00-01:00", "9999-12-31T23:59:60Z", "0001-01-01T00:30:00+01:00", "0000-06-01"] {
        assert!(time::point(outside).is_err_and(|why| why.contains("years 1 to 9999")), "{outside}");
    }
    assert!(time::days("0000-12-31").is_err_and(|why| why.contains("years 1 to 9999")));
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
    assert_eq!(own(&columns[2]), ["Int64 7", "Decimal128(21, 2) 1.50", "Int64 -", "Int64 -"]);
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
        (&["1", "2.5"], Type::Number),
        (&["1", "1234567890123456789012345678901234567890.5"], Type::Number),
        (&["01", "2"], Type::Text),
        (&["1e5"], Type::Text),
        (&["true", "false"], Type::Boolean),
        (&["true", "1"], Type::Text),
        (&["1", "x"], Type::Text),
        (&["+1"], Type::Text),
    ];
    for (values, expected) in cases {
        assert_eq!(inferred(&csv(&["a"], values)), Some(*expected), "{values:?}");
    }
    assert_eq!(inferred(&csv(&["a"], &["", ""])), None);
}

#[test]
fn csv_values_as_json() {
    let values = ["Ann", "\"{\"\"a\"\": [1]}\"", "12", "{x", "\"\""];
    let column = one(&csv(&["a"], &values), Want::As(Type::Json));
    assert_eq!(texts(&column.array), [None, Some("{\"a\": [1]}"), Some("12"), None, None]);
    assert_eq!(rows(&column.misfits), [0, 3, 4], "a text that is not JSON does not become a JSON string");
    let column = one(&csv(&["a"], &values), Want::As(Type::Any));
    assert_eq!(texts(&column.array), [r#""Ann""#, r#""{\"a\": [1]}""#, r#""12""#, r#""{x""#, r#""""#].map(Some));
    let column = one(&csv(&["a"], &["+007", "-00.50", "1.5E3", "000", "x"]), Want::As(Type::Number));
    assert_eq!(texts(&column.array), [Some("7"), Some("-0.50"), Some("1.5E3"), Some("0"), None]);
}

#[test]
fn csv_numbers_may_have_blanks_around_them() {
    let column = one(&csv(&["a"], &[" 5", "+6 ", "\" 007\""]), Want::Number);
    assert_eq!(ints(&column.array), [Some(5), Some(6), Some(7)]);
    let column = one(&csv(&["a"], &[" 5.5", "1e400", "1 2", "."]), Want::Number);
    assert_eq!(rows(&column.misfits), [1, 2, 3]);
}

#[test]
fn broken_csv_records() {
    let records = csv(&["a", "b"], &["1,2", "1", "1,2,3", "\"1,2", "\"1\"x,2", ",", "1,", "\"\",\"\"\"\"", "1,a\"b"]);
    let decoded = decoder(&[("a", Want::Literal), ("b", Want::Literal)]).decode(&records);
    let codes: Vec<_> = decoded.broken.iter().map(|dead| (dead.row, dead.code)).collect();
    assert_eq!(codes, [(1, "csv-fields"), (2, "csv-fields"), (3, "not-csv"), (4, "not-csv")]);
    assert_eq!(decoded.broken[1].cause, "the record has 3 fields, the header has 2");
    assert_eq!(decoded.broken[3].cause, "field 1 (a) continues after its closing quote at byte 3");
    let values = texts(&decoded.columns[1].array);
    assert_eq!(values[5..], [None, None, Some("\""), Some("a\"b")]);
    assert_eq!(decoded.keys[0], Key { name: "a".into(), records: 5, last_row: 8 });
}

mod oracles;

proptest::proptest! {
    /// Leading zeros don't change the value, but make the text too long for the fast path.
    #[test]
    fn decimals_are_the_same_the_short_way(sign in "-?", whole in "[0-9]{1,9}", fraction in "(\\.[0-9]{0,8})?") {
        let (short, long) = (format!("{sign}{whole}{fraction}"), format!("{sign}{}{whole}{fraction}", "0".repeat(18)));
        proptest::prop_assert_eq!(number::decimal(&short), number::decimal(&long));
    }
}
