//! Decimal numbers by their digits, independent of their spelling.

/// A number as its digits without zeros at either end, and a power of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Whether it is below zero.
    pub negative: bool,
    /// Its digits, without zeros at either end; empty for zero.
    pub digits: String,
    /// The power of ten of the last digit.
    pub exponent: i64,
}

impl Decimal {
    /// Parses a number in the spelling of JSON and SQL; `None` if the text is not a number.
    pub fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kept = all.trim_end_matches('0');
        let exponent: i64 = exponent.parse().ok()?;
        let exponent = exponent.saturating_sub(fraction.len() as i64).saturating_add((all.len() - kept.len()) as i64);
        Some(match kept.trim_start_matches('0') {
            "" => Self { negative: false, digits: String::new(), exponent: 0 },
            digits => Self { negative, digits: digits.into(), exponent },
        })
    }

    /// Returns whether it is a multiple of ten to the power of `-scale`, so that `scale` digits after the point hold
    /// it.
    pub fn has_scale(&self, scale: i64) -> bool {
        self.exponent >= scale.saturating_neg()
    }

    /// Returns it as an integer's text, if it is an integer with at most `most` digits.
    pub fn integer(&self, most: usize) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".into());
        }
        let zeros = usize::try_from(self.exponent).ok()?;
        let sign = if self.negative { "-" } else { "" };
        (self.digits.len().saturating_add(zeros) <= most).then(|| format!("{sign}{}{}", self.digits, "0".repeat(zeros)))
    }
}

/// Returns the common form of all texts of a number.
pub fn canonical(text: &str) -> String {
    match Decimal::of(text) {
        Some(Decimal { negative, digits, exponent }) => {
            format!("{}{digits}e{exponent}", if negative { "-" } else { "" })
        }
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_of_one_number_are_the_same() {
        for (a, b) in [("1.0", "1"), ("1e2", "100.00"), ("-0.50", "-5e-1"), ("0e9", "-0"), ("+12", "1.2E1")] {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
        assert_ne!(canonical("1"), canonical("10"));
        assert_ne!(canonical("1"), canonical("-1"));
    }

    #[test]
    fn scales_and_integers_are_told_by_value() {
        assert!(Decimal::of("1.230").unwrap().has_scale(2) && !Decimal::of("1.239").unwrap().has_scale(2));
        assert!(Decimal::of("2e3").unwrap().has_scale(-3) && !Decimal::of("2500").unwrap().has_scale(-3));
        assert_eq!(Decimal::of("-1.80e2").unwrap().integer(9).as_deref(), Some("-180"));
        assert_eq!(Decimal::of("1.5").unwrap().integer(9), None);
        assert_eq!(Decimal::of("1e300").unwrap().integer(9), None);
        assert_eq!(Decimal::of("1.2.3"), None);
    }
}
