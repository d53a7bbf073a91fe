//! Records that could not be processed.
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A page of dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterPage {
    /// Dead letters, oldest first, of several sinks one after the other; without their bytes.
    pub items: Vec<DeadLetter>,
    /// What to give as `after` for the next page; none: this is the last.
    pub next: Option<String>,
}

/// A record that could not be processed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Of which sink, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// Its number, from 1; each sink counts its own.
    pub number: u64,
    /// Where in the source; not in those of which only the number is known (`letter-missing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Its place in the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Of a file that is still there, and not compressed: the line at which it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The generation that read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The record's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// Where it failed: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Stable code.
    pub code: String,
    /// Why.
    pub cause: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Its length in bytes.
    pub length: u64,
    /// Hash of the whole (xxh3-64): in lists, and if only its head was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Of CSV whose fields are named by its file: the line that names them. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The original bytes as text, if they are UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// The original bytes in base64, if they are not UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_base64: Option<String>,
    /// The record's key as text, if it is UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The record's key in base64, if it is not UTF-8. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// What came with the record: `headers`, or the metadata of a pushed one. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// The record's own time. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

impl DeadLetter {
    /// Bytes as text, if they are UTF-8, otherwise in base64.
    pub fn written(bytes: Option<Vec<u8>>) -> (Option<String>, Option<String>) {
        match bytes.map(String::from_utf8) {
            None => (None, None),
            Some(Ok(text)) => (Some(text), None),
            Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes.as_bytes()))),
        }
    }

    /// The original bytes, as far as they were kept; none of a letter from a list.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.original, &self.original_base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(text)) => BASE64_STANDARD.decode(text).ok(),
            (None, None) => None,
        }
    }
}
