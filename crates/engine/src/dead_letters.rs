//! Dead letters: how a commit's are stored in a chunk, and how they are found again by number.
mod page;
mod stored;

pub(crate) use page::{Letters, page};
pub(crate) use stored::encode;

use crate::answers::{DeadLetter, Sent};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkName, ChunkRef, Content},
    id::Generation,
    limits::JOINED_LETTERS,
    time::Timestamp,
    token::Fence,
};
use dataflow_journal::{Error, Journal};
use dataflow_sdk::{
    batch::Dead,
    records::{Layout, Records, Slices},
};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// The name of the chunk of a commit's dead letters.
pub(crate) fn chunk_id(fence: &Fence, commit: u64, letters: u64) -> ChunkId {
    let (branch, opening, lane) = (fence.branch.number(), fence.opening, fence.lane);
    named(fence, Content::Letters { branch, opening, lane, commit, letters })
}

fn named(fence: &Fence, content: Content) -> ChunkId {
    let Fence { branch, incarnation, epoch, .. } = fence.clone();
    ChunkName { pipeline: branch.pipeline().clone(), incarnation, epoch, content }.into()
}

/// Chunks that stand for letters which a target counts at a commit and does not name: the journal that knew them is not this one.
pub(crate) fn unnamed(fence: &Fence, commit: u64, letters: u64) -> impl Iterator<Item = ChunkRef> {
    (0..letters).step_by(JOINED_LETTERS as usize).map(move |before| {
        let (branch, lane) = (fence.branch.number(), fence.lane);
        let content = Content::MissingLetters { branch, generation: fence.generation, lane, commit, before };
        ChunkRef {
            id: named(fence, content),
            kind: ChunkKind::DeadLetters,
            records: JOINED_LETTERS.min(letters - before),
        }
    })
}

/// The commit whose dead letters a chunk of this name holds.
pub(crate) fn commit_of(id: &ChunkId) -> Option<u64> {
    match id.name()?.content {
        Content::Letters { commit, .. } => Some(commit),
        Content::JoinedLetters { .. } | Content::MissingLetters { .. } | Content::State { .. } | Content::Pushed(_) => {
            None
        }
    }
}

/// A dead letter of a record that a generation has read, not yet numbered.
pub(crate) fn letter(records: &Records, dead: &Dead, generation: Generation, at: Timestamp) -> DeadLetter {
    let row = dead.row as usize;
    let bytes = records.bytes(row);
    let oversized = records.oversized.iter().find(|oversized| oversized.row == dead.row);
    let own = |slices: &Option<Slices>| Some(slices.as_ref()?.get(row)?.to_vec());
    let sent = Sent {
        key: own(&records.keys),
        metadata: own(&records.metadata).and_then(|json| String::from_utf8(json).ok()),
        timestamp: records.timestamps.as_ref().and_then(|times| times[row]).map(Timestamp),
    };
    DeadLetter {
        sink: None,
        number: 0,
        partition: records.partition.to_string(),
        position: records.before(row).at.to_string(),
        line: None,
        generation: Some(generation),
        record_id: records.id(row),
        stage: dead.stage.clone(),
        code: dead.code.into(),
        cause: dead.cause.clone(),
        at: Some(at),
        length: oversized.map_or_else(|| bytes.map_or(0, |bytes| bytes.len() as u64), |oversized| oversized.length),
        hash: oversized.map(|oversized| oversized.hash.clone()),
        header: match &records.layout {
            Layout::Csv(layout) => layout.header.clone(),
            Layout::Json | Layout::Columns(_) => None,
        },
        original: bytes.map(Into::into),
        sent,
    }
}

/// Most bytes that are joined into one chunk.
const JOINED_BYTES: usize = 8 << 20;

/// One body of the letters of the first of these chunks, in order, and of how many chunks: fewer than all if they are
/// large, or one can't be read.
///
/// # Errors
/// If the journal can't be reached.
pub(crate) async fn join(journal: &Journal, chunks: &[ChunkRef]) -> Result<(usize, Bytes), String> {
    let (level, newest) = (journal.write_level().map_err(|error| error.to_string())?, journal.newest_level());
    let (mut count, mut bytes, mut joined) = (0, 0, Vec::new());
    for chunk in chunks {
        let body = match journal.chunk(&chunk.id).await {
            Err(error @ Error::Unavailable(_)) => return Err(error.to_string()),
            Ok(Some(body)) => body,
            Ok(None) | Err(_) => break,
        };
        bytes += body.len();
        let Ok(letters) = stored::stored(&body, newest) else { break };
        if bytes > JOINED_BYTES {
            break;
        }
        joined.extend(letters);
        count += 1;
    }
    let body = stored::joined(joined, level).map_err(|error| error.to_string())?;
    Ok((count, body))
}

/// The letters of a chunk, not yet numbered. Where it is not there, as in a journal that is older than its sink, each of
/// them says so.
async fn letters(journal: &Journal, chunk: &ChunkRef) -> Result<Vec<DeadLetter>, Error> {
    match journal.chunk(&chunk.id).await? {
        Some(body) => stored::decode(&body, journal.newest_level()).map_err(|error| match error {
            Error::Corrupt(what) => Error::Corrupt(format!("the chunk {} {what}", chunk.id)),
            Error::OtherBuild(what) => Error::OtherBuild(format!("the chunk {} {what}", chunk.id)),
            other => other,
        }),
        None => Ok(vec![missing(chunk); usize::try_from(chunk.records).unwrap_or(usize::MAX)]),
    }
}

/// What is left of a letter whose chunk is not there.
pub(crate) fn missing(chunk: &ChunkRef) -> DeadLetter {
    DeadLetter {
        sink: None,
        number: 0,
        partition: String::new(),
        position: String::new(),
        line: None,
        generation: None,
        record_id: String::new(),
        stage: "journal".into(),
        code: "letter-missing".into(),
        cause: format!(
            "the sink's token counts {} dead letters (chunk {}) that this journal does not have: the journal is older \
                than the sink, as after a restore from a backup",
            chunk.records, chunk.id
        ),
        at: None,
        length: 0,
        hash: None,
        header: None,
        original: None,
        sent: Sent::default(),
    }
}

/// The dead letters after number `after`, at most `limit`, with their bytes.
pub(crate) async fn list(
    journal: &Journal,
    chunks: &[ChunkRef],
    after: u64,
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    let mut found = Vec::new();
    let mut before = 0;
    for chunk in chunks {
        let end = before + chunk.records;
        if end > after {
            let letters = letters(journal, chunk).await?;
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

/// How many records of a partition between two offsets, the second excluded, are dead letters. The newest chunks are looked
/// at first, and none that is older than these records.
pub(crate) async fn between(
    journal: &Journal,
    chunks: &[ChunkRef],
    partition: &str,
    (from, to): (u64, u64),
) -> Result<u64, Error> {
    let mut dead: BTreeSet<u64> = BTreeSet::new();
    for chunk in chunks.iter().rev() {
        let letters = letters(journal, chunk).await?;
        let places = letters.iter().filter(|letter| letter.partition == partition);
        let places: Vec<u64> = places.filter_map(|letter| letter.position.parse().ok()).collect();
        dead.extend(places.iter().filter(|place| (from..to).contains(place)));
        if places.iter().any(|place| *place < from) {
            break;
        }
    }
    Ok(dead.len() as u64)
}

/// The letters of the first chunk that has any after number `after`, those only; none: there are no more.
pub(crate) async fn next_chunk(journal: &Journal, chunks: &[ChunkRef], after: u64) -> Result<Vec<DeadLetter>, Error> {
    let mut before = 0;
    for chunk in chunks {
        let end = before + chunk.records;
        if end > after {
            let letters = letters(journal, chunk).await?;
            let numbered = (before + 1..=end).zip(letters).map(|(number, letter)| DeadLetter { number, ..letter });
            return Ok(numbered.filter(|letter| letter.number > after).collect());
        }
        before = end;
    }
    Ok(Vec::new())
}

/// Letters with hashes instead of their bytes.
pub(crate) fn shortened(letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
    let hash = |original: &Vec<u8>| format!("{:016x}", xxh3_64(original));
    let short = |letter: DeadLetter| {
        let hash = letter.hash.or_else(|| letter.original.as_ref().map(hash));
        DeadLetter { header: None, original: None, hash, sent: Sent::default(), ..letter }
    };
    letters.into_iter().map(short).collect()
}
