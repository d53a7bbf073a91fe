//! JSON, and what is like it, in which each key of an object is given once: of two values for one setting, nobody knows which was meant.
use serde::{
    Deserialize,
    de::{self, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The value that a text holds.
///
/// # Errors
/// It is no JSON, or gives a key twice.
pub fn from_json(text: &[u8]) -> Result<Value, serde_json::Error> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice::<Unique>(text).map(|Unique(value)| value)
}

/// A value in which no object, at any depth, gives a key twice; read from JSON, YAML or TOML. What only one of them can say
/// (NaN, tags, merged objects) is refused; what is left means the same in each.
#[derive(Debug)]
pub struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // JSON reads -0 as a double, others as an integer.
        let zero = || Value::from(0);
        let number = if value == 0.0 && value.is_sign_negative() {
            Some(zero())
        } else {
            Number::from_f64(value).map(Value::Number)
        };
        number.ok_or_else(|| E::custom(format_args!("{value} is not a finite number")))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_enum<A: de::EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom("a tag (!…) means nothing here: leave it out"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("{key:?} is given twice in one object: keep one of them")));
            }
            let Unique(value) = entries.next_value()?;
            if key == "<<" && !value.is_string() {
                return Err(de::Error::custom("objects are not merged (<<): write the fields themselves"));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::from_json;

    #[test]
    fn a_key_that_is_given_twice_is_refused_wherever_it_stands() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "c": 2, "a": 3}}]"#, r#"{"a": null, "\u0061": {}}"#] {
            let found = from_json(text.as_bytes()).map_err(|error| error.to_string());
            assert!(found.as_ref().is_err_and(|why| why.contains("\"a\" is given twice")), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_the_sign_of_zero_mean_nothing() {
        assert_eq!(from_json("\u{feff}{\"a\": -0}".as_bytes()).ok(), Some(serde_json::json!({"a": 0})));
    }

    #[test]
    fn anything_else_is_read_as_it_is() {
        for text in
            [r#"{"a": [1, -2, 1.5, 1e300, true, null, "x\u0000", {}], "b": {"a": 18446744073709551615}}"#, "3", "[]"]
        {
            assert_eq!(from_json(text.as_bytes()).ok(), serde_json::from_str(text).ok(), "{text}");
        }
        for text in ["", "{", "{\"a\": 1}x", "nul", "{\"a\" 1}"] {
            assert!(from_json(text.as_bytes()).is_err(), "{text}");
        }
    }
}
