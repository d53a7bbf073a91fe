//! Dates and times as text.

/// Formats days since 1970-01-01 as `2026-01-31`.
pub fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+07}-{month:02}-{day:02}"),
    }
}

/// Formats microseconds since 1970-01-01T00:00:00 as `2026-01-31T10:20:30.5`, followed by `zone`.
pub fn date_time(micros: i64, zone: &str) -> String {
    const DAY: i64 = 86_400_000_000;
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = match fraction {
        0 => String::new(),
        _ => format!(".{fraction:06}").trim_end_matches('0').to_string(),
    };
    format!("{}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}", date(days))
}

/// Returns year, month and day of the proleptic Gregorian calendar: eras of 400 years of 146,097 days, counted from
/// March so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_written_as_rfc_3339() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_780), "2026-11-23");
        assert_eq!(date_time(1_500_000, "Z"), "1970-01-01T00:00:01.5Z");
        assert_eq!(date_time(-1, "Z"), "1969-12-31T23:59:59.999999Z");
        assert_eq!(date_time(951_782_400_000_000, ""), "2000-02-29T00:00:00");
    }
}
