//! Which computed values go into which columns: only into those of what they are.
use super::*;

const TYPES: [Type; 15] = [
    Type::Boolean,
    Type::Smallint,
    Type::Integer,
    Type::Bigint,
    Type::Real,
    Type::Double,
    Type::Decimal { precision: 20, scale: 2 },
    Type::Number,
    Type::Text,
    Type::Timestamp,
    Type::Datetime,
    Type::Date,
    Type::Uuid,
    Type::Binary,
    Type::Json,
];

/// What the value of an expression is, and the names of the columns that may take it.
const EXPRESSIONS: [(&str, &str); 16] = [
    ("one + 0", "number"),
    ("cast(one as smallint)", "number"),
    ("cast(one as integer)", "number"),
    ("day + 0", "number"),
    ("cast(ms as bigint)", "number"),
    ("x * 2", "number"),
    ("cast(x as double)", "number"),
    ("cast(x as real)", "number"),
    ("cast(x as decimal(12, 2))", "number"),
    ("one = 1", "boolean"),
    ("to_timestamp_millis(ms)", "time"),
    ("cast(s as timestamp)", "time"),
    ("cast(s as date)", "time"),
    ("interval '1 day'", "interval"),
    ("decode('aGk=', 'base64')", "binary"),
    ("now() - cast(s as timestamptz)", "interval"),
];

fn may_hold(ty: Type, kind: &str) -> bool {
    match ty {
        Type::Json | Type::Any => true,
        Type::Boolean => kind == "boolean",
        Type::Text => kind == "interval",
        Type::Timestamp | Type::Datetime | Type::Date => kind == "time",
        Type::Binary => kind == "binary",
        Type::Uuid => false,
        _ => kind == "number",
    }
}

const LINE: &str = r#"{"one": 1, "day": 20240105, "ms": 1704448800000, "x": 1.5, "s": "2024-01-05T00:00:00Z"}"#;

fn into(transforms: Value, ty: Type, line: &str) -> Processed {
    program(&plan(spec(transforms, json!({})), Demand::Columns(vec![column("v", ty)])))
        .process(records(&[line]))
        .unwrap()
}

#[test]
fn a_computed_value_goes_only_into_a_column_of_what_it_is() {
    let mut wrong = Vec::new();
    for (expression, kind) in EXPRESSIONS {
        let map = json!([{"type": "map", "set": {"v": expression}, "select": ["v"]}]);
        if !checked(&spec(map.clone(), json!({}))).is_empty() {
            wrong.push(format!("{expression}: {}", problems(map)));
            continue;
        }
        for ty in TYPES {
            let processed = into(map.clone(), ty, LINE);
            let dead = dead(&processed);
            // Where the kind may go, the value may still be too large or too fine.
            if !may_hold(ty, kind) && dead.is_empty() {
                wrong.push(format!("{expression} as {ty}: {:?}", table(&processed)));
            }
            let limits = matches!((ty, expression), (Type::Smallint | Type::Integer, "day + 0" | "cast(ms as bigint)"))
                || ty == Type::Real
                || matches!(ty, Type::Smallint | Type::Integer | Type::Bigint) && expression.contains('x')
                || ty == Type::Date && expression.starts_with("to_timestamp");
            if may_hold(ty, kind) && !limits && !dead.is_empty() {
                wrong.push(format!("{expression} as {ty}: {dead:?}"));
            }
            if dead.iter().any(|dead| !dead.contains("sink type-mismatch")) {
                wrong.push(format!("{expression} as {ty}: {dead:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is taken out of a list goes where a field with the same value goes, as the same.
#[test]
fn an_element_goes_where_a_field_goes() {
    let values = [
        "1",
        "0",
        "20240105",
        "1.5",
        "12.50",
        "1e3",
        "true",
        "false",
        "\"a\"",
        "\"a\\nb\"",
        "\"5\"",
        "\"2024-01-05\"",
        "\"2024-01-05T10:00:00Z\"",
        "\"aGk=\"",
        "{}",
        "{\"a\": 1}",
        "[]",
        "[1, 2]",
        "null",
        "\"123e4567-e89b-12d3-a456-426614174000\"",
        "9007199254740993",
    ];
    let mut wrong = Vec::new();
    for value in values {
        for ty in TYPES {
            let field = into(json!([]), ty, &format!("{{\"v\": {value}}}"));
            let elements = [
                (
                    json!([{"type": "sql", "query": "select unnest(i) as v from input"}]),
                    format!("{{\"i\": [{value}]}}"),
                ),
                (
                    json!([{"type": "sql", "query": "select unnest(i) as e from input"}, {"type": "map", "set": {"v": "e.d"}}]),
                    format!("{{\"i\": [{{\"d\": {value}}}]}}"),
                ),
                (
                    json!([{"type": "sql", "query": "select unnest(i) as e from input"}, {"type": "map", "set": {"v": "e.d"}}]),
                    format!("{{\"i\": [{{\"d\": {value}}}, {{\"d\": [{{}}]}}]}}"),
                ),
            ];
            for (transforms, line) in elements {
                let mixed = line.ends_with("[{}]}]}");
                let made = into(transforms, ty, &line);
                let taken = |processed: &Processed| {
                    if processed.dead.is_empty() { table(processed)[0].clone() } else { "dead".into() }
                };
                // The other row decides, too, unless the column takes it.
                if mixed && ty != Type::Json {
                    if made.dead.is_empty() {
                        wrong.push(format!("{line} as {ty}: {:?}", table(&made)));
                    }
                    continue;
                }
                let number = |text: String| text.parse::<f64>().map_err(|_| text);
                let same = match ty {
                    // What has the same value may be spelled otherwise.
                    Type::Json | Type::Number => number(taken(&field)) == number(taken(&made)),
                    _ => taken(&field) == taken(&made),
                };
                if !same {
                    wrong.push(format!(
                        "{line} as {ty}: {} rather than {}, {:?}",
                        taken(&made),
                        taken(&field),
                        dead(&made)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_cause_says_what_to_write() {
    for (expression, ty, why) in [
        ("day + 0", Type::Date, "20240105 is a number, not date; write to_timestamp(…)"),
        ("day + 0", Type::Text, "20240105 is a number, not text; write cast(… as text)"),
        ("upper(s)", Type::Integer, "\"2024-01-05T00:00:00Z\" is text, not integer; write cast(… as decimal(38, 10))"),
        ("one = 1", Type::Bigint, "true is true or false, not bigint; write case when … then 1 else 0 end"),
        ("to_timestamp_millis(ms)", Type::Text, "2024-01-05T10:00:00Z is a time, not text; write cast(… as text)"),
    ] {
        let map = json!([{"type": "map", "set": {"v": expression}, "select": ["v"]}]);
        assert_eq!(dead(&into(map, ty, LINE)), [format!("0 sink type-mismatch: column v ({ty}): {why}")]);
    }
}

/// Metadata as JSON holds it: a list, an object and a text are what they are, wherever they go.
#[test]
fn metadata_keeps_what_it_is() {
    let metadata = r#"{"headers": {"multi": ["a", "b"], "raw": {"base64": "/w=="}, "one": "x"}}"#;
    let mut input = Arc::unwrap_or_clone(records(&["{}"]));
    input.metadata = Some(Slices { data: metadata.as_bytes().into(), spans: vec![Span::new(0, metadata.len())] });
    let input = Arc::new(input);
    let map = json!([{"type": "map", "set": {"multi": "meta.headers.multi", "raw": "meta.headers.raw", "one": "meta.headers.one", "all": "meta.headers"}}]);
    let made = program(&plan(spec(map.clone(), json!({})), Demand::Documents)).process(input.clone()).unwrap();
    let expected = r#"{"multi":["a", "b"],"raw":{"base64": "/w=="},"one":"x","all":{"multi": ["a", "b"], "raw": {"base64": "/w=="}, "one": "x"}}"#;
    assert_eq!(documents(&made), [expected]);
    let found = program(&plan(spec(map, json!({})), Demand::AllColumns)).infer(&input).unwrap();
    let columns =
        [column("multi", Type::Json), column("raw", Type::Json), column("one", Type::Text), column("all", Type::Json)];
    assert_eq!(found.columns, columns);
}
