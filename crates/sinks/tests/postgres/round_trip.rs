//! What a column takes, it gives back: values of each type are written by the sink, and what the server then prints is
//! compared with what was in the record.
use crate::target::*;
use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
    test_runner::TestRunner,
};
use std::collections::HashSet;

/// How what the server prints is the value of a record.
#[derive(Clone, Copy, Debug)]
enum Same {
    /// The very text.
    Text,
    /// The text, whatever the case of its letters.
    Letters,
    /// The same number, however it is written.
    Number,
    /// A number that the one printed is, written with as many digits: of 64 bits, of 32.
    Double,
    Single,
    /// Such numbers of 64 bits in the same order, in a text.
    Numbers,
    /// The same time: the letter between date and time, zeros at the end and `Z` don't count.
    Time,
    /// Arrays of the same points in time.
    Instants,
    /// The text, filled up with blanks.
    Padded(usize),
    /// Equal for the server, as a value of this type.
    Server(&'static str),
    /// The same JSON.
    Json,
}

/// A type, how its values are printed, patterns of JSON values, and values that must be taken and must be refused.
struct Case(
    &'static str,
    &'static str,
    Same,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const NUMBER: &str = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,12})?(e-?[0-9])?";
const SMALL: &str = "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,4})?";
const TIME: &str = "\"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,8})?\"";
const STAMP: &str = "\"(0001|1969|2024|9999)-(02|12)-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?Z\"";
const LOCAL: &str = "\"(0001|1969|2024|9999)-(02|12)-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?\"";
const WORD: &str = "\"[ a-zA-Zäß€0-9]{0,6}\"";
const POINT: &str = "\"\\(-?[0-9]{1,3}(\\.[0-9]{1,18})?,-?[0-9]{1,3}\\)\"";
const CASES: &[Case] = &[
    Case("boolean", "v::text", Same::Text, &["true|false"], &["true"], &["1", "\"yes\""]),
    Case(
        "smallint",
        "v::text",
        Same::Number,
        &["-?[1-9][0-9]{0,5}", SMALL],
        &["1.0", "3e2"],
        &["1.5", "32768", "\"1\""],
    ),
    Case("integer", "v::text", Same::Number, &["-?[1-9][0-9]{0,10}"], &["2147483647"], &["2147483648"]),
    Case("bigint", "v::text", Same::Number, &["-?[1-9][0-9]{0,19}"], &["9007199254740993"], &["1e19"]),
    Case(
        "real",
        "v::text",
        Same::Single,
        &["-?[1-9][0-9]{0,2}(\\.[0-9]{1,2})?", SMALL, NUMBER],
        &["0.1", "1e30", "1.50e1"],
        &["16777217", "1e39"],
    ),
    Case(
        "double precision",
        "v::text",
        Same::Double,
        &["-?[1-9][0-9]{0,5}(\\.[0-9]{1,8})?", SMALL, NUMBER],
        &["0.1", "1e300", "1.50e1", "0.30000000000000004"],
        &["9007199254740993", "1e400"],
    ),
    Case(
        "numeric",
        "v::text",
        Same::Number,
        &[NUMBER, "[1-9][0-9]{30,60}\\.[0-9]{1,30}"],
        &["1e50", "1e-50"],
        &["1e200000"],
    ),
    Case("numeric(10,2)", "v::text", Same::Number, &[SMALL], &["1.230", "12345678.99"], &["1.239", "123456789"]),
    Case("numeric(50,2)", "v::text", Same::Number, &[SMALL, NUMBER], &["1.230", "1e40"], &["1.239", "1e-3"]),
    Case("numeric(3,-2)", "v::text", Same::Number, &[SMALL, "[1-9]{1,3}00"], &["1200", "12e3"], &["1250", "1"]),
    Case("numeric(2,5)", "v::text", Same::Number, &["0\\.000[0-9]{1,4}"], &["0.00012"], &["0.001", "0.000001"]),
    Case("money", "v::numeric::text", Same::Number, &[SMALL], &["1.23", "-5"], &["1.239", "\"$1\"", "1e18"]),
    Case("oid", "v::text", Same::Number, &["[0-9]{1,1}", "[1-9][0-9]{0,10}"], &["4294967295"], &["-1", "4294967296"]),
    Case("text", "v", Same::Text, &[WORD], &["\"\"", "\" \\t\\\\\""], &["1", "\"a\\u0000\""]),
    Case("varchar(3)", "v::text", Same::Text, &[WORD], &["\"a  \"", "\"äß€\""], &["\"abcd\"", "\"abc \""]),
    Case("varchar", "v::text", Same::Text, &[WORD], &["\"abc \""], &[]),
    Case(
        "char(3)",
        "bpcharout(v)::text",
        Same::Padded(3),
        &[WORD],
        &["\"ab\"", "\"ab \"", "\"\""],
        &["\"abcd\"", "\"a \"", "\"abc \""],
    ),
    Case("bpchar", "bpcharout(v)::text", Same::Text, &[WORD], &["\"ab  \""], &[]),
    Case("\"char\"", "v::text", Same::Text, &["\"[a-z]{0,2}\""], &["\"a\"", "\"\""], &["\"ab\"", "\"ä\""]),
    Case(
        "name",
        "v::text",
        Same::Text,
        &[WORD, "\"[a-zä]{50,70}\""],
        &["\"abc\""],
        &["\"äääääääääääääääääääääääääääääääää\""],
    ),
    Case(
        "bytea",
        "replace(encode(v, 'base64'), E'\\n', '')",
        Same::Text,
        &["\"([A-Za-z0-9+/]{4}){0,5}\""],
        &["\"AP8=\""],
        &["\"?\""],
    ),
    Case("bit(4)", "v::text", Same::Text, &["\"[01]{3,5}\""], &["\"1010\""], &["\"10101\"", "\"101\"", "\"2222\""]),
    Case("varbit(5)", "v::text", Same::Text, &["\"[01]{0,7}\""], &["\"10101\"", "\"\""], &["\"101010\""]),
    Case(
        "date",
        "v::text",
        Same::Text,
        &["\"(0001|1970|2024|9999)-(02|12)-(0[1-9]|[12][0-9]|3[01])\""],
        &["\"2024-02-29\""],
        &["\"2023-02-29\"", "\"today\""],
    ),
    Case(
        "time",
        "v::text",
        Same::Time,
        &[TIME],
        &["\"12:00:00.123456\""],
        &[
            "\"12:00:00.1234567\"",
            "\"now\"",
            "\"2026-01-02 03:04:05\"",
            "\"03:04:05+02\"",
            "\"2026-01-02 03:04:05+02\"",
            "\"03:04:05 Europe/Rome\"",
        ],
    ),
    Case(
        "timetz",
        "v::text",
        Same::Server("timetz"),
        &["\"0[0-9]:00:00(\\.[0-9]{1,8})?[+]0[0-9]\""],
        &["\"03:04:05+02\""],
        &["\"2026-01-02 03:04:05+02\"", "\"now\""],
    ),
    Case(
        "xid",
        "v::text",
        Same::Text,
        &["\"[1-9][0-9]{0,11}\""],
        &["\"4294967295\""],
        &["\"4294967296\"", "\"-1\"", "\"010\"", "\"1a\""],
    ),
    Case(
        "time[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[\"0[0-9]:00:0[0-9]\"\\]"],
        &["[\"03:04:05\",null]"],
        &["[\"2026-01-02 03:04:05+02\"]", "[\"03:04:05+02\"]"],
    ),
    Case(
        "date[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[\"2026-0[1-9]-[0-3][0-9]\"\\]"],
        &["[\"2026-01-02\"]"],
        &["[\"2026-01-02 03:04:05+02\"]", "[\"2026-01-02T00:00:00Z\"]", "[\"today\"]"],
    ),
    Case(
        "timestamp[]",
        "to_jsonb(v)::text",
        Same::Instants,
        &["\\[\"2026-01-02[T ]0[0-9]:04:05(\\.[0-9]{1,8})?([+]0[0-9]|Z)?\"\\]"],
        &["[\"2026-01-02T03:04:05+02:00\"]", "[\"2026-01-02\"]"],
        &["[\"2026-01-02T03:04:05.1234567\"]", "[\"now\"]", "[\"2026-01-02 03:04:05 Europe/Rome\"]"],
    ),
    Case(
        "timestamptz(3)[]",
        "to_jsonb(v)::text",
        Same::Instants,
        &["\\[\"2026-01-02[T ]0[0-9]:04:05(\\.[0-9]{1,8})?([+]0[0-9]|Z)?\"\\]"],
        &["[\"2026-01-02T03:04:05+02:00\"]"],
        &["[\"2026-01-02T03:04:05.1234\"]"],
    ),
    Case(
        "daterange",
        "v::text",
        Same::Server("daterange"),
        &["\"\\[2026-0[1-9]-[0-3][0-9],2027-01-01[\\])]\""],
        &["\"empty\"", "\"(,)\"", "\"[2026-01-02,infinity)\""],
        &["\"[2026-01-02 03:04:05,)\"", "\"[today,)\""],
    ),
    Case(
        "tstzrange",
        "v::text",
        Same::Server("tstzrange"),
        &["\"\\[2024-01-01 00:00:00\\.[0-9]{1,8}[+]0[0-9],\\)\""],
        &[],
        &["\"[2024-01-01 00:00:00.1234567+02,)\""],
    ),
    Case(
        "tsmultirange[]",
        "to_jsonb(v)::text",
        Same::Text,
        &[],
        &["[]"],
        &["[\"{[2024-01-01T00:00:00+02,)}\"]", "[\"[today,)\"]"],
    ),
    Case("floats", "v::text", Same::Numbers, &[], &["\"[0.5,1.5)\""], &["\"[9007199254740993,)\""]),
    Case("time(0)", "v::text", Same::Time, &[TIME], &["\"12:00:00.0\""], &["\"12:00:00.5\""]),
    Case("timestamptz", "v::text", Same::Time, &[STAMP], &["\"2026-01-02T03:04:05.678901Z\""], &["\"now\""]),
    Case(
        "timestamptz(3)",
        "v::text",
        Same::Time,
        &[STAMP],
        &["\"2026-01-02T03:04:05.678Z\""],
        &["\"2026-01-02T03:04:05.6789Z\""],
    ),
    Case("timestamp", "v::text", Same::Time, &[LOCAL], &["\"2026-01-02T03:04:05.678901\""], &[]),
    Case("timestamp(0)", "v::text", Same::Time, &[LOCAL], &["\"2026-01-02T03:04:05\""], &["\"2026-01-02T03:04:05.5\""]),
    Case(
        "interval",
        "v::text",
        Same::Server("interval"),
        &["\"[0-9]{1,3} (years|mons|days|hours|secs)\""],
        &["\"1 day 02:03:04.5\"", "\"P1Y2M\""],
        &["\"0.1234567 secs\"", "\"x\""],
    ),
    Case(
        "interval(0)",
        "v::text",
        Same::Server("interval"),
        &["\"[0-9]{1,2}\\.[0-9] (hours|secs)\""],
        &["\"1.5 hours\""],
        &["\"1.5 secs\""],
    ),
    Case(
        "interval year to month",
        "v::text",
        Same::Server("interval"),
        &["\"[0-9]{1,2} (years|mons|days)\""],
        &["\"3 years\""],
        &["\"1 day\""],
    ),
    Case(
        "uuid",
        "v::text",
        Same::Letters,
        &["\"[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{4}-[0-9a-f]{12}\""],
        &[],
        &["\"x\""],
    ),
    Case(
        "json",
        "v::text",
        Same::Text,
        &["\\{\"a\" ?: (1|2\\.50|null|\"x\")\\}"],
        &["[1, 2.50]", "{\"b\":1,\"a\":1,\"b\":2}"],
        &[],
    ),
    Case(
        "jsonb",
        "v::text",
        Same::Json,
        &["\\{\"a\" ?: ([1-9]{1,9}|null|\"x\"), \"b\":\\[\\]\\}"],
        &["[1, 2.50]", "1e3"],
        &["\"\\u0000\""],
    ),
    Case(
        "inet",
        "v::text",
        Same::Server("inet"),
        &["\"10\\.[0-9]{1,3}\\.[0-9]{1,3}\\.1(/[0-9]{1,2})?\""],
        &["\"10.0.0.1/8\"", "\"::1\""],
        &["\"x\""],
    ),
    Case(
        "cidr",
        "v::text",
        Same::Server("cidr"),
        &["\"10\\.[0-9]{1,3}\\.0\\.0/(8|16|24)\""],
        &["\"10.0.0.0/8\""],
        &["\"10.0.0.1/8\""],
    ),
    Case(
        "macaddr",
        "v::text",
        Same::Server("macaddr"),
        &["\"([0-9a-fA-F]{2}:){5}[0-9a-f]{2}\""],
        &["\"08002b:010203\""],
        &["\"08:00\""],
    ),
    Case(
        "macaddr8",
        "v::text",
        Same::Server("macaddr8"),
        &["\"([0-9a-fA-F]{2}:){7}[0-9a-f]{2}\""],
        &[],
        &["\"08:00:2b:01:02:03\""],
    ),
    Case(
        "point",
        "v::text",
        Same::Numbers,
        &[POINT],
        &["\"(0.1,-1e+20)\""],
        &["\"(9007199254740993,1)\"", "\"(1e-400,1)\""],
    ),
    Case(
        "circle",
        "v::text",
        Same::Numbers,
        &["\"<\\([1-9]\\.[0-9]{1,3}1,[1-9]\\),[1-9]>\""],
        &["\"<(0.1,1),2>\""],
        &["\"<(0.1,1),-2>\"", "\"<(0.10000000000000000001,1),2>\""],
    ),
    Case(
        "polygon",
        "v::text",
        Same::Numbers,
        &["\"\\(\\([0-9],[0-9]\\),\\([0-9],[1-9]\\)\\)\""],
        &["\"((0,0),(1,1),(1,0))\""],
        &[],
    ),
    Case(
        "path",
        "v::text",
        Same::Numbers,
        &["\"\\[\\([0-9],[0-9]\\),\\([0-9],[1-9]\\)\\]\""],
        &["\"[(0,0),(1,1)]\""],
        &[],
    ),
    Case(
        "int4range",
        "v::text",
        Same::Server("int4range"),
        &["\"\\[[0-9],[0-9]{2}\\)\""],
        &["\"[1,5]\"", "\"empty\""],
        &["\"[5,1]\""],
    ),
    Case(
        "numrange",
        "v::text",
        Same::Server("numrange"),
        &["\"\\[[0-9],[0-9]{2}\\.[0-9]{9}\\)\""],
        &["\"(,1.50]\""],
        &[],
    ),
    Case(
        "tsrange",
        "v::text",
        Same::Server("tsrange"),
        &["\"\\[2024-01-01 00:00:00\\.[0-9]{1,6},2025-01-01\\]\""],
        &[],
        &["\"[2024-01-01 00:00:00.1234567,2025-01-01]\"", "\"[now,)\"", "\"[2024-01-01 00:00:00+02,)\""],
    ),
    Case(
        "int4multirange",
        "v::text",
        Same::Server("int4multirange"),
        &["\"\\{\\[[0-9],1[0-9]\\),\\[2[0-9],30\\]\\}\""],
        &["\"{}\""],
        &[],
    ),
    Case(
        "integer[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[([0-9],){0,4}-?[0-9]{1,9}\\]"],
        &["[]", "[1,null,2.0]", "[[1,2],[3,4]]"],
        &["[1.5]", "[[]]", "[[1],[2,3]]", "[3000000000]", "1", "[\"1\"]"],
    ),
    Case(
        "text[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[(\"[ a-z,{}\"']{0,3}\",){0,3}\"x\"\\]", "\\[(\"[a-z,{}]{0,3}\",){0,3}null\\]"],
        &["[\"NULL\",\"\",\"\\\\\\\"\",null]"],
        &["[1]", "[\"a\\u0000\"]"],
    ),
    Case(
        "varchar(3)[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[\"[a-z ]{0,5}\"\\]"],
        &["[\"abc\"]"],
        &["[\"abcd\"]", "[\"abc \"]"],
    ),
    Case(
        "numeric(10,2)[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[[1-9]{1,4}\\.[1-9]{1,3}\\]"],
        &["[1.230]"],
        &["[1.239]"],
    ),
    Case(
        "double precision[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[[1-9]{1,4}\\.[1-9]{1,9}\\]"],
        &["[0.1]"],
        &["[9007199254740993]"],
    ),
    Case("boolean[]", "to_jsonb(v)::text", Same::Json, &["\\[(true|false)\\]"], &["[true,null]"], &["[1]", "[\"t\"]"]),
    Case("bit(4)[]", "to_jsonb(v)::text", Same::Json, &["\\[\"[01]{3,5}\"\\]"], &["[\"1010\"]"], &["[\"10101\"]"]),
    Case(
        "interval(0)[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[\"0[0-9]:00:0[0-9]\"\\]"],
        &["[\"01:00:00\"]"],
        &["[\"00:00:01.5\"]"],
    ),
    Case("jsonb[]", "to_jsonb(v)::text", Same::Json, &["\\[\\{\"a\":[1-9]\\},\\[[1-9]\\]\\]"], &["[\"a\",{}]"], &[]),
    Case("mood", "v::text", Same::Text, &["\"(sad|glad|angry)\""], &["\"sad\""], &["\"angry\""]),
    Case("mood[]", "to_jsonb(v)::text", Same::Json, &["\\[\"(sad|glad|angry)\"\\]"], &["[\"sad\"]"], &["[\"angry\"]"]),
    Case("word", "v::text", Same::Text, &[WORD], &["\"abc\""], &["\"abcd\"", "\"no\"", "\"abc \""]),
    Case("short_word", "v::text", Same::Text, &[WORD], &["\"ab\""], &["\"abcd\"", "\"no\"", "\"abc\""]),
    Case("cents", "v::text", Same::Number, &[SMALL], &["1.23"], &["1.239"]),
    Case(
        "word[]",
        "to_jsonb(v)::text",
        Same::Json,
        &["\\[\"[a-z]{1,4}\"\\]"],
        &["[\"abc\"]"],
        &["[\"abcd\"]", "[\"no\"]", "[\"abc \"]"],
    ),
    Case("xml", "v::text", Same::Text, &["\"<a>[a-z]{0,3}</a>\""], &["\"<a/>\""], &["\"<a>\""]),
    Case("tsvector", "v::text", Same::Server("tsvector"), &["\"[a-z]{1,3} [a-z]{1,3}\""], &["\"'a b':1 c\""], &[]),
    Case("tsquery", "v::text", Same::Server("tsquery"), &["\"[a-z]{1,3} [&|] [a-z]{1,3}\""], &["\"!a\""], &["\"a &\""]),
    Case("pg_lsn", "v::text", Same::Server("pg_lsn"), &["\"[0-9A-F]{1,4}/[0-9A-Fa-f]{1,8}\""], &[], &["\"x\""]),
    Case("citext", "v::text", Same::Text, &[WORD], &["\"aBc \""], &["1"]),
    Case(
        "hstore",
        "v::text",
        Same::Server("hstore"),
        &["\"[a-z]{1,3}=>[0-9]{1,3}\""],
        &["\"a=>1, b=>NULL\""],
        &["\"a\"", "\"a=>1,a=>2\""],
    ),
    Case("ltree", "v::text", Same::Text, &["\"[a-z]{1,3}(\\.[a-z]{1,3}){0,3}\""], &["\"a.b\""], &["\"a b\""]),
];

const SETUP: &str = "create type mood as enum ('sad', 'glad'); create domain word as varchar(3) check (value <> 'no'); \
    create domain short_word as word check (length(value) < 3); create domain cents as numeric(60,2); \
    create type floats as range (subtype = float8);";

#[tokio::test]
async fn what_a_column_takes_it_gives_back() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let mut runner = TestRunner::deterministic();
    let mut wrong = Vec::new();
    for Case(ty, printed, same, patterns, taken, refused) in CASES {
        let extension = matches!(*ty, "citext" | "hstore" | "ltree");
        let extension = if extension { extension_statement(ty) } else { String::new() };
        // Two tables: many rows that are appended are copied where that can be.
        for (more, key) in [(json!({"columns": ["id", "v"], "key": "id"}), " primary key"), (json!({}), "")] {
            if key.is_empty() && !extension.is_empty() {
                continue;
            }
            let setup = format!("{SETUP} {extension} create table users (id int{key}, v {ty})");
            let Some(target) = Target::new(&setup, more).await else { continue };
            let mut values: Vec<String> = taken.iter().chain(*refused).map(|value| (*value).into()).collect();
            for pattern in *patterns {
                let strategy = string_regex(pattern).unwrap();
                values.extend((0..cases).map(|_| strategy.new_tree(&mut runner).unwrap().current()));
            }
            values.retain(|value| serde_json::from_str::<serde_json::Value>(value).is_ok());
            let documents: Vec<String> =
                values.iter().enumerate().map(|(id, value)| format!("{{\"id\":{id},\"v\":{value}}}")).collect();
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            let dead: HashSet<usize> =
                crate::json::write(&target, &documents, usize::MAX).await.into_iter().map(|(row, _)| row).collect();
            for (at, value) in values.iter().enumerate() {
                let printed = format!("select {printed} from users where id = {at}");
                let found = target.texts(&printed).await;
                let ok = match (dead.contains(&at), found.as_slice()) {
                    (true, []) => !taken.contains(&value.as_str()),
                    (false, [Some(found)]) => {
                        !refused.contains(&value.as_str()) && is_same(&target, *same, value, found).await
                    }
                    _ => false,
                };
                if !ok {
                    wrong.push(format!(
                        "{ty} ({} rows): {value} -> {found:?}, dead: {}",
                        values.len(),
                        dead.contains(&at)
                    ));
                }
            }
            assert!(dead.len() < values.len(), "{ty}: nothing is taken");
            target.drop().await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn is_same(target: &Target, same: Same, value: &str, found: &str) -> bool {
    let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.into());
    match same {
        Same::Text => text == found,
        Same::Letters => text.eq_ignore_ascii_case(found),
        Same::Number => number(&text) == number(found),
        Same::Double => is_double(&text, found),
        Same::Single => is_written(&text, found, |digits| format!("{:.digits$e}", found.parse::<f32>().unwrap())),
        Same::Numbers => {
            let (texts, found) = (numbers(&text), numbers(found));
            texts.len() == found.len() && texts.iter().zip(found).all(|(text, found)| is_double(text, found))
        }
        Same::Time => time(&text) == time(found),
        Same::Instants => instants(value) == instants(found),
        Same::Padded(width) => format!("{text:width$}") == found,
        Same::Json => {
            let [a, b] = [value, found].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
            as_floats(a) == as_floats(b)
        }
        Same::Server(ty) => {
            let sql =
                format!("select ('{}'::{ty} = '{}'::{ty})::text", text.replace('\'', "''"), found.replace('\'', "''"));
            target.texts(&sql).await == [Some("true".into())]
        }
    }
}

/// Sign, digits and exponent of a number.
fn number(text: &str) -> (bool, String, i64) {
    let lower = text.to_lowercase();
    let (digits, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let mut exponent: i64 = exponent.trim_start_matches('+').parse().unwrap();
    let negative = digits.starts_with('-');
    let mut kept = String::new();
    let mut after = false;
    for letter in digits.chars() {
        match letter {
            '.' => after = true,
            '0'..='9' => {
                kept.push(letter);
                exponent -= i64::from(after);
            }
            _ => {}
        }
    }
    while kept.ends_with('0') {
        kept.pop();
        exponent += 1;
    }
    let kept = kept.trim_start_matches('0').to_owned();
    if kept.is_empty() { (false, kept, 0) } else { (negative, kept, exponent) }
}

fn numbers(text: &str) -> Vec<&str> {
    text.split(['(', ')', ',', '<', '>', '[', ']', ' ']).filter(|part| !part.is_empty()).collect()
}

fn is_double(text: &str, found: &str) -> bool {
    is_written(text, found, |digits| format!("{:.digits$e}", found.parse::<f64>().unwrap()))
}

/// Whether what is found is the number, or is once `written` with as many digits behind the first.
fn is_written(text: &str, found: &str, written: impl Fn(usize) -> String) -> bool {
    let wanted = number(text);
    wanted == number(found) || wanted == number(&written(wanted.1.len().saturating_sub(1)))
}

fn time(text: &str) -> String {
    let text = text.replace('T', " ").trim_end_matches('Z').trim_end_matches("+00").to_owned();
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// The points in time of a JSON array; those without a zone are in UTC.
fn instants(json: &str) -> Vec<Option<jiff::Timestamp>> {
    let texts: Vec<Option<String>> = serde_json::from_str(json).unwrap();
    let instant = |text: String| {
        let texts = [text.clone(), format!("{text}Z"), format!("{text}T00:00:00Z")];
        texts.iter().find_map(|text| text.parse().ok()).unwrap()
    };
    texts.into_iter().map(|text| text.map(instant)).collect()
}

/// Numbers of JSON may be written in several ways.
fn as_floats(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Number(number) => json!(number.as_f64()),
        serde_json::Value::Array(all) => all.into_iter().map(as_floats).collect(),
        serde_json::Value::Object(all) => all.into_iter().map(|(name, value)| (name, as_floats(value))).collect(),
        other => other,
    }
}
