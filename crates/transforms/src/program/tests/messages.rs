//! Messages show values as a record or SQL has them, and types by their names in SQL: nothing of the engine's.
use super::*;
use dataflow_core::types::Type;

const LINE: &str =
    r#"{"a": 1.239, "big": 12345678901234567890.5, "d": 1e300, "i": 9223372036854775807, "t": "x", "z": 0, "b": true}"#;

#[test]
fn an_expression_that_fails_says_so_in_sql() {
    for (expression, cause) in [
        ("cast(big as decimal(10, 2))", "12345678901234567890.5 is out of range: at most 99999999.99"),
        ("cast(d as decimal(10, 2))", "cannot cast string '1e300' to a decimal"),
        ("cast(t as decimal(10, 2))", "cannot cast string 'x' to a decimal"),
        ("cast(a * 100000 as smallint)", "123900 is out of range for smallint"),
        ("i + 1", "the result is out of range"),
        ("big * big * big", "the result is out of range"),
        ("abs(i - 1 - i - i)", "the result is out of range"),
        ("greatest(a, b)", "values of one type are needed, not a number and true or false"),
    ] {
        let found = dead(&run(json!([{"type": "map", "set": {"v": expression}}]), &[LINE]));
        assert!(found.len() == 1 && found[0].ends_with(&format!(": {cause}")), "{expression}: {found:?}");
    }
}

#[test]
fn a_value_that_fits_no_column_is_shown_as_it_is() {
    let decimal = Type::Decimal { precision: 10, scale: 2 };
    for (expression, ty, cause) in [
        ("a * 1", decimal, "1.239 does not fit"),
        ("a * 1", Type::Integer, "1.239 does not fit"),
        ("a * 1", Type::Text, "1.239 is a number, not text"),
        ("a * 1000", Type::Text, "1239 is a number, not text"),
        ("big * 1", Type::Double, "the number 12345678901234567890.5 which a double does not hold exactly"),
        ("cast(a as double) * 3", Type::Real, "the number 3.7170000000000005 which a real does not hold exactly"),
        ("cast(i as decimal(38, 10))", Type::Double, "the number 9223372036854775807 which a double does not hold"),
        ("t || 'y'", Type::Integer, "\"xy\" is text, not integer"),
        ("z + 16777217", Type::Real, "16777217 does not fit"),
    ] {
        let map = json!([{"type": "map", "set": {"x": expression}}]);
        let demand = Demand::Columns(vec![column("x", ty)]);
        let processed = program(&plan(spec(map, json!({})), demand)).process(records(&[LINE])).unwrap();
        let found = dead(&processed);
        assert!(found.len() == 1 && found[0].contains(&format!("): {cause}")), "{expression} as {ty}: {found:?}");
    }
}

#[test]
fn an_untyped_number_among_texts_has_no_needless_zeros() {
    let map = json!([{"type": "map", "set": {"x": "case when a > 1 then a else t end"}, "select": ["x"]}]);
    let csv_of = |lines: &[&str]| {
        let spec = spec(map.clone(), json!({"source": {"type": "file", "format": "csv"}}));
        documents(&program(&plan(spec, Demand::Documents)).process(csv(lines, &["a", "t"])).unwrap())
    };
    let lines = ["1.239,y", "0.5,y", "2.5,", "3,y"];
    let together: Vec<String> = lines.iter().flat_map(|line| csv_of(&[line])).collect();
    assert_eq!(csv_of(&lines), together);
    assert_eq!(together[..2], [r#"{"x":"1.239"}"#, r#"{"x":"y"}"#]);
}

#[test]
fn a_whole_number_fits_a_column_that_gives_it_back() {
    for (expression, ty, fits) in [
        ("z + 3", Type::Real, true),
        ("z + 16777216", Type::Real, true),
        ("z + 16777217", Type::Real, false),
        ("a * 0 + 3", Type::Real, true),
        ("cast(3 as integer)", Type::Double, true),
        ("z + 9007199254740992", Type::Double, true),
        ("z + 9007199254740993", Type::Double, false),
        ("i + 0", Type::Double, false),
        ("length(t)", Type::Real, true),
    ] {
        let map = json!([{"type": "map", "set": {"x": expression}}]);
        let demand = Demand::Columns(vec![column("x", ty)]);
        let processed = program(&plan(spec(map, json!({})), demand)).process(records(&[LINE])).unwrap();
        assert_eq!(dead(&processed).is_empty(), fits, "{expression} as {ty}: {:?}", dead(&processed));
    }
}
