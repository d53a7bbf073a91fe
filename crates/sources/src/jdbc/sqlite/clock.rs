//! Times that SQLite's clock gives to new rows, by the default of their column.
//!
//! SQLite has one writer at a time, who asks the clock after it has the lock: whoever commits later has no earlier times. Two transactions may
//! have the same time, though, as most clocks here count seconds.
use super::origin::{Affinity, Origin};
use rusqlite::types::{Value, ValueRef};

/// Calls of the clock whose values rise with the time, without blanks. Local time goes back once a year; a date alone, or a time of day, says too little.
const CALLS: [&str; 14] = [
    "current_timestamp",
    "datetime()",
    "datetime('now')",
    "datetime('now','subsec')",
    "datetime('now','subsecond')",
    "datetime('subsec')",
    "unixepoch()",
    "unixepoch('now')",
    "unixepoch('now','subsec')",
    "unixepoch('now','subsecond')",
    "unixepoch('subsec')",
    "unixepoch('subsecond')",
    "julianday()",
    "julianday('now')",
];

/// The clock of a column: an expression that can be asked, if its default is one.
pub(super) fn of(origin: &Origin) -> Option<&str> {
    let default = origin.default.as_deref()?;
    is_clock(default).then_some(default)
}

fn is_clock(default: &str) -> bool {
    let mut quoted = false;
    let plain: String = default
        .chars()
        .filter_map(|char| {
            quoted ^= char == '\'';
            match quoted {
                true => Some(char),
                false => (!char.is_whitespace()).then(|| char.to_ascii_lowercase()),
            }
        })
        .collect();
    let format = plain.strip_prefix("strftime('").and_then(|rest| rest.split_once('\''));
    CALLS.contains(&plain.as_str())
        || format.is_some_and(|(format, rest)| {
            rises(format) && [")", ",'now')", ",'now','subsec')", ",'now','subsecond')"].contains(&rest)
        })
}

/// Whether times in a format have the order of the texts: from the year down to the second, or seconds since 1970.
fn rises(format: &str) -> bool {
    let mut parts = String::new();
    let mut rest = format;
    while let Some((_, after)) = rest.split_once('%') {
        let Some(part) = after.chars().next() else { return false };
        match part {
            'F' => parts.push_str("Ymd"),
            'T' => parts.push_str("HMS"),
            'R' => parts.push_str("HM"),
            other => parts.push(other),
        }
        rest = &after[part.len_utf8()..];
    }
    match parts.as_str() {
        "s" => format == "%s",
        parts => matches!(parts, "YmdHMS" | "YmdHMf"),
    }
}

/// How a clock's times are written: numbers, or texts with digits in the same places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Number,
    /// With a zero for each digit.
    Text(Vec<u8>),
}

impl Spelling {
    /// Of a time as a column stores it.
    pub(super) fn of(time: &Value, affinity: Affinity) -> Option<Self> {
        match (time, affinity) {
            (Value::Integer(number), Affinity::Text) => Some(Self::Text(zeros(number.to_string().as_bytes()))),
            (Value::Integer(_) | Value::Real(_), _) => Some(Self::Number),
            (Value::Text(text), Affinity::Number) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Self::Number)
            }
            (Value::Text(text), _) => Some(Self::Text(zeros(text.as_bytes()))),
            (Value::Null | Value::Blob(_), _) => None,
        }
    }

    pub(super) fn is_of(&self, time: ValueRef<'_>) -> bool {
        match (self, time) {
            (Self::Number, ValueRef::Integer(_) | ValueRef::Real(_)) => true,
            (Self::Text(zeros), ValueRef::Text(text)) => {
                text.len() == zeros.len()
                    && text.iter().zip(zeros).all(|(byte, zero)| match zero {
                        b'0' => byte.is_ascii_digit(),
                        other => byte == other,
                    })
            }
            _ => false,
        }
    }
}

fn zeros(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_from_what_goes_back() {
        for clock in [
            "CURRENT_TIMESTAMP",
            "datetime( 'now' )",
            "UNIXEPOCH()",
            "unixepoch('subsec')",
            "julianday('now')",
            "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
            "strftime('%F %T','now')",
            "strftime('%s', 'now')",
            "STRFTIME('%Y%m%d%H%M%S')",
        ] {
            assert!(is_clock(clock), "{clock}");
        }
        for other in [
            "datetime('now', 'localtime')",
            "current_date",
            "current_time",
            "date('now')",
            "'2026-01-01'",
            "0",
            "strftime('%d.%m.%Y %H:%M:%S','now')",
            "strftime('%Y-%m-%d','now')",
            "strftime('%Y-%m-%d %H:%M:%S','now','localtime')",
            "strftime('%Y %s','now')",
            "strftime('%','now')",
            "datetime('NOW ')",
        ] {
            assert!(!is_clock(other), "{other}");
        }
    }

    #[test]
    fn times_that_are_written_otherwise_are_noticed() {
        let text = |text: &str| Value::Text(text.into());
        let second = Spelling::of(&text("2026-01-02 03:04:05"), Affinity::Number);
        for (time, expected) in [
            (text("1999-12-31 23:59:59"), true),
            (text("1999-12-31T23:59:59"), false),
            (text("1999-12-31 23:59:59.5"), false),
            (text("1999-12-31"), false),
            (Value::Integer(1), false),
            (Value::Null, false),
        ] {
            assert_eq!(second.as_ref().is_some_and(|spelling| spelling.is_of((&time).into())), expected, "{time:?}");
        }
        assert_eq!(Spelling::of(&text("1767323045"), Affinity::Number), Some(Spelling::Number));
        assert_eq!(Spelling::of(&Value::Integer(17), Affinity::Text), Some(Spelling::Text(b"00".to_vec())));
        assert_eq!(Spelling::of(&Value::Real(1.5), Affinity::None), Some(Spelling::Number));
    }
}
