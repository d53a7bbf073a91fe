//! Failures on request.
use std::time::Duration;

/// The fault of a commit (each happens once, in the requested order).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// No fault: the commit before the next fault succeeds.
    #[default]
    None,
    /// Fails with a transient error; nothing was written.
    FailBefore,
    /// Is applied, but answered with a transient error: the writer doesn't know the outcome.
    FailAfter,
    /// Fails for good; nothing was written.
    Fatal,
    /// The store contradicts the journal, and knows a generation with this number.
    Contradicts(u64),
    /// Another writer has taken the sink over.
    Fenced,
    /// Answers after this time.
    Slow(Duration),
    /// Never answers; nothing was written.
    Hang,
    /// Is applied, but never answers.
    HangAfter,
}
