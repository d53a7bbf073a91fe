//! SQL means what SQL says: expressions are evaluated by the program and by a real PostgreSQL, which shares no code with it. Where
//! the two differ is listed, with an example each, in `docs/guides/expressions.md`, and nowhere else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, unreachable_pub)] // a test has no node whose task or setting it could be
mod listed;
mod oracle;
mod ours;
mod same;
mod templates;
mod values;

use listed::{Asked, Listed};
use oracle::{Oracle, Verdict};
use ours::Fate;
use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use templates::Expression;
use values::Row;

/// How a finding begins that says that there is no such thing here.
const REFUSED: &str = "refused: ";

/// The rows for which PostgreSQL and the program differ and which are not listed; what refuses the expression, if anything does.
fn deviations(oracle: &Oracle, listed: &Listed, expression: &Expression, rows: &[Row]) -> Vec<String> {
    let fates = match ours::evaluate(&expression.ours, rows) {
        Ok(fates) => fates,
        Err(why) => return vec![format!("{REFUSED}{why}")],
    };
    let verdicts = oracle.evaluate(&expression.theirs, rows);
    let rows = rows.iter().zip(verdicts.iter().zip(&fates));
    let different = rows.filter(|(row, (verdict, fate))| {
        !same::same(verdict, fate) && !listed.covers(&Asked { expression: &expression.ours, row }, verdict, fate)
    });
    let said = |(row, (verdict, fate)): (&Row, (&Verdict, &Fate))| {
        let (ours, row) = (&expression.ours, row.of(&expression.ours));
        format!("{ours}\n      of {row}\n      PostgreSQL {verdict:?}\n      here       {fate:?}")
    };
    different.map(said).collect()
}

fn rows(count: usize) -> Vec<Row> {
    let mut runner = TestRunner::deterministic();
    let row = values::row();
    (0..count).map(|_| row.new_tree(&mut runner).unwrap().current()).collect()
}

/// A session with PostgreSQL. The engine panics at some values, which is caught: only the test's own panics are shown.
fn oracle() -> Option<Oracle> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().contains("tests/")) {
                shown(panic);
            }
        }));
    });
    Oracle::connect()
}

#[test]
fn every_operation_gives_what_postgresql_gives() {
    let Some(oracle) = oracle() else { return };
    let (listed, rows) = (Listed::read(), rows(120));
    let mut found = Vec::new();
    for template in templates::all() {
        let expression = template.of_columns();
        match &oracle.evaluate(&expression.theirs, &rows[..1])[0] {
            Verdict::Refused(why) => found.push(format!("   {} is none of PostgreSQL: {why}", expression.theirs)),
            _ => {
                let different = deviations(&oracle, &listed, &expression, &rows);
                if let Some(first) = different.first().filter(|first| !(template.refused && first.starts_with(REFUSED)))
                {
                    found.push(format!("   {} DIFFER: {first}", different.len()));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Expressions nested in each other, over any values.
fn nested(count: u32, rng: TestRng) {
    let Some(oracle) = oracle() else { return };
    let listed = Listed::read();
    let config = Config { cases: count, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let cases = (templates::nested(2), prop::collection::vec(values::row(), 12));
    let refused = std::cell::Cell::new(0);
    let outcome = runner.run(&cases, |(expression, rows)| {
        let different = deviations(&oracle, &listed, &expression, &rows);
        match different.first() {
            Some(first) if first.starts_with(REFUSED) => {
                refused.set(refused.get() + 1);
                Ok(())
            }
            Some(first) => Err(TestCaseError::fail(first.clone())),
            None => Ok(()),
        }
    });
    if let Err(TestError::Fail(why, (expression, _))) = outcome {
        panic!("{why}\n      PostgreSQL is asked {}", expression.theirs);
    }
    let refused = refused.get();
    assert!(refused < count / 10, "{refused} of {count} expressions are refused");
}

/// Texts of times, as they are written in many ways.
fn times() -> impl Strategy<Value = String> {
    let day = select(vec![
        "2024-03-31",
        "2024-10-27",
        "2024-11-03",
        "2024-03-10",
        "2024-07-01",
        "1970-01-01",
        "0001-01-01",
        "9999-12-31",
    ]);
    let clock = prop_oneof![
        (0u32..25, 0u32..60, 0u32..61).prop_map(|(hour, minute, second)| format!("{hour:02}:{minute:02}:{second:02}")),
        (0u32..4, 0u32..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}:00")),
        (0u32..25, 0u32..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}")),
        select(vec!["24:00:00", "24:00", "23:59:60"]).prop_map(str::to_owned),
    ];
    let zone = select(vec![
        "",
        "Z",
        "+00",
        "-15:59",
        "+16:00",
        "-16:00",
        "+05:30",
        "+0530",
        " Europe/Berlin",
        " europe/berlin",
        " EUROPE/BERLIN",
        " America/New_York",
        " america/new_york",
        " Asia/Kolkata",
        " Etc/GMT+5",
        " UTC",
        " utc",
        " BC",
        " AD",
        " CET",
        "z",
    ]);
    let written = (day, select(vec![" ", "T"]), clock, select(vec!["", ".5", ".1234567", ".9999999"]), zone);
    let written =
        written.prop_map(|(day, between, clock, fraction, zone)| format!("{day}{between}{clock}{fraction}{zone}"));
    let word = select(vec![
        "infinity",
        "-infinity",
        "epoch",
        "now",
        "today",
        "2024-07-01",
        "2024-07-01 Europe/Berlin",
        "allballs",
    ]);
    prop_oneof![12 => written, 1 => word.prop_map(str::to_owned)]
}

#[test]
fn texts_of_times_are_read_as_postgresql_reads_them() {
    let Some(oracle) = oracle() else { return };
    let (listed, mut runner) = (Listed::read(), TestRunner::deterministic());
    let place = values::COLUMNS.iter().position(|(name, _)| *name == "s0").unwrap();
    let mut row = || {
        let mut row = Row(vec![None; values::COLUMNS.len()]);
        row.0[place] = Some(times().new_tree(&mut runner).unwrap().current());
        row
    };
    let rows: Vec<Row> = (0..1_500).map(|_| row()).collect();
    for ty in ["timestamptz", "timestamp"] {
        let text = format!("cast(s0 as {ty})");
        let found = deviations(&oracle, &listed, &Expression { ours: text.clone(), theirs: text }, &rows);
        assert!(found.is_empty(), "{} differ: {}", found.len(), found[..found.len().min(12)].join("\n"));
    }
}

#[test]
fn nested_expressions_give_what_postgresql_gives() {
    nested(200, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
}

#[test]
#[ignore = "minutes: `make test-long`"]
fn many_nested_expressions_give_what_postgresql_gives() {
    let count = |name: &str, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (cases, seed) = (count("CASES", 5_000), count("SEED", 1));
    eprintln!("CASES={cases} SEED={seed}");
    nested(cases, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed as u8; 32]));
}

#[test]
fn each_listed_deviation_is_one() {
    let Some(oracle) = oracle() else { return };
    let listed = Listed::read();
    let row = Row(vec![None; values::COLUMNS.len()]);
    let mut wrong = Vec::new();
    for example in &listed.examples {
        let verdict = oracle.evaluate(&example.expression, std::slice::from_ref(&row)).remove(0);
        let fate = ours::evaluate(&example.expression, std::slice::from_ref(&row));
        let fate = match fate {
            Ok(mut fates) => fates.remove(0),
            Err(why) => Fate::Dead(why),
        };
        let (here, there) = (listed::shown(&fate), listed::shown_there(&verdict));
        if here != example.here || there != example.there || same::same(&verdict, &fate) {
            wrong.push(format!("{}: here {here}, PostgreSQL {there}", example.expression));
        }
        if !listed.covers(&Asked { expression: &example.expression, row: &row }, &verdict, &fate) {
            wrong.push(format!("{}: {fate:?} is of another kind", example.expression));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
