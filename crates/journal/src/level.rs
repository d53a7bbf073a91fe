//! The write level: the stored shapes that may be written to a journal.
use std::fmt;

/// The version of the stored shapes that may be written to a journal.
///
/// Every build reads all shapes up to its own newest level, and writes shapes up to the level of the journal. A new
/// journal has the newest level of the build that creates it; after that the level rises only on request
/// ([`Log::raise_write_level`](crate::store::Log::raise_write_level)), once every node that has the journal open can
/// read the new shapes. So two builds can run side by side during an upgrade, and a return to the older one is possible
/// until the level is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteLevel(pub u32);

impl WriteLevel {
    /// The newest level that this build reads and writes.
    pub const NEWEST: Self = Self(1);
}

impl fmt::Display for WriteLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
