//! Hostile input with its expected verdicts.
//!
//! It covers the ways in which JSON (RFC 8259) and CSV (RFC 4180) go wrong: numbers, strings, escapes, nesting,
//! encodings, blanks, truncation, leading and trailing bytes.

/// A record with its verdict: the code of its dead letter, or `None` if it is accepted.
pub type Case = (Vec<u8>, Option<&'static str>);

/// JSON records without line breaks.
pub fn json() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut all = |code, texts: &[&str]| cases.extend(texts.iter().map(|text| (text.as_bytes().to_vec(), code)));
    let members = |values: &[&str]| values.iter().map(|value| format!("{{\"a\":{value}}}")).collect::<Vec<_>>();
    let good = members(&[
        // numbers of any size
        "0",
        "-0",
        "-0.0",
        "0e0",
        "1E+2",
        "1e-2",
        "0.00000000000000000000000000000000000000000000000001",
        "123456789012345678901234567890123456789012345678901234567890",
        "1e400",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
        "0.1e1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        // strings
        "\"\"",
        "\"\\u0000\"",
        "\"\\u001f\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00\"",
        "\"\u{7f}\"",
        "\"\u{80}\u{2028}\u{2029}\u{feff}\"",
        "\"\u{10ffff}\"",
        "\"\u{fdd0}\u{ffff}\u{1fffe}\"",
        "\"/**/\"",
        "\"e\u{301}\"",
        // halves of surrogate pairs: RFC 8259 allows them, and says that their meaning is unpredictable
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ude00\\ud83d\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\\udc00\"",
        // others
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "[[],{}]",
        "[1,\"a\",null,{\"b\":[]}]",
    ]);
    all(None, &good.iter().map(String::as_str).collect::<Vec<_>>());
    all(
        None,
        &[
            "{}",
            " {} ",
            "\t{\t}\t",
            "{\"\":0}",
            "{\"\\u0000\":1}",
            "{\"\\ud800\":1}",
            "{\"a\":1,\"a\":\"two\",\"a\":null}",
            "{\"a\" : 1 , \"b\" : 2}",
            "{\"\\u0061\":1}",
            "{\"__proto__\":1}",
            "{\"a.b\":1,\"a\":{\"b\":2}}",
            "{\"a\":1}\r",
        ],
    );
    let bad = members(&[
        // numbers
        "01",
        "-01",
        "00",
        "0123",
        "+1",
        "++1",
        "--1",
        "- 1",
        "-",
        "+",
        ".5",
        "-.5",
        "1.",
        "-1.",
        "1.e2",
        "1e",
        "1e+",
        "1E-",
        "1e1.5",
        "1.2.3",
        "1e2e3",
        "0x1F",
        "0b1",
        "0o7",
        "1_000",
        "1,5",
        "1 000",
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "1f",
        "1L",
        "１",
        "0e",
        "0E+",
        "1\u{a0}",
        "-a",
        "-\"1\"",
        // strings
        "\"",
        "\"x",
        "'x'",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\'\"",
        "\"\\0\"",
        "\"\\a\"",
        "\"\\u\"",
        "\"\\u0\"",
        "\"\\u00\"",
        "\"\\u00g0\"",
        "\"\\U0041\"",
        "\"\\u{41}\"",
        "\"\\ \"",
        "\"\t\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "\"\\\t\"",
        "\"\\ud83d\\u\"",
        "\"\\é\"",
        "\"\\😀\"",
        "“x”",
        "x",
        "\"x\"y\"",
        "\"a\" \"b\"",
        "\"12345678\u{1}\"",
        // words
        "nul",
        "nulll",
        "Null",
        "NULL",
        "None",
        "undefined",
        "tru",
        "True",
        "TRUE",
        "fals",
        "False",
        "yes",
        "truefalse",
        "t",
        "nan",
        // structure
        "",
        " ",
        ",",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1;2]",
        "[1:2]",
        "[1}",
        "{",
        "{]",
        "{\"b\"",
        "{\"b\":",
        "{\"b\":1",
        "{\"b\":1,",
        "{\"b\":1,}",
        "{,}",
        "{\"b\"}",
        "{\"b\",1}",
        "{\"b\"::1}",
        "{\"b\" 1}",
        "{\"b\"=1}",
        "{b:1}",
        "{'b':1}",
        "{1:1}",
        "{null:1}",
        "{é:1}",
        "{😀:1}",
        "{[]:1}",
        "{\"b\":1 \"c\":2}",
        "{\"b\":1,,\"c\":2}",
        "...",
        "(1)",
        "<1>",
        // comments, and characters that are not JSON blanks
        "1/**/",
        "/**/1",
        "1//",
        "#1",
        "1 // x",
        "\u{b}1",
        "\u{c}1",
        "\u{85}1",
        "\u{a0}1",
        "\u{2003}1",
        "\u{2028}1",
        "\u{2060}1",
        "\u{feff}1",
        "\u{0}",
        "1\u{0}",
        "@",
        "1;",
    ]);
    all(Some("not-json"), &bad.iter().map(String::as_str).collect::<Vec<_>>());
    all(
        Some("not-json"),
        &[
            "{",
            "}",
            "{\"a\":1",
            "{\"a\":1]",
            "{\"a\":1}}",
            "{\"a\":1}{\"a\":2}",
            "{\"a\":1},",
            "{\"a\":1} x",
            "{\"a\":1}\u{0}",
            "{\"a\":1};",
            ",{\"a\":1}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\":1,,\"b\":2}",
            "{\"a\"\u{feff}:1}",
            "\u{feff}{\"a\":1}",
            "{\"a\u{1}\":1}",
            "{\"\\x\":1}",
            "*",
            "﻿",
            "{\"a\":1}#",
        ],
    );
    all(
        Some("not-object"),
        &["null", "true", "false", "0", "-1.5e3", "\"x\"", "\"\\ud800\"", "[]", "[{\"a\":1}]", " 7 "],
    );
    for text in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\x80\"}",
        b"{\"a\":\"\xc3\"}",
        b"{\"a\":\"\xc3(\"}",
        b"{\"a\":\"\xe2\x82\"}",
        b"{\"\xff\":1}",
        b"\xff",
        b"{}\xff",
        // overlong forms, surrogates, and code points beyond U+10FFFF
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xc0\x80\"}",
        b"{\"a\":\"\xe0\x80\xaf\"}",
        b"{\"a\":\"\xf0\x80\x80\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xed\xa0\xbd\xed\xb8\x80\"}",
        b"{\"a\":\"\xf4\x90\x80\x80\"}",
        b"{\"a\":\"\xf8\x88\x80\x80\x80\"}",
        b"{\"a\":\"\xfe\"}",
        // UTF-16 and Latin-1
        b"\xff\xfe{\0\"\0a\0\"\0:\x001\0}\0",
        b"\xfe\xff\0{\0\"\0a\0\"\0:\x001\0}",
        b"{\"a\":\"\xe9\"}",
    ] {
        cases.push((text.into(), Some("not-utf8")));
    }
    // UTF-16 without a mark is UTF-8 with NULs in it.
    cases.push((b"{\0\"\0a\0\"\0:\x001\0}\0".into(), Some("not-json")));
    let whole = "{\"a\":[1.5e-3,\"x\\u00e9\\n\",{\"b\":[true,false,null]}],\"é\":\"😀\"}";
    for at in 1..whole.len() {
        let code = if whole.is_char_boundary(at) { "not-json" } else { "not-utf8" };
        cases.push((whole.as_bytes()[..at].into(), Some(code)));
    }
    cases.push((whole.into(), None));
    for (depth, code) in [(1_023, None), (1_024, Some("too-deep")), (10_000, Some("too-deep"))] {
        cases.push((format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into(), code));
        cases.push((format!("{}1{}", "{\"a\":".repeat(depth + 1), "}".repeat(depth + 1)).into(), code));
        cases.push((format!("{{\"a\":{}", "[".repeat(depth)).into(), code.or(Some("not-json"))));
    }
    cases.push((format!("{{\"a\":{}", "[{\"\":".repeat(50_000)).into(), Some("too-deep")));
    cases.push((format!("{{\"a\":{}", "]".repeat(50_000)).into(), Some("not-json")));
    let keys: Vec<String> = (0..10_000).map(|key| format!("\"key {key}\":{key}")).collect();
    cases.push((format!("{{{}}}", keys.join(",")).into(), None));
    cases.push((format!("{{\"{}\":1}}", "k".repeat(100_000)).into(), None));
    cases.push((format!("{{\"a\":{}}}", "9".repeat(100_000)).into(), None));
    cases.push((format!("{{\"a\":\"{}\"}}", "\\u0041".repeat(50_000)).into(), None));
    cases.push((format!("{{\"a\":{}}}", " ".repeat(100_000)).into(), Some("not-json")));
    cases
}

/// CSV records after the header `a,b,c`.
pub fn csv() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut all = |code, texts: &[&str]| cases.extend(texts.iter().map(|text| (text.as_bytes().to_vec(), code)));
    all(
        None,
        &[
            "1,2,3",
            ",,",
            "\"\",\"\",\"\"",
            "\"1\",\"2\",\"3\"",
            "\"1,2\",\"a\"\"b\",\"x\ny\"",
            "\"\r\n\",\"\"\"\",\",\"",
            " 1 , 2 , 3 ",
            "x\"y,1,2",
            "a'b,'c','d'",
            "\u{0},\u{1},\u{7f}",
            "é,\u{2028},😀",
            "\"\"\"\"\"\",1,2",
            "1,2,3\r",
            "=1+1,@x,-1",
            "\u{feff}1,2,3",
            "NULL,null,\\N",
            "1\r2,3,4",
        ],
    );
    all(
        Some("csv-fields"),
        &["1", "1,2", "1,2,3,4", "\"1,2,3\"", ",", ",,,", "1;2;3", "1\t2\t3", "\"\"", "\"a\nb\",1"],
    );
    all(Some("not-csv"), &["\"1\"x,2,3", "\"1\" ,2,3", "1,\"2\"3,4", "\"a\"\"b\"c,1,2", "\"\"x,1,2"]);
    for text in [&b"\xff,1,2"[..], b"\"\xc0\xaf\",1,2", b"1,2,\xe9", b"\xed\xa0\x80,1,2"] {
        cases.push((text.into(), Some("not-utf8")));
    }
    cases.push((format!("{},2,3", "1".repeat(100_000)).into(), None));
    cases.push((format!("\"{}\",2,3", "\"\"".repeat(50_000)).into(), None));
    cases.push((",".repeat(100_000).into(), Some("csv-fields")));
    // An unclosed quote contains everything that follows: so this one is the last.
    cases.push((b"1,2,\"never closed".into(), Some("not-csv")));
    cases
}
