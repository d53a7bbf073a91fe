//! Snapshots that are too long for a row: their segments are chunks, written before the row that names them.
//!
//! A body is cut at places determined by its content, not by length, so that unchanged parts are cut into the same
//! segments as in the last snapshot and not written again: only the new parts of a long state are written. A list of
//! segments that is too long is cut in the same way.
use crate::{Error, Store, listed};
use bytes::{Bytes, BytesMut};
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// The longest snapshot that is a row, and the longest segment.
pub const MAX_SNAPSHOT: usize = 64 << 10;
/// The shortest segment, except for the last one.
const MIN_SEGMENT: usize = 8 << 10;
/// A place is a cut if these bits of the rolling sum are zero: about every 16 KiB.
const CUT: u64 = ((1 << 14) - 1) << 40;

/// Replaces such a snapshot in its row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    segments: Vec<Segment>,
}

/// The start of such a row. It can't be confused with a state, as every state starts with a `v`.
const LIST: &[u8] = br#"{"segments":"#;

/// A segment in a row: the chunk's name and a check of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Seq, Epoch, u32, u32, String)", into = "(Seq, Epoch, u32, u32, String)")]
struct Segment {
    /// The place of the snapshot that it was written for.
    next: Seq,
    /// The epoch of its writer.
    epoch: Epoch,
    /// Its number among the segments of that snapshot.
    number: u32,
    bytes: u32,
    /// Half of the SHA-256, in hexadecimal digits.
    digest: String,
}

impl From<(Seq, Epoch, u32, u32, String)> for Segment {
    fn from((next, epoch, number, bytes, digest): (Seq, Epoch, u32, u32, String)) -> Self {
        Self { next, epoch, number, bytes, digest }
    }
}

impl From<Segment> for (Seq, Epoch, u32, u32, String) {
    fn from(Segment { next, epoch, number, bytes, digest }: Segment) -> Self {
        (next, epoch, number, bytes, digest)
    }
}

impl Segment {
    /// A name is never reused for other content: at one place a pipeline has one state.
    fn chunk(&self, pipeline: &PipelineId) -> ChunkId {
        let Self { next, epoch, number, .. } = self;
        let scope = Scope::Segments(ShardId::of(pipeline));
        ChunkId(format!("{scope}{pipeline}/{next}.{epoch}.{number}").into())
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The segments that the last snapshot of a pipeline names, by their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named(HashMap<String, Segment>);

impl Named {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn chunks(&self, pipeline: &PipelineId) -> HashSet<ChunkId> {
        self.0.values().map(|segment| segment.chunk(pipeline)).collect()
    }

    /// Returns the chunks that only `self` names.
    pub(crate) fn beyond(&self, other: &Self, pipeline: &PipelineId) -> Vec<ChunkId> {
        let kept = other.chunks(pipeline);
        self.chunks(pipeline).into_iter().filter(|chunk| !kept.contains(chunk)).collect()
    }
}

/// The moment of a new snapshot: the place of the next event, and the epoch of its writer.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) next: Seq,
    pub(crate) epoch: Epoch,
}

/// Returns the row of a state, and the segments that it names. Writes only segments that the last row did not name.
pub(crate) async fn row(
    store: &dyn Store,
    Moment { next, epoch }: Moment,
    pipeline: &PipelineId,
    state: &Bytes,
    before: &Named,
) -> Result<(Bytes, Named), Error> {
    let (mut row, mut named, mut written) = (state.clone(), Named::default(), 0);
    while row.len() > MAX_SNAPSHOT {
        let (mut segments, mut new) = (Vec::new(), Vec::new());
        for body in cut(&row) {
            let digest = digest(&body);
            let segment = match before.0.get(&digest).or_else(|| named.0.get(&digest)) {
                Some(known) => known.clone(),
                None => {
                    let segment =
                        Segment { next, epoch, number: written, bytes: body.len() as u32, digest: digest.clone() };
                    written += 1;
                    new.push((segment.chunk(pipeline), body));
                    segment
                }
            };
            named.0.insert(digest, segment.clone());
            segments.push(segment);
        }
        try_join_all(new.iter().map(|(chunk, body)| store.stage_chunk(chunk, body.clone()))).await?;
        row = serde_json::to_vec(&List { segments }).map_err(|cause| Error::Corrupt(cause.to_string()))?.into();
    }
    Ok((row, named))
}

/// The reason why a state could not be assembled.
pub(crate) enum Unread {
    /// A segment is absent: the row was replaced meanwhile, or the journal is damaged.
    Missing(Error),
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Returns the state for a row, and the segments that the row names.
pub(crate) async fn state(store: &dyn Store, pipeline: &PipelineId, row: Bytes) -> Result<(Bytes, Named), Unread> {
    let (mut body, mut named) = (row, Named::default());
    while body.starts_with(LIST) {
        let damaged = |what: String| Error::Corrupt(format!("the snapshot of pipeline {pipeline} {what}"));
        let list: List = serde_json::from_slice(&body).map_err(|cause| damaged(format!("can't be read: {cause}")))?;
        let mut whole = BytesMut::with_capacity(list.segments.iter().map(|segment| segment.bytes as usize).sum());
        for segment in list.segments {
            let chunk = segment.chunk(pipeline);
            let found = store.chunk(&chunk).await?;
            let found = found.ok_or_else(|| Unread::Missing(damaged(format!("lacks its segment {chunk}"))))?;
            if found.len() != segment.bytes as usize || digest(&found) != segment.digest {
                return Err(damaged(format!("has other content in its segment {chunk}")).into());
            }
            whole.extend_from_slice(&found);
            named.0.insert(segment.digest.clone(), segment);
        }
        body = whole.freeze();
    }
    Ok((body, named))
}

/// Removes segments that no snapshot names: earlier owners of the shard crashed after writing them.
pub(crate) async fn collect(
    store: &dyn Store,
    shard: ShardId,
    epoch: Epoch,
    named: &HashSet<ChunkId>,
) -> Result<(), Error> {
    let earlier = |chunk: &ChunkId| {
        let written = chunk.0.rsplit('/').next()?.split('.').nth(1)?.parse().ok()?;
        Some(Epoch(written) < epoch)
    };
    let mut gone = listed::all(store, &Scope::Segments(shard)).await?;
    gone.retain(|chunk| !named.contains(chunk) && earlier(chunk) == Some(true));
    if gone.is_empty() { Ok(()) } else { store.remove_chunks(&gone).await }
}

/// Cuts a body into segments.
fn cut(body: &Bytes) -> Vec<Bytes> {
    let (mut segments, mut rest) = (Vec::new(), body.clone());
    while !rest.is_empty() {
        segments.push(rest.split_to(first_cut(&rest)));
    }
    segments
}

/// Returns the end of a body's first segment.
fn first_cut(body: &[u8]) -> usize {
    let mut sum = 0_u64;
    let most = body.len().min(MAX_SNAPSHOT);
    for (at, byte) in body[..most].iter().enumerate().skip(MIN_SEGMENT) {
        // Earlier bytes are shifted out of the sum, so that a cut depends only on the last 64.
        sum = (sum << 1).wrapping_add(SCATTERED[usize::from(*byte)]);
        if sum & CUT == 0 {
            return at + 1;
        }
    }
    most
}

/// A pseudo-random number for each byte.
const SCATTERED: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        // SplitMix64.
        let mut z = (byte as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[byte] = z ^ (z >> 31);
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
