//! Asking only for what is new: which value comes next, and which records were read before.
use super::{
    page::Page,
    place::{Boundary, State},
    pointer::{Pointer, plain},
    settings,
};
use dataflow_sdk::Error;
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64;

/// Most records of one value that are told apart: they are part of each checkpoint.
const MOST: usize = 1_000;

/// The value that tells what is new.
#[derive(Debug)]
pub(super) struct Field {
    pointer: Pointer,
    inclusive: bool,
    start: Option<String>,
}

impl Field {
    pub(super) fn of(config: &settings::Incremental) -> Result<Self, Error> {
        let pointer = Pointer::parse(&config.field).map_err(|why| Error::fatal("bad-property", why))?;
        let start = config.start.as_ref().map(ToString::to_string);
        Ok(Self { pointer, inclusive: config.inclusive, start })
    }

    /// The rows of a page that are new, and what is known after it.
    pub(super) fn new_rows(&self, name: &str, page: &Page, state: &State) -> Result<(Vec<usize>, Boundary), Error> {
        let since = state.since.value.as_ref().or(self.start.as_ref());
        let mut greatest = state.greatest.clone();
        let mut rows = Vec::new();
        for row in 0..page.records.len() {
            let bytes = page.record(row);
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            let found = self.pointer.find(text).ok().flatten();
            let Some(value) =
                found.filter(|value| value.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()))
            else {
                let message = format!(
                    "{name} has neither a text nor a number at {} (`incremental.field`) in row {row}, so it can't be told what is new",
                    self.pointer
                );
                return Err(
                    Error::fatal("bad-data", message).fix("correct `incremental.field`; each record has to have it")
                );
            };
            let hash = xxh3_64(bytes);
            let order = since.map(|since| compare(value, since));
            match order {
                Some(Ordering::Less) => return Err(self.before(name, row, value, since.map_or("", String::as_str))),
                Some(Ordering::Equal) if state.since.records.contains(&hash) => {}
                _ => rows.push(row),
            }
            match greatest.value.as_ref().map(|greatest| compare(value, greatest)) {
                Some(Ordering::Less) => continue,
                Some(Ordering::Equal) => {}
                _ => {
                    // Those of the value that was asked for are known already.
                    let known =
                        if order == Some(Ordering::Equal) { state.since.records.clone() } else { Default::default() };
                    greatest = Boundary { value: Some(value.to_owned()), records: known };
                }
            }
            if self.inclusive {
                greatest.records.insert(hash);
            }
            if greatest.records.len() > MOST {
                let message = format!(
                    "{name}: more than {MOST} records have the value {value} at {} (`incremental.field`)",
                    self.pointer
                );
                return Err(Error::fatal("incremental-too-coarse", message).fix(
                    "use a field whose values differ more; or, if the API returns only greater values, set `inclusive: false`",
                ));
            }
        }
        Ok((rows, greatest))
    }

    fn before(&self, name: &str, row: usize, value: &str, since: &str) -> Error {
        let message = format!(
            "{name} has {value} at {} in row {row}, though only records from {since} on were asked for: they would be read again and again",
            self.pointer
        );
        Error::fatal("incremental-ignored", message).fix(
            "correct `incremental.parameter`, the API may not know it; values have to be numbers, times (RFC 3339), or texts that sort as what they stand for",
        )
    }
}

/// Numbers as numbers, times (RFC 3339) as times, everything else as texts.
fn compare(one: &str, other: &str) -> Ordering {
    match (one.starts_with('"'), other.starts_with('"')) {
        (true, true) => {
            let (one, other) = (plain(one), plain(other));
            let times = one.parse::<jiff::Timestamp>().ok().zip(other.parse::<jiff::Timestamp>().ok());
            times.map_or_else(|| one.cmp(&other), |(one, other)| one.cmp(&other))
        }
        (false, false) => match (one.parse::<i128>(), other.parse::<i128>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one
                .parse::<f64>()
                .ok()
                .zip(other.parse().ok())
                .map_or(Ordering::Equal, |(one, other): (f64, f64)| one.total_cmp(&other)),
        },
        // A number may be written as a text, and the other way round.
        _ => compare(&format!("\"{}\"", plain(one)), &format!("\"{}\"", plain(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn values_are_compared_exactly() {
        for (one, other, expected) in [
            ("9007199254740993", "9007199254740992", Greater),
            ("-1", "0", Less),
            ("1.5", "1", Greater),
            ("10", "9", Greater),
            ("\"10\"", "\"9\"", Less),
            ("\"2026-01-01T00:00:00Z\"", "\"2026-01-01T00:00:00.5Z\"", Less),
            ("\"2026-01-01T02:00:00+02:00\"", "\"2026-01-01T00:00:00.000Z\"", Equal),
            ("\"2026-01-02\"", "\"2026-01-10\"", Less),
            ("\"\\u0041\"", "\"A\"", Equal),
            ("7", "\"7\"", Equal),
        ] {
            assert_eq!(compare(one, other), expected, "{one} {other}");
        }
    }
}
