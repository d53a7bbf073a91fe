//! Chunks: blobs beside the journal, which count only once a fenced event or a token names them.
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The name of a chunk: `{pipeline}/{incarnation}/{epoch}/{rest}`. Unique; a chunk is never overwritten with other content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChunkId(pub Arc<str>);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChunkKind {
    /// Dead letters of one commit, or of several that were joined.
    DeadLetters,
    /// Records pushed in one batch.
    Ingest,
}

/// A chunk and what it holds, as events and tokens name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkRef {
    /// Its name.
    pub id: ChunkId,
    /// What it holds.
    pub kind: ChunkKind,
    /// Number of records in it.
    pub records: u64,
}
