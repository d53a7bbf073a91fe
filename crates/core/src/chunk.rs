//! Chunks: blobs beside the journal, which count only once a fenced event or a token names them.
mod scope;

pub use scope::Scope;

use crate::{
    branch::BranchNumber,
    id::{Epoch, Generation, Incarnation, PipelineId},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of a chunk as it is stored. Unique; a chunk is never overwritten with other content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChunkId(pub Arc<str>);

impl ChunkId {
    /// What the name says; none if it is of a kind that this build does not know: who collects chunks leaves it.
    pub fn name(&self) -> Option<ChunkName> {
        self.0.parse().ok()
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the name of a pipeline's chunk says: `{pipeline}/{incarnation}/{epoch}/{content}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkName {
    /// Whose it is.
    pub pipeline: PipelineId,
    /// Which pipeline of that id.
    pub incarnation: Incarnation,
    /// The epoch of the shard's owner that made it: no later owner writes over it.
    pub epoch: Epoch,
    /// What it is.
    pub content: Content,
}

/// What a chunk of a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Dead letters of one commit. Each opening of the lane writes a chunk of its own: one that a failed commit named is never written over.
    Letters {
        /// The branch.
        branch: BranchNumber,
        /// The [opening](crate::token::Fence::opening) of the lane.
        opening: u64,
        /// The lane.
        lane: u32,
        /// The lane's commit.
        commit: u64,
        /// How many letters; of two attempts of a commit, one may have fewer.
        letters: u64,
    },
    /// Dead letters of several commits. Which ones follows from the name, so that an attempt that was cut off is repeated to the same
    /// effect.
    JoinedLetters {
        /// The branch.
        branch: BranchNumber,
        /// How many come before them.
        before: u64,
        /// How many they are.
        letters: u64,
    },
    /// Dead letters that a token counts and this journal does not have: no chunk has this name.
    MissingLetters {
        /// The token's branch.
        branch: BranchNumber,
        /// The token's generation.
        generation: Generation,
        /// Its lane.
        lane: u32,
        /// Its commit.
        commit: u64,
        /// How many of them come before these.
        before: u64,
    },
    /// State of a lane's transforms after a commit, whole or as what the commit has changed.
    State {
        /// The branch.
        branch: BranchNumber,
        /// The [opening](crate::token::Fence::opening) of the lane.
        opening: u64,
        /// The lane.
        lane: u32,
        /// The lane's commit.
        commit: u64,
        /// Whether it is whole.
        whole: bool,
    },
    /// A pushed batch, under a random name.
    Pushed(String),
}

impl Content {
    /// The branch that it is of; none: it is of the pipeline as a whole.
    pub fn branch(&self) -> Option<BranchNumber> {
        match self {
            Self::Letters { branch, .. }
            | Self::JoinedLetters { branch, .. }
            | Self::MissingLetters { branch, .. }
            | Self::State { branch, .. } => Some(*branch),
            Self::Pushed(_) => None,
        }
    }
}

impl ChunkName {
    /// Whose it is.
    pub fn scope(&self) -> Scope {
        Scope::Pipeline(self.pipeline.clone(), self.incarnation.clone())
    }
}

impl From<ChunkName> for ChunkId {
    fn from(name: ChunkName) -> Self {
        Self(name.to_string().into())
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.scope(), self.epoch)?;
        match &self.content {
            Content::Letters { branch, opening, lane, commit, letters } => {
                write!(f, "letters.{branch}.{opening}.{lane}.{commit}.{letters}")
            }
            Content::JoinedLetters { branch, before, letters } => write!(f, "joined.{branch}.{before}.{letters}"),
            Content::MissingLetters { branch, generation, lane, commit, before } => {
                write!(f, "missing.{branch}.{generation}.{lane}.{commit}.{before}")
            }
            Content::State { branch, opening, lane, commit, whole } => {
                let kind = if *whole { "state" } else { "delta" };
                write!(f, "{kind}.{branch}.{opening}.{lane}.{commit}")
            }
            Content::Pushed(name) => write!(f, "pushed.{name}"),
        }
    }
}

/// A text that is no name of a pipeline's chunk, or one of a kind that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name of a pipeline's chunk that is known")]
pub struct Unknown;

impl FromStr for ChunkName {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let parse = || {
            let (pipeline, rest) = text.split_once('/')?;
            let mut parts = rest.rsplitn(3, '/');
            let (content, epoch, incarnation) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Self {
                pipeline: pipeline.try_into().ok()?,
                incarnation: incarnation.try_into().ok()?,
                epoch: Epoch(epoch.parse().ok()?),
                content: content.parse().ok()?,
            })
        };
        parse().ok_or(Unknown)
    }
}

impl FromStr for Content {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let parts: Vec<&str> = text.split('.').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| Unknown);
        let small = |text: &str| text.parse::<u32>().map_err(|_| Unknown);
        Ok(match parts[..] {
            ["letters", branch, opening, lane, commit, letters] => Self::Letters {
                branch: small(branch)?,
                opening: number(opening)?,
                lane: small(lane)?,
                commit: number(commit)?,
                letters: number(letters)?,
            },
            ["joined", branch, before, letters] => {
                Self::JoinedLetters { branch: small(branch)?, before: number(before)?, letters: number(letters)? }
            }
            ["missing", branch, generation, lane, commit, before] => Self::MissingLetters {
                branch: small(branch)?,
                generation: generation.try_into().map_err(|_| Unknown)?,
                lane: small(lane)?,
                commit: number(commit)?,
                before: number(before)?,
            },
            [kind @ ("state" | "delta"), branch, opening, lane, commit] => Self::State {
                branch: small(branch)?,
                opening: number(opening)?,
                lane: small(lane)?,
                commit: number(commit)?,
                whole: kind == "state",
            },
            ["pushed", name] => Self::Pushed(name.to_owned()),
            _ => return Err(Unknown),
        })
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChunkKind {
    /// Dead letters of one commit, or of several that were joined.
    DeadLetters,
    /// The whole state of a lane's transforms after a commit: whatever held it before counts no longer.
    State,
    /// What a commit has changed in the state of its lane's transforms: it counts on top of what came before.
    StateDelta,
}

/// A chunk and what it holds, as events and tokens name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkRef {
    /// Its name.
    pub id: ChunkId,
    /// What it holds.
    pub kind: ChunkKind,
    /// Number of records in it; of a state, of its entries.
    pub records: u64,
}
