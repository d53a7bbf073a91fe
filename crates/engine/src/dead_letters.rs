//! Dead letters: how a commit's are stored in a chunk, and how they are found again by number.
use crate::view::{DeadLetter, DeadLetterPage};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dataflow_core::{chunk::ChunkRef, time::Timestamp};
use dataflow_journal::Journal;
use dataflow_sdk::{batch::Dead, records::Records};
use serde::{Deserialize, Serialize};

/// Dead letters of one commit as they are stored.
#[derive(Serialize, Deserialize)]
#[serde(tag = "v")]
enum Stored {
    #[serde(rename = "1")]
    V1 { letters: Vec<DeadLetter> },
}

/// A dead letter of a record, not yet numbered.
pub(crate) fn letter(records: &Records, dead: &Dead, at: Timestamp) -> DeadLetter {
    let row = dead.row as usize;
    let bytes = records.bytes(row);
    let oversized = records.oversized.iter().find(|oversized| oversized.row == dead.row);
    let (original, original_base64) = match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes))),
    };
    DeadLetter {
        number: 0,
        partition: records.partition.to_string(),
        position: records.offsets[row].to_string(),
        record_id: records.id(row),
        stage: dead.stage.clone(),
        code: dead.code.into(),
        cause: dead.cause.clone(),
        at: crate::view::rfc3339(at),
        length: oversized.map_or_else(|| bytes.map_or(0, |bytes| bytes.len() as u64), |oversized| oversized.length),
        hash: oversized.map(|oversized| oversized.hash.clone()),
        original,
        original_base64,
    }
}

/// The body of a chunk of dead letters.
pub(crate) fn encode(letters: Vec<DeadLetter>) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&Stored::V1 { letters }).map(Bytes::from)
}

fn decode(body: &[u8]) -> Result<Vec<DeadLetter>, serde_json::Error> {
    let Stored::V1 { letters } = serde_json::from_slice(body)?;
    Ok(letters)
}

/// The dead letters after number `after`, at most `limit`, with their bytes.
pub(crate) async fn list(
    journal: &dyn Journal,
    chunks: &[ChunkRef],
    after: u64,
    limit: usize,
) -> Result<Vec<DeadLetter>, String> {
    let mut found = Vec::new();
    let mut before = 0;
    for chunk in chunks {
        let end = before + chunk.records;
        if end > after {
            let body = journal.chunk(&chunk.id).await.map_err(|error| error.to_string())?;
            let body =
                body.ok_or_else(|| format!("the chunk {} is named by the journal but is not there", chunk.id))?;
            let letters = decode(&body).map_err(|error| format!("the chunk {} can't be read: {error}", chunk.id))?;
            for (number, letter) in (before + 1..).zip(letters) {
                if number > after {
                    found.push(DeadLetter { number, ..letter });
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
            }
        }
        before = end;
    }
    Ok(found)
}

/// A page of them without their bytes.
pub(crate) async fn page(
    journal: &dyn Journal,
    chunks: &[ChunkRef],
    after: u64,
    limit: usize,
) -> Result<DeadLetterPage, String> {
    let items = list(journal, chunks, after, limit).await?;
    let total: u64 = chunks.iter().map(|chunk| chunk.records).sum();
    let next = items.last().map(|letter| letter.number).filter(|last| *last < total);
    let items =
        items.into_iter().map(|letter| DeadLetter { original: None, original_base64: None, ..letter }).collect();
    Ok(DeadLetterPage { items, next })
}
