//! What became of rows that a database has accepted.
use super::{Layout, Said};

/// The effect of rows that the database has accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Rows that were added, changed or deleted.
    pub rows: u64,
    /// Rows without an effect on the table, because of a trigger or a rule.
    pub swallowed: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.swallowed += more.swallowed;
    }
}

/// Which rows count as written, by the number that the database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Those that it has written; it has swallowed the others.
    Each,
    /// Those that it has written: an existing row is left alone if the new one has nothing but its key.
    Answered,
    /// All but those that are still there after their delete: a delete of a row that is not there is one, too.
    Gone,
}

impl Counts {
    /// Which of the rows count of which this is said.
    pub fn of(layout: &Layout, Said { fields, deletes }: &Said) -> Self {
        let replaces = layout.is_keyed(|slot| fields.contains(&slot));
        match (deletes, !replaces || fields.iter().any(|slot| layout.changes(*slot))) {
            (true, _) => Self::Gone,
            (false, true) => Self::Each,
            (false, false) => Self::Answered,
        }
    }

    /// What became of so many rows.
    pub fn written(self, sent: u64, answered: u64) -> Written {
        match self {
            Self::Each => Written { rows: answered, swallowed: sent.saturating_sub(answered) },
            Self::Answered => Written { rows: answered, swallowed: 0 },
            Self::Gone => Written { rows: sent.saturating_sub(answered), swallowed: answered },
        }
    }
}
