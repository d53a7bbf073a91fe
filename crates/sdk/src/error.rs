//! The errors of connectors, classed by how the engine reacts.
use dataflow_core::{
    id::Generation,
    ledger::Counters,
    position::{Partition, Position, Positions},
};
use std::collections::BTreeMap;

/// A failure of a source or sink. Its class decides what the engine does.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It may work later (out of reach, busy, timed out): closed, opened again after a back-off, for ever.
    #[error("{message}")]
    Transient {
        /// Stable code, kebab-case: `unreachable`, `timeout`, …
        code: &'static str,
        /// What failed, where and why.
        message: String,
        /// What to do where waiting alone may not help.
        fix: Option<String>,
    },
    /// It won't work until somebody changes something: the pipeline fails with this cause.
    #[error("{message}")]
    Fatal {
        /// Stable code, kebab-case: `table-missing`, `access-denied`, …
        code: &'static str,
        /// What failed, where and why.
        message: String,
        /// What to do about it.
        fix: Option<String>,
        /// Whether the restart policy may try again by itself (a file that is not there yet), or a user must decide.
        retryable: bool,
    },
    /// The target is not what the journal says of it: a user must decide where to go on, which is possible only after this
    /// failure of an opening.
    #[error("{message}")]
    Contradicts {
        /// Stable code, kebab-case: `file-missing`, `journal-behind`, …
        code: &'static str,
        /// What the target has, and what the journal says.
        message: String,
        /// What to choose from.
        fix: String,
        /// The generations of the pipeline that the target is known to have something of, and where they began, as far as it knows.
        begins: BTreeMap<Generation, Positions>,
        /// What the ledger of a later journal counted over all generations, where the target keeps that.
        ledger: Option<Box<Counters>>,
    },
    /// A newer owner holds the sink, or it is not where this writer left it: stop at once, open again.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The position asked for is not there any more.
    #[error("position {wanted} of {partition} no longer exists: {reason}")]
    PositionLost {
        /// Where.
        partition: Partition,
        /// The position asked for.
        wanted: Position,
        /// The first position that is still there.
        earliest: Position,
        /// The position after the last record.
        latest: Position,
        /// What happened to it, as far as it can be told.
        reason: String,
    },
}

impl Error {
    /// A failure that may pass.
    pub fn transient(code: &'static str, message: impl Into<String>) -> Self {
        Self::Transient { code, message: message.into(), fix: None }
    }
    /// A failure that a user must fix; the restart policy still retries.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self::Fatal { code, message: message.into(), fix: None, retryable: true }
    }
    /// A target that is not what the journal says of it.
    pub fn contradicts(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Contradicts { code, message: message.into(), fix: fix.into(), begins: BTreeMap::new(), ledger: None }
    }
    /// The same failure, with what to do about it.
    #[must_use]
    pub fn fix(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Transient { code, message, .. } => Self::Transient { code, message, fix: Some(hint.into()) },
            Self::Fatal { code, message, retryable, .. } => {
                Self::Fatal { code, message, fix: Some(hint.into()), retryable }
            }
            other => other,
        }
    }
    /// The same failure, which starting again can't help: a user must decide.
    #[must_use]
    pub fn for_user(self) -> Self {
        match self {
            Self::Fatal { code, message, fix, .. } => Self::Fatal { code, message, fix, retryable: false },
            other => other,
        }
    }
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Transient { code, .. } | Self::Fatal { code, .. } | Self::Contradicts { code, .. } => code,
            Self::Fenced(_) => "fenced",
            Self::PositionLost { .. } => "position-lost",
        }
    }
}
