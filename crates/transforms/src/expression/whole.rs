//! Text that is cast to an integer: a number is taken by its value, not by how it is written.
//!
//! What is cast is read as its text, which may be `18.0` or `1e3`. As every other cast of a number to an integer does,
//! this one drops what is behind the point.
use arrow::{
    array::{ArrayRef, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion_common::{Result, cast::as_string_array, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use std::{borrow::Cow, sync::Arc};

/// The name it has among the functions.
pub(super) const WHOLE: &str = "whole";

/// More digits than any integer type has.
const DIGITS: usize = 40;

/// `whole(text)`: the integer part of a number with a point or an exponent; every other text as it is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Whole {
    signature: Signature,
}

impl Whole {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        WHOLE
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [texts] = arrays.as_slice() else { return exec_err!("{WHOLE} takes one text") };
        let texts = cast(texts, &DataType::Utf8)?;
        let texts_in = as_string_array(&texts)?;
        let fraction = |text: &str| text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        if !texts_in.iter().flatten().any(fraction) {
            return Ok(ColumnarValue::Array(texts));
        }
        let whole: StringArray = texts_in.iter().map(|text| text.map(whole)).collect();
        Ok(ColumnarValue::Array(Arc::new(whole) as ArrayRef))
    }
}

/// The integer part of a number; the text itself if it is none, or far too large.
fn whole(text: &str) -> Cow<'_, str> {
    integer_part(text.trim()).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn integer_part(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(behind.bytes());
    if before.is_empty() && behind.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    let point = i64::try_from(before.len()).ok()?.saturating_add(exponent);
    if zeros == before.len() + behind.len() || point <= i64::try_from(zeros).ok()? {
        return Some("0".into());
    }
    let point = usize::try_from(point).ok()?;
    if point - zeros > DIGITS {
        return None;
    }
    let part = digits().chain(std::iter::repeat(b'0')).take(point).skip(zeros).map(char::from);
    Some(sign.chars().chain(part).collect())
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn the_integer_part_of_a_number_is_exact() {
        for (text, part) in [
            ("18.0", "18"),
            ("1e3", "1000"),
            ("-19.99", "-19"),
            ("-0.5", "0"),
            ("0e999999", "0"),
            ("1.25E+1", "12"),
            ("125e-2", "1"),
            ("1e-400", "0"),
            (".5", "0"),
            ("5.", "5"),
            ("9223372036854775807.9", "9223372036854775807"),
            ("0000000000000000000000000000000000000000000001.0", "1"),
            // What is no number stays as it is, for the cast to complain of.
            ("1e400", "1e400"),
            ("1e99999999999999999999", "1e99999999999999999999"),
            ("e5", "e5"),
            (".", "."),
            ("1.2.3", "1.2.3"),
            ("Infinity", "Infinity"),
            ("", ""),
        ] {
            assert_eq!(whole(text), part, "{text}");
        }
    }
}
