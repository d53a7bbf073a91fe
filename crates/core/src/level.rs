//! The write level: the stored shapes that may be written.
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the stored shapes that may be written to a journal, and to the targets of its pipelines.
///
/// A build reads everything up to its own newest level, and writes at the level of the journal: whatever it stores says as
/// `v` at which level it was written. A new journal has the newest level of the build that creates it; after that the level rises only on
/// request, once every node that has the journal open can read the new shapes. So two builds can run side by side during an
/// upgrade, and a return to the older one is possible until the level is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
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
