//! What a column takes, an audit confirms: all values are offered to columns of all types, and to arrays of them. The sink
//! takes a value or refuses it; an audit of those it took has to find every one as it was.
use crate::{json::write, target::*};
use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
    test_runner::TestRunner,
};

const TYPES: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "real",
    "double precision",
    "numeric",
    "numeric(10,2)",
    "numeric(3,-2)",
    "numeric(50,2)",
    "money",
    "text",
    "varchar",
    "varchar(3)",
    "char(3)",
    "bpchar",
    "\"char\"",
    "name",
    "citext",
    "bytea",
    "bit(3)",
    "varbit(5)",
    "date",
    "time",
    "time(2)",
    "timetz",
    "timestamptz",
    "timestamptz(3)",
    "timestamp",
    "timestamp(0)",
    "interval",
    "interval(0)",
    "interval day",
    "interval year to month",
    "uuid",
    "json",
    "jsonb",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "int4range",
    "int8range",
    "numrange",
    "daterange",
    "tsrange",
    "tstzrange",
    "tstzmultirange",
    "int4multirange",
    "floats",
    "xml",
    "tsvector",
    "tsquery",
    "jsonpath",
    "pg_lsn",
    "xid",
    "hstore",
    "ltree",
    "mood",
    "word",
    "cents",
    "moment",
    "document",
];
/// Types of which there are no arrays, or none that are written.
const NO_ARRAYS: &[&str] = &["bytea", "money", "\"char\""];

const SETUP: &str = "create type mood as enum ('sad', 'a'); create domain word as varchar(3); \
    create domain cents as numeric(60,2); create domain moment as timestamptz; create domain document as json; \
    create type floats as range (subtype = float8);";

const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "1.50",
    "1e0",
    "1e2",
    "1E3",
    "-7.5",
    "0.1",
    "12300",
    "99900",
    "1e5",
    "1e22",
    "1e40",
    "1e-20",
    "1e400",
    "1e-400",
    "0.30000000000000004",
    "48.053808600000004",
    "3.4028235e38",
    "1e-45",
    "16777216",
    "16777217",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "4294967295",
    "4.611686018427388e18",
    "1.7976931348623157e308",
    "2.2250738585072014e-308",
    "5e-324",
    "123456789012345678901234567890.123456789",
    // Texts.
    r#""""#,
    r#""a""#,
    r#"" a""#,
    r#""ab ""#,
    r#""abc""#,
    r#""A""#,
    r#""é""#,
    r#""ä😀""#,
    r#""a\nb\t\\\"'""#,
    r#""null""#,
    r#""NULL""#,
    r#""{""#,
    r#""{}""#,
    r#""a,b""#,
    r#""a b a""#,
    r#""'x':3A b:1""#,
    r#""a & b""#,
    r#""!a <-> b""#,
    r#""$.a[*]""#,
    r#""a=>1, b=>NULL""#,
    r#""\"a b\"=>\"c\"""#,
    r#""<a>é</a>""#,
    r#""<?xml version=\"1.0\" encoding=\"latin1\"?><a/>""#,
    r#""<!DOCTYPE a><a/>""#,
    r#"" <a/> ""#,
    r#""<a>&amp;</a>""#,
    r#""AP8=""#,
    r#""AP8""#,
    r#""_-8""#,
    r#""101""#,
    r#""B101""#,
    r#""\u007f\u0080""#,
    r#""A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11""#,
    r#""{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}""#,
    r#""a0eebc999c0b4ef8bb6d6bb9bd380a11""#,
    r#""a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11""#,
    r#""urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#,
    r#""10.0.0.1""#,
    r#""10.0.0.1/8""#,
    r#""10.0.0.1/32""#,
    r#""10""#,
    r#""10.1""#,
    r#""::1""#,
    r#""::ffff:1.2.3.4""#,
    r#""08002b010203""#,
    r#""08-00-2b-01-02-03""#,
    r#""08:00:2b:01:02:03:04:05""#,
    r#""16/b374d848""#,
    r#""4294967295""#,
    r#""1""#,
    r#""1.0""#,
    r#""1.10""#,
    r#""1e2""#,
    r#""t""#,
    r#""\ud800""#,
    r#""\udc00a""#,
    r#""a\u0000""#,
    r#""\u00e4""#,
    // JSON.
    "[]",
    "{}",
    "[1, 2.50]",
    r#"{"b":1,"a":2}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"":1}"#,
    r#"{"a":"\ud800"}"#,
    r#"{"\udc00":1}"#,
    r#"["\ud800"]"#,
    r#"{"a":1e22,"b":1.10,"c":-0}"#,
    r#"[1,[2]]"#,
    "[[1],[2]]",
    "[null]",
    r#"["a",null,"NULL",""]"#,
    r#"[{"a":1},null,"x",1.0]"#,
    "[true,null]",
    // Times.
    r#""9999-12-31""#,
    r#""9999-12-30""#,
    r#""0001-01-01""#,
    r#""0000-12-31""#,
    r#""2024-02-29""#,
    r#""infinity""#,
    r#""-infinity""#,
    r#""9999-12-31T00:00:00Z""#,
    r#""9999-12-31T23:59:59.999999Z""#,
    r#""9999-12-31T23:59:59""#,
    r#""9999-12-30T23:00:00Z""#,
    r#""9999-12-31T23:30:00-01:00""#,
    r#""9999-12-31T23:30:00+01:00""#,
    r#""0001-01-01T00:30:00+01:00""#,
    r#""0001-01-01T00:30:00-01:00""#,
    r#""0001-01-01T00:00:00Z""#,
    r#""9999-12-31T23:59:60Z""#,
    r#""2016-12-31T23:59:60Z""#,
    r#""2016-12-31T23:59:60.5Z""#,
    r#""2024-05-05T12:30:60Z""#,
    r#""2024-05-05T23:59:60-05:00""#,
    r#""2024-01-01T00:00:00.1234560000Z""#,
    r#""2024-01-01T00:00:00.120000000000000000Z""#,
    r#""2024-01-01T00:00:00.000000000000""#,
    r#""2024-01-01 00:00:00+0530""#,
    r#""2024-01-01t00:00:00z""#,
    r#""2024-01-01T00:00:00+05""#,
    r#""2024-01-01T00:00:00-00:00""#,
    r#""2024-01-01T00:00:00+23:59""#,
    r#""1969-12-31T23:59:59.999999Z""#,
    r#""03:04""#,
    r#""03:04:05.678""#,
    r#""3:04 PM""#,
    r#""03:04:05.6700000000""#,
    r#""24:00:00""#,
    r#""03:04+02""#,
    r#""03:04:05-0330""#,
    r#""03:04 PM+05:30""#,
    r#""03:04Z""#,
    // Durations.
    r#""1 day""#,
    r#""P1D""#,
    r#""P1Y2M""#,
    r#""1 mon -1 day""#,
    r#""@ 1 day ago""#,
    r#""-1 days 02:03""#,
    r#""1.5 days""#,
    r#""P0001-02-03T04:05:06""#,
    r#""1 day 25:00:00""#,
    r#""-00:00:00.000001""#,
    r#""178000000 years""#,
    r#""1.4 s""#,
    // Shapes and ranges.
    r#""(1,2)""#,
    r#""1,2""#,
    r#""(0.1,0.30000000000000004)""#,
    r#""(-0,0)""#,
    r#""(0,0),(1,1)""#,
    r#""(1,1),(0,0)""#,
    r#""((0,1),(1,0))""#,
    r#""{1,2,3}""#,
    r#""[(0,0),(1,1)]""#,
    r#""<(0,0),1>""#,
    r#""[1,5]""#,
    r#""(1,5)""#,
    r#""[ 1 , 5 ]""#,
    r#""empty""#,
    r#""(,)""#,
    r#""[1.0,2.50]""#,
    r#""[1e2,)""#,
    r#""{[1,3),[2,5)}""#,
    r#""{[7,9),[1,2)}""#,
    r#""[2024-01-01,2024-01-31]""#,
    r#""[2024-01-01,infinity)""#,
    r#""[9999-12-31,)""#,
    r#""[9999-12-31,9999-12-31]""#,
    r#""[\"9999-12-31T23:59:59Z\",)""#,
    r#""[9999-12-31T23:59:59-01:00,)""#,
    r#""{[2024-01-01T00:00:00.1234560000Z,2025-01-01]}""#,
    r#""[2024-01-01 00:00:00,]""#,
];

/// Texts and numbers of every kind.
const PATTERNS: &[&str] = &[
    "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,18})?(e-?[0-9]{1,2})?",
    "\"(0001|1582|1969|2024|9999)-(01|02|12)-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,6}0{0,12})?(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?\"",
    "\"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6}0{0,6})?)?([+-][01][0-9])?\"",
    "\"-?[0-9]{1,3} (years|mons|days|hours|secs)( -?[0-9]{1,2}:[0-5][0-9]:[0-5][0-9]\\.[0-9]{1,6})?\"",
    "\"P([0-9]{1,2}Y)?[1-9]M([0-9]D)?(T-?[0-9]{1,2}H)?\"",
    "\"[ a-zA-Zäß€0-9]{0,5}\"",
    "\"\\[-?[0-9]{1,3}(\\.[0-9]{1,3})?,[1-9][0-9]{3}\\)\"",
];

#[tokio::test]
async fn what_is_taken_an_audit_confirms() {
    let mut runner = TestRunner::deterministic();
    let mut values: Vec<String> = VALUES.iter().map(|value| (*value).to_owned()).collect();
    for pattern in PATTERNS {
        let strategy = string_regex(pattern).unwrap();
        values.extend((0..10).map(|_| strategy.new_tree(&mut runner).unwrap().current()));
    }
    values.retain(|value| serde_json::from_str::<&serde_json::value::RawValue>(value).is_ok());
    let mut lists: Vec<String> =
        values.iter().filter(|value| !value.starts_with('[')).map(|value| format!("[{value}]")).collect();
    lists.extend(values.iter().filter(|value| value.starts_with('[')).cloned());
    lists.extend(values.iter().step_by(7).map(|value| format!("[[{value}, null],[null,{value}]]")));
    let extensions: String = ["citext", "hstore", "ltree"].into_iter().map(extension_statement).collect();
    let setup = format!("{extensions} {SETUP} create table users (id int)");
    let Some(target) = Target::new(&setup, json!({"columns": ["id", "v"], "key": "id"})).await else { return };
    let mut wrong = Vec::new();
    let arrays = TYPES.iter().filter(|ty| !NO_ARRAYS.contains(ty)).map(|ty| (format!("{ty}[]"), &lists));
    for (ty, values) in TYPES.iter().map(|ty| ((*ty).to_owned(), &values)).chain(arrays) {
        let table = format!(
            "drop table users; drop table if exists dataflow_tokens; create table users (id int primary key, v {ty})"
        );
        target.client.batch_execute(&table).await.unwrap();
        let documents = values.iter().enumerate().map(|(id, value)| format!("{{\"id\":{id},\"v\":{value}}}"));
        let mut documents: Vec<String> = documents.collect();
        let offered: Vec<&str> = documents.iter().map(String::as_str).collect();
        let dead: Vec<usize> = write(&target, &offered, usize::MAX).await.into_iter().map(|(row, _)| row).collect();
        let mut row = 0..;
        documents.retain(|_| !dead.contains(&row.next().unwrap()));
        assert!(documents.len() > 1, "{ty}: nothing is taken");
        wrong.extend(differences(&target, &documents).await.into_iter().map(|told| format!("{ty}: {told}")));
    }
    target.drop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How the table differs from these documents, as an audit says.
pub(crate) async fn differences(target: &Target, documents: &[String]) -> Vec<String> {
    let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
    auditor.expect(&crate::json::documents(documents)).await.unwrap();
    let found = auditor.finish().await.unwrap();
    let all = [
        ("lost", found.lost),
        ("doubled", found.doubled),
        ("altered", found.altered),
        ("unexpected", found.unexpected),
    ];
    let told = all.into_iter().flat_map(|(kind, finding)| {
        finding
            .examples
            .into_iter()
            .map(move |example| format!("{kind}: {:?} -> {:?}", example.expected, example.found))
    });
    told.collect()
}

/// What a record lacks the row that it changes has; of a new row the table decides. An audit can tell both from the rows that are there.
#[tokio::test]
async fn what_a_record_lacks_is_no_reason_to_refuse_a_change() {
    for table in [
        "id int primary key, a text not null, b text",
        "id int primary key, a text check (a is not null), b text",
        "id int primary key, a text, b text, check (coalesce(a, '') <> '')",
    ] {
        let setup = format!("create table users ({table}); insert into users values (1, 'a', 'old')");
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let all = [r#"{"id":2,"b":"new"}"#, r#"{"id":1,"b":"new"}"#];
        let audited = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap();
        let (mut auditor, (output, _)) =
            (audited.auditor, crate::json::decoded(&audited.demand, &all.map(String::from)));
        let refused = auditor.refusals(&output).await.unwrap();
        assert!(refused[0].is_some() && refused[1].is_none(), "{table}: {refused:?}");
        let refused = write(&target, &all, 2).await;
        assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0], "{table}");
        assert!(auditor.is_own_reason(&refused[0].1), "{table}: {refused:?}");
        assert_eq!(
            target.texts("select concat_ws(' ', id, a, b) from users").await,
            [Some("1 a new".into())],
            "{table}"
        );
        target.drop().await;
    }
}
