//! How much a table cares about the way in which the rows of a commit are written.

/// What has to be kept so that a commit comes to the same as its rows written one by one. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Nothing refuses or notices a row that a later one with its key covers: the last one will do.
    #[default]
    Last,
    /// A row may be refused for what it is: each is written. Rows with other keys do not matter to it.
    Each,
    /// A row matters to those after it, whatever their keys: all are written in the order of arrival.
    Arrival,
    /// A row may depend on what else its statement writes: each has a statement of its own.
    Alone,
}

impl Care {
    /// This much if something holds, otherwise the least.
    pub fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::Last }
    }
}
