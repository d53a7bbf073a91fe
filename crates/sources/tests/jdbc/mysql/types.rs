//! Values of every type, compared with the server's own text of them.
use super::database::Database;
use crate::{Dice, context, open, read, source};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json, value::RawValue};
use std::collections::BTreeMap;

const ROWS: usize = 150;

/// How a value is written as JSON, from the server's text (`cast(… as char)`).
#[derive(Clone, Copy, Debug)]
enum As {
    Number,
    /// A number in single precision: any digits that give it back.
    Single,
    Text,
    Time,
    /// From hexadecimal digits.
    Bytes,
    Json,
    Flag,
    /// From the bits' digits.
    Bits,
}

/// Each type, literals of it, and what they are here.
const TYPES: &[(&str, As, &[&str])] = &[
    ("tinyint", As::Number, &["-128", "127", "0"]),
    ("tinyint(1)", As::Number, &["0", "1", "7"]),
    ("tinyint unsigned", As::Number, &["255"]),
    ("smallint", As::Number, &["-32768"]),
    ("smallint unsigned", As::Number, &["65535"]),
    ("mediumint", As::Number, &["-8388608"]),
    ("mediumint unsigned", As::Number, &["16777215"]),
    ("int", As::Number, &["-2147483648"]),
    ("int unsigned", As::Number, &["4294967295"]),
    ("int(8) zerofill", As::Number, &["42", "0"]),
    ("bigint", As::Number, &["-9223372036854775808", "9007199254740993"]),
    ("bigint unsigned", As::Number, &["18446744073709551615", "0"]),
    ("decimal(10,2)", As::Number, &["99999999.99", "-0.01", "5"]),
    ("decimal(38,10)", As::Number, &["1234567890123456789012345678.0123456789"]),
    ("decimal(65,30)", As::Number, &["-12345678901234567890123456789012345.012345678901234567890123456789"]),
    ("decimal(5,0) unsigned zerofill", As::Number, &["7"]),
    ("float", As::Single, &["0.1", "-3.4028235e38", "1e-45", "16777216", "1.17549435e-38"]),
    ("float(7,2)", As::Single, &["12345.67"]),
    (
        "double",
        As::Number,
        &["0.1", "1e300", "-2.2250738585072014e-308", "5e-324", "9007199254740993", "123456789.125"],
    ),
    ("double(20,4)", As::Number, &["1234567.8901"]),
    ("bit(1)", As::Flag, &["b'1'", "b'0'"]),
    ("bit(12)", As::Bits, &["b'101'", "b'111111111111'"]),
    ("bit(64)", As::Bits, &["x'ffffffffffffffff'", "b'1'"]),
    ("char(5)", As::Text, &["'ab'", "'abcde'", "''"]),
    ("varchar(20)", As::Text, &["'ends with blanks  '", "'😀 ä'", "'NULL'"]),
    ("varchar(20) character set latin1", As::Text, &["'äöü ß'"]),
    ("varchar(20) character set utf8mb3 collate utf8mb3_bin", As::Text, &["'Ż€'"]),
    ("char(4) character set utf16", As::Text, &["'😀x'"]),
    ("tinytext", As::Text, &["'a'"]),
    ("text", As::Text, &["'it''s \"quoted\" \\\\ and\\n\\tä'", "'\\0'", "''"]),
    ("mediumtext character set sjis", As::Text, &["'日本'"]),
    ("longtext", As::Text, &["repeat('long ', 5000)"]),
    ("enum('glad', 'so so', 'ä')", As::Text, &["'glad'", "'so so'", "'ä'"]),
    ("set('a', 'b', 'c')", As::Text, &["''", "'a,c'"]),
    ("binary(3)", As::Bytes, &["x'00ff'", "x'616263'"]),
    ("varbinary(20)", As::Bytes, &["x''", "x'00ff10'"]),
    ("tinyblob", As::Bytes, &["x'fe'"]),
    ("blob", As::Bytes, &["x'deadbeef'", "x'c328'"]),
    ("longblob", As::Bytes, &["repeat(x'00', 70000)"]),
    ("char(3) character set utf8mb4 collate utf8mb4_bin", As::Text, &["'ä'"]),
    ("date", As::Time, &["'2026-02-28'", "'0001-01-01'", "'9999-12-31'", "'0000-00-00'", "'2026-02-00'"]),
    ("datetime", As::Time, &["'2026-01-02 03:04:05'", "'1000-01-01 00:00:00'", "'0000-00-00 00:00:00'"]),
    (
        "datetime(6)",
        As::Time,
        &["'2026-01-02 03:04:05.678901'", "'1969-12-31 23:59:59.999999'", "'9999-12-31 23:59:59.9'"],
    ),
    ("timestamp null", As::Time, &["'2026-01-02 03:04:05'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "0"]),
    ("timestamp(3) null", As::Time, &["'2026-10-25 00:30:00.125'", "'2026-10-25 01:30:00.5'"]),
    ("time", As::Text, &["'838:59:59'", "'-838:59:59'", "'00:00:00'"]),
    ("time(6)", As::Text, &["'23:59:59.999999'", "'-00:00:00.5'"]),
    ("year", As::Number, &["2026", "1901", "0"]),
    ("json", As::Json, &["'{\"b\": 1,  \"a\": [1.0, null, \"x\"]}'", "'7'", "'\"ä\"'"]),
    ("uuid", As::Text, &["'6f9619ff-8b86-d011-b42d-00cf4fc964ff'"]),
    ("inet4", As::Text, &["'10.0.0.1'"]),
    ("inet6", As::Text, &["'2001:db8::1'"]),
    ("point", As::Bytes, &["point(1.5, -2)"]),
    ("geometry", As::Bytes, &["st_geomfromtext('polygon((0 0, 1 0, 1 1, 0 0))', 4326)"]),
];

/// What a value of this text is as JSON.
fn written(of: As, ty: &str, text: &str) -> Value {
    match of {
        As::Text | As::Bits => json!(text),
        As::Flag => json!(text != "0"),
        As::Bytes => {
            let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
            json!(BASE64_STANDARD.encode(bytes.collect::<Vec<_>>()))
        }
        // What the calendar here has is written as RFC 3339 has it, without zeros at the end of a fraction.
        As::Time if text.len() > 10 && !text.contains("-00") => {
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
            json!(format!("{}{}", text.replace(' ', "T"), if ty.starts_with("timestamp") { "Z" } else { "" }))
        }
        As::Time => json!(text),
        As::Number | As::Single | As::Json => panic!("compared as they are"),
    }
}

fn is_same(of: As, ty: &str, found: &str, text: &str) -> bool {
    let digits = text.trim_start_matches('0');
    match of {
        As::Json => found == text,
        // Without zeros that only fill.
        As::Number if digits.is_empty() => found == "0",
        As::Number if digits.starts_with('.') => found == format!("0{digits}"),
        As::Number => found == digits,
        As::Single => found.len() < 16 && found.parse::<f32>().unwrap() == text.parse::<f64>().unwrap() as f32,
        _ => serde_json::from_str::<Value>(found).unwrap() == written(of, ty, text),
    }
}

/// How the server says a value.
fn asked(at: usize, ty: &str, of: As) -> String {
    match of {
        As::Bytes => format!("hex(c{at})"),
        As::Flag => format!("c{at} + 0"),
        As::Single => format!("c{at} + 0e0"),
        As::Bits => {
            let bits = ty.trim_matches(|letter: char| !letter.is_ascii_digit());
            format!("lpad(bin(cast(c{at} as unsigned)), {bits}, '0')")
        }
        _ => format!("convert(cast(c{at} as char) using utf8mb4)"),
    }
}

#[tokio::test]
async fn values_of_every_type_are_what_the_server_says() {
    let columns: Vec<_> = TYPES.iter().enumerate().map(|(at, (ty, ..))| format!("c{at} {ty}")).collect();
    let table = format!(
        "set sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'; set names utf8mb4; create table t (id int primary key, {})",
        columns.join(", ")
    );
    let Some(database) = Database::fresh("types", &table).await else { return };
    let mut dice = Dice(11);
    for id in 0..ROWS {
        let values: Vec<_> = TYPES
            .iter()
            .map(|(.., literals)| literals.get(dice.roll(literals.len() + 1)).copied().unwrap_or("null"))
            .collect();
        database.run(&format!("insert into t values ({id}, {})", values.join(", "))).await;
    }
    let texts: Vec<_> = TYPES.iter().enumerate().map(|(at, (ty, of, _))| asked(at, ty, *of)).collect();
    let expected = database.rows(&format!("select {} from t order by id", texts.join(", "))).await;
    let source = source(json!({"url": database.url(), "table": "t", "mode": "bulk"}));
    let mut reader = open(&*source, &context(), None).await.unwrap();
    let mut expected = expected.iter();
    while let Some(records) = read(&mut *reader).await {
        for row in 0..records.len() {
            let found: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(records.bytes(row).unwrap()).unwrap();
            for (at, ((ty, of, _), text)) in TYPES.iter().zip(expected.next().unwrap()).enumerate() {
                let (id, found) = (found["id"].get(), found[&format!("c{at}")].get());
                let is_same = text.as_deref().map_or(found == "null", |text| is_same(*of, ty, found, text));
                assert!(is_same, "{ty} of row {id}: {found}, which the server has as {text:?}");
            }
        }
    }
    assert_eq!(expected.next(), None);
    database.remove().await;
}
