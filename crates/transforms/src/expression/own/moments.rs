//! Functions of times: in microseconds, for the years 1 to 9999.
use super::{
    Own, cast,
    intervals::{self, is_interval},
    texts::strings,
    zone::{self, Zone},
};
use crate::expression::kind::Kind;
use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
    },
    compute::kernels::cast_utils::Parser,
    datatypes::{
        DataType::{self, Date32, Int64, Utf8},
        Date32Type, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
        TimestampNanosecondType,
    },
};
use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc, Weekday,
    format::{ParseResult, Parsed, StrftimeItems},
};
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::ScalarUDF;
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

/// `extract(part from time)`, for whole parts and for parts with a fraction.
pub(in crate::expression) const WHOLE_PART: &str = "whole part of";
pub(in crate::expression) const DECIMAL_PART: &str = "decimal part of";
/// `time AT TIME ZONE zone`.
pub(in crate::expression) const AT_ZONE: &str = "at zone";
/// Casts of a text to an instant, to a time without time zone, and to a date.
pub(in crate::expression) const TO_MICROS: &str = "to microseconds";
pub(in crate::expression) const WITHOUT_OFFSET: &str = "without offset";
pub(in crate::expression) const TO_DATE: &str = "to day";
/// The same for `try_cast`.
pub(in crate::expression) const TRY_TO_MICROS: &str = "to microseconds or null";
pub(in crate::expression) const TRY_WITHOUT_OFFSET: &str = "without offset or null";
pub(in crate::expression) const TRY_TO_DATE: &str = "to day or null";
/// Parses a text by a format, as a time and as a date.
pub(in crate::expression) const READ_TIME: &str = "time by format";
pub(in crate::expression) const READ_DATE: &str = "date by format";

/// Parts of times, and whether they have a fraction.
pub(in crate::expression) const PARTS: &[(&str, bool)] = &[
    ("year", false),
    ("month", false),
    ("day", false),
    ("hour", false),
    ("minute", false),
    ("second", true),
    ("milliseconds", true),
    ("microseconds", false),
    ("week", false),
    ("isoyear", false),
    ("dow", false),
    ("isodow", false),
    ("doy", false),
    ("quarter", false),
    ("decade", false),
    ("century", false),
    ("millennium", false),
    ("epoch", true),
];

/// The units to which a time can be truncated.
pub(in crate::expression) const UNITS: &[&str] = &[
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let seconds = |name, unit| Own::of_any(name, &[1], |_| instant(), move |columns| to_timestamp(&columns[0], unit));
    vec![
        Own::of_any("date_trunc", &[2], |types| time_type(&types[1]), trunc),
        Own::of_any("date_bin", &[2, 3], |types| time_type(&types[1]), bin),
        Own::of_any(WHOLE_PART, &[2], |_| Int64, whole_part),
        Own::of_any(DECIMAL_PART, &[2], |_| DataType::Decimal128(20, 6), decimal_part),
        Own::of_any(AT_ZONE, &[2], |types| other_side(&types[0]), at_zone),
        Own::reader(TO_MICROS, Utf8, |column| texts_of(column, zoned, false)),
        Own::reader(TRY_TO_MICROS, Utf8, |column| texts_of(column, zoned, true)),
        Own::reader(WITHOUT_OFFSET, Utf8, |column| texts_of(column, |text| local(text, "timestamp"), false)),
        Own::reader(TRY_WITHOUT_OFFSET, Utf8, |column| texts_of(column, |text| local(text, "timestamp"), true)),
        Own::reader(TO_DATE, Date32, |column| dates(column, false)),
        Own::reader(TRY_TO_DATE, Date32, |column| dates(column, true)),
        seconds("to_timestamp", SECOND),
        seconds("to_timestamp_seconds", SECOND),
        seconds("to_timestamp_millis", 1_000),
        seconds("to_timestamp_micros", 1),
        seconds("from_unixtime", SECOND),
        Own::of_any("strftime", &[2], |_| Utf8, written),
        Own::of(READ_TIME, &[&[Utf8, Utf8]], instant(), |columns| {
            let times = read(columns, |time| time.and_utc().timestamp_micros())?;
            Ok(Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC")))
        }),
        Own::of(READ_DATE, &[&[Utf8, Utf8]], Date32, |columns| {
            let days = read(columns, |time| (time.and_utc().timestamp_micros().div_euclid(DAY)) as i32)?;
            Ok(Arc::new(Date32Array::from_iter(days)))
        }),
    ]
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn datetime() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The type of a truncated time.
fn time_type(ty: &DataType) -> DataType {
    if matches!(ty, DataType::Timestamp(_, None)) { datetime() } else { instant() }
}

/// Converts between the types of AT TIME ZONE: instant and local time.
fn other_side(ty: &DataType) -> DataType {
    if matches!(ty, DataType::Timestamp(_, None) | Date32) { instant() } else { datetime() }
}

/// Times in microseconds, rounded.
fn micros(column: &ArrayRef) -> Result<ArrayRef> {
    if let DataType::Timestamp(TimeUnit::Nanosecond, _) = column.data_type() {
        let nanos = column.as_primitive::<TimestampNanosecondType>();
        let rounded = |nanos: i64| {
            let (micros, rest) = (nanos.div_euclid(1_000), nanos.rem_euclid(1_000));
            micros + i64::from(rest > 500 || rest == 500 && micros % 2 != 0)
        };
        let times: TimestampMicrosecondArray = nanos.unary(rounded);
        return Ok(timed(column, times));
    }
    let ty = if matches!(column.data_type(), DataType::Timestamp(_, None) | Date32) { datetime() } else { instant() };
    cast(column, &ty)
}

fn civil(micros: i64) -> Result<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros)
        .map(|time| time.naive_utc())
        .ok_or_else(|| DataFusionError::Execution(format!("{micros} µs since 1970 is not a time")))
}

fn timed(column: &ArrayRef, times: TimestampMicrosecondArray) -> ArrayRef {
    match time_type(column.data_type()) {
        DataType::Timestamp(_, Some(zone)) => Arc::new(times.with_timezone(zone)),
        _ => Arc::new(times),
    }
}

fn singular(part: &str) -> String {
    let part = part.to_lowercase();
    match part.as_str() {
        "millisecond" => "milliseconds".into(),
        "microsecond" => "microseconds".into(),
        "milliseconds" | "microseconds" => part,
        other => other.strip_suffix('s').unwrap_or(other).to_owned(),
    }
}

/// Looks up a part by name; returns whether it has a fraction, too.
pub(in crate::expression) fn part(name: &str) -> Option<(&'static str, bool)> {
    let name = singular(name);
    PARTS.iter().copied().find(|(part, _)| *part == name)
}

/// Looks up a unit by name.
pub(in crate::expression) fn unit(name: &str) -> Option<&'static str> {
    let name = singular(name);
    UNITS.iter().copied().find(|unit| *unit == name)
}

fn trunc(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (units, times) = (strings(&columns[0]), micros(&columns[1])?);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let cut = units.iter().zip(times).map(|row| match row {
        (Some(unit), Some(time)) => cut(unit, time).map(Some),
        _ => Ok(None),
    });
    Ok(timed(&columns[1], cut.collect::<Result<_>>()?))
}

fn cut(name: &str, time: i64) -> Result<i64> {
    let fixed = |unit: i64| Ok(time - time.rem_euclid(unit));
    let day = civil(time)?.date();
    let first = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1);
    let year = day.year();
    let start = match unit(name) {
        Some("microseconds") => return Ok(time),
        Some("milliseconds") => return fixed(1_000),
        Some("second") => return fixed(SECOND),
        Some("minute") => return fixed(60 * SECOND),
        Some("hour") => return fixed(3_600 * SECOND),
        Some("day") => return fixed(DAY),
        Some("week") => day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday()))),
        Some("month") => first(year, day.month()),
        Some("quarter") => first(year, day.month0() / 3 * 3 + 1),
        Some("year") => first(year, 1),
        Some("decade") => first(year / 10 * 10, 1),
        Some("century") => first((year + 99) / 100 * 100 - 99, 1),
        Some("millennium") => first((year + 999) / 1000 * 1000 - 999, 1),
        _ => return exec_err!("there is no unit {name:?}: known are {}", UNITS.join(", ")),
    };
    match start.and_then(|day| day.and_hms_opt(0, 0, 0)) {
        Some(start) => Ok(start.and_utc().timestamp_micros()),
        None => exec_err!("the result is outside the years 1 to 9999"),
    }
}

fn bin(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if !is_interval(columns[0].data_type()) {
        return exec_err!("date_bin takes an interval");
    }
    let interval = cast(&columns[0], &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let times = micros(&columns[1])?;
    // Instants and local times are counted alike.
    let origins = columns.get(2).map(micros).transpose()?;
    let strides = interval.as_primitive::<IntervalMonthDayNanoType>().iter();
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let bins = strides.zip(times).enumerate().map(|(row, (stride, time))| {
        let origin = match &origins {
            None => Some(0),
            Some(origins) => {
                let origins = origins.as_primitive::<TimestampMicrosecondType>();
                origins.is_valid(row).then(|| origins.value(row))
            }
        };
        let (Some(stride), Some(time), Some(origin)) = (stride, time, origin) else { return Ok(None) };
        let length = i64::from(stride.days) * DAY + stride.nanoseconds / 1_000;
        if stride.months != 0 || length <= 0 {
            return exec_err!("date_bin takes a positive interval of days or shorter units");
        }
        Ok(Some(time - (time - origin).rem_euclid(length)))
    });
    Ok(timed(&columns[1], bins.collect::<Result<_>>()?))
}

fn whole_part(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if is_interval(columns[1].data_type()) {
        return intervals::whole_part(columns);
    }
    let (names, times) = (strings(&columns[0]), micros(&columns[1])?);
    let parts = names.iter().zip(times.as_primitive::<TimestampMicrosecondType>()).map(|row| {
        let (Some(name), Some(time)) = row else { return Ok(None) };
        let civil = civil(time)?;
        let year = i64::from(civil.year());
        Ok(Some(match name {
            "year" => year,
            "month" => civil.month().into(),
            "day" => civil.day().into(),
            "hour" => civil.hour().into(),
            "minute" => civil.minute().into(),
            "microseconds" => time.rem_euclid(60 * SECOND),
            "week" => civil.iso_week().week().into(),
            "isoyear" => civil.iso_week().year().into(),
            "dow" => civil.weekday().num_days_from_sunday().into(),
            "isodow" => civil.weekday().number_from_monday().into(),
            "doy" => civil.ordinal().into(),
            "quarter" => i64::from(civil.month0() / 3) + 1,
            "decade" => year / 10,
            "century" => (year + 99) / 100,
            "millennium" => (year + 999) / 1000,
            other => return exec_err!("there is no part {other:?}"),
        }))
    });
    Ok(Arc::new(parts.collect::<Result<Int64Array>>()?))
}

/// In millionths.
fn decimal_part(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if is_interval(columns[1].data_type()) {
        return intervals::decimal_part(columns);
    }
    let (names, times) = (strings(&columns[0]), cast(&micros(&columns[1])?, &Int64)?);
    let parts = names.iter().zip(times.as_primitive::<Int64Type>()).map(|row| match row {
        (Some("second"), Some(time)) => Ok(Some(i128::from(time.rem_euclid(60 * SECOND)))),
        (Some("milliseconds"), Some(time)) => Ok(Some(i128::from(time.rem_euclid(60 * SECOND)) * 1_000)),
        (Some("epoch"), Some(time)) => Ok(Some(i128::from(time))),
        (Some(other), Some(_)) => exec_err!("there is no part {other:?}"),
        _ => Ok(None),
    });
    Ok(Arc::new(parts.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(20, 6)?))
}

fn at_zone(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (times, zones) = (micros(&columns[0])?, strings(&columns[1]));
    let local = matches!(times.data_type(), DataType::Timestamp(_, None));
    let mut known: Option<(String, Zone)> = None;
    let moved = times.as_primitive::<TimestampMicrosecondType>().iter().zip(zones).map(|row| {
        let (Some(time), Some(name)) = row else { return Ok(None) };
        let zone = match &known {
            Some((of, zone)) if of == name => *zone,
            _ => {
                let zone = zone::named(name)?;
                known = Some((name.to_owned(), zone));
                zone
            }
        };
        let moved = if local { zone.instant(civil(time)?)? } else { zone.clock(civil(time)?)? };
        Ok(Some(time + i64::from(moved) * SECOND))
    });
    let moved: TimestampMicrosecondArray = moved.collect::<Result<_>>()?;
    Ok(if local { Arc::new(moved.with_timezone("UTC")) } else { Arc::new(moved) })
}

/// The days of texts: as they are written, whatever the time of day. NULL where one can't be read, if `tried`.
fn dates(column: &ArrayRef, tried: bool) -> Result<ArrayRef> {
    let one = |text: &str| {
        let text = text.trim();
        let day = text.get(..10).filter(|_| text.len() > 10);
        let timed = day.map(|_| local(text, "date")).transpose()?;
        let sound = timed.is_none_or(|time| TimestampMicrosecondType::parse(&time).is_some());
        match Date32Type::parse(day.unwrap_or(text)).filter(|_| sound) {
            Some(day) => Ok(day),
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
fn local<'a>(text: &'a str, what: &str) -> Result<Cow<'a, str>> {
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
fn texts_of(column: &ArrayRef, read: impl Fn(&str) -> Result<Cow<'_, str>>, tried: bool) -> Result<ArrayRef> {
    let read = |text: Option<&str>| match text.map(&read).transpose() {
        Err(_) if tried => Ok(None),
        read => read.map(|text| text.map(Cow::into_owned)),
    };
    Ok(Arc::new(strings(column).iter().map(read).collect::<Result<StringArray>>()?))
}

/// The text of an instant, rounded. A zone abbreviation is ambiguous: some mean an offset, others a zone with daylight
/// saving time.
fn zoned(text: &str) -> Result<Cow<'_, str>> {
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

/// Converts a count of units since 1970, or the text of a time.
fn to_timestamp(column: &ArrayRef, unit: i64) -> Result<ArrayRef> {
    let out = |number: f64| -> Result<i64> { exec_err!("{number} is outside the years 1 to 9999") };
    let of_integer = |number: i64| number.checked_mul(unit).map_or_else(|| out(number as f64), Ok);
    let of_double = |number: f64| -> Result<i64> {
        let micros = (number * unit as f64).round_ties_even();
        if micros.abs() < 4e17 { Ok(micros as i64) } else { out(number) }
    };
    let times: TimestampMicrosecondArray = match column.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => return cast(&micros(column)?, &instant()),
        DataType::Timestamp(..) | Date32 => return cast(column, &instant()),
        Utf8 => {
            let times = strings(column).iter().map(|text| {
                let Some(text) = text else { return Ok(None) };
                if let Ok(number) = text.trim().parse::<i64>() {
                    return of_integer(number).map(Some);
                }
                if let Ok(number) = text.trim().parse::<f64>() {
                    return of_double(number).map(Some);
                }
                let time: ArrayRef = Arc::new(StringArray::from(vec![&*zoned(text)?]));
                Ok(Some(cast(&time, &instant())?.as_primitive::<TimestampMicrosecondType>().value(0)))
            });
            times.collect::<Result<_>>()?
        }
        ty if !matches!(Kind::of(ty), Kind::Nothing | Kind::Whole | Kind::Fraction) => {
            return exec_err!("{} is no time", Kind::of(ty).words());
        }
        ty if ty.is_integer() => {
            let numbers = cast(column, &Int64)?;
            let times = numbers.as_primitive::<Int64Type>().iter().map(|number| number.map(of_integer).transpose());
            times.collect::<Result<_>>()?
        }
        _ => {
            let numbers = cast(column, &DataType::Float64)?;
            let times = numbers.as_primitive::<Float64Type>().iter().map(|number| number.map(of_double).transpose());
            times.collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(times.with_timezone("UTC")))
}

fn written(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (times, formats) = (micros(&columns[0])?, strings(&columns[1]));
    let texts = times.as_primitive::<TimestampMicrosecondType>().iter().zip(formats).map(|row| {
        let (Some(time), Some(format)) = row else { return Ok(None) };
        let time: DateTime<Utc> = civil(time)?.and_utc();
        let mut text = String::new();
        match write!(text, "{}", time.format(format)) {
            Ok(()) => Ok(Some(text)),
            Err(_) => exec_err!("{format:?} is not a strftime format"),
        }
    });
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn read<T>(columns: &[ArrayRef], of: impl Fn(NaiveDateTime) -> T) -> Result<Vec<Option<T>>> {
    let rows = strings(&columns[0]).iter().zip(strings(&columns[1]));
    let times = rows.map(|row| {
        let (Some(text), Some(format)) = row else { return Ok(None) };
        let mut parsed = Parsed::new();
        let read = chrono::format::parse(&mut parsed, text, StrftimeItems::new(format)).and_then(|()| filled(parsed));
        match read {
            Ok(time) => Ok(Some(of(time))),
            Err(why) => exec_err!("{text:?} is not written in that format: {why}"),
        }
    });
    times.collect()
}

/// Completes a parsed time. Missing smaller parts take their first value, and the hour 12 without AM or PM is before
/// noon, as in PostgreSQL.
fn filled(mut parsed: Parsed) -> ParseResult<NaiveDateTime> {
    let year = parsed.year().or(parsed.year_mod_100());
    if year.is_some() && parsed.ordinal().is_none() {
        parsed.set_month(parsed.month().unwrap_or(1).into())?;
        parsed.set_day(parsed.day().unwrap_or(1).into())?;
    }
    if parsed.isoweek().is_some() && parsed.weekday().is_none() {
        parsed.set_weekday(Weekday::Mon)?;
    }
    match (parsed.hour_div_12(), parsed.hour_mod_12()) {
        (None, None) => parsed.set_hour(0)?,
        (None, Some(_)) => parsed.set_ampm(false)?,
        _ => {}
    }
    parsed.set_minute(parsed.minute().unwrap_or(0).into())?;
    parsed.set_second(parsed.second().unwrap_or(0).into())?;
    if parsed.second() == Some(60) {
        parsed.set_second(59)?; // there are no leap seconds: a different value is an error
    }
    Ok(parsed.to_naive_date()?.and_time(parsed.to_naive_time()?))
}

#[cfg(test)]
mod tests {
    use super::{ArrayRef, StringArray, read};
    use std::sync::Arc;

    #[test]
    fn parts_that_a_format_does_not_have_are_their_first() {
        let cases = [
            ("2024-05-06 07", "%Y-%m-%d %H", "2024-05-06 07:00:00"),
            ("2024-05-06 07:08", "%Y-%m-%d %H:%M", "2024-05-06 07:08:00"),
            ("2024-05-06 07:08", "%Y-%m-%d %I:%M", "2024-05-06 07:08:00"),
            ("2024-05-06 12:08", "%Y-%m-%d %I:%M", "2024-05-06 00:08:00"),
            ("2024-05-06 12:08 PM", "%Y-%m-%d %I:%M %p", "2024-05-06 12:08:00"),
            ("2024-05-06 08", "%Y-%m-%d %M", "2024-05-06 00:08:00"),
            ("2024-05-06 08.009", "%Y-%m-%d %S.%3f", "2024-05-06 00:00:08.009"),
            ("2024-05-06 000009", "%Y-%m-%d %6f", "2024-05-06 00:00:00.000009"),
            ("06.05.24", "%d.%m.%y", "2024-05-06 00:00:00"),
            ("2024-05", "%Y-%m", "2024-05-01 00:00:00"),
            ("2024", "%Y", "2024-01-01 00:00:00"),
            ("2024-060 07", "%Y-%j %H", "2024-02-29 07:00:00"),
            ("2024-02", "%G-%V", "2024-01-08 00:00:00"),
            ("2024-05-06 10:00:60", "%Y-%m-%d %H:%M:%S", "an error"),
            ("2024-05-06 PM", "%Y-%m-%d %p", "an error"),
            ("2024-05-06 24", "%Y-%m-%d %H", "an error"),
            ("2024-02-30", "%Y-%m-%d", "an error"),
            ("10:00", "%H:%M", "an error"),
        ];
        for (text, format, expected) in cases {
            let columns = [text, format].map(|text| Arc::new(StringArray::from(vec![text])) as ArrayRef);
            let found = read(&columns, |time| time.to_string());
            let found = found.map_or_else(|_| "an error".into(), |found| found[0].clone().unwrap());
            assert_eq!(found, expected, "{text} by {format}");
        }
    }
}
