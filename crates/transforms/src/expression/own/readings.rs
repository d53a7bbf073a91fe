//! Reading texts as times: what a cast takes, to the microsecond, and why it takes no other.
use super::{
    super::guard::DAYS,
    cast,
    moments::{SECOND, civil, datetime},
    texts::strings,
    zone,
};
use arrow::{
    array::{ArrayRef, AsArray, Date32Array, StringArray},
    compute::kernels::cast_utils::{Parser, string_to_datetime},
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Utc};
use datafusion_common::{Result, exec_err};
use std::{borrow::Cow, sync::Arc};

/// The days of texts: as they are written, whatever the time of day. NULL where one can't be read, if `tried`.
pub(super) fn dates(column: &ArrayRef, tried: bool) -> Result<ArrayRef> {
    let one = |text: &str| {
        let text = text.trim();
        let day = text.get(..10).filter(|_| text.len() > 10);
        let timed = day.map(|_| local(text, "date")).transpose()?;
        let sound = timed.is_none_or(|time| string_to_datetime(&Utc, &time).is_ok());
        match Date32Type::parse(day.unwrap_or(text)).filter(|_| sound) {
            Some(day) if DAYS.contains(&day) => Ok(day),
            Some(_) => exec_err!("the result is a date before year 1 or after year 9999"),
            None => exec_err!("cannot cast string '{text}' to date"),
        }
    };
    let days = strings(column).iter().map(|text| match text.map(one).transpose() {
        Err(_) if tried => Ok(None),
        read => read,
    });
    Ok(Arc::new(days.collect::<Result<Date32Array>>()?))
}

/// The text of a time without time zone, rounded. An offset would be dropped silently.
pub(super) fn local<'a>(text: &'a str, what: &str) -> Result<Cow<'a, str>> {
    let text = text.trim();
    if let Some(offset) = offset(text).filter(|offset| offset.bytes().any(|byte| matches!(byte, b'1'..=b'9'))) {
        return exec_err!("{text:?} has an offset ({offset}), which a {what} can't hold: cast it to timestamptz");
    }
    match letters(text) {
        _ if text.starts_with(char::is_alphabetic) => no_time(text),
        "" => clocked(text),
        "BC" | "bc" => exec_err!("{text:?} is outside the years 1 to 9999"),
        zone => exec_err!("{text:?} has a zone ({zone}), which a {what} can't hold: cast it to timestamptz"),
    }
}

/// Texts of times, for a cast; NULL where one can't be read, for `try_cast`.
pub(super) fn texts_of(
    column: &ArrayRef,
    read: impl Fn(&str) -> Result<Cow<'_, str>>,
    tried: bool,
) -> Result<ArrayRef> {
    let read = |text: Option<&str>| match text.map(&read).transpose() {
        Err(_) if tried => Ok(None),
        read => read.map(|text| text.map(Cow::into_owned)),
    };
    Ok(Arc::new(strings(column).iter().map(read).collect::<Result<StringArray>>()?))
}

/// The text of an instant, rounded. A zone abbreviation is ambiguous: some mean an offset, others a zone with daylight
/// saving time.
pub(super) fn zoned(text: &str) -> Result<Cow<'_, str>> {
    let text = text.trim();
    let zone = letters(text);
    match zone {
        _ if text.starts_with(char::is_alphabetic) => no_time(text),
        "" => match offset(text).filter(|offset| offset.get(1..3).is_some_and(|hours| hours > "15")) {
            Some(offset) => exec_err!("{text:?} has the offset {offset}: offsets are less than 16 hours"),
            None => clocked(text),
        },
        "BC" | "bc" => exec_err!("{text:?} is outside the years 1 to 9999"),
        _ if ["ad", "am", "pm"].iter().any(|word| zone.eq_ignore_ascii_case(word)) => no_time(text),
        _ if zone.contains('/') || ["utc", "gmt"].iter().any(|utc| zone.eq_ignore_ascii_case(utc)) => {
            let local = text[..text.len() - zone.len()].trim_end();
            if let Some(offset) = offset(local) {
                return exec_err!("{text:?} has an offset ({offset}) and a zone ({zone}): write one of them");
            }
            if !zone.contains('/') {
                return clocked(local);
            }
            let zone = zone::named(zone)?;
            let local: ArrayRef = Arc::new(StringArray::from(vec![&*clocked(local)?]));
            let shown = cast(&local, &datetime())?.as_primitive::<TimestampMicrosecondType>().value(0);
            let instant = shown + i64::from(zone.instant(civil(shown)?)?) * SECOND;
            Ok(civil(instant)?.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into())
        }
        zone => exec_err!("{text:?} has the zone {zone}, an ambiguous abbreviation: use an offset such as +01:00"),
    }
}

fn no_time<T>(text: &str) -> Result<T> {
    exec_err!("{text:?} is not written as ISO 8601 has it, like 2024-01-05T10:00:00Z")
}

/// The offset after a time.
fn offset(text: &str) -> Option<&str> {
    let time = text.get(10..)?;
    time.find(['+', '-']).map(|at| &time[at..])
}

/// A text with hours, minutes and seconds that clocks show, rounded: `10:00` has no seconds, `24:00` and the second 60 are
/// the beginning of the next day and minute.
fn clocked(text: &str) -> Result<Cow<'_, str>> {
    let clock = text.get(11..).unwrap_or_default();
    let (clock, rest) = clock.split_at(clock.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(clock.len()));
    if clock.is_empty() || clock.len() == 8 && clock < "24" && &clock[6..] < "60" {
        return Ok(to_micros(text));
    }
    let part = |part: &str| part.parse::<i64>().ok().filter(|_| part.len() == 2);
    let parts: Option<Vec<i64>> = clock.split(':').map(part).collect();
    let (hour, minute, second) = match parts.as_deref() {
        // Of two parts with a fraction the first is the minute to PostgreSQL.
        Some([hour, minute]) if !rest.starts_with('.') => (*hour, *minute, 0),
        Some([hour, minute, second]) => (*hour, *minute, *second),
        _ => return no_time(text),
    };
    let seconds = hour * 3_600 + minute * 60 + second;
    let mut fraction = rest.strip_prefix('.').unwrap_or_default().bytes().take_while(u8::is_ascii_digit);
    let ends_the_day = seconds == 86_400 && fraction.all(|digit| digit == b'0');
    if minute > 59 || second > 60 || seconds >= 86_400 && !ends_the_day {
        return no_time(text);
    }
    let day = text.get(..10).and_then(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok());
    let midnight = day.filter(|_| text.as_bytes()[4] == b'-').and_then(|day| day.and_hms_opt(0, 0, 0));
    match midnight.and_then(|midnight| midnight.checked_add_signed(TimeDelta::seconds(seconds))) {
        Some(time) => Ok(to_micros(&format!("{}{rest}", time.format("%Y-%m-%dT%H:%M:%S"))).into_owned().into()),
        None => no_time(text),
    }
}

/// The zone after a time, if it is written in letters other than Z.
fn letters(text: &str) -> &str {
    let time = text.trim().get(11..).unwrap_or_default();
    let zone = time.find(|c: char| c.is_alphabetic()).map_or("", |at| &time[at..]);
    if zone.eq_ignore_ascii_case("z") { "" } else { zone }
}

/// Rounds the text of a time to microseconds, the stored precision, like PostgreSQL.
fn to_micros(text: &str) -> Cow<'_, str> {
    const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";
    let text = text.trim_end();
    let Some((whole, fraction)) = text.split_once('.') else { return text.into() };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if digits <= 6 {
        return text.into();
    }
    let (digits, zone) = fraction.split_at(digits);
    let micros = format!("0.{digits}").parse::<f64>().map_or(0.0, |fraction| (fraction * 1e6).round_ties_even());
    if micros < 1e6 {
        return format!("{whole}.{micros:06}{zone}").into();
    }
    let written = whole.trim_start().replacen(['t', ' '], "T", 1);
    let second = NaiveDateTime::parse_from_str(&written, FORMAT).ok();
    // The check is needed because parsing is less strict than the cast: it accepts the year 24.
    let second = second.filter(|second| second.format(FORMAT).to_string() == written);
    match second.and_then(|second| second.checked_add_signed(TimeDelta::seconds(1))) {
        Some(second) => format!("{}{zone}", second.format(FORMAT)).into(),
        None => text.into(), // not a time: the cast reports it
    }
}
