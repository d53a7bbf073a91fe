//! How sensitive a table is to the way in which the rows of a commit are written.

/// The guarantees needed so that a commit has the same result as its rows written one by one. Each level includes those
/// before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Nothing rejects or observes a row that a later one with its key overwrites: writing the last one is enough.
    #[default]
    Last,
    /// A row may be rejected for its own values: each is written. It is independent of rows with other keys.
    Each,
    /// A row affects later ones with any key: all are written in the order of arrival.
    Arrival,
    /// A row may depend on other rows of its statement: each has a statement of its own.
    Alone,
}

impl Care {
    /// Returns this level if `holds`, otherwise the lowest.
    pub fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::Last }
    }
}
