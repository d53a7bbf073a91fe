//! Numbers as an audit compares them, by their digits.
use serde_json::value::RawValue;

/// Returns whether a text is a number in JSON's spelling, so that converting it loses nothing.
pub(super) fn spells_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|json| json.get() == text)
}

/// Splits a number into its sign, its digits without zeros at either end, and the place of the point.
fn taken_apart(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 });
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    let point = exponent + whole.len() as i64 - (all.len() - digits.len()) as i64;
    match digits.trim_end_matches('0') {
        "" => (false, String::new(), 0),
        digits => (negative, digits.into(), point),
    }
}

/// The number of its digits without zeros at either end.
pub(super) fn significant(text: &str) -> usize {
    taken_apart(text).1.len()
}

/// Returns whether the stored number has one digit more than the record's and lies halfway between it and its
/// neighbour: it may be rounded to either.
pub(super) fn is_halfway(said: &str, kept: &str) -> bool {
    let ((negative, said, point), kept) = (taken_apart(said), taken_apart(kept));
    let tens = said.parse::<u128>().ok().and_then(|said| said.checked_mul(10));
    let apart = tens.zip(kept.1.parse().ok()).map(|(said, kept)| said.abs_diff(kept));
    (negative, said.len() + 1, point) == (kept.0, kept.1.len(), kept.2) && apart == Some(5)
}

/// Normalizes a number.
pub(super) fn number(text: &str) -> String {
    let (negative, digits, point) = taken_apart(text);
    let sign = if negative { "-" } else { "" };
    let length = digits.len() as i64;
    let plain = match point {
        _ if digits.is_empty() => "0".into(),
        point if point >= length && point < 40 => digits + &"0".repeat((point - length) as usize),
        point if point > 0 && point < length => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
        point if point <= 0 && point > -40 => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        point => format!("0.{digits}e{point}"),
    };
    format!("n{sign}{plain}")
}
