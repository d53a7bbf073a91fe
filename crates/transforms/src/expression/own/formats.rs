//! Times by a strftime format, read and written.
use super::{
    moments::{civil, micros},
    texts::strings,
};
use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    datatypes::TimestampMicrosecondType,
};
use chrono::{
    DateTime, NaiveDateTime, Utc, Weekday,
    format::{ParseResult, Parsed, StrftimeItems},
};
use datafusion_common::{Result, exec_err};
use std::{fmt::Write as _, sync::Arc};

pub(super) fn written(columns: &[ArrayRef]) -> Result<ArrayRef> {
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

pub(super) fn read<T>(columns: &[ArrayRef], of: impl Fn(NaiveDateTime) -> T) -> Result<Vec<Option<T>>> {
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
