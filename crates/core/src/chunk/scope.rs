//! Whose chunks: what is listed, and collected, together. A store may keep each scope apart.
use super::ChunkId;
use crate::{
    id::{Epoch, Incarnation, PipelineId, Seq},
    shard::ShardId,
};
use std::fmt;

/// Whose a chunk is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A pipeline's: dead letters, pushed records, state. Their names are [`ChunkName`](super::ChunkName)s.
    Pipeline(PipelineId, Incarnation),
    /// Bodies of a shard's progress events that are too long for its log. They go when these do.
    Progress(ShardId),
    /// Bodies of its lifecycle events that are too long for its log. They stay, as these do.
    Lifecycle(ShardId),
    /// Parts of a shard's snapshots that are too long for a row.
    Segments(ShardId),
}

impl Scope {
    /// The name of the body of an event in [`Progress`](Self::Progress) or [`Lifecycle`](Self::Lifecycle). Names are sorted by
    /// the event's place. A fenced writer may have stored other content for the same place, so the name has the epoch.
    pub fn event(&self, at: Seq, epoch: Epoch) -> ChunkId {
        ChunkId(format!("{}/{epoch}", self.from(at).0).into())
    }

    /// What comes before the names of all bodies of events from a place on.
    pub fn from(&self, at: Seq) -> ChunkId {
        ChunkId(format!("{self}{:020}", at.0).into())
    }

    /// The place and epoch of an event, from the [name](Self::event) of its body; none if it is of another kind: who collects
    /// chunks leaves it.
    pub fn event_of(&self, chunk: &ChunkId) -> Option<(Seq, Epoch)> {
        let (at, epoch) = chunk.0.strip_prefix(&self.to_string())?.split_once('/')?;
        Some((Seq(at.parse().ok()?), Epoch(epoch.parse().ok()?)))
    }

    /// The scope of a chunk; none if the name is none.
    pub fn of(chunk: &ChunkId) -> Option<Self> {
        let shard = |rest: &str| rest.split_once('/')?.0.parse().ok().map(ShardId);
        let (first, rest) = chunk.0.split_once('/')?;
        match first {
            PROGRESS => shard(rest).map(Self::Progress),
            LIFECYCLE => shard(rest).map(Self::Lifecycle),
            SEGMENTS => shard(rest).map(Self::Segments),
            pipeline => {
                let incarnation = rest.rsplitn(3, '/').nth(2)?;
                Some(Self::Pipeline(pipeline.try_into().ok()?, incarnation.try_into().ok()?))
            }
        }
    }
}

// No pipeline's id begins so.
const PROGRESS: &str = "_progress";
const LIFECYCLE: &str = "_lifecycle";
const SEGMENTS: &str = "_segments";

/// How all names of the scope, and no others, begin.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(pipeline, incarnation) => write!(f, "{pipeline}/{incarnation}/"),
            Self::Progress(shard) => write!(f, "{PROGRESS}/{}/", shard.0),
            Self::Lifecycle(shard) => write!(f, "{LIFECYCLE}/{}/", shard.0),
            Self::Segments(shard) => write!(f, "{SEGMENTS}/{}/", shard.0),
        }
    }
}
