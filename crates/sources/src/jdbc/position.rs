//! Positions: after which key reading goes on, and how many rows were read until there.
use serde_json::Value;
use std::{cmp::Ordering, fmt::Write, sync::Arc};

/// A place among the rows in the order of their keys, as JSON: `[1000, 42]` is after the row with the key 42, which was the
/// thousandth; `[0]` is before all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Rows read so far.
    pub(super) rows: u64,
    /// The key of the last one, each part in the database's own text. Empty: there is none.
    pub(super) key: Vec<String>,
}

impl Place {
    /// Reads a position; none: it is not one of this source.
    pub(super) fn read(at: &str) -> Option<Self> {
        let Value::Array(parts) = serde_json::from_str(at).ok()? else { return None };
        let (rows, key) = parts.split_first()?;
        let part = |part: &Value| match part {
            Value::Number(number) if number.is_i64() => Some(number.to_string()),
            Value::String(text) => Some(text.clone()),
            _ => None,
        };
        Some(Self { rows: rows.as_u64()?, key: key.iter().map(part).collect::<Option<_>>()? })
    }

    /// The position as users see it.
    pub(super) fn text(&self) -> Arc<str> {
        let mut text = format!("[{}", self.rows);
        for part in &self.key {
            text.push(',');
            match whole(part) {
                Some(_) => text.push_str(part),
                None => write!(text, "{}", Value::from(part.as_str())).unwrap_or_default(),
            }
        }
        text.push(']');
        text.into()
    }

    /// Which comes first. Parts that are whole numbers, or points in time (only the first, if `timed`), are compared; of other keys
    /// only the database knows the order, but more rows were read before the later one.
    pub(super) fn order(&self, other: &Self, timed: bool) -> Ordering {
        if self.key.is_empty() || other.key.is_empty() || self.key.len() != other.key.len() {
            return self.key.len().cmp(&other.key.len()).then(self.rows.cmp(&other.rows));
        }
        for (nth, (one, other_part)) in self.key.iter().zip(&other.key).enumerate() {
            let order = match (whole(one), whole(other_part)) {
                (Some(one), Some(other)) => one.cmp(&other),
                _ if one == other_part => Ordering::Equal,
                // Both in UTC and without trailing zeros: the texts have the order of the times.
                _ if timed && nth == 0 => one.cmp(other_part),
                _ => self.rows.cmp(&other.rows),
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// A whole number that JSON writes in the same way.
fn whole(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical =
        digits == "0" && !text.starts_with('-') || digits.starts_with(|first| matches!(first, '1'..='9'));
    is_canonical.then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn place(rows: u64, key: &[&str]) -> Place {
        Place { rows, key: key.iter().map(|part| (*part).to_owned()).collect() }
    }

    proptest! {
        #[test]
        fn a_position_comes_back(rows: u64, key in proptest::collection::vec(prop_oneof![
            any::<String>(),
            any::<i64>().prop_map(|number| number.to_string()),
            "[-+]?0?[0-9]{1,25}",
        ], 0..4)) {
            let place = Place { rows, key };
            prop_assert_eq!(Place::read(&place.text()), Some(place));
        }
    }

    #[test]
    fn positions_look_like_what_they_are() {
        assert_eq!(&*place(0, &[]).text(), "[0]");
        assert_eq!(&*place(1_000, &["2026-01-02 03:04:05+00", "42"]).text(), "[1000,\"2026-01-02 03:04:05+00\",42]");
        for wrong in ["", "42", "[]", "[-1]", "[1,null]", "[1,1.5]", "{}"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn places_are_in_the_order_of_keys_as_far_as_it_is_known() {
        use Ordering::{Equal, Greater, Less};
        for (one, other, timed, expected) in [
            (place(0, &[]), place(5, &["-7"]), false, Less),
            (place(9, &["9"]), place(8, &["10"]), false, Less),
            (place(9, &["10"]), place(8, &["10"]), false, Equal),
            (place(1, &["2026-01-02 03:04:05+00", "7"]), place(0, &["2026-01-02 03:04:05.5+00", "1"]), true, Less),
            (place(1, &["2026-01-02 03:04:05+00", "7"]), place(0, &["2026-01-02 03:04:05+00", "1"]), true, Greater),
            (place(1, &["b"]), place(2, &["B"]), false, Less),
        ] {
            assert_eq!(one.order(&other, timed), expected, "{one:?} {other:?}");
            assert_eq!(other.order(&one, timed), expected.reverse(), "{other:?} {one:?}");
        }
    }
}
