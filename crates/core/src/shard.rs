//! Which shard a pipeline belongs to.
use crate::id::PipelineId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of shards, fixed for the life of a cluster.
pub const SHARDS: usize = 256;

/// Where [`fnv1a`] begins.
pub(crate) const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over more bytes.
pub(crate) fn fnv1a(hash: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One of the 256 shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u8);

impl ShardId {
    /// The shard of a pipeline: FNV-1a (64 bit, offset basis `cbf29ce484222325`, prime `100000001b3`) over the
    /// bytes of the id, its eight bytes folded together by exclusive or. Part of the stored format: never changes.
    pub fn of(pipeline: &PipelineId) -> Self {
        let hash = fnv1a(FNV_BASIS, pipeline.as_str().bytes());
        Self(hash.to_le_bytes().iter().fold(0, |fold, byte| fold ^ byte))
    }

    /// All shards in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
