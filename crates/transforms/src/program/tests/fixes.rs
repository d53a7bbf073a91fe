//! What a dead letter recommends can be written as it stands there, and gives the value.
use super::*;

/// The expressions that a cause recommends.
fn recommended(cause: &str) -> Vec<String> {
    let (_, fix) = cause.rsplit_once("; ").unwrap_or(("", cause));
    let begins = ["cast(", "to_timestamp", "replace("];
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

#[test]
fn what_is_recommended_can_be_written() {
    let times = [
        "31/12/2026",
        "12/31/2026 10:30",
        "01/02/26",
        "31.12.2026T10:30:01",
        "2026/01/02",
        "20260102",
        "20260102 10:30:01",
        "1767225600",
        "1767225600000",
        "1767225600000000",
        "n/a",
        "NULL",
    ];
    let numbers = [
        "12%",
        "1.5 %",
        "$1,234.50",
        "1.234,50",
        "12,5",
        "1,234",
        "1,234,567",
        "1 234 567",
        "1'234",
        "1_000",
        "EUR 12",
        "12 kg",
        "1.234.567",
        "N/A",
        "-",
    ];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (ty, texts) in [(Type::Timestamp, &times[..]), (Type::Double, &numbers[..])] {
        for (text, name) in texts.iter().flat_map(|text| [(text, "a"), (text, "a b")]) {
            let line = json!({name: text}).to_string();
            let demand = Demand::Columns(vec![column(name, ty)]);
            let refused = program(&plan(spec(json!([]), json!({})), demand)).process(records(&[&line])).unwrap();
            let cause = dead(&refused).join("");
            let fixes = recommended(&cause);
            if fixes.is_empty() {
                wrong.push(format!("{text}: nothing is recommended: {cause}"));
            }
            for fix in fixes {
                count += 1;
                let map = json!([{"type": "map", "set": {"made": fix}, "select": ["made"]}]);
                let found = problems(map.clone());
                let made = if found.is_empty() {
                    run(map, &[&line])
                } else {
                    wrong.push(format!("{text}: {fix} is refused: {found}"));
                    continue;
                };
                if documents(&made).is_empty() && !cause.contains(" if ") {
                    wrong.push(format!("{text}: {fix}: {:?}", dead(&made)));
                }
            }
        }
    }
    assert!(wrong.is_empty() && count >= 40, "{count}\n{}", wrong.join("\n"));
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
}
