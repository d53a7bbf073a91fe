//! Dead letters, counted by cause.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The dead letters of a pipeline, counted by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLettersByCause {
    /// How many dead letters were counted, from the first one on. Of very many it may be fewer than there are: the next
    /// answer goes on from there.
    pub counted: u64,
    /// The causes, the most frequent first.
    pub items: Vec<Cause>,
    /// Dead letters of causes beyond the first 50.
    pub others: u64,
}

/// Dead letters that have stage, code and the wording of their cause in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// How many there are.
    pub records: u64,
    /// Where they failed: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Their stable code.
    pub code: String,
    /// The first of them.
    pub example: Example,
}

/// One dead letter of a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Example {
    /// Its number.
    pub number: u64,
    /// Where in the source.
    pub partition: String,
    /// Its place in the partition.
    pub position: String,
    /// Why it failed, with field and value.
    pub cause: String,
}
