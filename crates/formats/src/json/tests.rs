#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn valid(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok() && validate(text).is_ok()
}

/// The verdict of serde_json (which reads nesting up to 128 levels, and checks UTF-8 only in what it keeps).
fn oracle(text: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut reader);
    std::str::from_utf8(text).is_ok() && read.is_ok() && reader.end().is_ok()
}

#[test]
fn what_is_json() {
    for text in [
        "0",
        "-0",
        "0.5",
        "1e3",
        "1E+3",
        "-1.25e-07",
        "123456789012345678901234567890",
        "1e400",
        "\"\"",
        "\"\\u00e9\\/\\b\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"\u{7f}\"",
        "\"é\u{2028}\"",
        "[]",
        "{}",
        "[[],{}]",
        " [ 1 , 2 ] ",
        "\t\r\n null\n",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "true",
        "false",
        "[1,[2,[3,{\"a\":[{}]}]]]",
        "\"a long string of more than eight bytes\"",
    ] {
        assert!(valid(text.as_bytes()), "{text:?} is JSON");
    }
}

#[test]
fn what_is_not_json() {
    for text in [
        // structure
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,,2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{1:2}",
        "{\"a\"::1}",
        "{\"a\":1}}",
        "[1]]",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "{}{}",
        "[1] x",
        "[\"a\":1]",
        "{\"a\",1}",
        "{\"a\":[}",
        "[{]",
        "{null:1}",
        "{\"a\" 1}",
        // numbers
        "01",
        "-01",
        "00",
        "+1",
        ".5",
        "1.",
        "-",
        "1e",
        "1e+",
        "1.e3",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "--1",
        "1.2.3",
        "1e1e1",
        "- 1",
        "1 .5",
        "０",
        "-.5",
        "1e1.5",
        // strings
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12G4\"",
        "\"\\",
        "\"\\u",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "'a'",
        "a",
        "\"a\"b\"",
        "\"12345678\n\"",
        // words
        "tru",
        "True",
        "nul",
        "NULL",
        "truefalse",
        "undefined",
        "falsey",
        // comments and other blanks
        "/**/1",
        "1//x",
        "#1",
        "[1/**/]",
        "\u{a0}1",
        "\u{c}1",
        "\u{b}1",
        "\u{feff}1",
        "1\0",
        "\u{0}1",
        "[1\u{2028}]",
    ] {
        assert!(!valid(text.as_bytes()), "{text:?} is not JSON");
        assert!(!oracle(text.as_bytes()), "{text:?} is not JSON for serde_json either");
    }
    for bytes in
        [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\xff", b"[\"\xf4\x90\x80\x80\"]", b"\"\xe2\x82\""]
    {
        assert!(!valid(bytes), "{bytes:?} is not UTF-8");
    }
}

#[test]
fn nesting_has_a_limit_and_needs_no_stack() {
    let nested = |open: &str, close: &str, levels: usize| format!("{}0{}", open.repeat(levels), close.repeat(levels));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = MAX_DEPTH / open.chars().filter(|char| "[{".contains(*char)).count();
        assert!(validate(nested(open, close, levels).as_bytes()).is_ok());
        let fault = validate(nested(open, close, levels + 1).as_bytes()).unwrap_err();
        assert_eq!(fault.what, What::TooDeep);
        assert_eq!(validate(open.repeat(1_000_000).as_bytes()).unwrap_err().what, What::TooDeep);
    }
    let wide = format!("[{}0]", "[[]],{},".repeat(10_000));
    assert!(validate(wide.as_bytes()).is_ok());
}

#[test]
fn faults_say_where_and_what() {
    let fault = |text: &str| validate(text.as_bytes()).unwrap_err().describe(text.as_bytes(), 0);
    assert_eq!(fault("{\"a\":1,}"), "expected a key in double quotes at byte 7, found \"}\"");
    assert_eq!(fault("[1"), "expected a comma or a closing bracket at byte 2, but the record ends there");
    assert_eq!(fault("[01]"), "a leading zero at byte 1");
    assert_eq!(fault("\"a\u{1}\""), "a control character in a string at byte 2");
}

#[test]
fn strings_are_unescaped() {
    let mut text = String::new();
    for (raw, content) in
        [("a\\n\\\"\\\\\\/\\b\\f\\r\\tz", "a\n\"\\/\u{8}\u{c}\r\tz"), ("\\u00e9\\ud83d\\ude00\\u0000", "é😀\0")]
    {
        assert!(unescape(raw, &mut text));
        assert_eq!(text, content);
    }
    for raw in ["\\ud800", "\\udc00", "\\ud800\\u0041", "a\\ud83dxxxxxx", "\\ud800\\ud800"] {
        assert!(!unescape(raw, &mut text), "{raw} has no content");
    }
}

/// Near-JSON texts: JSON fragments in any order.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"key\":",
        "0",
        "1",
        "-",
        "12.5",
        "e",
        "E+3",
        ".",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "\t",
        "\\u00e9",
        "\\n",
        "é",
        "\u{1}",
        "longer plain text",
        "{\"a\":1}",
        "[1,2]",
        "\"\\\\\"",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

/// JSON values.
pub(crate) fn values() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |value| serde_json::Number::from_f64(value).map(Value::Number)),
        any::<String>().prop_map(Value::from),
        "[a-z \"\\\\\n]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-d]{1,2}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_is_that_of_serde_json(text in pieces()) {
        prop_assert_eq!(valid(&text), oracle(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn every_value_is_json_and_no_part_of_it_is_missed(value in values(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = if byte % 2 == 0 { serde_json::to_vec(&value) } else { serde_json::to_vec_pretty(&value) }.unwrap();
        prop_assert!(valid(&text));
        prop_assert_eq!(validate(&text).unwrap().kind == Kind::Object, value.is_object());
        let at = cut.index(text.len());
        prop_assert_eq!(valid(&text[..at]), oracle(&text[..at]));
        text[at] = byte;
        prop_assert_eq!(valid(&text), oracle(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn strings_come_back(text in any::<String>()) {
        let mut written = Vec::new();
        write_string(&text, &mut written);
        prop_assert_eq!(&serde_json::from_slice::<String>(&written).unwrap(), &text);
        let written = String::from_utf8(written).unwrap();
        let mut content = String::new();
        prop_assert!(unescape(&written[1..written.len() - 1], &mut content));
        prop_assert_eq!(content, text);
    }
}
