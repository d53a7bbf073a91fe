//! Positions: after which key reading goes on, and how many rows were read until there.
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use std::{cmp::Ordering, sync::Arc};

/// The values of the columns in whose order rows are read.
pub(super) type Key = Vec<KeyValue>;

/// A value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyValue {
    /// A whole number.
    Whole(i64),
    /// A finite number that is stored as a double.
    Real(f64),
    /// Text, and whatever else the database writes as text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl KeyValue {
    /// What a database writes as this text.
    pub(super) fn of_text(text: &str) -> Self {
        whole(text).map_or_else(|| Self::Text(text.into()), Self::Whole)
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => Value::from(*number).to_string(),
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) if number.is_f64() => number.as_f64().map(Self::Real),
            Value::Number(number) => number.as_i64().map(Self::Whole),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Object(fields) if fields.len() == 1 => {
                BASE64_STANDARD.decode(fields.get("base64")?.as_str()?).ok().map(Self::Bytes)
            }
            _ => None,
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Whole(number) => (*number).into(),
            Self::Real(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(_) => Value::Object(Map::from_iter([("base64".to_owned(), self.text().into())])),
        }
    }

    /// Which number is greater; none: one is no number.
    fn number(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(other)),
            (Self::Real(one), Self::Real(other)) => one.partial_cmp(other),
            (Self::Whole(one), Self::Real(other)) => (*one as f64).partial_cmp(other),
            (Self::Real(one), Self::Whole(other)) => one.partial_cmp(&(*other as f64)),
            _ => None,
        }
    }
}

/// A place among the rows in the order of their keys, as JSON: `[1000, 42]` is after the row with the key 42, which was the
/// thousandth; `[0]` is before all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// Rows read so far.
    pub(super) rows: u64,
    /// The key of the last one. Empty: there is none.
    pub(super) key: Key,
}

impl Place {
    /// Reads a position; none: it is not one of this source.
    pub(super) fn read(at: &str) -> Option<Self> {
        let Value::Array(parts) = serde_json::from_str(at).ok()? else { return None };
        let (rows, key) = parts.split_first()?;
        Some(Self { rows: rows.as_u64()?, key: key.iter().map(KeyValue::read).collect::<Option<_>>()? })
    }

    /// The position as users see it.
    pub(super) fn text(&self) -> Arc<str> {
        let mut text = format!("[{}", self.rows);
        for value in &self.key {
            text.push(',');
            text.push_str(&value.write().to_string());
        }
        text.push(']');
        text.into()
    }

    /// Which comes first. Values that are numbers, or points in time (only the first, if `timed`), are compared; of other keys
    /// only the database knows the order, but more rows were read before the later one.
    pub(super) fn order(&self, other: &Self, timed: bool) -> Ordering {
        if self.key.is_empty() || other.key.is_empty() || self.key.len() != other.key.len() {
            return self.key.len().cmp(&other.key.len()).then(self.rows.cmp(&other.rows));
        }
        for (nth, (one, other_value)) in self.key.iter().zip(&other.key).enumerate() {
            let order = match (one, other_value) {
                _ if one == other_value => Ordering::Equal,
                // All are written alike, without trailing zeros and in one zone: the texts have the order of the times.
                (KeyValue::Text(one), KeyValue::Text(other)) if timed && nth == 0 => one.cmp(other),
                _ => one.number(other_value).unwrap_or_else(|| self.rows.cmp(&other.rows)),
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
        Place { rows, key: key.iter().map(|text| KeyValue::of_text(text)).collect() }
    }

    proptest! {
        #[test]
        fn a_position_comes_back(rows: u64, key in proptest::collection::vec(prop_oneof![
            any::<String>().prop_map(KeyValue::Text),
            any::<i64>().prop_map(KeyValue::Whole),
            "[-+]?0?[0-9]{1,25}".prop_map(|text| KeyValue::of_text(&text)),
            any::<f64>().prop_filter("it is no number", |number| number.is_finite()).prop_map(KeyValue::Real),
            any::<Vec<u8>>().prop_map(KeyValue::Bytes),
        ], 0..4)) {
            let place = Place { rows, key };
            prop_assert_eq!(Place::read(&place.text()), Some(place));
        }
    }

    #[test]
    fn positions_look_like_what_they_are() {
        assert_eq!(&*place(0, &[]).text(), "[0]");
        assert_eq!(&*place(1_000, &["2026-01-02 03:04:05+00", "42"]).text(), "[1000,\"2026-01-02 03:04:05+00\",42]");
        let typed = vec![KeyValue::Text("42".into()), KeyValue::Real(1.0), KeyValue::Bytes(vec![0, 255])];
        assert_eq!(&*Place { rows: 3, key: typed }.text(), r#"[3,"42",1.0,{"base64":"AP8="}]"#);
        for wrong in
            ["", "42", "[]", "[-1]", "[1,null]", "[1,[]]", "[1,{\"base64\":7}]", "[1,9223372036854775808]", "{}"]
        {
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
