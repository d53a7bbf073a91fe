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

    /// The one of this code and subject.
    pub fn get(&self, code: &str, subject: &str) -> Option<&Warned> {
        self.0.binary_search_by(|known| known.key().cmp(&(code, subject))).ok().map(|at| &self.0[at])
    }

    /// Counts one more time what it concerns. A new one is left out where there are too many already.
    pub fn add(&mut self, warned: &Warned) {
        match self.0.binary_search_by(|known| known.key().cmp(&warned.key())) {
            Ok(at) if self.0[at].is_over() != warned.is_over() => self.0[at] = warned.clone(),
            Ok(at) => self.0[at].records += warned.records,
            Err(_) if self.0.len() >= MAX_WARNINGS => {}
            Err(at) => {
                let message = warned.message.chars().take(MAX_WARNING).collect();
                self.0.insert(at, Warned { message, ..warned.clone() });
            }
        }
    }

    /// Takes these for what is known by now of each: their counts are absolute.
    pub fn put(&mut self, warnings: &Self) {
        for warned in &warnings.0 {
            match self.0.binary_search_by(|known| known.key().cmp(&warned.key())) {
                Ok(at) => self.0[at] = warned.clone(),
                Err(at) => self.0.insert(at, warned.clone()),
            }
        }
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
}
