//! The fault points and their names.
use std::{fmt, str::FromStr};

/// An operation of a node that a fault can precede or follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Takes over a shard.
    Claim,
    /// Opens a reader of the source.
    SourceOpen,
    /// Opens a writer of the sink, which fences older ones.
    SinkOpen,
    /// Has the sink create its target from inferred columns.
    Define,
    /// Stores a pushed batch.
    Ingest,
    /// Stores dead letters, or segments of a snapshot.
    Prepare,
    /// Writes a commit to the sink.
    SinkCommit,
    /// Makes a staged sink's commits durable.
    Seal,
    /// Appends any events to a shard's log.
    JournalAppend,
    /// Appends events with progress (`BatchProcessed`) among them.
    Checkpoint,
    /// Appends events with learned types (`SchemaChanged`) among them.
    SchemaChange,
    /// Tells a staged sink that its handle is in the journal.
    Publish,
    /// Stores a snapshot.
    Snapshot,
    /// Drops progress that a snapshot covers.
    Compact,
    /// Removes chunks that nothing names any more.
    Collect,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 15] = [
        Self::Claim,
        Self::SourceOpen,
        Self::SinkOpen,
        Self::Define,
        Self::Ingest,
        Self::Prepare,
        Self::SinkCommit,
        Self::Seal,
        Self::JournalAppend,
        Self::Checkpoint,
        Self::SchemaChange,
        Self::Publish,
        Self::Snapshot,
        Self::Compact,
        Self::Collect,
    ];

    /// Its name: `sink-commit`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::SourceOpen => "source-open",
            Self::SinkOpen => "sink-open",
            Self::Define => "define",
            Self::Ingest => "ingest",
            Self::Prepare => "prepare",
            Self::SinkCommit => "sink-commit",
            Self::Seal => "seal",
            Self::JournalAppend => "journal-append",
            Self::Checkpoint => "checkpoint",
            Self::SchemaChange => "schema-change",
            Self::Publish => "publish",
            Self::Snapshot => "snapshot",
            Self::Compact => "compact",
            Self::Collect => "collect",
        }
    }
}

/// The side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Before it starts.
    Before,
    /// After it has succeeded.
    After,
}

/// A point with its side: `before:sink-commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passing {
    /// The side.
    pub when: When,
    /// The operation.
    pub point: Point,
}

impl Passing {
    /// Iterates over both sides of every point.
    pub fn all() -> impl Iterator<Item = Self> {
        Point::ALL.into_iter().flat_map(|point| [When::Before, When::After].map(|when| Self { when, point }))
    }
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::After => "after",
        };
        write!(f, "{when}:{}", self.point.name())
    }
}

impl FromStr for Passing {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::all().find(|passing| passing.to_string() == text).ok_or(())
    }
}
