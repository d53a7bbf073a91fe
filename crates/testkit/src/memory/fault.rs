//! Failures on request.
use std::time::Duration;

/// What goes wrong at a commit (once each, in the order they were asked for).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the commit before the next fault goes well.
    #[default]
    None,
    /// Fails with a transient error; nothing was written.
    FailBefore,
    /// Is applied, and yet answered with a transient error: the outcome is unknown to the writer.
    FailAfter,
    /// Fails for good; nothing was written.
    Fatal,
    /// The store is not what the journal says of it, and knows a generation of this number.
    Contradicts(u64),
    /// Somebody else has taken the sink over.
    Fenced,
    /// Answers after so long.
    Slow(Duration),
    /// Never answers; nothing was written.
    Hang,
    /// Is applied and never answers.
    HangAfter,
}
