//! Casts texts to integers and decimals by the value of the number, not by its spelling.
//!
//! The operand of a cast is read as its text, which may be `18.0` or `1e3`. A cast to an integer rounds, as in SQL:
//! halves away from zero, for doubles to the even neighbour.
use arrow::{
    array::{ArrayRef, StringArray},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use datafusion_common::{
    Result,
    cast::{as_float64_array, as_string_array},
    exec_err,
};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use std::{borrow::Cow, sync::Arc};

/// Their internal function names.
pub(super) const WHOLE: &str = "whole number of";
pub(super) const POSITIONAL: &str = "positional number of";

/// More digits than any integer or decimal has before the point.
const DIGITS: usize = 80;
/// The digits after the point that can affect a decimal: those that it can have, and the next one for rounding.
const FRACTION: usize = 39;

/// `whole(number or text)`: the integer nearest to a number. `positional(double or text)`: a number without an
/// exponent. Any other text is returned unchanged.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Whole {
    signature: Signature,
    fraction: bool,
}

impl Whole {
    /// Creates [`WHOLE`], or [`POSITIONAL`] with the `fraction`.
    pub(super) fn new(fraction: bool) -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable), fraction }
    }
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        if self.fraction { POSITIONAL } else { WHOLE }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match &arguments[0] {
            DataType::Float64 | DataType::Float32 if self.fraction => DataType::Utf8,
            other if self.fraction && !other.is_string() => other.clone(),
            DataType::Decimal128(..) => DataType::Decimal128(38, 0),
            DataType::Decimal256(..) => DataType::Utf8,
            DataType::Float32 => DataType::Float64,
            ty if ty.is_string() => DataType::Utf8,
            other => other.clone(),
        })
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [texts] = arrays.as_slice() else { return exec_err!("{} takes one text", self.name()) };
        match texts.data_type() {
            DataType::Float64 | DataType::Float32 if self.fraction => {
                let digits = if texts.data_type() == &DataType::Float64 { 15 } else { 6 };
                let doubles = cast(texts, &DataType::Float64)?;
                let texts = as_float64_array(&doubles)?.iter().map(|number| number.map(|number| short(number, digits)));
                return Ok(ColumnarValue::Array(Arc::new(texts.collect::<StringArray>())));
            }
            ty if self.fraction && !ty.is_string() => return Ok(ColumnarValue::Array(texts.clone())),
            // A cast to fewer digits rounds.
            DataType::Decimal128(..) => return Ok(ColumnarValue::Array(cast(texts, &DataType::Decimal128(38, 0))?)),
            // The text of a number that is too large for an integer is rejected by the cast that follows.
            DataType::Decimal256(..) => {
                let whole = cast(texts, &DataType::Decimal256(76, 0))?;
                return Ok(ColumnarValue::Array(cast(&whole, &DataType::Utf8)?));
            }
            DataType::Float64 | DataType::Float32 => {
                let doubles = cast(texts, &DataType::Float64)?;
                let rounded = as_float64_array(&doubles)?.unary::<_, Float64Type>(f64::round_ties_even);
                return Ok(ColumnarValue::Array(Arc::new(rounded)));
            }
            ty if !ty.is_string() => return Ok(ColumnarValue::Array(texts.clone())),
            _ => {}
        }
        let texts = cast(texts, &DataType::Utf8)?;
        let texts_in = as_string_array(&texts)?;
        let odd = |byte: u8| matches!(byte, b'e' | b'E') || byte == b'.' && !self.fraction;
        if !texts_in.iter().flatten().any(|text| text.len() > FRACTION || text.bytes().any(odd)) {
            return Ok(ColumnarValue::Array(texts));
        }
        let whole: StringArray = texts_in.iter().map(|text| text.map(|text| number(text, self.fraction))).collect();
        Ok(ColumnarValue::Array(Arc::new(whole) as ArrayRef))
    }
}

/// Writes a double with this many digits, as PostgreSQL does when converting it to a decimal: 0.1125 may be stored as
/// slightly less.
fn short(number: f64, digits: usize) -> String {
    let text = format!("{number:.*e}", digits - 1);
    positional(&text).unwrap_or(text)
}

/// Returns a number without an exponent, with its `fraction` or rounded; the text itself if it is not a number, or far
/// too large.
fn number(text: &str, fraction: bool) -> Cow<'_, str> {
    let number = positional(text.trim());
    let number = number.map(|number| if fraction { number } else { rounded(&number) });
    number.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns the integer nearest to a number; of two equally near, the one farther from zero.
fn rounded(number: &str) -> String {
    let Some((whole, fraction)) = number.split_once('.') else { return number.into() };
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    if !fraction.starts_with(|digit: char| digit >= '5') {
        return if digits == "0" { "0".into() } else { whole.into() };
    }
    let kept = digits.trim_end_matches('9');
    let zeros = "0".repeat(digits.len() - kept.len());
    match kept.char_indices().next_back() {
        Some((last, digit)) => {
            let next = char::from_digit(digit.to_digit(10).unwrap_or(0) + 1, 10).unwrap_or('0');
            format!("{sign}{}{next}{zeros}", &kept[..last])
        }
        None => format!("{sign}1{zeros}"),
    }
}

fn positional(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(after.bytes());
    if before.is_empty() && after.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count = before.len() + after.len();
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    if zeros == count {
        return Some("0".into());
    }
    // The position of the point, counted from the first nonzero digit.
    let point = i64::try_from(before.len()).ok()?.saturating_add(exponent).saturating_sub(i64::try_from(zeros).ok()?);
    if usize::try_from(point).is_ok_and(|point| point > DIGITS) {
        return None;
    }
    let padding = usize::try_from(point.saturating_neg()).unwrap_or(0);
    let point = usize::try_from(point).unwrap_or(0);
    let significant = || digits().skip(zeros).map(char::from);
    let mut part: String = significant().chain(std::iter::repeat('0')).take(point).collect();
    if part.is_empty() {
        part.push('0');
    }
    let after: String = std::iter::repeat_n('0', padding).chain(significant().skip(point)).take(FRACTION).collect();
    let after = after.trim_end_matches('0');
    if !after.is_empty() {
        part = format!("{part}.{after}");
    }
    Some(if part == "0" { part } else { format!("{sign}{part}") })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_is_rounded_to_an_integer_exactly() {
        for (text, part) in [
            ("18.0", "18"),
            ("1e3", "1000"),
            ("-19.99", "-20"),
            ("19.49999999999999999999", "19"),
            ("-0.5", "-1"),
            ("-0.4", "0"),
            ("999.5", "1000"),
            ("2.5", "3"),
            ("0e999999", "0"),
            ("1.25E+1", "13"),
            ("125e-2", "1"),
            ("1e-400", "0"),
            (".5", "1"),
            ("5.", "5"),
            ("9223372036854775807.4", "9223372036854775807"),
            ("0000000000000000000000000000000000000000000001.0", "1"),
            // A text that is not a number is returned unchanged, so that the cast reports it.
            ("1e400", "1e400"),
            ("1e99999999999999999999", "1e99999999999999999999"),
            ("e5", "e5"),
            (".", "."),
            ("1.2.3", "1.2.3"),
            ("Infinity", "Infinity"),
            ("", ""),
        ] {
            assert_eq!(number(text, false), part, "{text}");
        }
    }
    #[test]
    fn a_number_without_exponent_is_the_same_number() {
        for (text, plain) in [
            ("1e-3", "0.001"),
            ("-1.5e3", "-1500"),
            ("12.50", "12.5"),
            ("1.25e1", "12.5"),
            ("0.1e1", "1"),
            ("99999999999999999999.99", "99999999999999999999.99"),
            ("1e-400", "0"),
            ("-0", "0"),
            // No decimal has more digits after the point: the cut-off digits can't affect any.
            ("2.5e-39", "0.000000000000000000000000000000000000002"),
            ("-1.93850321690112e-66", "0"),
            ("0.0000000000000000000000000000000000000049999", "0.000000000000000000000000000000000000004"),
            ("x1e3", "x1e3"),
            ("1e400", "1e400"),
        ] {
            assert_eq!(number(text, true), plain, "{text}");
        }
    }
}
