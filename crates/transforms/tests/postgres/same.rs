//! Whether two values are the same, however they are written.
use crate::{oracle::Verdict, ours::Fate};
use regex::{Captures, Regex};
use serde_json::Value;
use std::sync::LazyLock;

/// Most that two doubles may differ by: libraries round the last digit of a logarithm differently, and its cosine makes more of that.
const RELATIVE: f64 = 1e-10;

/// Whether PostgreSQL and the program come to the same.
pub fn same(verdict: &Verdict, fate: &Fate) -> bool {
    match (verdict, fate) {
        // What is no expression there is one here only where the guide says so.
        (Verdict::Refused(_), _) => false,
        (Verdict::Error(_), Fate::Dead(_)) => true,
        (Verdict::Value(None, _), Fate::Value(ours)) => ours.is_none(),
        (Verdict::Value(Some(theirs), ty), Fate::Value(Some(ours))) => same_value(theirs, ty, ours),
        _ => false,
    }
}

fn same_value(theirs: &str, ty: &str, ours: &str) -> bool {
    match ty {
        // The shortest text of a real may be nearer to another double.
        "real" => match (theirs.parse::<f32>(), ours.parse::<f32>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= f32::EPSILON * a.abs(),
            _ => false,
        },
        "double precision" => match (theirs.parse::<f64>(), ours.parse::<f64>()) {
            (Ok(a), Ok(b)) => a == b || (a - b).abs() <= RELATIVE * a.abs().max(b.abs()),
            _ => false,
        },
        "numeric" | "bigint" | "integer" | "smallint" => plain(theirs) == plain(ours),
        "boolean" => theirs == ours,
        ty => {
            let Ok(Value::String(ours)) = serde_json::from_str(ours) else { return false };
            if ty.starts_with("timestamp") || ty == "date" { moment(theirs) == moment(&ours) } else { theirs == ours }
        }
    }
}

/// A number without needless zeros and exponents.
fn plain(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{before}{after}");
    let mut point = before.len() as i32 + exponent;
    while digits.starts_with('0') {
        digits.remove(0);
        point -= 1;
    }
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { "0".into() } else { format!("{sign}0.{digits}e{point}") }
}

/// A time as PostgreSQL and as JSON write it.
fn moment(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    text.strip_suffix('Z').or_else(|| text.strip_suffix("+00")).unwrap_or(&text).to_owned()
}

/// A text with its numbers and times spelled in one way.
pub fn spelling(text: &str) -> String {
    static TIME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|\+00)?").unwrap());
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+(\.\d+)?([eE][+-]?\d+)?").unwrap());
    let text = TIME.replace_all(text, "$1 $2");
    NUMBER.replace_all(&text, |number: &Captures<'_>| plain(&number[0])).into_owned()
}
