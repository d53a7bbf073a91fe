//! Functions of intervals, which consist of months, days and microseconds, as in PostgreSQL.
use super::{Own, cast, spans, texts::strings};
use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, Int64Array, IntervalMonthDayNanoArray},
    datatypes::{DataType, DurationMicrosecondType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

/// The length of an interval in microseconds, by which intervals are compared.
pub(in crate::expression) const LENGTH: &str = "length of";

/// Casts of a text to an interval, also for `try_cast`.
pub(in crate::expression) const TO_INTERVAL: &str = "to interval";
pub(in crate::expression) const TRY_TO_INTERVAL: &str = "to interval or null";

/// Parts that only times have.
pub(in crate::expression) const PARTS_OF_TIMES: &[&str] = &["week", "isoyear", "dow", "isodow", "doy"];

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let ty = DataType::Interval(IntervalUnit::MonthDayNano);
    let length = |columns: &[ArrayRef]| -> Result<ArrayRef> {
        let lengths = intervals(&columns[0])?.into_iter().map(|interval| interval.map(Interval::length));
        Ok(Arc::new(lengths.collect::<Decimal128Array>().with_precision_and_scale(38, 0)?))
    };
    vec![
        Own::of_any(LENGTH, &[1], |_| DataType::Decimal128(38, 0), length),
        Own::reader(TO_INTERVAL, ty.clone(), |column| read(column, false)),
        Own::reader(TRY_TO_INTERVAL, ty, |column| read(column, true)),
    ]
}

/// The intervals of texts; NULL where one can't be read, if `tried`.
fn read(column: &ArrayRef, tried: bool) -> Result<ArrayRef> {
    let read = strings(column).iter().map(|text| match text.map(spans::read).transpose() {
        Err(_) if tried => Ok(None),
        read => read,
    });
    Ok(Arc::new(read.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// Returns whether values of a type are intervals; the difference of two times is one.
pub(in crate::expression) fn is_interval(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

#[derive(Clone, Copy)]
struct Interval {
    months: i64,
    days: i64,
    micros: i64,
}

impl Interval {
    /// Counts days of 24 hours and months of 30 days.
    fn length(self) -> i128 {
        i128::from(self.months * 30 + self.days) * i128::from(DAY) + i128::from(self.micros)
    }

    /// Seconds, in millionths: here a year has 365.25 days, and the remaining months have 30 days.
    fn epoch(self) -> i128 {
        let hours = self.months / 12 * 8_766 + self.months % 12 * 30 * 24 + self.days * 24;
        i128::from(hours) * i128::from(HOUR) + i128::from(self.micros)
    }
}

fn intervals(column: &ArrayRef) -> Result<Vec<Option<Interval>>> {
    if let DataType::Duration(_) = column.data_type() {
        let micros = cast(column, &DataType::Duration(TimeUnit::Microsecond))?;
        let micros = micros.as_primitive::<DurationMicrosecondType>().iter();
        let split = |micros: i64| Interval { months: 0, days: micros / DAY, micros: micros % DAY };
        return Ok(micros.map(|micros| micros.map(split)).collect());
    }
    let parts = cast(column, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let parts = parts.as_primitive::<IntervalMonthDayNanoType>().iter();
    let interval = parts.map(|parts| {
        parts.map(|parts| Interval {
            months: parts.months.into(),
            days: parts.days.into(),
            micros: parts.nanoseconds / 1_000,
        })
    });
    Ok(interval.collect())
}

/// `extract(part from interval)`, for whole parts.
pub(super) fn whole_part(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let parts = strings(&columns[0]).iter().zip(intervals(&columns[1])?).map(|row| {
        let (Some(name), Some(interval)) = row else { return Ok(None) };
        Ok(Some(match name {
            "year" => interval.months / 12,
            "quarter" => interval.months % 12 / 3 + 1,
            "month" => interval.months % 12,
            "decade" => interval.months / 120,
            "century" => interval.months / 1_200,
            "millennium" => interval.months / 12_000,
            "day" => interval.days,
            "hour" => interval.micros / HOUR,
            "minute" => interval.micros % HOUR / (60 * SECOND),
            "microseconds" => interval.micros % (60 * SECOND),
            other => return exec_err!("an interval has no {other:?}"),
        }))
    });
    Ok(Arc::new(parts.collect::<Result<Int64Array>>()?))
}

/// For parts with a fraction, in millionths.
pub(super) fn decimal_part(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let parts = strings(&columns[0]).iter().zip(intervals(&columns[1])?).map(|row| {
        let (Some(name), Some(interval)) = row else { return Ok(None) };
        let second = i128::from(interval.micros % (60 * SECOND));
        Ok(Some(match name {
            "second" => second,
            "milliseconds" => second * 1_000,
            "epoch" => interval.epoch(),
            other => return exec_err!("an interval has no {other:?}"),
        }))
    });
    Ok(Arc::new(parts.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(20, 6)?))
}
