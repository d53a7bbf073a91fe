//! Writes decimal numbers in PostgreSQL's binary form: digits of base 10,000, the weight of the first, the sign, and
//! the number of decimal digits after the point.

/// Appends the binary form of `unscaled / 10^scale` if it has few digits, as most numbers do; otherwise returns false.
pub(super) fn write_short(unscaled: i128, scale: i8, out: &mut Vec<u8>) -> bool {
    let short = u64::try_from(unscaled.unsigned_abs()).ok().filter(|digits| *digits <= u64::MAX / 1_000);
    let (Some(digits), Ok(scale)) = (short, u16::try_from(scale)) else { return false };
    let behind = scale.div_ceil(4); // groups after the point
    let mut rest = digits * 10_u64.pow(u32::from(behind * 4 - scale));
    let mut weight = -(behind as i16); // of the last group
    while rest > 0 && rest % 10_000 == 0 {
        rest /= 10_000;
        weight += 1;
    }
    let (mut groups, mut first) = ([0_i16; 5], 5);
    while rest > 0 {
        first -= 1;
        groups[first] = (rest % 10_000) as i16;
        rest /= 10_000;
    }
    let groups = &groups[first..];
    put(groups, weight + groups.len() as i16 - 1, unscaled < 0, scale as i16, out);
    true
}

/// Appends groups of four digits, the first of this weight; no group is zero.
fn put(groups: &[i16], weight: i16, negative: bool, scale: i16, out: &mut Vec<u8>) {
    let zero = groups.is_empty();
    let sign: u16 = if negative && !zero { 0x4000 } else { 0 };
    out.extend_from_slice(&(groups.len() as i16).to_be_bytes());
    out.extend_from_slice(&(if zero { 0 } else { weight }).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    groups.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

/// Appends the binary form of a number's text.
pub(super) fn write(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let no_number = || format!("{text:?} is not a number");
    let exponent: i64 = exponent.parse().map_err(|_| no_number())?;
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte.wrapping_sub(b'0')).collect();
    if digits.is_empty() || digits.iter().any(|digit| *digit > 9) {
        return Err(no_number());
    }
    // The value is 0.d1d2d3… · 10^point.
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let scale = (fraction.len() as i64).saturating_sub(exponent).max(0);
    let digits = &digits[leading..];
    let point = (whole.len() as i64).saturating_add(exponent).saturating_sub(leading as i64);
    if scale > 16_383 || (!digits.is_empty() && point > 131_072) {
        return Err(format!("{} is out of the range of numeric", shortened(text)));
    }
    // Groups of four on either side of the point.
    let weight = if digits.is_empty() { 0 } else { (point - 1).div_euclid(4) };
    let lead = if digits.is_empty() { 0 } else { (weight + 1) * 4 - point };
    let mut groups: Vec<i16> = Vec::with_capacity(digits.len() / 4 + 2);
    for (index, digit) in digits.iter().enumerate() {
        let at = index + lead as usize;
        if at / 4 >= groups.len() {
            groups.resize(at / 4 + 1, 0);
        }
        groups[at / 4] += i16::from(*digit) * [1_000, 100, 10, 1][at % 4];
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    put(&groups, weight as i16, negative, scale as i16, out);
    Ok(())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{write, write_short};
    use arrow::datatypes::{Decimal128Type, DecimalType};
    use proptest::prelude::*;

    fn numbers(text: &str) -> Vec<i16> {
        let mut out = Vec::new();
        write(text, &mut out).unwrap();
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn numbers_have_their_digits_weight_sign_and_scale() {
        assert_eq!(numbers("0"), [0, 0, 0, 0]);
        assert_eq!(numbers("-0.00"), [0, 0, 0, 2]);
        assert_eq!(numbers("1"), [1, 0, 0, 0, 1]);
        assert_eq!(numbers("-12345.678"), [3, 1, 0x4000, 3, 1, 2345, 6780]);
        assert_eq!(numbers("0.0001"), [1, -1, 0, 4, 1]);
        assert_eq!(numbers("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(numbers("1e4"), [1, 1, 0, 0, 1]);
        assert_eq!(numbers("1.50e-3"), [1, -1, 0, 5, 15]);
        assert_eq!(numbers("100000000"), [1, 2, 0, 0, 1]);
    }

    #[test]
    fn what_is_out_of_range_or_no_number_is_refused() {
        for text in ["", "x", "1e999999999", "1e-20000", "--1", "1.2.3", "NaN"] {
            assert!(write(text, &mut Vec::new()).is_err(), "{text}");
        }
        assert_eq!(numbers("0e999999999"), [0, 0, 0, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_short_way_is_the_same(digits in any::<i64>(), shift in 0_u32..60, scale in 0_i8..=38) {
            let unscaled = i128::from(digits >> shift);
            let (mut short, mut long) = (Vec::new(), Vec::new());
            if write_short(unscaled, scale, &mut short) {
                write(&Decimal128Type::format_decimal(unscaled, 38, scale), &mut long).unwrap();
                prop_assert_eq!(short, long);
            } else {
                prop_assert!(shift < 11, "{} is short", unscaled);
            }
        }
    }
}
