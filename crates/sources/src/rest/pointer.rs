//! JSON pointers (RFC 6901) into texts whose values stay the bytes that they are.
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A place in a JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pointer {
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !(text.is_empty() || text.starts_with('/')) {
            return Err(format!("{text:?} is no JSON pointer: it does not begin with /"));
        }
        let token = |token: &str| token.replace("~1", "/").replace("~0", "~");
        Ok(Self { text: text.into(), tokens: text.split('/').skip(1).map(token).collect() })
    }

    /// Its steps.
    pub(super) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The text of the value there, without blanks around it; none: there is nothing. Of keys that are there twice, the last counts.
    ///
    /// # Errors
    /// If `json` is not JSON.
    pub(super) fn find<'a>(&self, json: &'a str) -> Result<Option<&'a str>, serde_json::Error> {
        let mut value: &'a RawValue = serde_json::from_str(json)?;
        for token in &self.tokens {
            let inner = match value.get().as_bytes().first() {
                Some(b'{') => members(value.get())?.remove(token),
                Some(b'[') => match token.parse::<usize>() {
                    Ok(index) => items(value.get())?.get(index).copied(),
                    Err(_) => None,
                },
                _ => None,
            };
            let Some(inner) = inner else { return Ok(None) };
            value = inner;
        }
        Ok(Some(value.get()))
    }
}

/// The values of an object.
pub(super) fn members(json: &str) -> Result<BTreeMap<String, &RawValue>, serde_json::Error> {
    serde_json::from_str(json)
}

/// The elements of an array.
pub(super) fn items(json: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    serde_json::from_str(json)
}

/// What a scalar stands for: a text's characters, anything else as it is written.
pub(super) fn plain(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_the_bytes_that_they_are() {
        let body = r#" {"a": {"b/c": [1, 9007199254740993.10, {"~": "ü\ud83d\u0041"}]}, "a2": null, "d": 1, "d": 2} "#;
        for (pointer, expected) in [
            ("/a/b~1c/1", Some("9007199254740993.10")),
            ("/a/b~1c/2/~0", Some(r#""ü\ud83d\u0041""#)),
            ("/a2", Some("null")),
            ("/d", Some("2")),
            ("/a/b~1c/3", None),
            ("/a/b~1c/x", None),
            ("/d/e", None),
            ("/", None),
        ] {
            assert_eq!(Pointer::parse(pointer).unwrap().find(body).unwrap(), expected, "{pointer}");
        }
        assert_eq!(Pointer::default().find(body).unwrap(), Some(body.trim()));
        assert!(Pointer::parse("a.b").is_err());
        assert!(Pointer::parse("/a").unwrap().find("{").is_err());
    }
}
