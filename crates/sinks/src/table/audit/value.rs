//! Values as an audit compares them: those of records and those of columns, both in one notation.
//!
//! It shares nothing with the code that writes and decodes them, so that faults there are visible here.
#[cfg(test)]
mod tests;

use super::number::{is_halfway, number, significant, spells_number};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::{SignedDuration, civil};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The class of a column, which decides when two values are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Each value as it is.
    Anything,
    /// Text.
    Text,
    /// Text whose trailing blanks don't count.
    Padded,
    /// Numbers of any length.
    Number,
    /// Numbers as doubles, and integers of 64 bits.
    Double,
    /// Numbers as integers of 64 bits where they are such, and otherwise as doubles.
    Numeric,
    /// Numbers as floating point of 32 bits.
    Real,
    /// true and false.
    Boolean,
    /// Points in time.
    Instant,
    /// Dates and times without a zone.
    Datetime,
    /// Calendar dates.
    Date,
    /// Bytes; in records as base64.
    Bytes,
    /// UUIDs.
    Uuid,
    /// JSON in any formatting.
    Json,
    /// JSON of which a number that is all of it is kept as a number.
    NumericJson,
    /// Arrays of one of these, which are read back as JSON arrays of texts.
    List(&'static Class),
}

/// A value in this notation, after a letter for its kind; `None` is NULL.
pub type Cell = Option<String>;

/// The cell of a field that a record lacks.
pub(super) const ABSENT: &str = "-";

/// Formats a cell for people.
pub(super) fn shown(cell: Option<&str>) -> String {
    match cell {
        None => "NULL".into(),
        Some(ABSENT) => "nothing".into(),
        Some(cell) => dataflow_sdk::audit::shown(cell.get(1..).unwrap_or_default().as_bytes()),
    }
}

impl Class {
    /// The cell of a record's JSON value. The values of an `untyped` record (CSV) are texts, interpreted by their
    /// spelling.
    pub fn said(self, json: &str, untyped: bool) -> Cell {
        match json.as_bytes().first()? {
            b'n' => None,
            b'"' => match serde_json::from_str::<String>(json) {
                Ok(text) => self.of_string(&text, json, untyped),
                // Half of a surrogate pair.
                Err(_) if self.is_json() => Some(canonical(json)),
                Err(_) => Some(text(json)),
            },
            b't' | b'f' => Some(match self {
                Self::Boolean => boolean(json),
                Self::Json | Self::NumericJson => canonical(json),
                Self::Anything => number(if json == "true" { "1" } else { "0" }),
                _ => text(json),
            }),
            b'{' | b'[' => Some(match self {
                Self::Json | Self::NumericJson => canonical(json),
                Self::List(class) => list(json, |element| match element.starts_with('[') && !class.is_json() {
                    true => self.said(element, untyped),
                    false => class.said(element, untyped),
                }),
                _ => text(json),
            }),
            _ => Some(match self {
                Self::Text | Self::Padded => text(json),
                Self::Json => canonical(json),
                _ => self.number(json),
            }),
        }
    }

    fn of_string(self, string: &str, json: &str, untyped: bool) -> Cell {
        Some(match self {
            // What it would be in a JSON record.
            Self::Json | Self::NumericJson if untyped => match serde_json::from_str::<&RawValue>(string) {
                Ok(json) => return self.said(json.get(), false),
                Err(_) => text(string),
            },
            Self::List(_) if untyped && string.starts_with('[') => return self.said(string, untyped),
            Self::Json | Self::NumericJson => canonical(json),
            Self::Number | Self::Double | Self::Numeric | Self::Real if untyped && spells_number(string) => {
                self.number(string)
            }
            Self::Boolean if untyped => word(string).map_or_else(|| text(string), boolean),
            _ => self.of_text(string),
        })
    }

    /// The cell of a text read from a column.
    pub fn stored_text(self, stored: &str) -> String {
        match self {
            Self::Json | Self::NumericJson => canonical(stored),
            Self::List(class) => list(stored, |element| class.stored_element(element)),
            // Spelled with only as many digits as distinguish it from other doubles.
            Self::Double if spells_number(stored) => self.stored_double(stored.parse().unwrap_or(f64::NAN)),
            Self::Number | Self::Numeric | Self::Real if spells_number(stored) => self.number(stored),
            Self::Boolean if matches!(stored, "true" | "false") => boolean(stored),
            _ => self.of_text(stored),
        }
    }

    fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::NumericJson)
    }

    /// The cell of an element of an array that is read back as a JSON array of texts.
    fn stored_element(self, json: &str) -> Cell {
        match json.as_bytes().first()? {
            b'n' => None,
            b'[' => Some(list(json, |element| self.stored_element(element))),
            _ => Some(self.stored_text(&serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()))),
        }
    }

    /// The cell of an integer read from a column.
    pub fn stored_integer(self, stored: i64) -> String {
        match self {
            Self::Boolean if stored == 0 => boolean("false"),
            Self::Boolean if stored == 1 => boolean("true"),
            Self::Json => canonical(&stored.to_string()),
            _ => self.number(&stored.to_string()),
        }
    }

    /// The cell of a double read from a column.
    pub fn stored_double(self, stored: f64) -> String {
        // A 64-bit integer is compared as an integer, however it is stored.
        let integers = i64::MIN as f64..-(i64::MIN as f64);
        let digits = match stored.fract() == 0.0 && integers.contains(&stored) {
            true => format!("{stored:.0}"),
            false => format!("{stored:e}"),
        };
        if self == Self::Json { canonical(&digits) } else { number(&digits) }
    }

    /// The cell of bytes read from a column.
    pub fn stored_bytes(self, stored: &[u8]) -> String {
        bytes(stored)
    }

    fn of_text(self, string: &str) -> String {
        let known = match self {
            Self::Instant => instant(string).map(|instant| format!("d{instant}Z")),
            Self::Datetime => instant(string).map(|instant| format!("d{instant}")),
            Self::Date => string
                .parse::<civil::Date>()
                .ok()
                .filter(|date| date.to_string() == string)
                .map(|date| format!("d{date}")),
            Self::Bytes => base64(string).map(|decoded| bytes(&decoded)),
            Self::Uuid => uuid(string),
            Self::Padded => Some(text(string.trim_end_matches(' '))),
            _ => None,
        };
        known.unwrap_or_else(|| text(string))
    }

    /// The cell of a number: if the column rounds but returns all digits, that of the nearest value it can hold.
    fn number(self, digits: &str) -> String {
        let exact = number(digits);
        let is_integer = exact[1..].parse::<i64>().is_ok();
        let count = exact.bytes().filter(u8::is_ascii_digit).count();
        let same = |rounded: String, all: &dyn Fn() -> String| number(&rounded) == exact || is_halfway(digits, &all());
        let precision = significant(digits).saturating_sub(1);
        match self {
            // A column of doubles holds an integer if the nearest double has the same digits; others hold it exactly, however
            // it is spelled.
            Self::Double | Self::Numeric | Self::Anything | Self::NumericJson
                if (self == Self::Double || !is_integer) && count < 800 =>
            {
                match digits.parse::<f64>() {
                    Ok(double) if same(format!("{double:.precision$e}"), &|| format!("{double:.770e}")) => {
                        self.stored_double(double)
                    }
                    _ => exact,
                }
            }
            Self::Real if count < 800 => match digits.parse::<f32>() {
                Ok(real) if same(format!("{real:.precision$e}"), &|| format!("{real:.150e}")) => {
                    number(&format!("{real:e}"))
                }
                _ => exact,
            },
            _ => exact,
        }
    }
}

fn list(json: &str, element: impl Fn(&str) -> Cell) -> String {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(elements) => {
            let elements = elements.into_iter().map(|json| match element(json.get()) {
                None => "null".into(),
                Some(cell) if cell.starts_with(['n', 'l']) => cell[1..].into(),
                Some(other) => serde_json::json!(other[1..]).to_string(),
            });
            format!("l[{}]", elements.collect::<Vec<String>>().join(","))
        }
        Err(_) => text(json),
    }
}

/// The texts in a cell: one, or those in an array.
pub fn texts(cell: &str) -> Vec<String> {
    let mut texts = Vec::new();
    with_texts(cell, |text| {
        texts.push(text.clone());
        text
    });
    texts
}

/// A cell with other texts.
pub fn with_texts(cell: &str, mut other: impl FnMut(String) -> String) -> String {
    fn replace(value: &mut serde_json::Value, other: &mut impl FnMut(String) -> String) {
        match value {
            serde_json::Value::String(text) => *text = other(std::mem::take(text)),
            serde_json::Value::Array(elements) => elements.iter_mut().for_each(|element| replace(element, other)),
            _ => {}
        }
    }
    match (cell.split_at_checked(1), cell.strip_prefix('l').map(serde_json::from_str)) {
        (Some(("t", text)), _) => format!("t{}", other(text.into())),
        (_, Some(Ok(mut list))) => {
            replace(&mut list, &mut other);
            format!("l{list}")
        }
        _ => cell.into(),
    }
}

fn text(text: &str) -> String {
    format!("t{text}")
}

fn boolean(word: &str) -> String {
    format!("b{word}")
}

fn bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("x"), |text, byte| text + &format!("{byte:02x}"))
}

/// The value that a word in a CSV file stands for.
fn word(word: &str) -> Option<&'static str> {
    match word.trim_ascii().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some("true"),
        "false" | "f" | "no" | "n" | "0" => Some("false"),
        _ => None,
    }
}

/// Normalizes a JSON value: sorted names, the last of a repeated one, normalized numbers.
fn canonical(json: &str) -> String {
    let mut out = String::from("j");
    write(json, &mut out);
    out
}

fn write(json: &str, out: &mut String) {
    match json.trim_ascii().as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<BTreeMap<String, &RawValue>>(json) {
            Ok(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.into_iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(&serde_json::Value::from(name).to_string());
                    out.push(':');
                    write(value.get(), out);
                }
                out.push('}');
            }
            Err(_) => out.push_str(json),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(items) => {
                out.push('[');
                for (at, value) in items.into_iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    write(value.get(), out);
                }
                out.push(']');
            }
            Err(_) => out.push_str(json),
        },
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(string) => out.push_str(&serde_json::Value::from(string).to_string()),
            Err(_) => out.push_str(json),
        },
        Some(b'-' | b'0'..=b'9') => out.push_str(&number(json.trim_ascii())[1..]),
        _ => out.push_str(json.trim_ascii()),
    }
}

/// Parses a point in time, and converts it to UTC; without a zone it is in UTC.
fn instant(text: &str) -> Option<civil::DateTime> {
    let clock = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let zone = text[clock..].find(['Z', 'z', '+', '-']).map_or(text.len(), |at| clock + at);
    let (local, zone) = text.split_at(zone);
    let local = if local.contains('.') { local.trim_end_matches('0').trim_end_matches('.') } else { local };
    // A leap second is the first one of the next minute.
    let leap = local.get(16..19) == Some(":60");
    let local = if leap { format!("{}:59{}", &local[..16], &local[19..]) } else { local.to_owned() };
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let zone = zone.trim_start_matches(['Z', 'z', '+', '-']);
    let digits: String = zone.chars().filter(|digit| *digit != ':').collect();
    let part = |from: usize| match digits.get(from..from + 2) {
        Some(part) => part.parse::<i64>().ok(),
        None => digits.get(from..).is_none_or(str::is_empty).then_some(0),
    };
    if digits.len() > 6 {
        return None;
    }
    let east = sign * (part(0)? * 3_600 + part(2)? * 60 + part(4)?);
    local.parse::<civil::DateTime>().ok()?.checked_add(SignedDuration::from_secs(i64::from(leap) - east)).ok()
}

fn uuid(text: &str) -> Option<String> {
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let digits: String = bare.chars().filter(|char| *char != '-').map(|char| char.to_ascii_lowercase()).collect();
    (digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| format!("u{digits}"))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    // Either alphabet, or a mixture.
    let standard = text.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(standard).ok()
}
