//! What to do about values that are nearly numbers or times, as other programs write them.
use super::misfit::Asked;

/// Words that stand for no value.
const NOTHING: [&str; 15] =
    ["na", "n/a", "#n/a", "null", "none", "nil", "nan", "-", "--", "?", ".", "unknown", "missing", "\\n", ""];

/// What to do about a text where a number or a time was asked for, if the cause is a usual one.
pub(super) fn remedy(path: &str, text: &str, untyped: bool, asked: Asked) -> Option<String> {
    let time = asked.is_time();
    if !time && !asked.is_number() {
        return None;
    }
    let name = quoted(path);
    if NOTHING.contains(&text.trim().to_lowercase().as_str()) {
        let target = if time { "timestamp" } else { "double" };
        return Some(match untyped {
            true => format!("if it stands for no value, set nullValues: [{text:?}, \"\"] at the source"),
            false => format!("if it stands for no value, use cast(nullif({name}, '{text}') as {target})"),
        });
    }
    if time { date(&name, text) } else { amount(&name, text.trim()) }
}

/// What to do about a number where a time was asked for.
pub(super) fn epoch(path: &str, text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let name = quoted(path);
    let (unit, function) = match digits.len() {
        9..=11 => ("seconds", "to_timestamp_seconds"),
        12..=14 => ("milliseconds", "to_timestamp_millis"),
        15..=17 => ("microseconds", "to_timestamp_micros"),
        _ => return None,
    };
    Some(format!("if it counts {unit} since 1970, use {function}(cast({name} as bigint))"))
}

/// Numbers with separators, a decimal comma, a currency or a percent sign.
fn amount(name: &str, text: &str) -> Option<String> {
    let is_digit = |c: char| c.is_ascii_digit();
    if !text.contains(is_digit) {
        return None;
    }
    if let Some(number) = text.strip_suffix('%')
        && is_amount(number.trim_end())
    {
        return Some(format!("use cast(replace({name}, '%', '') as double) / 100"));
    }
    let unsigned = text.trim_start_matches(['-', '+']);
    let bare = unsigned.trim_matches(|c: char| c.is_alphabetic() || c.is_whitespace() || "$€£¥₹".contains(c));
    let words = unsigned.len() - bare.len();
    let short = unsigned.chars().filter(|c| c.is_alphabetic()).count() <= 3;
    if words > 0 && is_amount(bare) {
        let currency = unsigned.contains(|c: char| "$€£¥₹".contains(c)) || short;
        return currency.then(|| format!("use cast(regexp_replace({name}, '[^0-9.-]', '', 'g') as double)"));
    }
    let separated = |separator: char| {
        let mut groups = unsigned.split(['.', ',']).next().unwrap_or_default().split(separator);
        let first = groups.next().is_some_and(|first| (1..=3).contains(&first.len()) && first.chars().all(is_digit));
        let rest: Vec<&str> = groups.collect();
        first && !rest.is_empty() && rest.iter().all(|group| group.len() == 3 && group.chars().all(is_digit))
    };
    for separator in [' ', '\'', '_', '\u{a0}', '\u{202f}'] {
        if separated(separator) {
            let written = if separator == '\'' { "''".into() } else { separator.to_string() };
            return Some(format!("use cast(replace({name}, '{written}', '') as double)"));
        }
    }
    let (commas, points) = (unsigned.matches(',').count(), unsigned.matches('.').count());
    if !unsigned.chars().all(|c| is_digit(c) || c == ',' || c == '.') {
        return None;
    }
    let comma_last = unsigned.rfind(',') > unsigned.rfind('.');
    match (commas, points) {
        (1, 0) if unsigned.rsplit(',').next().is_some_and(|last| last.len() == 3) => Some(format!(
            "use cast(replace({name}, ',', '') as double) if the comma separates thousands, and replace({name}, ',', '.') if it is a decimal comma"
        )),
        (1, 0) => Some(format!("use cast(replace({name}, ',', '.') as double)")),
        (1.., 0) => Some(format!("use cast(replace({name}, ',', '') as double)")),
        (1, 1..) if comma_last => Some(format!("use cast(replace(replace({name}, '.', ''), ',', '.') as double)")),
        (1.., 1) => Some(format!("use cast(replace({name}, ',', '') as double)")),
        (0, 2..) => Some(format!("use cast(replace({name}, '.', '') as double)")),
        _ => None,
    }
}

/// Digits, with points and commas between them.
fn is_amount(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+']);
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
}

/// Dates in other notations, and counts of seconds.
fn date(name: &str, text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(counted) = epoch(name.trim_matches('"'), text) {
        return Some(counted);
    }
    let (day, time) = text.split_once([' ', 'T']).map_or((text, ""), |(day, time)| (day, time));
    let parts = |separator: char| {
        let parts: Vec<&str> = day.split(separator).collect();
        let numbers = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        (parts.len() == 3 && numbers).then_some(parts)
    };
    let clock = match time.split(':').count() {
        _ if time.is_empty() => "",
        2 => "HH24:MI",
        _ => "HH24:MI:SS",
    };
    let between = text.get(day.len()..day.len() + 1).map_or("", |sign| if sign == "T" { "\"T\"" } else { sign });
    let call = |format: &str| format!("to_timestamp({name}, '{format}{between}{clock}')");
    for separator in ['.', '/', '-'] {
        let Some(parts) = parts(separator) else { continue };
        let join = |order: [&str; 3]| order.join(&separator.to_string());
        let year = |part: &str| if part.len() == 4 { "YYYY" } else { "YY" };
        if parts[0].len() == 4 {
            return Some(format!("use {}", call(&join(["YYYY", "MM", "DD"]))));
        }
        let (first, second, year) = (parts[0].parse::<u32>().ok()?, parts[1].parse::<u32>().ok()?, year(parts[2]));
        let (by_day, by_month) = (call(&join(["DD", "MM", year])), call(&join(["MM", "DD", year])));
        return Some(match (first, second) {
            (13.., _) => format!("use {by_day}"),
            (_, 13..) => format!("use {by_month}"),
            _ if separator == '.' => format!("use {by_day}"),
            _ => format!("use {by_day} if the day comes first, and {by_month} if the month does"),
        });
    }
    (day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("use {}", call("YYYYMMDD")))
}

/// A name as an expression has it: in quotes if it is no plain one.
fn quoted(path: &str) -> String {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match path.split('.').all(plain) {
        true => path.into(),
        false => format!("\"{}\"", path.replace('"', "\"\"")),
    }
}
