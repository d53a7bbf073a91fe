//! Fixes for times in notations other than RFC 3339, and for counts of seconds.
use super::{Misfitting, sql};
use crate::decode::{misfit::Asked, time};
use arrow::array::timezone::Tz;
use dataflow_core::types::Type;

/// Suggests a fix for a number where a time was asked for.
pub(super) fn of_number(name: &str, text: &str, asked: Asked) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (unit, function) = match digits.len() {
        9..=11 => ("seconds", "to_timestamp_seconds"),
        12..=14 => ("milliseconds", "to_timestamp_millis"),
        15..=17 => ("microseconds", "to_timestamp_micros"),
        _ => return None,
    };
    // It takes texts, too; a cast to an integer would cut the fractions of other records.
    let instant = format!("{function}({name})");
    Some(format!("if it counts {unit} since 1970, use {}", narrowed(instant, asked)))
}

/// Suggests a fix for a text where a time was asked for.
pub(super) fn of_text(value: &Misfitting<'_>) -> Option<String> {
    let Misfitting { name, text, asked, .. } = *value;
    let trimmed = text.trim_ascii();
    // A text parsed by a format can't have surrounding blanks.
    let name = &if trimmed.len() == text.len() { name.to_owned() } else { format!("trim({name})") };
    if time::is_point(trimmed) {
        return Some(match asked.ty {
            Some(Type::Date) => format!("if the day in UTC is meant, use {}", instant(name, asked)),
            Some(Type::Datetime) if time::names_offset(trimmed) => {
                format!("if the time in UTC is meant, use {}", instant(name, asked))
            }
            _ if trimmed.len() < text.len() => format!("use {}", instant(name, asked)),
            _ => format!("to round it to microseconds, use {}", instant(name, asked)),
        });
    }
    let written = Written::of(trimmed);
    let of_number = || of_number(name, trimmed, asked);
    let Some(written) = written else { return of_number() };
    if written.days.is_empty() {
        return Some("there is no such day".into());
    }
    if let Some(zone) = written.zone.strip_prefix(' ').filter(|zone| zone.bytes().all(|b| b.is_ascii_alphabetic()))
        && !matches!(zone, "UTC" | "GMT" | "Z" | "z")
    {
        match zone.to_ascii_uppercase().as_str() {
            "BC" | "BCE" => return Some("years BC are not supported: times are those of the years 1 to 9999".into()),
            "AD" | "CE" => {
                return Some(format!(
                    "{zone} is no part of a time here: leave it out, as in {:?}",
                    &trimmed[..trimmed.len() - 1 - zone.len()]
                ));
            }
            _ => {}
        }
        return Some(format!("the time zone abbreviation {zone} is ambiguous: use an offset such as +01:00"));
    }
    // The cast knows the time zone database, if the rest is in RFC 3339 notation.
    let is_iso = written.days == ["YYYY-MM-DD"] && written.clock.contains("HH24:MI:SS");
    if is_iso && written.zone.contains('/') && written.zone.trim_start().parse::<Tz>().is_ok() {
        return Some(format!("use {}", instant(name, asked)));
    }
    let call = |order: &str| {
        let format = format!("{order}{}", written.clock);
        let literal = if written.zone.is_empty() { String::new() } else { format!("\"{}\"", written.zone) };
        let function = if asked.ty == Some(Type::Date) { "to_date" } else { "to_timestamp" };
        let read = format!("{function}({name}, '{format}{literal}')");
        if function == "to_date" { read } else { narrowed(read, asked) }
    };
    if !matches!(written.zone, "" | "Z" | "z" | " UTC" | " GMT" | " Z") {
        return None;
    }
    match written.days.as_slice() {
        [only] => Some(format!("use {}", call(only))),
        [day, month] => {
            Some(format!("use {} if the day comes first, and {} if the month does", call(day), call(month)))
        }
        _ => None,
    }
}

/// Casts a text to the type that was asked for.
fn instant(name: &str, asked: Asked) -> String {
    narrowed(format!("cast({name} as timestamptz)"), asked)
}

/// Casts an instant to the type that was asked for.
fn narrowed(instant: String, asked: Asked) -> String {
    match asked.ty {
        Some(Type::Date | Type::Datetime) => format!("cast({instant} as {})", sql(asked)),
        _ => instant,
    }
}

/// The notation of a time.
struct Written<'a> {
    /// The possible formats of its day; empty if there is no such day.
    days: Vec<String>,
    /// The format of the time of day, between day and zone.
    clock: String,
    /// The zone, at the end.
    zone: &'a str,
}

impl<'a> Written<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '/' | '-')).unwrap_or(text.len());
        let (day, rest) = text.split_at(end);
        // 14 digits are a day and a time.
        let (day, rest) = match day.len() == 14 && rest.is_empty() && day.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.split_at(8),
            false => (day, rest),
        };
        let days = days(day)?;
        let (clock, zone) = clock(rest)?;
        Some(Self { days, clock, zone })
    }
}

/// Returns the possible formats of a day.
fn days(day: &str) -> Option<Vec<String>> {
    let number = |text: &str| text.parse::<i64>().ok();
    let exists = |year: i64, month: i64, day: i64| {
        (1..=12).contains(&month) && (1..=time::month_length(year, month)).contains(&day)
    };
    if day.bytes().all(|byte| byte.is_ascii_digit()) {
        let (year, month, of_month) = (day.get(..4)?, day.get(4..6)?, day.get(6..8)?);
        let (year, month, of_month) = (number(year)?, number(month)?, number(of_month)?);
        // Eight digits that don't form a day can mean anything.
        return (day.len() == 8 && year > 0 && exists(year, month, of_month)).then(|| vec!["YYYYMMDD".into()]);
    }
    let separator = ['.', '/', '-'].into_iter().find(|separator| day.contains(*separator))?;
    let parts: Vec<&str> = day.split(separator).collect();
    let &[first, second, third] = parts.as_slice() else { return None };
    if parts.iter().any(|part| part.is_empty() || part.len() > 4 || !part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let join = |order: [&str; 3]| order.join(&separator.to_string());
    let short = |part: &str| part.len() <= 2;
    if first.len() == 4 && short(second) && short(third) && number(first)? > 0 {
        let is_one = exists(number(first)?, number(second)?, number(third)?);
        return Some(if is_one { vec![join(["YYYY", "MM", "DD"])] } else { Vec::new() });
    }
    let (format, year) = match third.len() {
        4 => ("YYYY", number(third).filter(|year| *year > 0)?),
        2 => ("YY", number(third)? + 2000),
        _ => return None,
    };
    if !short(first) || !short(second) {
        return None;
    }
    let mut days = Vec::new();
    if exists(year, number(second)?, number(first)?) {
        days.push(join(["DD", "MM", format]));
    }
    if exists(year, number(first)?, number(second)?) && (separator != '.' || days.is_empty()) {
        days.push(join(["MM", "DD", format]));
    }
    // 05/05 is the same day in both formats, but the field's other values are not.
    Some(days)
}

/// Returns the format of a time of day including its separator, and the rest of the text.
fn clock(rest: &str) -> Option<(String, &str)> {
    if rest.is_empty() {
        return Some((String::new(), ""));
    }
    let (between, time) = match rest.strip_prefix('T') {
        Some(time) => ("\"T\"", time),
        None => match rest.strip_prefix(' ') {
            Some(time) => (" ", time),
            None => ("", rest),
        },
    };
    let end = time.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(time.len());
    let (digits, zone) = time.split_at(end);
    let (digits, fraction) = digits.split_once('.').map_or((digits, None), |(time, fraction)| (time, Some(fraction)));
    let separator = if digits.contains(':') { ":" } else { "" };
    let parts: Vec<&str> = match separator {
        ":" => digits.split(':').collect(),
        _ if digits.len() == 4 => vec![digits.get(..2)?, digits.get(2..)?],
        _ if digits.len() == 6 => vec![digits.get(..2)?, digits.get(2..4)?, digits.get(4..)?],
        _ => return None,
    };
    let numbers = parts.iter().map(|part| part.parse::<u32>().ok().filter(|_| part.len() <= 2));
    let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    let (hour, rest) = numbers.split_first()?;
    if rest.iter().any(|number| *number > 59) || parts.iter().skip(1).any(|part| part.len() != 2) {
        return None;
    }
    let half = ["", " "].into_iter().find_map(|blank| {
        let after = zone.strip_prefix(blank)?;
        let word = after.get(..2).filter(|word| word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm"))?;
        Some((format!("{blank}AM"), &after[word.len()..]))
    });
    let (hours, half, zone) = match half {
        Some((half, zone)) if (1..=12).contains(hour) => ("HH12", half, zone),
        Some(_) => return None,
        None if *hour < 24 => ("HH24", String::new(), zone),
        None => return None,
    };
    let written = match rest.len() {
        1 => [hours, "MI"].join(separator),
        2 => [hours, "MI", "SS"].join(separator),
        _ => return None,
    };
    let fraction = match fraction.map(str::len) {
        None => "",
        Some(3) if rest.len() == 2 => ".MS",
        Some(6) if rest.len() == 2 => ".US",
        Some(_) => return None,
    };
    Some((format!("{between}{written}{fraction}{half}"), zone))
}
