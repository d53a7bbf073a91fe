//! Texts of CSV have no type; those of PostgreSQL are of the type `text`.
use crate::{oracle, ours, same};

const NAMES: [&str; 3] = ["a", "b", "c"];
const TEXTS: [Option<&str>; 10] = [
    None,
    Some("1"),
    Some("01"),
    Some("1.0"),
    Some("010"),
    Some("5"),
    Some("x"),
    Some("y"),
    Some("true"),
    Some("2026-01-02"),
];

#[test]
fn untyped_texts_among_themselves_are_texts() {
    let Some(oracle) = oracle() else { return };
    let rows: Vec<Vec<Option<&str>>> =
        (0..1_000).map(|n| vec![TEXTS[n % 10], TEXTS[n / 10 % 10], TEXTS[n / 100]]).collect();
    let literal =
        |text: &Option<&str>| text.map_or("null::text".into(), |text| format!("'{text}'::text collate \"C\""));
    let source = |row: &Vec<Option<&str>>| {
        let values = row.iter().map(literal).collect::<Vec<_>>().join(", ");
        format!("(select * from (values ({values})) as v({}) offset 0) as r", NAMES.join(", "))
    };
    let sources: Vec<String> = rows.iter().map(source).collect();
    for expression in [
        "a = b",
        "a <> b",
        "a < b",
        "a >= b",
        "a is distinct from b",
        "a in (b, c)",
        "a not in (b, c)",
        "a in (b, '1')",
        "a between b and c",
        "a not between b and c",
        "nullif(a, b)",
        "greatest(a, b, c)",
        "least(a, b, c)",
        "coalesce(a, b, c)",
        "coalesce(a, b) = c",
        "case a when b then c else b end",
        "case when a < b then a else c end",
        "a = '01'",
        "greatest(a, b) > '5'",
        "length(coalesce(a, b))",
    ] {
        let fates = ours::of_texts(expression, &NAMES, &rows).unwrap_or_else(|why| panic!("{expression}: {why}"));
        for ((row, fate), verdict) in rows.iter().zip(&fates).zip(oracle.evaluate_from(expression, &sources)) {
            assert!(same::same(&verdict, fate), "{expression} of {row:?}: PostgreSQL {verdict:?}, here {fate:?}");
        }
    }
}
