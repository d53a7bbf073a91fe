//! What a dead letter recommends can be written as it stands there, and gives the value.
use super::*;

/// The expressions that a cause recommends.
fn recommended(cause: &str) -> Vec<String> {
    let (_, fix) = cause.split_once("; ").unwrap_or(("", cause));
    let begins = ["coalesce(", "cast(", "to_timestamp", "to_date(", "round("];
    let mut found = Vec::new();
    let mut rest = fix;
    while let Some(at) = begins.iter().filter_map(|begin| rest.find(begin)).min() {
        rest = &rest[at..];
        // As far as the parentheses close.
        let (mut depth, mut quoted, mut end) = (0, false, rest.len());
        for (at, c) in rest.char_indices() {
            match c {
                '\'' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => continue,
            }
            if c == ')' && !quoted && depth == 0 {
                end = at + 1;
                break;
            }
        }
        if rest[end..].starts_with(" / 100") {
            end += " / 100".len();
        }
        found.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    found
}

/// Values as other programs write them, for a column of a type; `yes` where something is to be recommended.
fn usual() -> Vec<(Type, Value, bool)> {
    let decimal = Type::Decimal { precision: 10, scale: 2 };
    let times = [
        ("31/12/2026", true),
        ("12/31/2026 10:30", true),
        ("03/29/2026 2:30 PM", true),
        ("03/29/2026 02:30PM", true),
        ("03/29/2026 14:30 PM", false),
        ("03/29/2026 14:30:00 CET", true),
        ("2026-03-29 14:30:00 CET", true),
        ("2026-03-29 14:30:00 Europe/Berlin", true),
        ("2026-03-29 14:30:00 Europe/Nowhere", false),
        ("03/29/2026 14:30:00 Europe/Berlin", false),
        ("03/29/2026 14:30:00 UTC", true),
        ("2026-03-29 14:30 UTC", true),
        ("2026-03-29 14:30", true),
        ("2026-03-29T14:30", true),
        ("2026-03-29T14:30:00.123456789Z", true),
        ("2026-03-29 14:30:00,123", false),
        ("03/29/2026 14:30:00.123456789", false),
        ("03/29/2026 14:30:00.123", true),
        ("29.03.2026 14:30:00.123456", true),
        ("20260329T143000Z", true),
        ("20260329T143000", true),
        ("20260329143000", true),
        ("20260229143000", true),
        ("2026-02-30", true),
        ("30.02.2026", true),
        ("2026-13-01 10:00:00", true),
        ("2026-03-29 25:00:00", false),
        ("29/03/2026 10:00:00+02:00", false),
        ("01/02/26", true),
        ("1/2/2026", true),
        ("31.12.2026T10:30:01", true),
        ("2026/01/02", true),
        ("2026/1/2 8:05", true),
        ("20260102", true),
        ("20260102 10:30:01", true),
        ("1767225600", true),
        ("1767225600000", true),
        ("1767225600000000", true),
        (" 2026-01-02 ", true),
        (" 31.12.2026 ", true),
        ("n/a", true),
        ("NULL", true),
        ("tomorrow", false),
        ("10:30", false),
        ("2026-W05", false),
        ("Mar 29 2026", false),
    ];
    let numbers = [
        ("12%", true),
        ("1.5 %", true),
        ("$1,234.50", true),
        ("EUR 1.234,50", true),
        ("1.234,50", true),
        ("12,5", true),
        ("1,234", true),
        ("1,234,567", true),
        ("1 234 567", true),
        ("1 234 567,25", true),
        ("1\u{a0}234,5", true),
        ("1'234", true),
        ("1'234.5", true),
        ("1_000", true),
        ("EUR 12", true),
        ("12 kg", true),
        ("-$5", true),
        ("-$-5", false),
        ("-EUR 5", false),
        ("-USD 5", true),
        ("1.234.567", true),
        ("1.2.3.4", false),
        ("1,2,3", false),
        ("12,34,567", false),
        (" 25 ", true),
        ("25", true),
        ("12.5", true),
        ("+7", true),
        ("1e3", true),
        ("N/A", true),
        ("-", true),
        ("old", false),
        ("0x1F", false),
        ("1/2", false),
        ("", true),
        ("00000", false),
        ("01067", false),
        ("-007.50", false),
    ];
    let mut usual = Vec::new();
    for ty in [Type::Timestamp, Type::Datetime, Type::Date] {
        // What is a day and a time by RFC 3339 fits already.
        let wrong = |text: &str| ty == Type::Date || text != "2026-01-02";
        usual.extend(times.iter().filter(|(text, _)| wrong(text)).map(|(text, yes)| (ty, json!(text), *yes)));
    }
    for ty in [Type::Double, Type::Real, Type::Number, decimal, Type::Bigint, Type::Integer, Type::Smallint] {
        let whole = matches!(ty, Type::Bigint | Type::Integer | Type::Smallint);
        let small = ty == Type::Smallint;
        let hard = |text: &str| whole && text.contains('%') || small && text.matches(['5', '6', '7']).count() > 2;
        usual.extend(numbers.iter().map(|(text, yes)| (ty, json!(text), *yes && !hard(text))));
    }
    usual.extend([
        (decimal, json!(12.345), true),
        (decimal, json!("12.345"), true),
        (decimal, json!(99_999_999.999), false),
        (decimal, json!("123456789012"), false),
        (decimal, json!(true), false),
        (Type::Bigint, json!(1.5), true),
        (Type::Bigint, json!("9223372036854775808"), false),
        (Type::Smallint, json!(70_000), false),
        (Type::Smallint, json!("70000"), false),
        (Type::Smallint, json!(32_767.6), false),
        (Type::Integer, json!(2.5), true),
        (Type::Real, json!(0.123_456_789_123), true),
        (Type::Timestamp, json!(1_767_225_600), true),
        (Type::Date, json!(1_767_225_600_000_i64), true),
        (Type::Datetime, json!(1_767_225_600), true),
        (Type::Timestamp, json!(1.5), false),
        (Type::Text, json!(25), true),
        (Type::Text, json!(12.50), true),
        (Type::Text, json!(true), true),
        (Type::Uuid, json!(25), false),
        (Type::Boolean, json!("yes"), true),
        (Type::Boolean, json!("maybe"), false),
        (Type::Boolean, json!(1), false),
    ]);
    usual
}

#[test]
fn what_is_recommended_can_be_written_and_is_taken() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (at, (ty, value, expected)) in usual().into_iter().enumerate() {
        let name = ["a", "a b", "order", "Amount"][at % 4];
        let line = json!({name: value}).to_string();
        let demand = |name: &str| Demand::Columns(vec![column(name, ty)]);
        let refused = program(&plan(spec(json!([]), json!({})), demand(name))).process(records(&[&line])).unwrap();
        let cause = dead(&refused).join("");
        let said = cause.split_once("was asked for").unwrap_or(("", "")).1;
        if expected == said.is_empty() || cause.is_empty() {
            wrong.push(format!("{ty} of {value}: {}: {cause}", if expected { "no fix" } else { "a fix" }));
        }
        for fix in recommended(said) {
            count += 1;
            let map = json!([{"type": "map", "set": {"made": fix}, "select": ["made"]}]);
            let found = problems(map.clone());
            if !found.is_empty() {
                wrong.push(format!("{ty} of {value}: {fix} is refused: {found}"));
                continue;
            }
            let taken = program(&plan(spec(map, json!({})), demand("made"))).process(records(&[&line])).unwrap();
            if !taken.dead.is_empty() {
                wrong.push(format!("{ty} of {value}: {fix}: {:?}", dead(&taken)));
            }
        }
    }
    assert!(wrong.is_empty() && count >= 150, "{count}\n{}", wrong.join("\n"));
}

/// What is written for one record runs on all: it must not make another value of theirs, unless it says that it rounds.
#[test]
fn what_is_recommended_without_rounding_rounds_no_other_record() {
    let decimal = Type::Decimal { precision: 10, scale: 2 };
    let fine = Type::Decimal { precision: 20, scale: 12 };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for ty in [Type::Smallint, Type::Integer, Type::Bigint, Type::Real, decimal, fine] {
        for value in ["25", "+7", "1e3", " 25 ", "n/a", "1,234,567", "EUR 12", "50%", "1200%"] {
            let line = json!({"a": value}).to_string();
            let demand = |name: &str| Demand::Columns(vec![column(name, ty)]);
            let run = |map: Value, name: &str, line: &str| {
                program(&plan(spec(map, json!({})), demand(name))).process(records(&[line])).unwrap()
            };
            let cause = dead(&run(json!([]), "a", &line)).join("");
            let said = cause.split_once("was asked for").unwrap_or(("", "")).1;
            if said.contains("round") {
                continue;
            }
            for fix in recommended(said) {
                for other in ["0.5", "12.345", "0.123456789"] {
                    count += 1;
                    let map = json!([{"type": "map", "set": {"made": fix}, "select": ["made"]}]);
                    let other_line =
                        json!({"a": if value.ends_with('%') { format!("{other}%") } else { other.into() }});
                    let made = table(&run(map, "made", &other_line.to_string()));
                    let number: f64 = other.parse::<f64>().unwrap() / if value.ends_with('%') { 100.0 } else { 1.0 };
                    let same = |made: &String| (made.parse::<f64>().unwrap() - number).abs() < 1e-9;
                    if !made.iter().all(same) {
                        wrong.push(format!("{ty} of {value}: {fix} makes {made:?} of {other}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty() && count >= 50, "{count}\n{}", wrong.join("\n"));
}

/// A record of one field, as JSON or untyped.
fn one(name: &str, value: &Value, untyped: bool) -> Arc<Records> {
    match untyped {
        true => csv(&[&format!("\"{}\"", value.as_str().unwrap().replace('"', "\"\""))], &[name]),
        false => records(&[&json!({name: value}).to_string()]),
    }
}

/// What is declared is read as that by expressions, too: what is recommended without saying so gives the same cause again.
#[test]
fn what_is_recommended_of_a_declared_field_or_an_untyped_one_is_taken() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (at, (ty, value, _)) in usual().into_iter().enumerate() {
        let name = ["a", "a b", "order", "Amount"][at % 4];
        for untyped in [false, true] {
            if untyped && !value.is_string() {
                continue;
            }
            let source = if untyped { json!({"type": "file", "format": "csv"}) } else { json!({"type": "http"}) };
            let given = || one(name, &value, untyped);
            for declared in [false, true] {
                let schema = |ty: &str| if declared { json!({name: ty}) } else { json!({}) };
                let more = |schema: Value| json!({"source": source, "schema": schema});
                let demand = |name: &str| Demand::Columns(vec![column(name, ty)]);
                let run = |map: Value, schema: Value, demand| {
                    program(&plan(spec(map, more(schema)), demand)).process(given()).unwrap()
                };
                let refused = run(json!([]), schema(&ty.to_string()), demand(name));
                let cause = dead(&refused).join("");
                let said = cause.split_once("was asked for").unwrap_or(("", "")).1;
                let what = format!("{ty} of {value}, {}: {cause}", if untyped { "untyped" } else { "typed" });
                for fix in recommended(said) {
                    count += 1;
                    if declared != said.contains("remove it from schema") {
                        wrong.push(format!("{what}: schema is not named"));
                    }
                    let map = json!([{"type": "map", "set": {"made": fix}, "select": ["made"]}]);
                    let taken = run(map, json!({}), demand("made"));
                    if !taken.dead.is_empty() {
                        wrong.push(format!("{what}: {fix}: {:?}", dead(&taken)));
                    }
                }
                if said.contains("declare it as") {
                    let taken = run(json!([]), schema("number"), Demand::Documents);
                    if !declared || !taken.dead.is_empty() {
                        wrong.push(format!("{what}: {:?}", dead(&taken)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty() && count >= 500, "{count}\n{}", wrong.join("\n"));
}

#[test]
fn a_declared_field_is_named_wherever_it_fails() {
    let decimal = json!({"schema": {"price": "decimal(10,2)"}});
    for (transforms, line, fix) in [
        (
            json!([{"type": "map", "set": {"x": "price + 1"}}]),
            r#"{"price": "12.50"}"#,
            "remove it from schema and use cast(price as decimal(38, 10))",
        ),
        (json!([]), r#"{"price": "12.50"}"#, "remove it from schema and use cast(price as decimal(38, 10))"),
        (
            json!([]),
            r#"{"price": 1.239}"#,
            "declare it as \"number\" in schema, or remove it from schema and, to round it, use round(price, 2)",
        ),
    ] {
        let refused = program(&plan(spec(transforms, decimal.clone()), Demand::Documents)).process(records(&[line]));
        let cause = dead(&refused.unwrap()).join("");
        assert!(cause.contains(fix), "{cause}");
    }
    let number = json!({"schema": {"price": "number"}});
    let map = json!([{"type": "map", "set": {"x": "price + 1"}}]);
    let refused = program(&plan(spec(map, number), Demand::Documents)).process(records(&[r#"{"price": "12.50"}"#]));
    assert!(dead(&refused.unwrap())[0].contains("remove it from schema and use cast(price as"));
}

/// A column that was made of the first values is told what to make it anew as: a type that takes those and the others.
#[test]
fn a_column_is_made_anew_as_what_takes_all_its_values() {
    for (untyped, first, then, ty) in [
        (false, "5000", "5000.5", "number"),
        (false, "5000", "9223372036854775808", "number"),
        (false, "5000", "\"n/a\"", "json"),
        (false, "\"a\"", "5", "json"),
        (false, "true", "5", "json"),
        (false, "\"a\"", "{\"b\":1}", "json"),
        (true, "5000", "5000.5", "number"),
        (true, "10115", "01067", "text"),
        (true, "5000", "n/a", "text"),
        (true, "true", "5", "text"),
    ] {
        let source = if untyped { json!({"type": "file", "format": "csv"}) } else { json!({"type": "http"}) };
        let given = |value: &str| match untyped {
            true => csv(&[value], &["price"]),
            false => records(&[&format!("{{\"price\":{value}}}")]),
        };
        for renamed in [false, true] {
            let (map, name) = match renamed {
                true => (json!([{"type": "map", "set": {"cost": "price"}, "remove": ["price"]}]), "cost"),
                false => (json!([]), "price"),
            };
            let found = |schema: Value| {
                let spec = spec(map.clone(), json!({"source": source, "schema": schema}));
                let found = program(&plan(spec.clone(), Demand::AllColumns)).infer(&given(first)).unwrap();
                let mut plan = plan(spec, Demand::Columns(found.columns));
                plan.learned = found.learned;
                plan
            };
            let refused = program(&found(json!({}))).process(given(then)).unwrap();
            let cause = dead(&refused).join("");
            assert!(
                cause.ends_with(&format!("in schema, as in \"price\": \"{ty}\"")),
                "{name} {first}, {then}: {cause}"
            );
            for value in [first, then] {
                let mut anew = program(&found(json!({"price": ty})));
                let taken = anew.process(given(value)).unwrap();
                assert_eq!(dead(&taken), [""; 0], "{name} {value} as {ty}");
            }
        }
    }
}

/// Of a sink that has no column for any number: what is recommended leads to one that takes both values, not back to where it began.
#[test]
fn a_number_gets_a_type_that_the_sink_has() {
    use dataflow_sdk::declared::Numbers;
    const LONG: &str = "0.1234567890123456789";
    for (numbers, declared, first, then, ty) in [
        (Numbers::Any, None, "5000", LONG, "number"),
        (Numbers::Decimals, None, "1.5", LONG, "decimal(38,19)"),
        (Numbers::Decimals, None, "5000", "5000.5", "decimal(38,10)"),
        (Numbers::Decimals, None, "9007199254740993", "1e300", "json"),
        (Numbers::Decimals, None, "1.5", "1e-400", "json"),
        (Numbers::Decimals, None, "1.5", "12345678901234567890123456789.123", "decimal(38,3)"),
        (Numbers::Decimals, Some("number"), "1.5", LONG, "decimal(38,19)"),
        (Numbers::Decimals, Some("double"), "1.5", LONG, "decimal(38,19)"),
        (Numbers::Decimals, Some("decimal(38,19)"), LONG, "1e300", "json"),
        (Numbers::Decimals, Some("decimal(10,2)"), "1.25", "1.239", "decimal(38,3)"),
        (Numbers::Doubles, None, "5000", "5000.5", "number"),
        (Numbers::Doubles, None, "5000", LONG, "json"),
        (Numbers::Doubles, Some("bigint"), "5000", LONG, "json"),
        (Numbers::Doubles, Some("bigint"), "5000", "5000.5", "number"),
    ] {
        for untyped in [false, true] {
            let source = if untyped { json!({"type": "file", "format": "csv"}) } else { json!({"type": "http"}) };
            let given = |value: &str| match untyped {
                true => csv(&[value], &["d"]),
                false => records(&[&format!("{{\"d\":{value}}}")]),
            };
            // As these sinks do.
            let fitted = |ty| if numbers == Numbers::Decimals && ty == Type::Number { Type::Double } else { ty };
            let found = |schema: Value| {
                let spec = spec(json!([]), json!({"source": source, "schema": schema}));
                let found = program(&plan(spec.clone(), Demand::AllColumns)).infer(&given(first)).unwrap();
                let columns = found.columns.into_iter().map(|column| Column { ty: fitted(column.ty), ..column });
                let mut plan = plan(spec, Demand::Columns(columns.collect()));
                (plan.learned, plan.declared.sink.numbers) = (found.learned, numbers);
                plan
            };
            let before = declared.map_or(json!({}), |ty| json!({"d": ty}));
            // An exponent makes it a text; of a declared number, which becomes a double on its way, nothing is advised.
            if untyped && (then.contains('e') && declared.is_none() || declared == Some("number")) {
                continue;
            }
            let cause = dead(&program(&found(before)).process(given(then)).unwrap()).join("");
            assert!(cause.contains(&format!("\"{ty}\"")), "{numbers:?} {declared:?} {first}, {then}: {cause}");
            for value in [first, then] {
                let taken = program(&found(json!({"d": ty}))).process(given(value)).unwrap();
                assert_eq!(dead(&taken), [""; 0], "{numbers:?} {value} as {ty}");
            }
        }
    }
}

#[test]
fn what_is_recommended_gives_the_value() {
    let decimal = Type::Decimal { precision: 10, scale: 2 };
    let cases = [
        (Type::Double, "EUR 1.234,50", "1234.5"),
        (Type::Double, "-$5", "-5.0"),
        (Type::Double, "1 234 567,25", "1234567.25"),
        (Type::Double, "1.5 %", "0.015"),
        (decimal, "12.345", "12.35"),
        (decimal, "$1,234.50", "1234.50"),
        (Type::Number, "12345678901234567,25", "12345678901234567.25"),
        (Type::Timestamp, "03/29/2026 2:30 PM", "2026-03-29T14:30:00Z"),
        (Type::Timestamp, "20260329T143000Z", "2026-03-29T14:30:00Z"),
        (Type::Timestamp, "20260329143000", "2026-03-29T14:30:00Z"),
        (Type::Timestamp, "2026-07-29 14:30:00 Europe/Berlin", "2026-07-29T12:30:00Z"),
        (Type::Timestamp, "2026-03-29T14:30:00.123456789Z", "2026-03-29T14:30:00.123457Z"),
        (Type::Datetime, "31.12.2026 10:30", "2026-12-31T10:30:00"),
        (Type::Date, "31.12.2026 10:30", "2026-12-31"),
    ];
    for (ty, text, expected) in cases {
        let line = json!({"a": text}).to_string();
        let demand = |name: &str| Demand::Columns(vec![column(name, ty)]);
        let refused = program(&plan(spec(json!([]), json!({})), demand("a"))).process(records(&[&line])).unwrap();
        let fixes = recommended(dead(&refused).join("").split_once("was asked for").unwrap().1);
        let map = json!([{"type": "map", "set": {"made": fixes.first()}, "select": ["made"]}]);
        let taken = program(&plan(spec(map, json!({})), demand("made"))).process(records(&[&line])).unwrap();
        assert_eq!(table(&taken), [expected], "{ty} of {text}: {fixes:?}: {:?}", dead(&taken));
    }
}

/// The same field is a number in other records, or a text that is one: what is recommended for the texts takes these as they are, or refuses
/// them.
#[test]
fn what_is_recommended_for_a_text_alters_no_number() {
    let others = ["5", "12.5", "-3", "1e5", "1E5", "-2.5e-3", "100000000000000000000", "1234.567"];
    let (mut wrong, mut taken_too) = (Vec::new(), Vec::new());
    for (ty, value, _) in usual() {
        let Some(text) = value.as_str().filter(|text| matches!(ty, Type::Number | Type::Double) && !text.contains('%'))
        else {
            continue;
        };
        let demand = |name: &str| Demand::Columns(vec![column(name, ty)]);
        let line = json!({"a": text}).to_string();
        let refused = program(&plan(spec(json!([]), json!({})), demand("a"))).process(records(&[&line])).unwrap();
        let cause = dead(&refused).join("");
        for fix in recommended(cause.split_once("was asked for").unwrap_or(("", "")).1) {
            let map = json!([{"type": "map", "set": {"made": fix}, "select": ["made"]}]);
            let mut took = 0;
            let texts = others.map(|other| format!("\"{other}\""));
            for other in others.into_iter().chain(texts.iter().map(String::as_str)) {
                let other_line = format!("{{\"a\": {other}}}");
                let other = other.trim_matches('"');
                let mut program = program(&plan(spec(map.clone(), json!({})), demand("made")));
                let processed = program.process(records(&[&line, &other_line])).unwrap();
                if processed.dead.len() == 1 {
                    continue;
                }
                took += 1;
                let found: f64 = table(&processed)[1].parse().unwrap();
                if found != other.parse::<f64>().unwrap() {
                    wrong.push(format!("{text}: {fix} makes {found} of {other}"));
                }
            }
            if took >= others.len() {
                taken_too.push(text.to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for text in ["12 kg", "EUR 12", "-$5", "$1,234.50", "12,5", "1 234 567", "N/A"] {
        assert!(taken_too.iter().any(|taken| taken == text), "{text}: {taken_too:?}");
    }
}

#[test]
fn what_is_recommended_for_an_amount_takes_the_numbers_beside_it() {
    let filter = |total: &str| format!("{total} > 3");
    let lines = [r#"{"total": "12 EUR"}"#, r#"{"total": 5}"#, r#"{"total": 12.10}"#, r#"{"total": "0.20 EUR"}"#];
    let refused = run(json!([{"type": "filter", "condition": filter("total")}]), &lines);
    let fix = recommended(&dead(&refused)[0]).remove(0);
    assert!(fix.contains("cast(total as text)") && fix.contains("as decimal("), "{fix}");
    let processed = run(json!([{"type": "map", "set": {"total": fix}}]), &lines);
    let expected = [r#"{"total": 12}"#, r#"{"total": 5}"#, r#"{"total": 12.1}"#, r#"{"total": 0.2}"#];
    assert_eq!(documents(&processed), expected, "{fix}: {:?}", dead(&processed));
}

#[test]
fn a_cast_rounds_to_microseconds_and_a_column_takes_nothing_finer() {
    let cases = [
        ("2024-05-06T07:08:09.1234567Z", "2024-05-06T07:08:09.123457Z"),
        ("2024-05-06T07:08:59.9999996Z", "2024-05-06T07:09:00Z"),
        ("2024-05-06 07:08:59.99999961+02:00", "2024-05-06T05:09:00Z"),
        ("1969-12-31T23:59:59.1234565Z", "1969-12-31T23:59:59.123456Z"),
        ("0001-01-01T00:00:00.0000006Z", "0001-01-01T00:00:00.000001Z"),
    ];
    for (text, expected) in cases {
        let line = json!({"a": text}).to_string();
        for made in ["cast(a as timestamptz)", "to_timestamp(a)", "try_cast(a as timestamptz)"] {
            let processed = run(json!([{"type": "map", "set": {"b": made}, "select": ["b"]}]), &[&line]);
            let expected = format!("{{\"b\":\"{expected}\"}}");
            assert_eq!(documents(&processed), [expected], "{made} of {text}: {:?}", dead(&processed));
        }
        let demand = Demand::Columns(vec![column("a", Type::Timestamp)]);
        let processed = program(&plan(spec(json!([]), json!({})), demand)).process(records(&[&line])).unwrap();
        assert_eq!(processed.dead.len(), 1, "{text}");
    }
    for none in ["24-05-06T07:08:59.9999996Z", "2024-5-6T07:08:59.9999996Z", "+2024-05-6T07:08:59.9999996Z", "x", ""] {
        for made in ["cast(a as timestamptz)", "cast(a as timestamp)", "to_timestamp(a)"] {
            let line = json!({"a": none}).to_string();
            let processed = run(json!([{"type": "map", "set": {"b": made}, "select": ["b"]}]), &[&line]);
            assert_eq!(processed.dead.len(), 1, "{made} of {none}: {:?}", documents(&processed));
        }
    }
}

/// What is recommended for a value of another type is taken, whichever two types these are.
#[test]
fn what_is_recommended_for_another_type_is_taken() {
    let wants = [
        "abs(_)",
        "upper(_)",
        "date_trunc('day', _)",
        "case when _ then 1 end",
        "_ = now()",
        "_ = (c > 1)",
        "_ > c + 1",
    ];
    let mut recommended = 0;
    for value in ["a + 1", "3", "upper(a)", "now()", "a > 3", "length(a)"] {
        for want in wants {
            let found = |value: &str| {
                problems(json!([{"type": "map", "set": {"x": want.replace('_', &format!("({value})"))}}]))
            };
            let before = found(value);
            let Some((_, fix)) = before.split_once("(write ") else { continue };
            let fix = fix.strip_suffix(')').unwrap_or(fix);
            // Of two, it may be about the other one.
            if fix.contains(value) {
                recommended += 1;
                assert_eq!(found(fix), "", "{want} of {value}: {before}");
            }
        }
    }
    assert!(recommended > 8, "{recommended}");
    let time = problems(json!([{"type": "map", "set": {"x": "date_trunc('day', 3)"}}]));
    assert!(time.contains("write to_timestamp(3)"), "{time}");
}

#[test]
fn an_era_is_told_from_a_zone() {
    for (text, told) in [
        ("0044-03-15 12:00:00 BC", "years BC are not supported: times are those of the years 1 to 9999"),
        ("0044-03-15 12:00:00 AD", "AD is no part of a time here: leave it out, as in \"0044-03-15 12:00:00\""),
        ("2026-03-29 14:30:00 CET", "the time zone abbreviation CET is ambiguous"),
    ] {
        let line = json!({"t": text}).to_string();
        let spec = spec(json!([]), json!({"schema": {"t": "timestamp"}}));
        let demand = Demand::Columns(vec![column("t", Type::Timestamp)]);
        let found = dead(&program(&plan(spec, demand)).process(records(&[line.as_str()])).unwrap());
        assert!(found[0].contains(told), "{found:?}");
    }
}
