//! Functions of times: in microseconds, for the years 1 to 9999.
use super::{
    Own, cast,
    formats::{read, written},
    intervals::{self, is_interval},
    readings::{dates, local, texts_of, zoned},
    texts::strings,
    zone::{self, Zone},
};
use crate::expression::kind::Kind;
use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{
        DataType::{self, Date32, Int64, Utf8},
        Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
        TimestampNanosecondType,
    },
};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Timelike};
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

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

pub(super) const SECOND: i64 = 1_000_000;
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

pub(super) fn datetime() -> DataType {
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
pub(super) fn micros(column: &ArrayRef) -> Result<ArrayRef> {
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

pub(super) fn civil(micros: i64) -> Result<NaiveDateTime> {
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
