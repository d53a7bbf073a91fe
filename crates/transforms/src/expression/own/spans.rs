//! Reads texts of intervals as PostgreSQL does: `1 year 2 mons -3 days 04:05:06.7`, `5` (seconds), `1-2` (years and months),
//! `1 day ago`, `P1DT2H`.
use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::{DataFusionError, Result};

const SECOND: f64 = 1e6;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

/// The units of seconds with a fraction, and of a clock's time, as [bits](Unit::bit).
const SECONDS: u16 = Unit::Second.bit() | Unit::Millisecond.bit() | Unit::Microsecond.bit();
const CLOCK: u16 = SECONDS | Unit::Minute.bit() | Unit::Hour.bit();

impl Unit {
    const fn bit(self) -> u16 {
        1 << self as u16
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "mil" | "mils" | "millennium" | "millennia" => Self::Millennium,
            _ => return None,
        })
    }

    /// The unit of a number before one with this unit, if it has none itself.
    fn before(self) -> Self {
        if self == Self::Hour { Self::Day } else { self }
    }
}

/// Months, days and microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

impl Sum {
    /// Adds so many units; none if that is too much. Parts of a year are whole months, parts of other units days and times.
    fn add(&mut self, Number { whole, fraction }: Number, unit: Unit) -> Option<()> {
        let days = |sum: &mut Self, per: f64| {
            let part = fraction * per;
            sum.days = sum.days.checked_add(part as i64)?;
            sum.add_micros((part - part.trunc()) * DAY)
        };
        let micros = |sum: &mut Self, per: f64| {
            sum.micros = sum.micros.checked_add(whole.checked_mul(per as i64)?)?;
            sum.add_micros(fraction * per)
        };
        let years = |sum: &mut Self, per: i64| {
            let part = (fraction * (per * 12) as f64).round_ties_even() as i64;
            sum.months = sum.months.checked_add(whole.checked_mul(per * 12)?)?.checked_add(part)?;
            Some(())
        };
        match unit {
            Unit::Microsecond => micros(self, 1.0),
            Unit::Millisecond => micros(self, 1e3),
            Unit::Second => micros(self, SECOND),
            Unit::Minute => micros(self, MINUTE),
            Unit::Hour => micros(self, HOUR),
            Unit::Day => {
                self.days = self.days.checked_add(whole)?;
                days(self, 1.0)
            }
            Unit::Week => {
                self.days = self.days.checked_add(whole.checked_mul(7)?)?;
                days(self, 7.0)
            }
            Unit::Month => {
                self.months = self.months.checked_add(whole)?;
                days(self, 30.0)
            }
            Unit::Year => years(self, 1),
            Unit::Decade => years(self, 10),
            Unit::Century => years(self, 100),
            Unit::Millennium => years(self, 1_000),
        }
    }

    /// Adds microseconds, rounded; halves towards zero.
    fn add_micros(&mut self, micros: f64) -> Option<()> {
        let (whole, rest) = (micros.trunc(), micros.fract());
        let more = if rest.abs() > 0.5 { rest.signum() } else { 0.0 };
        self.micros = self.micros.checked_add((whole + more) as i64)?;
        Some(())
    }

    fn negative(self) -> Self {
        Self { months: -self.months, days: -self.days, micros: -self.micros }
    }

    fn interval(self) -> Option<IntervalMonthDayNano> {
        let (months, days) = (i32::try_from(self.months).ok()?, i32::try_from(self.days).ok()?);
        Some(IntervalMonthDayNano::new(months, days, self.micros.checked_mul(1_000)?))
    }
}

/// A number, both parts with its sign.
#[derive(Clone, Copy, Debug)]
struct Number {
    whole: i64,
    fraction: f64,
}

impl Number {
    /// Reads `-1.5` and `.5`.
    fn read(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if fraction.is_empty() || digits.is_empty() || !numeric(whole) || !numeric(fraction) {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: f64 = format!("0.{fraction}").parse().ok()?;
        Some(if negative { Self { whole: -whole, fraction: -fraction } } else { Self { whole, fraction } })
    }
}

/// The interval that a text denotes.
///
/// # Errors
/// It denotes none, or one that is too long.
pub(super) fn read(text: &str) -> Result<IntervalMonthDayNano> {
    let sum = if text.starts_with('P') { iso(text) } else { spelled(text) };
    sum.and_then(Sum::interval).ok_or_else(|| {
        let message = format!("{text:?} is not an interval like '1 day 02:03:04' of less than 292 years of hours");
        DataFusionError::Execution(message)
    })
}

/// Reads `P1Y2M3W4DT5H6M7.8S`.
fn iso(text: &str) -> Option<Sum> {
    let (mut rest, mut sum, mut in_time, mut any) = (text.strip_prefix('P')?, Sum::default(), false, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| !in_time) {
            (rest, in_time) = (time, true);
            continue;
        }
        let at = rest.find(|c: char| c.is_ascii_uppercase())?;
        let unit = match (&rest[at..=at], in_time) {
            ("Y", false) => Unit::Year,
            ("M", false) => Unit::Month,
            ("W", false) => Unit::Week,
            ("D", false) => Unit::Day,
            ("H", true) => Unit::Hour,
            ("M", true) => Unit::Minute,
            ("S", true) => Unit::Second,
            _ => return None,
        };
        sum.add(Number::read(&rest[..at])?, unit)?;
        (rest, any) = (&rest[at + 1..], true);
    }
    any.then_some(sum)
}

/// Reads `1 year 2 mons -3 days 04:05:06.7`. The last number without a unit counts seconds.
fn spelled(text: &str) -> Option<Sum> {
    let mut parts = parts(text)?;
    // A unit follows its number, so that the last part comes first.
    let negative = parts.pop_if(|part| part.eq_ignore_ascii_case("ago")).is_some();
    let (mut sum, mut unit) = (Sum::default(), if negative { None } else { Some(Unit::Second) });
    let mut known = 0;
    while let Some(part) = parts.pop() {
        let of = if is_word(part) {
            unit = Some(Unit::named(part)?);
            parts.last().filter(|number| !is_word(number))?;
            0
        } else if part.contains(':') {
            // PostgreSQL would drop the hours of 1.5 days after it.
            let time = clock(part.trim_start_matches(['+', '-'])).filter(|_| sum.micros == 0)?;
            sum.micros = if part.starts_with('-') { -time } else { time };
            unit = Some(Unit::Day);
            CLOCK
        } else if let Some((years, months)) = part.get(1..).and_then(|rest| rest.split_once('-')) {
            let years: i64 = format!("{}{years}", &part[..1]).parse().ok()?;
            let months: i64 = months.parse().ok().filter(|months| (0..12).contains(months))?;
            let months = years.checked_mul(12)?.checked_add(if part.starts_with('-') { -months } else { months })?;
            sum.months = sum.months.checked_add(months)?;
            unit = Some(Unit::Month);
            Unit::Month.bit()
        } else {
            let (number, of) = (Number::read(part)?, unit?);
            sum.add(number, of)?;
            unit = Some(of.before());
            if of == Unit::Second && number.fraction != 0.0 { SECONDS } else { of.bit() }
        };
        if known & of != 0 {
            return None;
        }
        known |= of;
    }
    (known != 0).then_some(if negative { sum.negative() } else { sum })
}

fn is_word(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Takes a text apart: into words, and numbers and times with their signs.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0B', '\x0C', '@', ',']);
        let Some(first) = rest.chars().next() else { return Some(parts) };
        let end = match first {
            'a'..='z' | 'A'..='Z' => rest.find(|c: char| !c.is_ascii_alphabetic()),
            '0'..='9' | '.' | '+' | '-' => {
                let end = rest[1..].find(|c: char| !matches!(c, '0'..='9' | '.' | ':' | '-'));
                end.map(|end| end + 1)
            }
            _ => return None,
        };
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        parts.push(part);
        rest = after;
    }
}

/// Reads `04:05`, `04:05:06.7` and `05:06.7` as microseconds.
fn clock(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = |part: &str| part.parse::<i64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
    let parts: Vec<i64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [minutes, seconds] if text.contains('.') => (0, *minutes, *seconds),
        [hours, minutes] => (*hours, *minutes, 0),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    if minutes > 59 || seconds > 60 {
        return None;
    }
    let fraction = match fraction {
        "" => 0,
        digits => (format!("0.{digits}").parse::<f64>().ok()? * SECOND).round_ties_even() as i64,
    };
    let seconds = hours.checked_mul(3_600)?.checked_add(minutes * 60 + seconds)?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}
