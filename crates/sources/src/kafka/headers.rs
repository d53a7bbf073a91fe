//! Converts the headers of a record to JSON without loss.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

/// Returns a value for each name, in the order of first appearance. A UTF-8 value is a string, any other is `{"base64":
/// "…"}`, a missing one is null. The values of a repeated name are a list, in their order.
pub(super) fn object<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Map<String, Value> {
    let mut all: indexmap::IndexMap<&str, Vec<Value>> = indexmap::IndexMap::new();
    for (name, value) in headers {
        all.entry(name).or_default().push(value.map_or(Value::Null, one));
    }
    let value = |mut values: Vec<Value>| match values.len() {
        1 => values.remove(0),
        _ => Value::Array(values),
    };
    all.into_iter().map(|(name, values)| (name.to_owned(), value(values))).collect()
}

fn one(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(value) }),
    }
}

#[cfg(test)]
mod tests {
    use super::object;
    use serde_json::json;

    #[test]
    fn nothing_of_them_is_lost() {
        let headers: [(&str, Option<&[u8]>); 6] = [
            ("b", Some(b"1")),
            ("a", Some(b"\xff\xfe")),
            ("b", None),
            ("none", None),
            ("", Some(b"")),
            ("b", Some(b"\xff")),
        ];
        let expected = json!({
            "b": ["1", null, {"base64": "/w=="}], "a": {"base64": "//4="}, "none": null, "": "",
        });
        assert_eq!(json!(object(headers.into_iter())).to_string(), expected.to_string());
        assert!(object([].into_iter()).is_empty());
    }
}
