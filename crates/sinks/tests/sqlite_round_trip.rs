//! Whatever a column is declared as: SQLite gives a value back as the same one, or the record is a dead letter. What it
//! gives back is told by SQLite itself (`typeof`, `quote`, `printf`), by rules that know nothing of the sink. An audit has to
//! find what was taken as it was.
#![allow(clippy::unwrap_used)]
use arrow::{array::RecordBatch, datatypes::Schema};
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::{
    Records, SinkConfig, Span,
    batch::{Demand, Output, Payload, arrow_type},
    records::Layout,
    sink::{CommitError, Opened},
};
use dataflow_sinks::SqliteSink;
use dataflow_testkit::fixture::{context, fence, open_lane, token};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use std::{path::Path, sync::Arc};

const PLAIN: &[&str] = &[
    "",
    "INT",
    "INTEGER",
    "TINYINT",
    "BIGINT",
    "UNSIGNED BIG INT",
    "INT8",
    "INTEGER(5)",
    "CHARACTER(20)",
    "VARCHAR(3)",
    "NVARCHAR(100)",
    "TEXT",
    "CLOB",
    "BLOB",
    "NUMERIC",
    "DECIMAL(10,2)",
    "NUMBER",
    "MONEY",
    "BOOLEAN",
    "BOOL",
    "DATE",
    "DATETIME",
    "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE",
    "STRING",
    "UUID",
    "JSON",
    "JSON TEXT",
    "JSONB",
    "ANY",
    "POINT",
    "FLOATING POINT",
    "REAL",
    "DOUBLE",
    "DOUBLE PRECISION",
    "FLOAT",
    "INTERVAL",
    "WHATEVER",
    "BOOLEAN TEXT",
    "DATETIME TEXT",
    "BIGINT TIMESTAMP",
    "CHARINT",
    "TEXT COLLATE NOCASE",
    "INTEGER PRIMARY KEY",
    "TEXT PRIMARY KEY",
    "STRING DEFAULT 'x'",
    "INTEGER DEFAULT 5",
];
const STRICT: &[&str] = &["INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"];
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "1e0",
    "7.5",
    "0.1",
    "1e5",
    "1E400",
    "1e-400",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "48.053808600000004",
    "0.1234567890123456789",
    "10000000000000000000",
    "\"\"",
    "\"a\"",
    "\"00501\"",
    "\"1e5\"",
    "\"+1\"",
    "\" 7 \"",
    "\"7\"",
    "\".5\"",
    "\"5.\"",
    "\"0x1F\"",
    "\"1_0\"",
    "\"inf\"",
    "\"nan\"",
    "\"true\"",
    "\"NULL\"",
    "\"a\\u0000b\"",
    "\"7\\u0000\"",
    "\"\\n7\"",
    "\"\\u00a07\"",
    "\"2026-01-31\"",
    "\"2026-01-31T10:20:30Z\"",
    "\"2026-01-31 10:20:30.123456\"",
    "\"2026-01-31T10:20:30.5+02:00\"",
    "\"AAEC\"",
    "\"ä😀\"",
    "\"it's\"",
    "\"9999-12-31\"",
    "\"9999-12-31T00:00:00Z\"",
    "\"9999-12-31T23:59:59.999999\"",
    "\"9999-12-31T23:30:00-01:00\"",
    "\"0001-01-01T00:30:00+01:00\"",
    "\"0000-01-01\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"2026-01-31T10:20:30.1234560000Z\"",
    "\"\\ud800\"",
    "{\"a\":\"\\udc00\"}",
    "[]",
    "[1,2]",
    "{\"a\":1.50}",
    "\"[1]\"",
    "\"{}\"",
];

/// Writes values to a column of a fresh table, each as a record; what SQLite says of each that is there.
fn written(declared: &str, rules: &str, values: &[String]) -> Vec<Option<Stored>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&format!("create table t (n integer not null unique, v {declared}) {rules}")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(write(&path, values));
    let stored = |n: usize| {
        let sql = "select typeof(v), quote(v), cast(v as text), hex(v), v from t where n = ?1";
        let read = db.query_row(sql, [n as i64], |row| {
            let kind: String = row.get(0)?;
            Ok(Stored {
                text: if kind == "text" {
                    String::from_utf8(unhex(&row.get::<_, String>(3)?)).unwrap()
                } else {
                    row.get::<_, Option<String>>(2).unwrap_or_default().unwrap_or_default()
                },
                bytes: unhex(&row.get::<_, String>(3)?),
                real: if kind == "real" { row.get(4)? } else { 0.0 },
                kind,
            })
        });
        read.ok()
    };
    (0..values.len()).map(stored).collect()
}

#[derive(Debug)]
struct Stored {
    kind: String,
    text: String,
    bytes: Vec<u8>,
    real: f64,
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

async fn write(path: &Path, values: &[String]) {
    let sink: SqliteSink = serde_json::from_value(json!({"path": path, "table": "t", "mode": "append"})).unwrap();
    let Opened { mut writer, demand, .. } = sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap();
    let Demand::Columns(columns) = demand else { panic!("{demand:?}") };
    let mut data = String::new();
    let mut records = Records::empty("p".into(), dataflow_core::position::Position::offset(0), Layout::Json);
    for (n, value) in values.iter().enumerate() {
        let start = data.len();
        data.push_str(&format!("{{\"n\":{n},\"v\":{value}}}"));
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(n as u64);
    }
    records.data = data.into();
    let fields = columns.iter().map(|column| Field { path: vec![column.name.clone()], want: Want::As(column.ty) });
    let decoded = Decoder::new(fields.collect()).decode(&records);
    let schema = columns.iter().map(|column| arrow::datatypes::Field::new(&column.name, arrow_type(column.ty), true));
    let arrays = decoded.columns.iter().map(|column| column.array.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(schema.collect::<Vec<_>>())), arrays).unwrap();
    let rows = (0..values.len() as u32).collect();
    let all = Output::of(Arc::new(records), rows, Payload::Columns(batch.into()));
    let misfits: Vec<u32> =
        decoded.columns.iter().flat_map(|column| &column.misfits).map(|misfit| misfit.row).collect();
    let mut left = all.retain(|row| !misfits.contains(&(row as u32)));
    loop {
        match writer.commit(&[left.clone()].into(), &token(&fence("p", 1), 1)).await {
            Ok(_) => break,
            Err(CommitError::Rejected(refused)) => {
                assert!(refused.iter().all(|refused| refused.cause.contains('v')), "the column is named: {refused:?}");
                left = left.retain(|row| refused.iter().all(|refused| refused.row != row));
            }
            Err(error) => panic!("{error}"),
        }
    }
    writer.close().await;
    let records = left.records.clone().unwrap();
    let spans = left.rows.iter().map(|row| records.spans[*row as usize]).collect();
    let said = Output { payload: Payload::Documents { data: records.data.clone(), spans }, ..left };
    let sink: SqliteSink = serde_json::from_value(json!({"path": path, "table": "t", "mode": "append"})).unwrap();
    let mut auditor = sink.build().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
    auditor.expect(&said).await.unwrap();
    let found = auditor.finish().await.unwrap();
    assert_eq!(
        [found.lost.count, found.doubled.count, found.altered.count, found.unexpected.count],
        [0; 4],
        "{found:#?}"
    );
}

/// The digits of a number without zeros at either end, and where they begin.
fn digits(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let point = mantissa.find('.').unwrap_or(mantissa.len()) as i64;
    let bare: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let signs = i64::from(mantissa.starts_with('-'));
    let leading = (bare.len() - bare.trim_start_matches('0').len()) as i64;
    match bare.trim_matches('0') {
        "" => (false, String::new(), 0),
        kept => (
            signs == 1,
            kept.into(),
            exponent.trim_start_matches('+').parse::<i64>().unwrap() + point - signs - leading,
        ),
    }
}

/// Whether all digits that are stored are halfway between the value and another one of as many digits: both are the nearest.
fn is_halfway(value: &(bool, String, i64), stored: &(bool, String, i64)) -> bool {
    let number = |digits: &str| digits.parse::<u128>().ok();
    let apart = number(&format!("{}0", value.1)).zip(number(&stored.1)).map(|(value, stored)| value.abs_diff(stored));
    (value.0, value.1.len() + 1, value.2) == (stored.0, stored.1.len(), stored.2) && apart == Some(5)
}

/// Whether what is stored is the value.
fn is_same(declared: &str, value: &str, stored: &Stored) -> bool {
    let declared = declared.to_uppercase();
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let instant = |text: &str| {
        let text = text.replacen(' ', "T", 1).replace("0000Z", "Z").replace("23:59:60", "24:00:00");
        let text = text.replace("2016-12-31T24", "2017-01-01T00");
        let zoned = |text: &str| Some(jiff::tz::TimeZone::UTC.to_datetime(text.parse::<jiff::Timestamp>().ok()?));
        zoned(&text).or_else(|| text.trim_end_matches('Z').parse::<jiff::civil::DateTime>().ok())
    };
    match stored.kind.as_str() {
        "null" => value == "null",
        "integer" if is_number => digits(value) == digits(&stored.text),
        "integer" => stored.text == "1" && value == "true" || stored.text == "0" && value == "false",
        "real" if is_number => {
            let count = digits(value).1.len().max(1);
            let shortest = digits(value) == digits(&format!("{:e}", stored.real));
            let rounded = digits(value) == digits(&format!("{:.*e}", count - 1, stored.real));
            count < 40
                && (shortest || rounded || is_halfway(&digits(value), &digits(&format!("{:.770e}", stored.real))))
        }
        "real" => false,
        "text" if declared.contains("JSON") => stored.text == value,
        "text" if value.starts_with('"') => {
            let said: String = serde_json::from_str(value).unwrap();
            let of_time = declared.contains("TIME");
            said == stored.text || of_time && instant(&said).is_some() && instant(&said) == instant(&stored.text)
        }
        "text" => stored.text == value && value.starts_with(['[', '{']),
        "blob" => {
            let said: String = serde_json::from_str(value).unwrap_or_default();
            use base64::Engine;
            let standard = base64::engine::general_purpose::STANDARD.encode(&stored.bytes);
            standard.trim_end_matches('=') == said.trim_end_matches('=').replace('-', "+").replace('_', "/")
        }
        other => panic!("{other}"),
    }
}

fn check(declared: &str, rules: &str, values: &[String]) -> usize {
    let stored = written(declared, rules, values);
    for (value, stored) in values.iter().zip(&stored) {
        if let Some(stored) = stored {
            assert!(is_same(declared, value, stored), "{declared:?} {rules}: {value} became {stored:?}");
        }
    }
    stored.iter().flatten().count()
}

#[test]
fn every_declared_type_gives_back_what_it_takes() {
    let values: Vec<String> = VALUES.iter().map(|value| (*value).to_owned()).collect();
    for declared in PLAIN {
        let kept = check(declared, "", &values);
        assert!(kept >= 2, "{declared} takes something: {kept}");
    }
    for declared in STRICT {
        assert!(check(declared, "strict", &values) >= 2, "{declared} takes something");
    }
    assert!(check("text primary key", "without rowid", &values[22..]) > 10);
    assert!(check("string, w text as (v || '!')", "", &values) > 10, "generated columns are left alone");
    assert!(check("text check (v <> 'a')", "", &values) > 10);
}

#[test]
fn what_can_be_kept_is_kept() {
    for (declared, value) in [
        ("STRING", "\"abc\""),
        ("NUMERIC", "48.053808600000004"),
        ("REAL", "7.5"),
        ("INTEGER", "9223372036854775807"),
        ("", "\"00501\""),
        ("TEXT", "\"00501\""),
        ("ANY", "7.5"),
        ("POINT", "\"1 2\""),
        ("JSON", "{\"a\":1.50}"),
        ("TIMESTAMP", "\"2026-01-31T10:20:30.5+02:00\""),
    ] {
        assert_eq!(check(declared, "", &[value.into()]), 1, "{value} in {declared}");
    }
    for (declared, value) in [
        ("STRING", "\"00501\""),
        ("STRING", "\"1e5\""),
        ("REAL", "9007199254740993.0"),
        ("REAL", "1e-400"),
        ("JSON", "1e-400"),
    ] {
        assert_eq!(check(declared, "", &[value.into()]), 0, "{value} in {declared}");
    }
    assert_eq!(check("ANY", "strict", &["\"00501\"".into()]), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
    #[test]
    fn any_value_is_given_back_or_refused(
        texts in prop::collection::vec("[ \t]{0,1}[+-]?[0-9]{0,20}[.]?[0-9]{0,20}([eE][+-]?[0-9]{1,3})?[ a]{0,1}", 1..20),
        doubles in prop::collection::vec(any::<f64>().prop_filter("finite", |double| double.is_finite()), 1..20),
        // Whole numbers with an exponent, of up to 20 digits: those of 64 bits among them are kept exactly.
        wholes in prop::collection::vec("-?[1-9](([.][0-9]{1,17})?[eE][+]?(1[4-9]|20)|[0-9]{15,19}([.]0{1,3}|e[0-2]))", 1..20),
        integers in prop::collection::vec(any::<i64>(), 1..20),
        decimals in prop::collection::vec("-?(0|[1-9][0-9]{0,19})([.][0-9]{1,20})?(e-?[0-9]{1,3})?", 1..20),
        declared in prop::sample::select(PLAIN.iter().filter(|declared| !declared.contains("KEY")).collect::<Vec<_>>()),
        strict in prop::sample::select(STRICT.to_vec()),
    ) {
        let mut values: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
        values.extend(doubles.iter().map(|double| json!(double).to_string()));
        values.extend(integers.iter().map(ToString::to_string));
        values.extend(decimals);
        values.extend(wholes);
        check(declared, "", &values);
        check(strict, "strict", &values);
    }
}
