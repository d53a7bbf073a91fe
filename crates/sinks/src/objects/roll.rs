//! When an object is full, and when what is open is sealed.
use dataflow_core::spec::Millis;
use dataflow_sdk::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of an object: 10,000 parts, which is the most that S3 takes.
const MOST_BYTES: u64 = 64 << 30;

/// When an object is full. What is sealed becomes visible at the next checkpoint: all open objects of the lane, as soon as one of
/// them is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Roll {
    /// Most records of an object. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_records: Option<u64>,
    /// Bytes of an object, compressed, after which no more are added to it.
    pub max_bytes: u64,
    /// The longest time that a record waits in an open object.
    pub max_age: Millis,
}

impl Default for Roll {
    fn default() -> Self {
        Self { max_records: None, max_bytes: 128 << 20, max_age: Millis(300_000) }
    }
}

impl Roll {
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.max_records == Some(0) {
            problems.push(Problem::new("roll.maxRecords", "too-few", "must be 1 or more"));
        }
        if !(1..=MOST_BYTES).contains(&self.max_bytes) {
            let message = format!("must be from 1 to {MOST_BYTES}");
            problems.push(Problem::new("roll.maxBytes", "out-of-range", message));
        }
        if self.max_age.0 == 0 {
            let problem = Problem::new("roll.maxAge", "out-of-range", "must be longer than 0");
            problems.push(problem.fix("for an object at each checkpoint: 1ms"));
        }
        problems
    }
}
