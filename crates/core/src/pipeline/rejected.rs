//! Why a command was turned down.
use crate::{pipeline::state::Status, problem::Problem};
use serde::{Deserialize, Serialize};

/// Why a command was turned down. Nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Rejected {
    /// There is no such pipeline.
    #[error("there is no pipeline of this id")]
    NotFound,
    /// There is one already.
    #[error("a pipeline of this id exists already")]
    AlreadyExists,
    /// Not in this state.
    #[error("can't {request} a pipeline that is {status}")]
    NotAllowed {
        /// What was asked: `start`, `stop`, `update`, …
        request: String,
        /// What it is.
        status: Status,
        /// What to do about it.
        fix: Option<String>,
    },
    /// It has changed since the version that was named.
    #[error("the pipeline is at version {actual}, not {expected}")]
    VersionMismatch {
        /// The version named.
        expected: u64,
        /// The version it is at.
        actual: u64,
    },
    /// What was asked is wrong in itself.
    #[error("the request has {} problem(s)", problems.len())]
    Invalid {
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// The batch id was used for other content.
    #[error("this batchId was used before, with other content")]
    BatchIdReused,
    /// Too many pushed bytes wait.
    #[error("{pending} bytes wait to be processed, at most {most} may")]
    Overloaded {
        /// Bytes that wait.
        pending: u64,
        /// Most that may.
        most: u64,
    },
    /// The old generation could not be settled.
    #[error("the sink could not be asked what it has: {reason}")]
    Unsettled {
        /// Why not.
        reason: String,
    },
    /// A report of a run that is no longer the pipeline's.
    #[error("this run is over")]
    StaleRun,
}

impl Rejected {
    /// Its stable code, in kebab-case, as it is in the JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::NotAllowed { .. } => "not-allowed",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::Invalid { .. } => "invalid",
            Self::BatchIdReused => "batch-id-reused",
            Self::Overloaded { .. } => "overloaded",
            Self::Unsettled { .. } => "unsettled",
            Self::StaleRun => "stale-run",
        }
    }
}
