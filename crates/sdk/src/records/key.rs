//! Keys of records: bytes, and what they stand for.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dataflow_core::types::Type;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Prefix of an id that is not text: the rest is base64 (RFC 4648).
const BASE64: &str = "base64:";

/// The format of key bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyFormat {
    /// Text in UTF-8.
    #[default]
    Text,
    /// Bytes: `meta.key` is their base64.
    Bytes,
    /// An integer of eight bytes, the highest first: `meta.key` is the number.
    Int64,
    /// A UUID of 16 bytes: `meta.key` is its text.
    Uuid,
    /// A JSON text: `meta.key` is its value.
    Json,
}

impl KeyFormat {
    /// The type of `meta.key`.
    pub fn ty(self) -> Type {
        match self {
            Self::Text | Self::Bytes | Self::Uuid => Type::Text,
            Self::Int64 => Type::Bigint,
            Self::Json => Type::Json,
        }
    }

    /// The text of a key: a number's digits, a JSON text as it came.
    ///
    /// # Errors
    /// Why its bytes don't stand for what they should.
    pub fn text(self, key: &[u8]) -> Result<Cow<'_, str>, String> {
        let wrong = |what: &str, name: &str| {
            format!("the key {} is not {what} (keyFormat: {name}); `bytes` takes any", shown(key))
        };
        match self {
            Self::Text => std::str::from_utf8(key).map(Cow::Borrowed).map_err(|_| wrong("UTF-8", "text")),
            Self::Bytes => Ok(BASE64_STANDARD.encode(key).into()),
            Self::Int64 => {
                let bytes = key.try_into().map_err(|_| wrong("8 bytes long", "int64"))?;
                Ok(i64::from_be_bytes(bytes).to_string().into())
            }
            Self::Uuid => {
                let bytes: [u8; 16] = key.try_into().map_err(|_| wrong("16 bytes long", "uuid"))?;
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                Ok(parts.join("-").into())
            }
            Self::Json => match serde_json::from_slice::<&RawValue>(key) {
                Ok(value) => Ok(value.get().into()),
                Err(_) => Err(wrong("JSON", "json")),
            },
        }
    }
}

/// The first bytes of a key, in base64.
fn shown(key: &[u8]) -> String {
    const MOST: usize = 48;
    let more = if key.len() > MOST { format!("… ({} bytes)", key.len()) } else { String::new() };
    format!("{BASE64}{}{more}", BASE64_STANDARD.encode(&key[..key.len().min(MOST)]))
}

/// A key as an id: its text, or `base64:` and its bytes where they are no text. Two keys never give the same id: a text
/// that begins like the second form is written in it.
pub fn id(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.starts_with(BASE64) => text.into(),
        _ => format!("{BASE64}{}", BASE64_STANDARD.encode(key)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_gives_its_key_back(key in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            any::<String>().prop_map(String::into_bytes),
            any::<Vec<u8>>().prop_map(|key| id(&key).into_bytes()),
        ]) {
            let id = id(&key);
            let back = match id.strip_prefix(BASE64) {
                Some(base64) => BASE64_STANDARD.decode(base64).unwrap(),
                None => id.into_bytes(),
            };
            prop_assert_eq!(back, key);
        }
    }

    #[test]
    fn keys_stand_for_what_is_said_or_for_nothing() {
        let number = 258_i64.to_be_bytes();
        let negative = (-2_i64).to_be_bytes();
        let uuid: Vec<u8> = (0..16).collect();
        let cases: [(KeyFormat, &[u8], Option<&str>); 14] = [
            (KeyFormat::Text, b"k", Some("k")),
            (KeyFormat::Text, b"", Some("")),
            (KeyFormat::Text, b"\xff", None),
            (KeyFormat::Bytes, b"\xff\xfe", Some("//4=")),
            (KeyFormat::Bytes, b"k", Some("aw==")),
            (KeyFormat::Int64, &number, Some("258")),
            (KeyFormat::Int64, &negative, Some("-2")),
            (KeyFormat::Int64, b"258", None),
            (KeyFormat::Uuid, &uuid, Some("00010203-0405-0607-0809-0a0b0c0d0e0f")),
            (KeyFormat::Uuid, b"00010203-0405-0607-0809-0a0b0c0d0e0f", None),
            (KeyFormat::Json, b" {\"a\":1.0} ", Some("{\"a\":1.0}")),
            (KeyFormat::Json, b"7", Some("7")),
            (KeyFormat::Json, b"{", None),
            (KeyFormat::Json, b"\"\xff\"", None),
        ];
        for (format, key, text) in cases {
            assert_eq!(format.text(key).ok().as_deref(), text, "{format:?} {key:?}");
        }
    }
}
