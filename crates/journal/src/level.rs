//! The write level: which stored shapes may be written to a journal.
use std::fmt;

/// Every build reads all shapes up to its own newest level, and writes those up to the level of the journal. A new journal has
/// the newest level of the build that makes it; from then on it rises only when told to ([`Log::raise_write_level`](crate::store::Log::raise_write_level)),
/// once every node that has the journal open can read what is written then. So two builds run side by side during an upgrade, and
/// the older one can come back, until the level is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteLevel(pub u32);

impl WriteLevel {
    /// The newest that this build reads and writes.
    pub const NEWEST: Self = Self(1);
}

impl fmt::Display for WriteLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
