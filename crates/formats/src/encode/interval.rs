//! Writes intervals as PostgreSQL does: `1 year 2 mons -3 days +04:05:06.7`.
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{
        DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
        IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    },
};

const DAY: i128 = 86_400_000_000_000;

/// Writes the interval of a row.
pub(super) type Write<'a> = Box<dyn Fn(usize) -> String + 'a>;

/// A writer of a column's intervals; none if it has no intervals. The difference of two times, a duration, is one.
pub(super) fn writer(array: &ArrayRef) -> Option<Write<'_>> {
    let lengths: Box<dyn Fn(usize) -> i128> = match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>();
            return Some(Box::new(|row| {
                let parts = array.value(row);
                text(parts.months.into(), parts.days.into(), parts.nanoseconds.into())
            }));
        }
        DataType::Duration(TimeUnit::Second) => {
            let array = array.as_primitive::<DurationSecondType>();
            Box::new(|row| i128::from(array.value(row)) * 1_000_000_000)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            let array = array.as_primitive::<DurationMillisecondType>();
            Box::new(|row| i128::from(array.value(row)) * 1_000_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let array = array.as_primitive::<DurationMicrosecondType>();
            Box::new(|row| i128::from(array.value(row)) * 1_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            let array = array.as_primitive::<DurationNanosecondType>();
            Box::new(|row| i128::from(array.value(row)))
        }
        _ => return None,
    };
    Some(Box::new(move |row| {
        let length = lengths(row);
        text(0, (length / DAY) as i64, length % DAY)
    }))
}

/// The texts of a column of intervals; none if it is of another type.
pub fn intervals(array: &ArrayRef) -> Option<StringArray> {
    let write = writer(array)?;
    Some((0..array.len()).map(|row| array.is_valid(row).then(|| write(row))).collect())
}

/// The text of an interval of months, days and nanoseconds. A sign is written where it differs from that of the part before.
pub fn text(months: i64, days: i64, nanos: i128) -> String {
    let mut text = String::new();
    let mut negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let blank = if text.is_empty() { "" } else { " " };
            let sign = if negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            text.push_str(&format!("{blank}{sign}{value} {unit}{plural}"));
            negative = value < 0;
        }
    }
    if nanos != 0 || text.is_empty() {
        let blank = if text.is_empty() { "" } else { " " };
        let sign = if nanos < 0 {
            "-"
        } else if negative {
            "+"
        } else {
            ""
        };
        let length = nanos.unsigned_abs();
        let (seconds, fraction) = (length / 1_000_000_000, length % 1_000_000_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        text.push_str(&format!("{blank}{sign}{hours:02}:{minutes:02}:{seconds:02}"));
        if fraction > 0 {
            text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn an_interval_is_written_as_postgresql_writes_it() {
        for (months, days, nanos, written) in [
            (0, 0, 0, "00:00:00"),
            (0, 1, 0, "1 day"),
            (14, -3, 14_706_700_000_000, "1 year 2 mons -3 days +04:05:06.7"),
            (-1, 2, -1_000, "-1 mons +2 days -00:00:00.000001"),
            (0, 0, -10_000_000_000, "-00:00:10"),
            (0, 0, 360_000_000_000_000, "100:00:00"),
        ] {
            assert_eq!(text(months, days, nanos), written);
        }
    }
}
