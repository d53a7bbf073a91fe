//! Branches: a pipeline has one for each of its sinks.
use crate::id::{InvalidId, PipelineId};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The number of a branch within its pipeline. The first one's is 0; a number is never used again for another sink, and a sink
/// keeps it whatever it is called.
pub type BranchNumber = u32;

/// A branch of a pipeline, by which sinks know it: `orders` is the first one of the pipeline `orders`, and `orders/1` the next. The
/// key of its progress in a target. The number depends on the order of sinks and updates, so another node may have the same sink
/// under another one: whoever looks for others' progress looks for that of the pipeline.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchId {
    pipeline: PipelineId,
    number: BranchNumber,
    key: Arc<str>,
}

impl BranchId {
    /// The branch of this number.
    pub fn new(pipeline: PipelineId, number: BranchNumber) -> Self {
        let key = if number == 0 { pipeline.to_string() } else { format!("{pipeline}/{number}") };
        Self { pipeline, number, key: key.into() }
    }

    /// Its pipeline.
    pub fn pipeline(&self) -> &PipelineId {
        &self.pipeline
    }

    /// Its number.
    pub fn number(&self) -> BranchNumber {
        self.number
    }

    /// As a target stores it.
    pub fn as_str(&self) -> &str {
        &self.key
    }
}

impl TryFrom<&str> for BranchId {
    type Error = InvalidId;

    fn try_from(text: &str) -> Result<Self, InvalidId> {
        let (pipeline, number) = text.split_once('/').unwrap_or((text, "0"));
        let id = Self::new(PipelineId::try_from(pipeline)?, number.parse().unwrap_or(0));
        if id.as_str() == text { Ok(id) } else { Err(InvalidId::of("branch", "must be like orders or orders/1")) }
    }
}

impl TryFrom<String> for BranchId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::try_from(text.as_str())
    }
}

impl From<BranchId> for String {
    fn from(id: BranchId) -> Self {
        id.as_str().into()
    }
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl fmt::Debug for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key)
    }
}
