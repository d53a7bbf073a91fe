//! The write level: the stored shapes that may be written to a journal.
use crate::Error;
use std::fmt;

/// The version of the stored shapes that may be written to a journal.
///
/// Every build reads all shapes up to its own newest level, and writes shapes up to the level of the journal. A new
/// journal has the newest level of the build that creates it; after that the level rises only on request
/// ([`Log::raise_write_level`](crate::store::Log::raise_write_level)), once every node that has the journal open can
/// read the new shapes. So two builds can run side by side during an upgrade, and a return to the older one is possible
/// until the level is raised.
///
/// There is one level so far, so no event is written in two shapes, and nothing has to ask for the level. The first event that
/// gets a second shape has to be encoded by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteLevel(pub u32);

impl WriteLevel {
    /// The newest level that this build reads and writes.
    pub const NEWEST: Self = Self(1);

    /// Checks that a journal may be raised to this level by a build whose newest one is `newest`.
    ///
    /// # Errors
    /// [`Error::OtherBuild`] if that build could not read the journal any more.
    pub fn raised_by(self, newest: Self) -> Result<(), Error> {
        if self <= newest {
            return Ok(());
        }
        Err(Error::OtherBuild(format!(
            "the write level can't be raised to {self}: this build reads levels up to {newest}; raise it with a newer one"
        )))
    }
}

impl fmt::Display for WriteLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
