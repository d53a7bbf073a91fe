//! The deviations that `docs/guides/expressions.md` lists.
use crate::{
    oracle::Verdict,
    ours::{self, Fate},
    same,
    values::Row,
};
use datafusion_sql::sqlparser::{
    ast::{BinaryOperator, Expr, visit_expressions},
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use std::ops::ControlFlow;

pub const GUIDE: &str = include_str!("../../../../docs/guides/expressions.md");

/// Zones whose whole history both have.
const SAME_PAST: &[&str] = &["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"];

/// What an example says where there is no value.
const ERROR: &str = "an error";

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Example {
    pub kind: String,
    pub expression: String,
    pub here: String,
    pub there: String,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Listed {
    pub examples: Vec<Example>,
}

/// Which differences a kind covers: what was asked, what PostgreSQL says, and what became of the record.
type Covers = fn(&Asked<'_>, &Verdict, &Fate) -> bool;

/// An expression, and the record that it was computed for.
pub struct Asked<'a> {
    pub expression: &'a str,
    pub row: &'a Row,
}

const KINDS: &[(&str, Covers)] = &[
    ("finite", |_, _, fate| {
        let Fate::Dead(cause) = fate else { return false };
        dead(
            &Fate::Dead(cause.to_lowercase()),
            &[
                "not a finite number",
                "too large or too near to zero for a real",
                "cannot cast string 'nan'",
                "cannot cast string 'inf",
            ],
        )
    }),
    ("years", |_, _, fate| {
        dead(fate, &["before year 1 or after year 9999", "outside the years 1 to 9999", "timestamp out of range"])
    }),
    ("past", |Asked { expression, .. }, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), _), Fate::Value(Some(_))) if expression.contains("at time zone") => {
            theirs[..4].parse::<u32>().is_ok_and(|year| year < 1970)
                && !SAME_PAST.iter().any(|zone| expression.contains(zone))
        }
        _ => false,
    }),
    ("zones", |_, _, fate| dead(fate, &["time zone rules are known until"])),
    ("digits", |_, verdict, fate| match (verdict, fate) {
        (Verdict::Value(..), Fate::Dead(_)) => {
            dead(fate, &["the result is out of range", "is out of range: at most", "has no decimal of 38 digits"])
        }
        (Verdict::Value(Some(theirs), ty), Fate::Value(Some(ours))) if ty == "numeric" => {
            let digits = theirs.trim_matches('-').trim_start_matches(['0', '.']).bytes().filter(u8::is_ascii_digit);
            digits.count() > 38 && near(theirs, ours, 1e-15)
        }
        _ => false,
    }),
    ("iso", |_, _, fate| {
        dead(
            fate,
            &[
                "error parsing timestamp",
                "error parsing date",
                "is not written in that format",
                "is not written as ISO 8601",
                "to date",
            ],
        ) && !dead(fate, &["timezone offset"])
    }),
    ("offset", |_, _, fate| dead(fate, &["which a timestamp can't hold", "which a date can't hold"])),
    ("abbreviations", |_, _, fate| dead(fate, &["an ambiguous abbreviation"])),
    ("words", |Asked { expression, .. }, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), _), Fate::Value(Some(ours))) if expression.contains("concat") => {
            let short = |text: &str| text.replace("true", "t").replace("false", "f");
            serde_json::from_str::<String>(ours).is_ok_and(|ours| short(&ours) == short(theirs))
        }
        _ => false,
    }),
    ("extract", |Asked { expression, .. }, verdict, fate| {
        let numeric = matches!(verdict, Verdict::Value(_, ty) if ty == "numeric");
        numeric && expression.starts_with("extract(") && matches!(fate, Fate::Value(_))
    }),
    ("whole", |asked, verdict, fate| {
        let wider = matches!(verdict, Verdict::Value(_, ty) if ty == "double precision" || ty == "numeric");
        let whole = ["sign(", "factorial(", "floor(", "ceil(", "round(", "trunc("]
            .iter()
            .any(|function| asked.expression.starts_with(function));
        wider && whole && matches!(fate, Fate::Value(_))
    }),
    ("bigint", |Asked { expression, .. }, verdict, fate| {
        if matches!(verdict, Verdict::Refused(_)) {
            return expression.starts_with("cast(") && matches!(fate, Fate::Value(_));
        }
        let small = matches!(verdict, Verdict::Value(_, ty) if ty == "integer");
        let literals = !expression.contains(|c: char| c.is_alphabetic());
        small && literals && matches!(fate, Fate::Value(_))
    }),
    ("escape", |_, _, fate| dead(fate, &["it ends with the escape character"])),
    ("escapes", |asked, verdict, fate| {
        let pattern = ["~", "similar to", "regexp_"].iter().any(|word| asked.expression.contains(word));
        pattern && matches!(verdict, Verdict::Value(..)) && dead(fate, &["is not a pattern: \\"])
    }),
    ("alternatives", |Asked { expression, .. }, verdict, fate| {
        // Only what a pattern finds may differ, and only where one leaves a choice of how much that is.
        let finds = ["regexp_replace", "regexp_match", "regexp_substr", "regexp_count", "regexp_instr"];
        let choice = expression.contains('|') || expression.contains('?');
        choice
            && finds.iter().any(|function| expression.contains(function))
            && matches!((verdict, fate), (Verdict::Value(..), Fate::Value(_)))
    }),
    ("microsecond", |Asked { expression, .. }, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), _), Fate::Value(Some(ours))) if expression.contains("to_timestamp") => {
            micros(theirs).zip(micros(ours.trim_matches('"'))).is_some_and(|(theirs, ours)| theirs.abs_diff(ours) <= 4)
        }
        _ => false,
    }),
    ("spelling", |_, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), ty), Fate::Value(Some(ours))) if ty == "text" => {
            serde_json::from_str::<String>(ours).is_ok_and(|ours| same::spelling(theirs) == same::spelling(&ours))
        }
        _ => false,
    }),
    ("interval", |_, _, fate| dead(fate, &["is not an interval like"])),
    ("bytes", |Asked { expression, .. }, verdict, fate| {
        let bytes = matches!(verdict, Verdict::Value(Some(theirs), _) if theirs.starts_with("\\x"));
        bytes && expression.contains("decode(") && matches!(fate, Fate::Value(Some(_)))
    }),
    ("doubles", |Asked { expression, .. }, verdict, fate| {
        let functions = ["power(", "sqrt(", "exp(", "ln(", "log(", "log10("];
        let outermost = expression.trim_start_matches('(');
        let decimal = matches!(verdict, Verdict::Value(_, ty) if ty == "numeric");
        decimal
            && functions.iter().any(|function| outermost.starts_with(function))
            && match (verdict, fate) {
                (Verdict::Value(Some(theirs), _), Fate::Value(Some(ours))) => {
                    // A numeric has few digits after the point.
                    let numbers = theirs.parse::<f64>().ok().zip(ours.parse::<f64>().ok());
                    near(theirs, ours, 1e-10) || numbers.is_some_and(|(theirs, ours)| (theirs - ours).abs() < 1e-15)
                }
                (_, fate) => dead(fate, &["too near to zero for a double"]),
            }
    }),
    ("capitals", |Asked { expression, .. }, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), ty), Fate::Value(Some(ours)))
            if ty == "text" && expression.contains("upper(") =>
        {
            serde_json::from_str::<String>(ours).is_ok_and(|ours| theirs.to_uppercase() == ours)
        }
        _ => false,
    }),
    ("root", |Asked { expression, .. }, verdict, fate| match (verdict, fate) {
        (Verdict::Value(Some(theirs), ty), Fate::Value(Some(ours))) if ty == "text" && expression.contains("cbrt(") => {
            serde_json::from_str::<String>(ours).is_ok_and(|ours| near(theirs, &ours, 1e-15))
        }
        _ => false,
    }),
    ("case", |asked, verdict, fate| {
        matches!((verdict, fate), (Verdict::Error(_), Fate::Value(_))) && asked.passes_over()
    }),
    ("nullif", |asked, verdict, fate| {
        let double = matches!(verdict, Verdict::Value(_, ty) if ty == "double precision" || ty == "text");
        let outermost = asked.expression.trim_start_matches('(').trim_start_matches("cast(").starts_with("nullif(");
        double && outermost && matches!(fate, Fate::Value(_))
    }),
    ("chosen", |_, verdict, fate| {
        matches!(verdict, Verdict::Value(..))
            && dead(fate, &["and beside a double the result is one", "and beside a real the result is one"])
    }),
    ("null", |asked, verdict, fate| {
        matches!((verdict, fate), (Verdict::Value(..), Fate::Dead(_))) && asked.compares_with_null()
    }),
    ("integers", |_, verdict, fate| match (verdict, fate) {
        (Verdict::Error(why), Fate::Value(Some(ours)))
            if why.contains("type bigint") || why.contains("type integer") =>
        {
            let value = why.split('"').nth(1).and_then(|text| text.trim().parse::<f64>().ok());
            value.is_some_and(|value| ours.parse() == Ok(value.round()))
        }
        _ => false,
    }),
    ("hexadecimal", |_, _, fate| dead(fate, &["cannot cast string"]) && dead(fate, &["0x", "0X"])),
    ("constant", |asked, verdict, fate| {
        matches!((verdict, fate), (Verdict::Value(..), Fate::Dead(_))) && asked.is_decided_by_a_constant()
    }),
];

/// Whether two numbers differ by no more than a part of them.
fn near(theirs: &str, ours: &str, part: f64) -> bool {
    let numbers = theirs.parse::<f64>().ok().zip(ours.parse::<f64>().ok());
    numbers.is_some_and(|(theirs, ours)| (theirs - ours).abs() <= part * theirs.abs())
}

impl Asked<'_> {
    /// Whether it has a CASE whose operand is NULL for the record, and a WHEN that fails for it.
    fn passes_over(&self) -> bool {
        self.any_part(|part| match part {
            Expr::Case { operand: Some(operand), conditions, .. } => {
                self.fate(operand) == Fate::Value(None) && conditions.iter().any(|when| self.fails(&when.condition))
            }
            _ => false,
        })
    }

    /// Whether it compares what fails for the record with a NULL that is written there.
    fn compares_with_null(&self) -> bool {
        // PostgreSQL takes a choice that is none for the NULL that it gives.
        fn null(asked: &Asked<'_>, part: &Expr) -> bool {
            match part {
                Expr::Nested(inner) => null(asked, inner),
                Expr::Case { operand: None, conditions, else_result, .. } => {
                    let never = |condition: &Expr| is_constant(condition) && asked.fate(condition) != truth();
                    conditions.iter().all(|when| never(&when.condition))
                        && else_result.as_ref().is_none_or(|result| null(asked, result))
                }
                part => is_constant(part) && asked.fate(part) == Fate::Value(None),
            }
        }
        let null = |part: &Expr| null(self, part);
        self.any_part(|part| match part {
            Expr::InList { expr, list, .. } => matches!(list.as_slice(), [only] if null(only)) && self.fails(expr),
            Expr::BinaryOp { left, right, .. } => null(right) && self.fails(left) || null(left) && self.fails(right),
            _ => false,
        })
    }

    /// Whether it has an AND or OR of a constant and what fails for the record.
    fn is_decided_by_a_constant(&self) -> bool {
        self.any_part(|part| match part {
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                is_constant(right) && self.fails(left) || is_constant(left) && self.fails(right)
            }
            _ => false,
        })
    }

    fn any_part(&self, is: impl Fn(&Expr) -> bool) -> bool {
        let expression =
            Parser::new(&PostgreSqlDialect {}).try_with_sql(self.expression).unwrap().parse_expr().unwrap();
        let found = visit_expressions(&expression, |part| match is(part) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    fn fails(&self, part: &Expr) -> bool {
        matches!(self.fate(part), Fate::Dead(_))
    }

    fn fate(&self, part: &Expr) -> Fate {
        ours::evaluate(&part.to_string(), std::slice::from_ref(self.row)).unwrap().remove(0)
    }
}

fn truth() -> Fate {
    Fate::Value(Some("true".into()))
}

/// Whether no field decides of it.
fn is_constant(part: &Expr) -> bool {
    let found = visit_expressions(part, |part| match part {
        Expr::Identifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_continue()
}

/// The digits of a time in UTC, six of them after the point, as one number.
fn micros(time: &str) -> Option<i128> {
    let (seconds, fraction) = time.trim_end_matches("+00").trim_end_matches('Z').split_once('.')?;
    let digits: String = seconds.chars().filter(char::is_ascii_digit).collect();
    format!("{digits}{fraction:0<6}").parse().ok()
}

fn dead(fate: &Fate, causes: &[&str]) -> bool {
    matches!(fate, Fate::Dead(cause) if causes.iter().any(|known| cause.contains(known)))
}

impl Listed {
    /// Reads the table; its kinds are those that are known here.
    pub fn read() -> Self {
        let (_, table) = GUIDE.split_once("## Where it differs from PostgreSQL").unwrap();
        let lines = table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
        let plain = |cell: &str| cell.trim().trim_matches('`').replace("\\|", "|");
        let example = |line: &str| {
            let cells: Vec<String> = line.split(" | ").map(|cell| plain(cell.trim_start_matches("| "))).collect();
            let [kind, expression, here, there, _why] = cells.as_slice() else { panic!("five cells: {line}") };
            Example { kind: kind.clone(), expression: expression.clone(), here: here.clone(), there: there.clone() }
        };
        let examples: Vec<Example> = lines.map(example).collect();
        for (kind, _) in KINDS {
            assert!(examples.iter().any(|example| example.kind == *kind), "{kind} is in no line of the guide");
        }
        for Example { kind, .. } in &examples {
            assert!(KINDS.iter().any(|(known, _)| known == kind), "{kind} is not known to the test");
        }
        Self { examples }
    }

    /// Whether a difference is of a listed kind.
    pub fn covers(&self, asked: &Asked<'_>, verdict: &Verdict, fate: &Fate) -> bool {
        self.examples
            .iter()
            .any(|example| KINDS.iter().any(|(kind, covers)| *kind == example.kind && covers(asked, verdict, fate)))
    }
}

/// A fate as the table writes it.
pub fn shown(fate: &Fate) -> String {
    match fate {
        Fate::Value(None) => "NULL".into(),
        Fate::Value(Some(text)) => serde_json::from_str::<String>(text).unwrap_or_else(|_| text.clone()),
        Fate::Dead(_) => ERROR.into(),
    }
}

/// A verdict as the table writes it.
pub fn shown_there(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Value(None, _) => "NULL".into(),
        Verdict::Value(Some(text), _) => text.clone(),
        Verdict::Error(_) | Verdict::Refused(_) => ERROR.into(),
    }
}
