//! Values of one kind: what differs in it is neither equal nor chosen between, whatever the engine could convert.
use super::*;

const COMPARISONS: &[&str] = &[
    "a = b",
    "a <> b",
    "a < b",
    "a in (b, b)",
    "a not in (b)",
    "a between b and b",
    "a is distinct from b",
    "a is not distinct from b",
    "nullif(a, b)",
    "greatest(a, b)",
    "least(b, a)",
    "case a when b then 1 end",
];

const CHOICES: &[&str] = &[
    "case when yes then a else b end",
    "coalesce(a, b)",
    "nvl(b, a)",
    "ifnull(a, b)",
    "nvl2(yes, a, b)",
    "make_array(a, b)",
];

#[test]
fn fields_of_two_kinds_are_dead_letters_in_any_batch() {
    let pairs =
        [("1", r#""1""#), ("1.5", "true"), ("true", r#""true""#), (r#"{"a":1}"#, r#""{\"a\":1}""#), ("[1]", "1")];
    let documents = [(r#"{"a":1}"#, r#"{"a":1}"#), ("[1]", "[1]"), (r#"{"a":1}"#, "[1]")];
    let pairs_and_documents: Vec<(&str, &str)> = pairs.iter().chain(&documents).copied().collect();
    for (expressions, pairs) in [(COMPARISONS, pairs_and_documents), (CHOICES, pairs.to_vec())] {
        let line = |(a, b): &(&str, &str)| format!(r#"{{"yes":true,"a":{a},"b":{b}}}"#);
        let mut lines: Vec<String> = pairs.iter().map(line).collect();
        lines.extend([r#"{"a":1,"b":2}"#, r#"{"a":"x","b":"y"}"#].map(String::from));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for expression in expressions {
            let map = json!([{"type": "map", "set": {"x": expression}, "select": ["x"]}]);
            let together = run(map.clone(), &lines);
            let codes: Vec<(u32, &str)> = together.dead.iter().map(|dead| (dead.row, dead.code)).collect();
            let expected: Vec<(u32, &str)> = (0..pairs.len() as u32).map(|row| (row, "type-mismatch")).collect();
            assert_eq!(codes, expected, "{expression}: {:?}", dead(&together));
            for (line, dead) in lines.iter().zip(&together.dead) {
                assert_eq!(run(map.clone(), &[line]).dead[0].cause, dead.cause, "{expression}");
            }
        }
    }
}

#[test]
fn a_choice_keeps_the_kind_of_what_is_chosen() {
    for (expression, record, expected) in [
        ("coalesce(a, b)", r#"{"b":[1, 2]}"#, "[1, 2]"),
        ("coalesce(a, b)", r#"{"b":{"c":1}}"#, r#"{"c":1}"#),
        ("coalesce(a, b)", r#"{"b":"[1]"}"#, r#""[1]""#),
        ("nvl2(c, a, b)", r#"{"b":true}"#, "true"),
        ("nvl2(c, a, b)", r#"{"b":{"c":1}}"#, r#"{"c":1}"#),
        ("case when c then a else b end", r#"{"a":{"x":1},"b":{"y":2},"c":true}"#, r#"{"x":1}"#),
        ("case when c then a else b end", r#"{"a":17,"c":true}"#, "17"),
        ("case when c then a else b end", r#"{"b":"930"}"#, r#""930""#),
        ("case when a = b then 1 else 2 end", r#"{"a":{"x":1}}"#, "2"),
        ("cast(coalesce(a, b) as text)", r#"{"b":{"c":1}}"#, r#""{\"c\":1}""#),
    ] {
        let map = json!([{"type": "map", "set": {"x": expression}, "select": ["x"]}]);
        let others = [r#"{"a":1}"#, record, r#"{"a":"x","b":"y"}"#, r#"{"a":[]}"#];
        for lines in [&[record][..], &others] {
            let processed = run(map.clone(), lines);
            assert!(processed.dead.is_empty(), "{expression}: {:?}", dead(&processed));
            let at = lines.iter().position(|line| *line == record).unwrap();
            assert_eq!(documents(&processed)[at], format!("{{\"x\":{expected}}}"), "{expression} of {record}");
        }
    }
}

#[test]
fn a_document_is_not_compared() {
    let schema = json!({"schema": {"document": "json"}});
    for condition in ["document = other", "document in ('{}')", "'x' < document", "nullif(document, a) is null"] {
        let found = checked(&spec(json!([{"type": "filter", "condition": condition}]), schema.clone()));
        assert!(found.len() == 1 && found[0].code == "type-mismatch", "{condition}: {}", all(&found));
        assert_eq!(found[0].fix.as_deref(), Some("write cast(document as text)"), "{condition}");
    }
    let found = checked(&spec(json!([{"type": "filter", "condition": "cast(document as text) = '{}'"}]), schema));
    assert_eq!(all(&found), "");
}
