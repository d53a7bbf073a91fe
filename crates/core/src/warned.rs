//! What users are warned of, with the number of records that it concerns.
use crate::limits::{MAX_WARNING, MAX_WARNINGS};
use serde::{Deserialize, Serialize};

/// Something worth a user's attention that stops nothing. It is known by code and subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warned {
    /// Stable code, in kebab-case.
    pub code: String,
    /// What it is about, such as a field.
    pub subject: String,
    /// What to know. Empty: it holds no longer, and nobody is told of it.
    pub message: String,
    /// How many records it concerned.
    pub records: u64,
}

impl Warned {
    /// Rows that a sink's target took without an effect. The sink knows of them only within the commit, so its token has the
    /// count so far, and the sink adds to that.
    pub const ROWS_SWALLOWED: &str = "rows-swallowed";

    /// Whether it holds no longer.
    pub fn is_over(&self) -> bool {
        self.message.is_empty()
    }

    fn key(&self) -> (&str, &str) {
        (&self.code, &self.subject)
    }
}

/// Warnings by code and subject, of which there are never too many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warnings(Vec<Warned>);

impl Warnings {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by code and subject.
    pub fn iter(&self) -> std::slice::Iter<'_, Warned> {
        self.0.iter()
    }

    /// Those that hold, by code and subject.
    pub fn holding(&self) -> impl Iterator<Item = &Warned> {
        self.iter().filter(|warned| !warned.is_over())
    }

    /// The one of this code and subject.
    pub fn get(&self, code: &str, subject: &str) -> Option<&Warned> {
        self.find((code, subject)).ok().map(|at| &self.0[at])
    }

    /// Counts one more time what it concerns. One that holds again, or no longer, replaces what is known of it.
    pub fn add(&mut self, warned: &Warned) {
        match self.find(warned.key()) {
            Ok(at) if self.0[at].is_over() == warned.is_over() => self.0[at].records += warned.records,
            _ => self.set(warned),
        }
    }

    /// Takes these for what is known by now of each: their counts are absolute.
    pub fn put(&mut self, warnings: &Self) {
        warnings.0.iter().for_each(|warned| self.set(warned));
    }

    /// Where there are too many already, a new one takes the place of one that holds no longer, or is left out.
    fn set(&mut self, warned: &Warned) {
        let message = warned.message.chars().take(MAX_WARNING).collect();
        let warned = Warned { message, ..warned.clone() };
        match self.find(warned.key()) {
            Ok(at) => self.0[at] = warned,
            Err(at) if self.0.len() < MAX_WARNINGS => self.0.insert(at, warned),
            Err(_) if warned.is_over() => {}
            Err(at) => {
                if let Some(over) = self.0.iter().position(Warned::is_over) {
                    self.0.remove(over);
                    self.0.insert(at - usize::from(over < at), warned);
                }
            }
        }
    }

    fn find(&self, key: (&str, &str)) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.key().cmp(&key))
    }

    /// Leaves those that others have in the very same way.
    pub fn without(&mut self, others: &Self) {
        self.0.retain(|warned| others.get(&warned.code, &warned.subject) != Some(warned));
    }

    /// Those of this code.
    #[must_use]
    pub fn coded(&self, code: &str) -> Self {
        Self(self.0.iter().filter(|warned| warned.code == code).cloned().collect())
    }

    /// Those that have changed since, of which `news` says by how much.
    #[must_use]
    pub fn of(&self, news: &Self) -> Self {
        let known = news.0.iter().filter_map(|warned| self.get(&warned.code, &warned.subject));
        Self(known.cloned().collect())
    }
}

impl FromIterator<Warned> for Warnings {
    fn from_iter<T: IntoIterator<Item = Warned>>(all: T) -> Self {
        let mut warnings = Self::default();
        for warned in all {
            warnings.add(&warned);
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::{Warned, Warnings};
    use crate::limits::{MAX_WARNING, MAX_WARNINGS};

    fn warned(message: &str, records: u64) -> Warned {
        Warned { code: "unknown-field".into(), subject: "a".into(), message: message.into(), records }
    }

    #[test]
    fn what_holds_no_longer_is_kept_so_that_it_replaces_what_is_known() {
        let mut known: Warnings = [warned("there is none", 3), warned("there is none", 4)].into_iter().collect();
        assert_eq!(known.get("unknown-field", "a"), Some(&warned("there is none", 7)));
        known.put(&[warned("", 0)].into_iter().collect());
        assert!(known.iter().all(Warned::is_over));
        known.add(&warned("", 0));
        known.add(&warned("there is none", 2));
        assert_eq!(known.get("unknown-field", "a"), Some(&warned("there is none", 2)));
    }

    #[test]
    fn what_holds_no_longer_keeps_nothing_new_out() {
        let of = |number: usize, message: &str| Warned { subject: format!("{number:03}"), ..warned(message, 0) };
        let mut known: Warnings = (0..MAX_WARNINGS).map(|number| of(number, "there is none")).collect();
        known.add(&of(MAX_WARNINGS, "there is none"));
        assert_eq!(known.get("unknown-field", "100"), None, "there are too many");
        (0..MAX_WARNINGS).for_each(|number| known.add(&of(number, "")));
        known.add(&of(MAX_WARNINGS, "there is none"));
        assert!(known.get("unknown-field", "100").is_some());
        assert_eq!(known.iter().count(), MAX_WARNINGS);
        let long = "x".repeat(MAX_WARNING + 1);
        known.put(&Warnings(vec![of(MAX_WARNINGS + 1, &long)]));
        known.add(&of(1, &long));
        assert_eq!(known.iter().count(), MAX_WARNINGS);
        for subject in ["001", "101"] {
            assert_eq!(known.get("unknown-field", subject).map(|known| known.message.len()), Some(MAX_WARNING));
        }
    }
}
