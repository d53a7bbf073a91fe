//! Columns against rows: the same comparison, made of each record by itself.
use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Comparison {
    field: &'static str,
    op: &'static str,
    literal: i64,
}

fn holds(comparison: &Comparison, record: &Value) -> Option<bool> {
    let value = record.get(comparison.field)?;
    if value.is_null() {
        return None;
    }
    let (value, literal) = match value.as_i64() {
        Some(value) => (value.cmp(&comparison.literal), comparison.literal),
        None => (value.as_f64()?.total_cmp(&(comparison.literal as f64)), comparison.literal),
    };
    let _ = literal;
    Some(match comparison.op {
        "<" => value.is_lt(),
        "<=" => value.is_le(),
        "=" => value.is_eq(),
        "<>" => value.is_ne(),
        ">=" => value.is_ge(),
        _ => value.is_gt(),
    })
}

fn and(a: Option<bool>, b: Option<bool>) -> bool {
    matches!((a, b), (Some(true), Some(true)))
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-5i64..5).prop_map(|n| json!(n)),
        1 => (-20i64..20).prop_map(|n| json!(n as f64 / 4.0)),
        1 => Just(json!(9_007_199_254_740_993_i64)),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_filter_keeps_what_a_record_by_itself_says(
        rows in prop::collection::vec(prop::collection::hash_map(prop::sample::select(vec!["a", "b", "c"]), number(), 0..4), 1..40),
        first in (prop::sample::select(vec!["a", "b"]), prop::sample::select(vec!["<", "<=", "=", "<>", ">=", ">"]), -5i64..5),
        second in (prop::sample::select(vec!["b", "c"]), prop::sample::select(vec!["<", "<=", "=", "<>", ">=", ">"]), -5i64..5),
    ) {
        let comparisons = [first, second].map(|(field, op, literal)| Comparison { field, op, literal });
        let condition = comparisons.iter().map(|c| format!("{} {} {}", c.field, c.op, c.literal)).collect::<Vec<_>>().join(" and ");
        let lines: Vec<String> = rows.iter().map(|row| json!(row).to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let processed = run(json!([{"type": "filter", "condition": condition}]), &lines);
        let expected: Vec<u32> = rows.iter().enumerate().filter(|(_, row)| {
            let row = json!(row);
            and(holds(&comparisons[0], &row), holds(&comparisons[1], &row))
        }).map(|(row, _)| row as u32).collect();
        prop_assert!(processed.dead.is_empty());
        prop_assert_eq!(&processed.output.rows, &expected);
        prop_assert_eq!(processed.filtered as usize, rows.len() - expected.len());
    }
}
