//! Parses numbers by value.
use super::{
    misfit::{Asked, Why},
    varied::Value,
};
use dataflow_core::types::Type;
use dataflow_sdk::declared::Numbers;
use std::borrow::Cow;

/// The most digits of a decimal.
const DIGITS: usize = 38;

/// Ten to the power of the index.
const TENS: [i128; DIGITS + 1] = {
    let mut tens = [1; DIGITS + 1];
    let mut at = 1;
    while at <= DIGITS {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

/// A number in the range of a decimal: `unscaled / 10^scale`, without trailing zeros in the fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub unscaled: i128,
    pub scale: u32,
}

/// Parses a text of digits as an integer, if it fits: the fast path for most numbers.
#[inline]
pub(super) fn integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.is_empty() || digits.len() > 18 {
        return if plain(text) { text.parse().ok() } else { None };
    }
    let mut value = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if digits.len() < bytes.len() { -value } else { value })
}

/// Returns whether a number is written with digits only.
fn plain(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Returns the value of a number with at most 38 digits, at most 38 of them after the point.
#[inline]
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    short(text.as_bytes()).or_else(|| long(text))
}

/// The fast path for most numbers: at most 18 bytes of digits and a point.
#[inline]
fn short(text: &[u8]) -> Option<Decimal> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.len() > 18 {
        return None;
    }
    let (mut value, mut point) = (0_i64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let mut scale = point.map_or(0, |point| digits.len() - point - 1);
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    let value = if digits.len() < text.len() { -value } else { value };
    Some(Decimal { unscaled: value.into(), scale: scale as u32 })
}

fn long(text: &str) -> Option<Decimal> {
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let length = digits().count();
    if length == 0 {
        return Some(Decimal { unscaled: 0, scale: 0 });
    }
    // Trailing zeros don't count: 1e-2 is 100e-4.
    let zeros = if fraction.is_empty() { whole.len() - whole.trim_end_matches('0').len() } else { 0 };
    if length - zeros > DIGITS {
        return None;
    }
    let value = digits().take(length - zeros).fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    // An exponent beyond an i64 is out of range anyway.
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent.parse().ok()?)?.checked_sub(zeros as i64)?;
    let value = if negative { -value } else { value };
    match u32::try_from(scale) {
        Ok(scale) => (scale as usize <= DIGITS).then_some(Decimal { unscaled: value, scale }),
        Err(_) if length - zeros + scale.unsigned_abs() as usize > DIGITS => None,
        Err(_) => Some(Decimal { unscaled: value * 10_i128.pow(scale.unsigned_abs() as u32), scale: 0 }),
    }
}

impl Decimal {
    /// Returns the number as an integer, if it is one that fits.
    pub(super) fn integer(self) -> Option<i64> {
        if self.scale == 0 { self.unscaled.try_into().ok() } else { None }
    }

    /// Returns its digits with `scale` of them after the point, if no digit is lost and at most `precision` are needed.
    pub(super) fn rescale(self, precision: u8, scale: u8) -> Result<i128, &'static str> {
        let missing = u32::from(scale).checked_sub(self.scale).ok_or("which has more digits after the point")?;
        let unscaled = TENS.get(missing as usize).and_then(|factor| self.unscaled.checked_mul(*factor));
        unscaled
            .filter(|unscaled| unscaled.unsigned_abs() < TENS[usize::from(precision)].unsigned_abs())
            .ok_or("which has more digits before the point")
    }

    /// Returns precision and scale of the number's own decimal type: with the first of [`SCALES`] that holds it,
    /// otherwise 38 digits, if those suffice.
    pub(super) fn shape(self) -> Option<(u8, u8)> {
        let digits = self.unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let whole = digits.saturating_sub(self.scale);
        let scale = u8::try_from(self.scale).ok()?;
        match SCALES.into_iter().find(|known| scale <= *known) {
            Some(known) if scale > 0 && whole <= WHOLE => Some((WHOLE as u8 + known, known)),
            _ => (whole + self.scale <= DIGITS as u32).then_some((DIGITS as u8, scale)),
        }
    }
}

/// Returns precision and scale of the own decimal type of `unscaled / 10^scale`, the same for record values and results
/// of expressions; `None` if no decimal holds it.
pub fn shape(unscaled: i128, scale: u32) -> Option<(u8, u8)> {
    Decimal { unscaled, scale }.shape()
}

/// Digits before the point in decimals with one of the known scales: those of a bigint.
const WHOLE: u32 = 19;

/// The type of a column that holds a number together with those that fit what was asked for, as far as the sink has one; JSON holds
/// every number as it is written.
pub(super) fn wide(text: &str, asked: Asked) -> Type {
    // Digits before the point that the others may need, and after it: at least, and usually.
    let (whole, least, usual) = match asked.ty {
        Some(Type::Decimal { precision, scale }) => (precision - scale, scale, scale),
        Some(Type::Smallint | Type::Integer | Type::Bigint) => (WHOLE as u8, 0, 10),
        _ => (0, 0, WHOLE as u8),
    };
    match (asked.numbers, decimal(text)) {
        (Numbers::Any, _) => Type::Number,
        (Numbers::Doubles, _) if integer(text).is_some() || double(text).is_ok() => Type::Number,
        (Numbers::Decimals, Some(number)) => {
            let needed = number.scale as u8;
            let fits = |scale: &u8| scale + whole <= DIGITS as u8 && number.rescale(DIGITS as u8, *scale).is_ok();
            let scale = [needed.max(usual), needed.max(least)].into_iter().find(fits);
            scale.map_or(Type::Json, |scale| Type::Decimal { precision: DIGITS as u8, scale })
        }
        (Numbers::Doubles | Numbers::Decimals, _) => Type::Json,
    }
}

/// A few scales for all numbers, to limit the types in a batch: amounts, rates, coordinates.
const SCALES: [u8; 3] = [2, 8, 18];

/// Parses a number into its own type, which depends on its value alone.
pub(super) fn own(text: &str) -> Result<Value<'static>, Why> {
    // Most numbers have few digits: with a known scale that holds the fraction, the whole part fits, too.
    if let Some(Decimal { unscaled, scale }) = short(text.as_bytes()) {
        match SCALES.into_iter().find(|known| scale <= u32::from(*known)) {
            _ if scale == 0 => return Ok(Value::Bigint(Some(unscaled as i64))),
            Some(known) => {
                let unscaled = unscaled * TENS[usize::from(known) - scale as usize];
                return Ok(Value::Decimal { unscaled, precision: WHOLE as u8 + known, scale: known });
            }
            None => {}
        }
    }
    if let Some(value) = integer(text) {
        return Ok(Value::Bigint(Some(value)));
    }
    if let Some(decimal) = decimal(text) {
        if let Some(value) = decimal.integer() {
            return Ok(Value::Bigint(Some(value)));
        }
        if let Some((precision, scale)) = decimal.shape() {
            return Ok(Value::Decimal { unscaled: decimal.rescale(precision, scale)?, precision, scale });
        }
    }
    double(text).map(Value::Double)
}

/// Parses a number as a double, if the double is exact or prints the same digits (up to 17).
///
/// # Errors
/// The reason; empty if the text is not a number.
pub fn double(text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| "")?;
    if !value.is_finite() {
        return Err("which is out of range");
    }
    // With up to 15 digits, different numbers are different doubles.
    let sure = value == 0.0 || (f64::MIN_POSITIVE..).contains(&value.abs());
    if sure && digits(text) <= if value == 0.0 { 0 } else { 15 } {
        return Ok(value);
    }
    let number = Scientific::of(text);
    let exact = || Scientific::of(&format!("{value:.770e}"));
    let rounded = |digits: usize| Scientific::of(&format!("{value:.digits$e}"));
    match number.is_that_of(17, rounded, exact) {
        true => Ok(value),
        false => Err("which a double does not hold exactly"),
    }
}

/// Parses a number as a 32-bit float, by the same rule.
///
/// # Errors
/// The reason; empty if the text is not a number.
pub fn real(text: &str) -> Result<f32, &'static str> {
    let value: f32 = text.parse().map_err(|_| "")?;
    if !value.is_finite() {
        return Err("which is out of range");
    }
    let sure = value == 0.0 || (f32::MIN_POSITIVE..).contains(&value.abs());
    if sure && digits(text) <= if value == 0.0 { 0 } else { 6 } {
        return Ok(value);
    }
    let number = Scientific::of(text);
    let exact = || Scientific::of(&format!("{value:.150e}"));
    let rounded = |digits: usize| Scientific::of(&format!("{value:.digits$e}"));
    match number.is_that_of(9, rounded, exact) {
        true => Ok(value),
        false => Err("which a real does not hold exactly"),
    }
}

/// Counts the digits of a number from the first nonzero one on, without the exponent.
fn digits(text: &str) -> usize {
    let mantissa = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    mantissa.filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count()
}

/// A number as its digits, without leading and trailing zeros, and the exponent of the first digit.
#[derive(PartialEq, Eq)]
struct Scientific {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Scientific {
    /// Returns whether the number denotes a given float: it equals the float `rounded` to as many digits (after the
    /// first), at most `most`, or its `exact` value. A number halfway between two floats may denote either.
    fn is_that_of(&self, most: usize, rounded: impl Fn(usize) -> Self, exact: impl Fn() -> Self) -> bool {
        let count = self.digits.len();
        if count <= most && rounded(count.saturating_sub(1)) == *self {
            return true;
        }
        let exact = exact();
        if exact == *self {
            return true;
        }
        let halfway = exact.digits.len() == count + 1 && exact.digits.last() == Some(&b'5') && count <= most;
        let whole = |digits: &[u8]| digits.iter().fold(0_u64, |whole, digit| whole * 10 + u64::from(digit - b'0'));
        halfway
            && (exact.negative, exact.exponent) == (self.negative, self.exponent)
            && whole(&self.digits).checked_sub(whole(&exact.digits[..count])).is_some_and(|above| above <= 1)
    }

    fn of(text: &str) -> Self {
        let negative = text.starts_with('-');
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mantissa = mantissa.trim_start_matches(['-', '+']);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let zeros = whole.bytes().chain(fraction.bytes()).take_while(|digit| *digit == b'0').count();
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip(zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        // An exponent beyond an i64 fits no double.
        let exponent = exponent.parse().unwrap_or(i64::MAX).saturating_add(whole.len() as i64 - zeros as i64 - 1);
        let exponent = if digits.is_empty() { 0 } else { exponent };
        Self { negative: negative && !digits.is_empty(), digits, exponent }
    }
}

/// Strips a plus sign and leading zeros.
fn trimmed(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.trim_start_matches('+')), |digits| ("-", digits));
    format!("{sign}{}", digits.trim_start_matches('0'))
}

/// Returns a number as JSON would write it.
pub(super) fn as_json(text: &str) -> Cow<'_, str> {
    if is_json_number(text) {
        return text.into();
    }
    let number = trimmed(text);
    let at = usize::from(number.starts_with('-'));
    let digit = number.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    format!("{}{}{}", &number[..at], if digit { "" } else { "0" }, &number[at..]).into()
}

/// Returns whether untyped text is a number: in JSON's form, or with a plus sign or leading zeros.
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

/// Returns whether untyped text is a number in JSON's form.
pub(super) fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    is_number(text) && !text.starts_with('+') && !leading_zero
}

/// Returns whether untyped text is a number in JSON's form without an exponent: `1e5` may as well be a name.
pub(super) fn is_plain(text: &str) -> bool {
    is_json_number(text) && !text.contains(['e', 'E'])
}
