//! Whose commit numbers a lane's are. A journal that was restored from a backup and goes on gives numbers once more that the newer
//! one had given, to other records: from then on there are two lines of numbers, and a journal of one must not take the other's
//! objects for its own.
use dataflow_core::position::Positions;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The line that a lane is on, and those that it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// Its name; empty: the first one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    /// The first one, and each that was left for the next, this one at last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<Left>,
}

/// A line that was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Left {
    name: String,
    /// The last commit that the next one has of it.
    pub(crate) commit: u64,
    /// Where the lane was with that.
    pub(crate) at: Positions,
}

impl Line {
    pub(crate) fn is_first(&self) -> bool {
        *self == Self::default()
    }

    /// A new line that leaves this one after a commit.
    pub(crate) fn leave(mut self, commit: u64, at: Positions) -> Self {
        self.left.push(Left { name: self.name, commit, at });
        Self { name: Uuid::new_v4().simple().to_string(), left: self.left }
    }

    /// Where the target's line has left this one, of which a journal has this commit. None: it has all of it.
    pub(crate) fn left_by<'a>(&'a self, target: &'a Self, commit: u64) -> Option<&'a Left> {
        let mut shared = None;
        // Both begin with the first line: what they have in common ends where one of them leaves it, or each for another one.
        for (own, other) in self.steps().zip(target.steps()) {
            if own.name != other.name {
                break;
            }
            shared = [own.leaves, other.leaves].into_iter().flatten().min_by_key(|left| left.commit);
            if own.leaves != other.leaves {
                break;
            }
        }
        shared.filter(|left| self.name != target.name && left.commit < commit)
    }

    fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let left = self.left.iter().map(|left| Step { name: &left.name, leaves: Some(left) });
        left.chain([Step { name: &self.name, leaves: None }])
    }

    #[cfg(test)]
    pub(crate) fn golden() -> Self {
        let at = [("events/0".into(), dataflow_core::position::Position::offset(3))].into();
        Self { name: "two".into(), left: vec![Left { name: String::new(), commit: 2, at }] }
    }
}

/// A line on the way to the last one.
struct Step<'a> {
    name: &'a str,
    leaves: Option<&'a Left>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn left(line: &Line, commit: u64) -> Line {
        line.clone().leave(commit, Positions::new())
    }

    fn fork(own: &Line, target: &Line, commit: u64) -> Option<u64> {
        own.left_by(target, commit).map(|fork| fork.commit)
    }

    #[test]
    fn a_journal_is_on_the_targets_line_until_that_leaves_its_own() {
        let first = Line::default();
        assert_eq!(fork(&first, &first, 9), None);
        let second = left(&first, 5);
        assert_eq!(fork(&first, &second, 5), None, "restored once more from the same backup");
        assert_eq!(fork(&first, &second, 3), None, "or from an earlier one");
        assert_eq!(fork(&first, &second, 6), Some(5), "back to the newer journal");
        assert_eq!(fork(&second, &first, 7), Some(5), "the target is a copy from before");
        let third = left(&second, 7);
        assert_eq!([5, 6].map(|commit| fork(&first, &third, commit)), [None, Some(5)]);
        assert_eq!([7, 8].map(|commit| fork(&second, &third, commit)), [None, Some(7)]);
        let other = left(&first, 4);
        assert_eq!(fork(&second, &other, 6), Some(4));
        assert_eq!(fork(&third, &left(&second, 8), 9), Some(7));
        let again = left(&first, 5);
        assert_eq!(
            [5, 6].map(|commit| fork(&second, &again, commit)),
            [None, Some(5)],
            "both have left it at the same"
        );
        assert_eq!(fork(&third, &again, 6), Some(5));
        assert_eq!([fork(&second, &second, 9), fork(&third, &third, 9)], [None, None]);
    }
}
