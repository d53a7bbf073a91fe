//! Conditions are true or false: what is neither is refused, at creation where that is known, and otherwise record by record.
use super::*;

#[test]
fn a_condition_that_is_never_true_or_false_is_refused() {
    for (condition, ty) in [
        ("5", "a number"),
        ("-1.5", "a number"),
        ("'true'", "text"),
        ("meta.partition", "a number"),
        ("meta.topic", "text"),
        ("length(name)", "a number"),
        ("upper(name)", "text"),
        ("md5(name)", "text"),
        ("id + 1", "a number"),
        ("cast(id as bigint)", "a number"),
        ("cast(id as text)", "text"),
        ("try_cast(id as double)", "a number"),
        ("cast(at as date)", "a time"),
        ("now()", "a time"),
        ("interval '1 day'", "an interval"),
        ("case when a then 5 else 6 end", "a number"),
        ("case when a then 'yes' end", "text"),
        ("coalesce(id, 5)", "a number"),
        ("nullif(id, 5)", "a number"),
        ("greatest(1, id)", "a number"),
        ("make_array(1)", "a list"),
        ("string_to_array(name, ',')", "a list"),
        ("decode(name, 'hex')", "bytes"),
        ("not 5", "a number"),
        ("a and 5", "a number"),
        ("(id)", "a number"),
        ("document", "a JSON text"),
        ("meta.headers", "a JSON text"),
    ] {
        let schema = json!({"schema": {"id": "integer", "document": "json"}});
        for transform in [
            json!({"type": "filter", "condition": condition}),
            json!({"type": "sql", "query": format!("select * from input where {condition}")}),
        ] {
            let found = checked(&spec(json!([transform]), schema.clone()));
            let told = found.iter().all(|problem| problem.code == "type-mismatch" && problem.message.contains(ty));
            assert!(found.len() == 1 && told, "{condition}: {}", all(&found));
        }
    }
}

#[test]
fn a_condition_that_may_be_true_or_false_is_accepted() {
    for condition in
        ["a", "a.b", "not a", "null", "coalesce(a, b)", "case when a then b end", "cast(a as boolean)", "a = 1 or b"]
    {
        assert_eq!(problems(json!([{"type": "filter", "condition": condition}])), "", "{condition}");
    }
}

#[test]
fn each_record_whose_condition_is_something_else_is_dead_whoever_is_beside_it() {
    let lines = [
        r#"{"n": 1, "a": true}"#,
        r#"{"n": 2, "a": 5}"#,
        r#"{"n": 3, "a": "true"}"#,
        r#"{"n": 4, "a": false}"#,
        r#"{"n": 5, "a": null}"#,
        r#"{"n": 6, "a": {"b": true}}"#,
        r#"{"n": 7, "a": [true]}"#,
        r#"{"n": 8, "a": 1.5}"#,
        r#"{"n": 9}"#,
        r#"{"n": 10, "a": true}"#,
        r#"{"n": 11, "a": 1e300}"#,
    ];
    let rows = [1, 2, 5, 6, 7, 10];
    for (set, condition) in [
        (None, "a"),
        (None, "a and a"),
        (None, "not (not a)"),
        (None, "coalesce(a, a)"),
        (None, "case when n > 0 then a end"),
        (Some("coalesce(a, nothing)"), "f"),
        (Some("coalesce(a, nothing)"), "f and n > 0"),
        (Some("coalesce(a, nothing)"), "not (not f)"),
        (Some("coalesce(a, nothing)"), "case when f then true end"),
        (Some("case when n > 0 then a end"), "f"),
    ] {
        let mut transforms: Vec<Value> = set.iter().map(|set| json!({"type": "map", "set": {"f": set}})).collect();
        transforms.push(json!({"type": "filter", "condition": condition}));
        let alone = lines.map(|line| dead(&run(json!(transforms), &[line])));
        let together = run(json!(transforms), &lines);
        assert_eq!(together.output.rows, [0, 9], "{set:?} {condition}: {:?}", dead(&together));
        assert_eq!(together.filtered, 3, "{set:?} {condition}");
        let stage = format!("transforms[{}] type-mismatch: ", transforms.len() - 1);
        let dead = dead(&together);
        for (row, dead) in rows.iter().zip(&dead) {
            let (number, rest) = dead.split_once(' ').unwrap();
            assert_eq!(number, row.to_string(), "{set:?} {condition}: {dead}");
            assert!(
                rest.starts_with(&stage) && rest.contains("a boolean was asked for"),
                "{set:?} {condition}: {dead}"
            );
            assert_eq!(alone[*row], [format!("0 {rest}")], "{set:?} {condition}");
        }
        assert_eq!(dead.len(), rows.len(), "{set:?} {condition}: {dead:?}");
    }
}

#[test]
fn a_computed_value_is_taken_as_a_field_with_that_value() {
    let values = ["true", "5", "1.5", "\"12\"", "\"x\"", "\"2026-01-02\"", "null", "1e300"];
    let lines: Vec<String> = values.iter().map(|value| format!("{{\"n\": 1, \"a\": {value}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for expression in [
        "a + 1",
        "a / 2",
        "-a",
        "abs(a)",
        "round(a, 1)",
        "a > 1",
        "a in (5, 12)",
        "coalesce(a, 0)",
        "case a when 5 then 1 end",
        "upper(a)",
        "length(a)",
        "a || 'x'",
        "a = 'x'",
        "a like '1%'",
        "substr('abcdef', a)",
        "a > now()",
        "date_trunc('day', a)",
        "a is true",
        "case when a then 1 end",
        "cast(a as text)",
        "concat(a, 1)",
    ] {
        let fates = |before: Option<&str>| {
            let earlier = before.map(|set| json!({"type": "map", "set": {"a": set}}));
            let transforms =
                earlier.into_iter().chain([json!({"type": "map", "set": {"v": expression}, "select": ["v"]})]);
            let transforms = Value::from_iter(transforms);
            let processed = run(transforms, &lines);
            let dead: Vec<u32> = processed.dead.iter().map(|dead| dead.row).collect();
            (documents(&processed), dead)
        };
        let of_field = fates(None);
        for before in ["coalesce(a, nothing)", "case when n > 0 then a end", "nullif(a, nothing)"] {
            assert_eq!(fates(Some(before)), of_field, "{before}, then {expression}");
        }
    }
}

#[test]
fn a_computed_value_of_csv_is_the_untyped_text_that_a_field_is() {
    let texts = ["12", "007", "yes", "x", "", "1.5", "2026-01-02", "\"a \"\"b\"\"\"", "true", "+5"];
    let lines: Vec<String> = texts.iter().map(|text| format!("{text},")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for expression in ["a + 1", "a || 'x'", "upper(a)", "a is true", "a = '007'", "a > 7", "a > now()", "length(a)"] {
        let fates = |before: Option<&str>| {
            let earlier = before.map(|set| json!({"type": "map", "set": {"a": set}}));
            let last = json!({"type": "map", "set": {"v": expression}, "select": ["v"]});
            let transforms = Value::from_iter(earlier.into_iter().chain([last]));
            let more = json!({"source": {"type": "file", "format": "csv"}});
            let mut program = program(&plan(spec(transforms, more), Demand::Documents));
            let processed = program.process(csv(&lines, &["a", "nothing"])).unwrap();
            let dead: Vec<u32> = processed.dead.iter().map(|dead| dead.row).collect();
            (documents(&processed), dead)
        };
        assert_eq!(fates(Some("coalesce(a, nothing)")), fates(None), "{expression}");
    }
}
