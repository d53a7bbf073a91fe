//! How far a source was read: a position per source partition.
use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, collections::BTreeMap, fmt, sync::Arc};

/// A part of a source that is read in order: `user-events/0`, the path of a file, `http`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub Arc<str>);

impl From<&str> for Partition {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

/// So that a map can be asked for a name without making one. Same order and hash as the text's.
impl Borrow<str> for Partition {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a partition: everything before it is done. Only its source reads meaning into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// What a user sees and may set: an offset (Kafka: of the next record; file: of the next byte, decompressed; http, generate: number of records before it).
    pub at: Arc<str>,
    /// What the partition was known by when the position was taken (a file's device, inode and hash), so that
    /// another one under the same name is noticed. Empty: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Arc<str>>,
}

impl Position {
    /// A position that is a number, of a partition that is known by its name alone.
    pub fn offset(at: u64) -> Self {
        Self { at: at.to_string().into(), identity: None }
    }
    /// The same position, with what the partition is known by.
    pub fn of(self, identity: &str) -> Self {
        Self { identity: Some(identity.into()), ..self }
    }
    /// The position as a number, if it is one: for the sources whose positions are, and the inbox.
    pub fn as_offset(&self) -> Option<u64> {
        self.at.parse().ok()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)
    }
}

/// The position of every partition known so far. A partition that is missing was never read.
pub type Positions = BTreeMap<Partition, Position>;
