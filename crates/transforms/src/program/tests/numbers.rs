//! Numbers of several types side by side: compared by value, and none becomes another number.
use super::*;

/// Rising, each of the type that it has by itself; of the doubles, none is near to a number that a double would be rounded to.
const NUMBERS: [&str; 20] = [
    "-1e300",
    "-12345678901234567890123456789012345678",
    "-1e10",
    "-1e-20",
    "1e-300",
    "1e-37",
    "9.1e-31",
    "1e-30",
    "0.1",
    "0.5",
    "3",
    "123.456",
    "1e10",
    "99999999999.5",
    "9007199254740993",
    "9223372036854775807",
    "12345678901234567890.5",
    "1e37",
    "12345678901234567890123456789012345678",
    "1e300",
];

fn is_double(number: &str) -> bool {
    number.contains("e300") || number.contains("e-300")
}

/// The digits of a number, and the power of ten that they are times.
fn value(number: &str) -> (bool, String, i64) {
    let (sign, number) = (number.starts_with('-'), number.trim_start_matches('-'));
    let (digits, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent = exponent.parse::<i64>().unwrap() - fraction.len() as i64;
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    (sign, kept.trim_start_matches('0').into(), exponent + (digits.len() - kept.len()) as i64)
}

/// What an expression gives for each pair of numbers, by their places: JSON, or why it is a dead letter.
fn of_pairs(expression: &str) -> Vec<((usize, usize), Result<String, String>)> {
    let pairs: Vec<(usize, usize)> = (0..NUMBERS.len()).flat_map(|a| (0..NUMBERS.len()).map(move |b| (a, b))).collect();
    let lines: Vec<String> =
        pairs.iter().map(|(a, b)| format!(r#"{{"a": {}, "b": {}}}"#, NUMBERS[*a], NUMBERS[*b])).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let processed = run(json!([{"type": "map", "set": {"x": expression}, "select": ["x"]}]), &lines);
    let mut found: Vec<Option<Result<String, String>>> = vec![None; pairs.len()];
    for (row, document) in processed.output.rows.iter().zip(documents(&processed)) {
        found[*row as usize] = Some(Ok(document[5..document.len() - 1].to_owned()));
    }
    for dead in &processed.dead {
        found[dead.row as usize] = Some(Err(format!("{}: {}", dead.code, dead.cause)));
    }
    pairs.into_iter().zip(found.into_iter().map(Option::unwrap)).collect()
}

#[test]
fn numbers_are_compared_by_value_however_far_apart_they_are() {
    type Says = fn(usize, usize) -> Option<bool>;
    let cases: [(&str, Says); 12] = [
        ("a < b", |a, b| Some(a < b)),
        ("a >= b", |a, b| Some(a >= b)),
        ("a = b", |a, b| Some(a == b)),
        ("a <> b", |a, b| Some(a != b)),
        ("a in (b, 5)", |a, b| Some(a == b)),
        ("a not in (5, b)", |a, b| Some(a != b)),
        ("a between b and 1e38", |a, b| Some(a >= b && a < NUMBERS.len() - 1)),
        ("a is distinct from b", |a, b| Some(a != b)),
        ("a is not distinct from b", |a, b| Some(a == b)),
        ("case a when b then true else false end", |a, b| Some(a == b)),
        ("nullif(a, b) is null", |a, b| Some(a == b)),
        ("greatest(a, b) = b", |a, b| if alters(b.max(a), a, b) { None } else { Some(a <= b) }),
    ];
    for (expression, says) in cases {
        for ((a, b), found) in of_pairs(expression) {
            let Some(expected) = says(a, b) else { continue };
            assert_eq!(found, Ok(expected.to_string()), "{expression} for {} and {}", NUMBERS[a], NUMBERS[b]);
        }
    }
}

/// Whether a number beside another is a double only, and can't be one.
fn alters(chosen: usize, a: usize, b: usize) -> bool {
    let long =
        ["12345678901234567890123456789012345678", "12345678901234567890.5", "9007199254740993", "9223372036854775807"];
    let chosen = NUMBERS[chosen].trim_start_matches('-');
    (is_double(NUMBERS[a]) || is_double(NUMBERS[b])) && long.contains(&chosen)
}

#[test]
fn a_number_that_is_chosen_stays_itself_or_its_record_is_a_dead_letter() {
    type Chooses = fn(usize, usize) -> usize;
    let cases: [(&str, Chooses); 6] = [
        ("coalesce(a, b)", |a, _| a),
        ("coalesce(nobody, a, b)", |a, _| a),
        ("nvl2(nobody, a, b)", |_, b| b),
        ("case when a = 3 then a else b end", |a, b| if NUMBERS[a] == "3" { a } else { b }),
        ("greatest(a, b)", usize::max),
        ("least(a, b)", usize::min),
    ];
    for (expression, chooses) in cases {
        for ((a, b), found) in of_pairs(expression) {
            let chosen = chooses(a, b);
            match found {
                Ok(number) => assert_eq!(value(&number), value(NUMBERS[chosen]), "{expression}: {a} {b}"),
                Err(cause) => {
                    assert!(alters(chosen, a, b), "{expression} for {} and {}: {cause}", NUMBERS[a], NUMBERS[b]);
                    assert!(cause.starts_with("type-mismatch: "), "{cause}");
                }
            }
        }
    }
}

#[test]
fn what_is_said_of_a_number_that_would_become_another_names_both_types() {
    for (expression, line, cause) in [
        (
            "coalesce(a, b)",
            r#"{"a": 9007199254740993, "b": 1e300}"#,
            "coalesce(a, b): 9007199254740993 is a bigint which a double does not hold exactly, and beside a double the result is one: \
             write cast(… as double) to round it",
        ),
        (
            "least(a, b)",
            r#"{"a": 12345678901234567890.5, "b": 1e300}"#,
            "least(a, b): 12345678901234567890.5 is a decimal which a double does not hold exactly, and beside a double the result is one: \
             write cast(… as double) to round it",
        ),
    ] {
        let found = dead(&run(json!([{"type": "map", "set": {"x": expression}}]), &[line]));
        assert_eq!(found, [format!("0 transforms[0] type-mismatch: {cause}")]);
    }
}

#[test]
fn functions_take_numbers_that_were_chosen_of_far_apart_ones() {
    for (expression, result) in [
        ("coalesce(a, b) + 1", "10000000001"),
        ("round(coalesce(b, a), 2)", "0"),
        ("abs(least(a, b))", "1e-30"),
        ("floor(greatest(a, b))", "1e10"),
        ("cast(greatest(a, b) as bigint)", "1e10"),
        ("sqrt(coalesce(a, b))", "1e5"),
        ("cast(cast(coalesce(a, b) as text) as bigint)", "1e10"),
        ("make_array(a, b) is null", "false"),
    ] {
        let lines = [r#"{"a": 10000000000, "b": 1e-30}"#];
        let processed = run(json!([{"type": "map", "set": {"x": expression}, "select": ["x"]}]), &lines);
        assert_eq!(dead(&processed), [""; 0], "{expression}");
        let found = documents(&processed)[0].clone();
        let found = &found[5..found.len() - 1];
        match result {
            "false" => assert_eq!(found, result),
            _ => assert_eq!(value(found), value(result), "{expression}: {found}"),
        }
    }
}
