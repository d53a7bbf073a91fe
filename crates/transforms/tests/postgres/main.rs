//! SQL means what SQL says: expressions are evaluated by the program and by a real PostgreSQL, which shares no code with it. Where
//! the two differ is listed, with an example each, in `docs/guides/expressions.md`, and nowhere else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, unreachable_pub)] // a test has no node whose task or setting it could be
mod listed;
mod oracle;
mod ours;
mod same;
mod templates;
mod untyped;
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

/// Formats of times, of PostgreSQL's patterns and what stands between them.
fn formats() -> impl Strategy<Value = String> {
    let patterns = "A.D. A.M. AD AM B.C. BC CC D DAY DD DDD DY Day Dy FF1 FF3 FF6 FX HH HH12 HH24 I ID IDDD IW IY IYY IYYY J MI MM MON \
        MONTH MS Mon Month OF P.M. PM Q RM S SS SSSS SSSSS TZ TZH TZM US W WW Y Y,YYY YY YYY YYYY am pm day dd hh24 mi mm mon month ss \
        FMDD FMDay FMHH24 FMMM FMMonth FMMI DDth MMTH FM TM";
    let mut parts: Vec<&str> = patterns.split_whitespace().collect();
    // Those that there are, several times.
    parts.extend("YYYY MM DD HH24 MI SS MS US DDD IYYY IW ID Mon Dy Q SS S D I Y".split_whitespace().cycle().take(60));
    let between = select(vec!["", "", "", " ", "-", ":", ".", "\"T\""]);
    prop::collection::vec((select(parts), between), 1..6)
        .prop_map(|parts| parts.into_iter().flat_map(|(part, between)| [part, between]).collect())
}

#[test]
fn formats_mean_what_they_mean_in_postgresql() {
    let Some(oracle) = oracle() else { return };
    let (listed, rows, mut runner) = (Listed::read(), rows(6), TestRunner::deterministic());
    let (mut taken, mut found) = (0, Vec::new());
    for _ in 0..600 {
        let format = formats().new_tree(&mut runner).unwrap().current();
        for text in [format!("to_char(u0, '{format}')"), format!("to_timestamp(to_char(t0, '{format}'), '{format}')")] {
            let different = deviations(&oracle, &listed, &Expression { ours: text.clone(), theirs: text }, &rows);
            match different.first() {
                Some(first) if first.starts_with(REFUSED) => {}
                Some(first) => found.push(first.clone()),
                None => taken += 1,
            }
        }
    }
    assert!(found.is_empty(), "{} differ: {}", found.len(), found[..found.len().min(12)].join("\n"));
    assert!(taken > 100, "only {taken} formats are taken");
}

/// The functions of the guide.
fn functions() -> impl Iterator<Item = &'static str> {
    let (_, after) = listed::GUIDE.split_once("## Functions").unwrap();
    let table = after.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
    table.flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_function_of_the_guide_is_compared() {
    // What the two have in common is none of these: the record's time, and chance.
    let others = "current_date current_timestamp localtimestamp now today gen_random_uuid random uuid";
    let templates = include_str!("templates.txt");
    let missing: Vec<&str> = functions()
        .filter(|name| !others.split(' ').any(|other| other == *name) && !templates.contains(&format!("{name}(")))
        .collect();
    assert_eq!(missing, [""; 0]);
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
    let rows: Vec<Row> = (0..1_500).map(|_| of_text(times().new_tree(&mut runner).unwrap().current())).collect();
    for ty in ["timestamptz", "timestamp", "date"] {
        let text = format!("cast(s0 as {ty})");
        let found = deviations(&oracle, &listed, &Expression { ours: text.clone(), theirs: text }, &rows);
        assert!(found.is_empty(), "{} differ: {}", found.len(), found[..found.len().min(12)].join("\n"));
    }
}

#[test]
fn zones_are_those_of_postgresql() {
    let Some(oracle) = oracle() else { return };
    let (listed, rows) = (Listed::read(), rows(40));
    let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).filter(|name| name.contains('/'));
    let mut found = Vec::new();
    for zone in zones.step_by(9) {
        for text in [format!("t0 at time zone '{zone}'"), format!("u0 at time zone '{zone}'")] {
            found.extend(deviations(&oracle, &listed, &Expression { ours: text.clone(), theirs: text }, &rows));
        }
    }
    assert!(found.is_empty(), "{} differ: {}", found.len(), found[..found.len().min(12)].join("\n"));
}

/// A row whose only text is this.
fn of_text(text: String) -> Row {
    let place = values::COLUMNS.iter().position(|(name, _)| *name == "s0").unwrap();
    let mut row = Row(vec![None; values::COLUMNS.len()]);
    row.0[place] = Some(text);
    row
}

/// Texts of intervals, as they are written in many ways.
fn spans() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-40i32..400).prop_map(|number| number.to_string()),
        select(vec!["+1", "1.5", "-0.5", ".25", "0.0000005", "2.999999", "-1.75", "5.", "0"]).prop_map(str::to_owned),
    ];
    let unit = select(
        "us usecs microseconds ms msec milliseconds s sec seconds second m min minutes h hr hours d day DAYS w weeks mon mons Month y \
         yr year years decade centuries c mil millennium fortnight"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let counted = (number.clone(), select(vec![" ", "", "  "]), unit).prop_map(|(n, between, unit)| n + between + unit);
    let clock = select(vec![
        "01:02:03",
        "1:30",
        "-02:00",
        "+01:00:00.5",
        "100:00",
        "01:60",
        "1:2:3.1234567",
        "05:06.5",
        "12:34:60",
    ]);
    let part =
        prop_oneof![6 => counted, 1 => number.clone(), 1 => clock.prop_map(str::to_owned), 1 => Just("1-2".to_owned())];
    let spelled =
        (prop::collection::vec(part, 1..4), select(vec!["", "", "", " ago", " AGO"]), select(vec!["", "@ ", " "]));
    let spelled = spelled.prop_map(|(parts, ago, before)| before.to_owned() + &parts.join(" ") + ago);
    let iso = select(
        "P1D PT5M P1Y2M3W4DT5H6M7.8S P-1D PT-10S -PT10S P1.5M P0.5D PT0.5H P1M1D PT1 P p1d P1W PT36H P1Y1Y P1H"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let word = select(vec![
        "",
        " ",
        "soon",
        "ago",
        "day",
        "1 1",
        "NaN",
        "infinity",
        "2024-01-01",
        "1e3",
        "--1",
        "1 day +2",
        "1d2h",
    ]);
    prop_oneof![10 => spelled, 3 => iso.prop_map(str::to_owned), 1 => word.prop_map(str::to_owned)]
}

#[test]
fn texts_of_intervals_are_read_as_postgresql_reads_them() {
    let Some(oracle) = oracle() else { return };
    let (listed, mut runner) = (Listed::read(), TestRunner::deterministic());
    let rows: Vec<Row> = (0..2_500).map(|_| of_text(spans().new_tree(&mut runner).unwrap().current())).collect();
    for text in ["cast(s0 as interval)", "timestamp '2024-01-31 12:00:00' + cast(s0 as interval)"] {
        let found = deviations(&oracle, &listed, &Expression { ours: text.into(), theirs: text.into() }, &rows);
        assert!(found.is_empty(), "{} differ: {}", found.len(), found[..found.len().min(12)].join("\n"));
        let fates = ours::evaluate(text, &rows).unwrap();
        let read = fates.iter().filter(|fate| matches!(fate, Fate::Value(_))).count();
        assert!(read > 1_000, "only {read} are read");
    }
}

#[test]
fn texts_of_numbers_are_read_as_postgresql_reads_them() {
    let Some(oracle) = oracle() else { return };
    let listed = Listed::read();
    let texts = "1e-400 -1e-400 0e-400 0.0e5 1e400 1e-320 1e-50 1e50 0 -0 1.5 1e3 .5 5. 0x1F x 1_000".split(' ');
    let rows: Vec<Row> = texts.map(|text| of_text(text.into())).collect();
    for ty in ["double precision", "real", "decimal(10, 2)"] {
        let text = format!("cast(s0 as {ty})");
        let found = deviations(&oracle, &listed, &Expression { ours: text.clone(), theirs: text.clone() }, &rows);
        assert!(found.is_empty(), "{} differ: {}", found.len(), found.join("\n"));
        let (cast, tried) =
            (ours::evaluate(&text, &rows).unwrap(), ours::evaluate(&format!("try_{text}"), &rows).unwrap());
        for (cast, tried) in cast.into_iter().zip(tried) {
            let expected = if matches!(cast, Fate::Dead(_)) { Fate::Value(None) } else { cast };
            assert_eq!(tried, expected, "{ty}");
        }
    }
}

#[test]
fn a_cast_that_postgresql_refuses_is_refused() {
    let Some(oracle) = oracle() else { return };
    let types = "boolean smallint integer bigint decimal(20,4) real double_precision float text varchar date timestamp timestamptz interval \
        time timetz bytea json uuid inet";
    let values = "b0 i0 d0 f0 t0 u0 y0 s0 (t0-t1) decode(s0,'hex') cast(f0_as_real) string_to_array(s0,',')";
    // Listed, or known here by no name.
    let also = ["cast(b0 as smallint)", "cast(b0 as bigint)", "cast(i0 as boolean)"];
    let never = ["time", "timetz", "bytea", "json", "uuid", "inet"];
    let row = Row(vec![None; values::COLUMNS.len()]);
    let mut wrong = Vec::new();
    for value in values.split_whitespace() {
        for ty in types.split_whitespace() {
            let (value, ty) =
                (value.replace('_', if value.starts_with("cast") { " " } else { "_" }), ty.replace('_', " "));
            let text = format!("cast({value} as {ty})");
            let theirs = oracle.evaluate(&text, std::slice::from_ref(&row)).remove(0);
            let refuses = matches!(theirs, Verdict::Refused(_));
            let refused = ours::evaluate(&text, std::slice::from_ref(&row)).is_err();
            let known = also.contains(&text.as_str())
                || never.contains(&ty.as_str()) && refused
                || value.starts_with("string_to") && refused;
            if refuses != refused && !known {
                wrong.push(format!("{text}: refused {refused}, by PostgreSQL {refuses}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_operation_that_postgresql_refuses_is_refused() {
    let Some(oracle) = oracle() else { return };
    let row = Row(vec![None; values::COLUMNS.len()]);
    let values =
        ["b0", "i0", "n0", "d0", "f0", "s0", "t0", "u0", "y0", "(t0 - t1)", "cast(f0 as real)", "decode(s0, 'hex')"];
    let operators = "+ - * / % & | << >> = < <> || like ~".split(' ');
    // Integers are bigint here, and doubles have a remainder.
    let known = |a: &str, op: &str, b: &str| {
        (a == "y0" || b == "y0") && (a == "i0" || b == "i0")
            || op == "%" && [a, b].iter().any(|side| side.contains("f0"))
            || ["<<", ">>"].contains(&op) && b == "i0"
    };
    let mut wrong = Vec::new();
    for op in operators {
        for a in values {
            for b in values {
                let text = format!("{a} {op} {b}");
                let theirs = oracle.evaluate(&text, std::slice::from_ref(&row)).remove(0);
                let refused = ours::evaluate(&text, std::slice::from_ref(&row)).is_err();
                if matches!(theirs, Verdict::Refused(_)) && !refused && !known(a, op, b) {
                    wrong.push(text);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_argument_that_postgresql_refuses_is_refused() {
    let Some(oracle) = oracle() else { return };
    let row = Row(vec![None; values::COLUMNS.len()]);
    let values = ["b0", "i0", "d0", "f0", "s0", "t0", "u0", "y0", "(t0 - t1)", "decode(s0, 'hex')"];
    // A time is one already, and a text stands for its bytes.
    let known = |call: &str| {
        let time = ["(t0)", "(u0)", "(y0)", "(s0)"].iter().any(|value| call.ends_with(value));
        call.starts_with("to_timestamp(") && time || call.starts_with("sha") && call.ends_with("(s0)")
    };
    let mut wrong = Vec::new();
    for name in functions() {
        let calls = values.map(|value| format!("{name}({value})"));
        let refused =
            |text: &String| matches!(oracle.evaluate(text, std::slice::from_ref(&row))[0], Verdict::Refused(_));
        let theirs: Vec<bool> = calls.iter().map(refused).collect();
        // One that PostgreSQL doesn't have is compared by its templates.
        if theirs.contains(&false) {
            let calls = calls.iter().zip(theirs).filter(|(_, refused)| *refused).map(|(call, _)| call);
            wrong.extend(
                calls.filter(|call| !known(call) && ours::evaluate(call, std::slice::from_ref(&row)).is_ok()).cloned(),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nested_expressions_give_what_postgresql_gives() {
    nested(200, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
}

#[test]
#[ignore = "takes minutes: make test-long"]
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
        let same = same::same(&verdict, &fate);
        if here != example.here || there != example.there || same {
            wrong.push(format!("{}: here {here}, PostgreSQL {there}", example.expression));
        }
        if !listed.covers(&Asked { expression: &example.expression, row: &row }, &verdict, &fate) {
            wrong.push(format!("{}: {fate:?} is of another kind", example.expression));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
