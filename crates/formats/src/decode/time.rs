//! Parses dates and points in time.
use super::{misfit::Why, varied::Value};

const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;

/// The seconds of the years 1 to 9999, counted from 1970-01-01T00:00:00Z.
const YEARS: std::ops::Range<i64> = days_of(1, 1, 1) * DAY..days_of(10_000, 1, 1) * DAY;
const OUTSIDE: Why = "which is outside the years 1 to 9999";
const OFFSET: Why = "which has an offset from UTC";

/// Converts a date of the Gregorian calendar to days since 1970-01-01.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (month * 153 + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
}

pub(super) fn month_length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Parses a text from its front.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    /// Reads a number of exactly `length` digits.
    fn number(&mut self, length: usize) -> Option<i64> {
        let digits = self.0.get(..length)?;
        let number = digits
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))?;
        self.0 = &self.0[length..];
        Some(number)
    }

    /// Reads one of these bytes, if it comes next.
    fn take(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = *self.0.first().filter(|byte| bytes.contains(byte))?;
        self.0 = &self.0[1..];
        Some(byte)
    }

    /// Reads `2026-01-02` as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.take(b"-")?;
        let month = self.number(2).filter(|month| (1..=12).contains(month))?;
        self.take(b"-")?;
        let day = self.number(2).filter(|day| (1..=month_length(year, month)).contains(day))?;
        Some(days_of(year, month, day))
    }

    /// Reads `03:04:05.678` as seconds and their fraction. A leap second is the first second of the next
    /// minute.
    fn time(&mut self) -> Option<(i64, Fraction)> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.take(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.take(b":")?;
        let second = self.number(2).filter(|second| *second <= 60)?;
        let mut fraction = Fraction::default();
        if self.take(b".").is_some() {
            let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, rest) = self.0.split_at_checked(length).filter(|(digits, _)| !digits.is_empty())?;
            let digit = |at: usize| i64::from(digits.get(at).map_or(0, |digit| digit - b'0'));
            fraction.nanos = (0..9).fold(0, |nanos, at| nanos * 10 + digit(at));
            fraction.finer = digits.iter().skip(9).any(|digit| *digit != b'0');
            self.0 = rest;
        }
        Some((hour * 3_600 + minute * 60 + second, fraction))
    }

    /// Reads `Z`, `+01:00`, `+0100` or `+01` as seconds east of UTC; the inner `None` means no zone.
    fn zone(&mut self) -> Option<Option<i64>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let sign = match self.take(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(Some(0)),
        };
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        let minutes = match self.0.is_empty() {
            true => 0,
            false => {
                self.take(b":");
                self.number(2).filter(|minutes| *minutes < 60)?
            }
        };
        Some(Some(sign * (hours * 3_600 + minutes * 60)))
    }
}

/// Parses `2026-01-02` as days since 1970-01-01.
///
/// # Errors
/// The reason why it is none.
pub fn days(text: &str) -> Result<i32, &'static str> {
    let mut parts = Parts(text.as_bytes());
    let days = parts.date().filter(|_| parts.0.is_empty()).ok_or("which is not a date like 2026-01-02")?;
    i32::try_from(days).ok().filter(|_| YEARS.contains(&(days * DAY))).ok_or(OUTSIDE)
}

/// Parses an RFC 3339 time as microseconds since 1970-01-01T00:00:00Z. A time without a zone and a date count as UTC.
///
/// # Errors
/// The reason why it has none.
pub fn micros(text: &str) -> Result<i64, &'static str> {
    match point(text)? {
        Value::Micros(Some(micros)) => Ok(micros),
        _ => Err("which is finer than the microseconds that the type holds"),
    }
}

/// Parses a date and time without a zone, as microseconds. One with an offset is an instant: whether its clock or its instant is
/// meant, nobody can say.
///
/// # Errors
/// The reason why it is none.
pub(super) fn local_micros(text: &str) -> Result<i64, &'static str> {
    let micros = micros(text)?;
    if names_offset(text) { Err(OFFSET) } else { Ok(micros) }
}

/// Whether a text is a time with an offset other than that of UTC, which changes nothing.
pub(super) fn names_offset(text: &str) -> bool {
    parsed(text).is_some_and(|(.., east)| east != 0)
}

/// Parses an RFC 3339 time, as microseconds or, if it is finer, as nanoseconds. A time without a zone and a date count
/// as UTC.
pub(super) fn point(text: &str) -> Result<Value<'static>, Why> {
    let (seconds, fraction) = seconds(text).ok_or("which is not written as in RFC 3339")?;
    if !YEARS.contains(&seconds) {
        return Err(OUTSIDE);
    }
    if fraction.finer {
        return Err("which is finer than a nanosecond");
    }
    if fraction.nanos % 1_000 == 0 {
        return Ok(Value::Micros(Some(seconds * MICROS + fraction.nanos / 1_000)));
    }
    let nanos = seconds.checked_mul(1_000 * MICROS).and_then(|nanos| nanos.checked_add(fraction.nanos));
    nanos.map(Value::Nanos).ok_or("which is finer than a microsecond: only times between 1677 and 2262 can be")
}

/// Returns whether a text is a point in time or a date of any precision.
pub(super) fn is_point(text: &str) -> bool {
    seconds(text).is_some_and(|(seconds, _)| YEARS.contains(&seconds))
}

/// The fraction of a second.
#[derive(Clone, Copy, Default)]
struct Fraction {
    nanos: i64,
    /// Whether there are nonzero digits beyond nanoseconds.
    finer: bool,
}

/// Parses a time as seconds since 1970-01-01T00:00:00Z and the fraction.
fn seconds(text: &str) -> Option<(i64, Fraction)> {
    parsed(text).map(|(clock, fraction, east)| (clock - east, fraction))
}

/// Parses a time as what its clock shows, in seconds since 1970-01-01T00:00:00, the fraction, and the offset in seconds.
fn parsed(text: &str) -> Option<(i64, Fraction, i64)> {
    let mut parts = Parts(text.as_bytes());
    let midnight = parts.date()? * DAY;
    if parts.0.is_empty() {
        return Some((midnight, Fraction::default(), 0));
    }
    parts.take(b"Tt ")?;
    let (time, fraction) = parts.time()?;
    let east = parts.zone()?.unwrap_or(0);
    parts.0.is_empty().then_some((midnight + time, fraction, east))
}
