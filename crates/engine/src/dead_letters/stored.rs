//! Dead letters as the journal stores them.
use super::{DeadLetter, Sent};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dataflow_core::{id::Generation, level::WriteLevel, time::Timestamp};
use dataflow_journal::Error;
use serde::{Deserialize, Serialize};

/// Dead letters of one commit, or of several that were joined, as they are stored from write level 1 on. What was ever written
/// stays readable: a shape that has to change is written from a new level on, with a golden file of its own in
/// `golden/dead-letters/`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct V1 {
    /// The level at which they were written.
    v: WriteLevel,
    letters: Vec<LetterV1>,
}

/// What all levels have in common.
#[derive(Deserialize)]
struct Versioned {
    v: WriteLevel,
}

/// A dead letter as it is stored from level 1 on. The letters before it number it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LetterV1 {
    partition: String,
    position: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    record_id: String,
    stage: String,
    code: String,
    cause: String,
    at: Option<Timestamp>,
    length: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// Of CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// As text, if they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_base64: Option<String>,
    /// As text, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// A JSON object, with all the digits of its numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

/// Bytes as text, if they are UTF-8, otherwise in base64.
fn written(bytes: Option<Vec<u8>>) -> (Option<String>, Option<String>) {
    match bytes.map(String::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes.as_bytes()))),
    }
}

/// Bytes that were written as text or in base64.
fn read(text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>, base64::DecodeError> {
    let bytes = base64.map(|base64| BASE64_STANDARD.decode(base64)).transpose()?;
    Ok(text.map(String::into_bytes).or(bytes))
}

impl From<DeadLetter> for LetterV1 {
    fn from(letter: DeadLetter) -> Self {
        let (original, original_base64) = written(letter.original);
        let Sent { key, metadata, timestamp } = letter.sent;
        let (key, key_base64) = written(key);
        Self {
            partition: letter.partition,
            position: letter.position,
            generation: letter.generation,
            record_id: letter.record_id,
            stage: letter.stage,
            code: letter.code,
            cause: letter.cause,
            at: letter.at,
            length: letter.length,
            hash: letter.hash,
            header: letter.header,
            original,
            original_base64,
            key,
            key_base64,
            metadata,
            timestamp,
        }
    }
}

impl TryFrom<LetterV1> for DeadLetter {
    type Error = base64::DecodeError;
    fn try_from(letter: LetterV1) -> Result<Self, Self::Error> {
        let LetterV1 { metadata, timestamp, .. } = letter;
        Ok(Self {
            sink: None,
            number: 0,
            partition: letter.partition,
            position: letter.position,
            line: None,
            generation: letter.generation,
            record_id: letter.record_id,
            stage: letter.stage,
            code: letter.code,
            cause: letter.cause,
            at: letter.at,
            length: letter.length,
            hash: letter.hash,
            header: letter.header,
            original: read(letter.original, letter.original_base64)?,
            sent: Sent { key: read(letter.key, letter.key_base64)?, metadata, timestamp },
        })
    }
}

/// The body of a chunk of dead letters, as it is written at a level.
pub(crate) fn encode(letters: Vec<DeadLetter>, level: WriteLevel) -> Result<Bytes, serde_json::Error> {
    joined(letters.into_iter().map(LetterV1::from).collect(), level)
}

/// The body of a chunk of these.
pub(super) fn joined(letters: Vec<LetterV1>, v: WriteLevel) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&V1 { v, letters }).map(Bytes::from)
}

/// The letters of a chunk of any level up to `newest`, not yet numbered. An error is told to go after the chunk's name.
pub(super) fn decode(body: &[u8], newest: WriteLevel) -> Result<Vec<DeadLetter>, Error> {
    let letters = stored(body, newest)?.into_iter().map(DeadLetter::try_from).collect::<Result<_, _>>();
    letters.map_err(|cause| Error::Corrupt(format!("can't be read: {cause}")))
}

/// The letters of a chunk as they are stored.
pub(super) fn stored(body: &[u8], newest: WriteLevel) -> Result<Vec<LetterV1>, Error> {
    let damaged = |cause: serde_json::Error| Error::Corrupt(format!("can't be read: {cause}"));
    let Versioned { v } = serde_json::from_slice(body).map_err(damaged)?;
    if v > newest {
        return Err(Error::OtherBuild(format!(
            "was written at level {v}, this build reads levels up to {newest}; run the build that wrote it, or a newer one"
        )));
    }
    Ok(serde_json::from_slice::<V1>(body).map_err(damaged)?.letters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{DeadLetter, Error, Sent, decode, encode};
    use dataflow_core::{id::Generation, level::WriteLevel, time::Timestamp};

    /// Never changed: chunks of this shape are stored.
    const GOLDEN_V1: &str = include_str!("../../golden/dead-letters/v1.json");

    /// One with all that can be there, one whose bytes are no text, one of which nothing was kept.
    fn letters() -> Vec<DeadLetter> {
        let text = DeadLetter {
            sink: None,
            number: 0,
            partition: "orders/0".into(),
            position: "41".into(),
            line: None,
            generation: Some(Generation::new(2, 0x5f3a)),
            record_id: "orders/0:41".into(),
            stage: "transforms[1]".into(),
            code: "type-mismatch".into(),
            cause: "\"zwölf\" is no number".into(),
            at: Some(Timestamp(1_767_225_600_123)),
            length: 9_007_199_254_740_993,
            hash: Some("9f86d081884c7d65".into()),
            header: Some("age,name".into()),
            original: Some("{\"age\":\"zwölf\"}\n".into()),
            sent: Sent {
                key: Some("größe".into()),
                metadata: Some("{\"headers\":{\"n\":123456789012345678901}}".into()),
                timestamp: Some(Timestamp(-1)),
            },
        };
        let bytes = DeadLetter {
            position: "42".into(),
            length: 2,
            hash: None,
            header: None,
            original: Some(vec![0xff, 0xfe]),
            sent: Sent { key: Some(vec![0xff]), ..Sent::default() },
            ..text.clone()
        };
        let sent = Sent::default();
        let none =
            DeadLetter { position: "43".into(), generation: None, length: 0, original: None, sent, ..bytes.clone() };
        vec![text, bytes, none]
    }

    #[test]
    fn the_golden_chunk_of_version_1_is_read_and_written() {
        let written = encode(letters(), WriteLevel(1)).unwrap();
        assert_eq!(std::str::from_utf8(&written).unwrap(), GOLDEN_V1.trim_end());
        assert_eq!(decode(GOLDEN_V1.as_bytes(), WriteLevel::NEWEST).unwrap(), letters());
    }

    #[test]
    fn letters_of_a_later_level_are_told_from_damage() {
        let later = encode(letters(), WriteLevel(2)).unwrap();
        assert_eq!(decode(&later, WriteLevel(2)).unwrap(), letters());
        assert!(matches!(decode(&later, WriteLevel(1)), Err(Error::OtherBuild(_))));
        for damaged in [&br#"{"letters":[]}"#[..], br#"{"v":1,"letters":"#] {
            assert!(matches!(decode(damaged, WriteLevel(1)), Err(Error::Corrupt(_))));
        }
    }
}
