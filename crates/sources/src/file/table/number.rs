//! Decimal numbers and UUIDs as files hold them: bytes that are written out exactly.
use dataflow_formats::encode::Value;

/// Most digits after the point: a number is written with all of them.
pub(super) const MOST_SCALE: u32 = 1 << 16;
/// Most bytes of a number: the time to write it grows with their square.
const MOST_BYTES: usize = 4 << 10;

/// Writes a whole number, of which `scale` digits come after the point, with all of them. The bytes are its two's complement, the
/// highest first; where there are too many, they are written as bytes.
pub(super) fn decimal(bytes: &[u8], scale: u32, out: &mut Vec<u8>) {
    if bytes.len() > MOST_BYTES {
        return Value::Binary(bytes).write(out);
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let digits = if bytes.len() <= 16 {
        let mut value = [if negative { 0xff } else { 0 }; 16];
        value[16 - bytes.len()..].copy_from_slice(bytes);
        i128::from_be_bytes(value).unsigned_abs().to_string()
    } else {
        long(bytes, negative)
    };
    let scale = scale as usize;
    if negative {
        out.push(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits.as_bytes()[..whole] });
    if scale > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
        out.extend_from_slice(&digits.as_bytes()[whole..]);
    }
}

/// The digits of a number of any length, without its sign.
fn long(bytes: &[u8], negative: bool) -> String {
    const NINE_DIGITS: u64 = 1_000_000_000;
    // In words of 32 bits, the highest first.
    let fill = if negative { 0xff } else { 0 };
    let missing = (4 - bytes.len() % 4) % 4;
    let padded: Vec<u8> = std::iter::repeat_n(fill, missing).chain(bytes.iter().copied()).collect();
    let mut words: Vec<u32> =
        padded.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect();
    if negative {
        let mut carry = true;
        for word in words.iter_mut().rev() {
            (*word, carry) = (!*word).overflowing_add(u32::from(carry));
        }
    }
    let mut parts = Vec::new();
    while words.iter().any(|word| *word != 0) {
        let mut rest = 0;
        for word in &mut words {
            let value = rest << 32 | u64::from(*word);
            (*word, rest) = ((value / NINE_DIGITS) as u32, value % NINE_DIGITS);
        }
        parts.push(rest);
    }
    let mut digits = parts.pop().unwrap_or(0).to_string();
    for part in parts.iter().rev() {
        digits.push_str(&format!("{part:09}"));
    }
    digits
}

/// Writes the sixteen bytes of a UUID as its text.
pub(super) fn uuid(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(b"0123456789abcdef"[digit as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal, uuid};
    use proptest::prelude::*;

    fn text(bytes: &[u8], scale: u32) -> String {
        let mut out = Vec::new();
        decimal(bytes, scale, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn all_digits_are_written() {
        for (bytes, scale, expected) in [
            (&[][..], 0, "0"),
            (&[0], 2, "0.00"),
            (&[5], 2, "0.05"),
            (&[0xff], 0, "-1"),
            (&[0x80], 3, "-0.128"),
            (&[0x01, 0xe2, 0x40], 2, "1234.56"),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, "-170141183460469231731687303715884105728"),
            (&[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, "170141183460469231731687303715884105728"),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1, "-4355614296588012332331194975126633106636.8"),
        ] {
            assert_eq!(text(bytes, scale), expected);
        }
    }

    #[test]
    fn a_number_of_too_many_bytes_is_written_as_bytes() {
        assert!(text(&[1; 4096], 0).bytes().all(|digit| digit.is_ascii_digit()));
        assert!(text(&[1; 4097], 0).starts_with("\"AQEB"));
    }

    #[test]
    fn a_uuid_is_written_in_its_groups() {
        let mut out = Vec::new();
        uuid(&(0..16).collect::<Vec<u8>>(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    proptest! {
        /// However many bytes say it, a number is the same.
        #[test]
        fn long_and_short_numbers_are_written_alike(value in any::<i128>(), more in 1_usize..20, scale in 0_u32..50) {
            let short = value.to_be_bytes();
            let fill = if value < 0 { 0xff } else { 0 };
            let long: Vec<u8> = std::iter::repeat_n(fill, more).chain(short).collect();
            prop_assert_eq!(text(&long, scale), text(&short, scale));
        }
    }
}
