//! What users are warned of, with the number of records that it concerns.
use crate::limits::{MAX_WARNING, MAX_WARNINGS};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Something worth a user's attention that stops nothing. It is known by code and subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warned {
    /// Stable code, in kebab-case.
    pub code: String,
    /// What it is about, such as a field.
    pub subject: String,
    /// What to know.
    pub message: String,
    /// How many records it concerned.
    pub records: u64,
}

impl Warned {
    /// Rows that a sink's target took without an effect. The sink knows of them only within the commit, so its token has the
    /// count so far, and the sink adds to that.
    pub const ROWS_SWALLOWED: &str = "rows-swallowed";
}

/// What is said of a warning. It is known by code and subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Notice {
    /// It holds.
    Holds(Warned),
    /// It holds no longer, and nobody is told of it.
    Over {
        /// Its code.
        code: String,
        /// Its subject.
        subject: String,
    },
}

impl Notice {
    /// The warning of this code and subject holds no longer, whether or not it was said.
    pub fn over(code: impl Into<String>, subject: impl Into<String>) -> Self {
        Self::Over { code: code.into(), subject: subject.into() }
    }

    /// The warning, if it holds.
    pub fn holding(&self) -> Option<&Warned> {
        match self {
            Self::Holds(warned) => Some(warned),
            Self::Over { .. } => None,
        }
    }

    /// Whether it holds no longer.
    pub fn is_over(&self) -> bool {
        self.holding().is_none()
    }

    /// The same with characters that no terminal and not every database takes as they are written in JSON: names of fields may
    /// have any.
    fn readable(&self) -> Self {
        let mut notice = self.clone();
        match &mut notice {
            Self::Holds(Warned { subject, message, .. }) => {
                *subject = escaped(subject);
                *message = escaped(message);
            }
            Self::Over { subject, .. } => *subject = escaped(subject),
        }
        notice
    }

    /// Code and subject.
    pub fn key(&self) -> (&str, &str) {
        let (Self::Holds(Warned { code, subject, .. }) | Self::Over { code, subject }) = self;
        (code, subject)
    }
}

fn escaped(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.into();
    }
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '\n' => escaped.push(' '),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
        escaped
    })
}

impl From<Warned> for Notice {
    fn from(warned: Warned) -> Self {
        Self::Holds(warned)
    }
}

/// Most warnings of one code.
const MAX_OF_CODE: usize = MAX_WARNINGS * 4 / 5;

/// What is said of warnings, by code and subject; there is never too much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warnings(Vec<Notice>);

impl Warnings {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is said, by code and subject.
    pub fn iter(&self) -> std::slice::Iter<'_, Notice> {
        self.0.iter()
    }

    /// The warnings that hold, by code and subject.
    pub fn holding(&self) -> impl Iterator<Item = &Warned> {
        self.iter().filter_map(Notice::holding)
    }

    /// What is said of the one with this code and subject.
    pub fn get(&self, key: (&str, &str)) -> Option<&Notice> {
        self.find(key).ok().map(|at| &self.0[at])
    }

    /// Counts one more time what it concerns. One that holds again, or no longer, replaces what is known of it.
    pub fn add(&mut self, notice: &Notice) {
        let notice = &notice.readable();
        if let Notice::Holds(Warned { records, .. }) = notice
            && let Ok(at) = self.find(notice.key())
            && let Notice::Holds(known) = &mut self.0[at]
        {
            known.records += records;
        } else {
            self.set(notice.clone());
        }
    }

    /// Takes these for what is known by now of each: their counts are absolute.
    pub fn put(&mut self, warnings: &Self) {
        warnings.iter().for_each(|notice| self.set(notice.clone()));
    }

    /// Where there are too many already, a new one takes the place of one that holds no longer, or is left out. Those of one code leave
    /// room for others: a hundred fields without a column must not hide a file that can't be read.
    fn set(&mut self, mut notice: Notice) {
        if let Notice::Holds(Warned { message, .. }) = &mut notice {
            *message = message.chars().take(MAX_WARNING).collect();
        }
        match self.find(notice.key()) {
            Ok(at) => self.0[at] = notice,
            Err(at) if self.0.len() < MAX_WARNINGS && self.of_code(&notice).len() < MAX_OF_CODE => {
                self.0.insert(at, notice);
            }
            Err(_) if notice.is_over() => {}
            Err(at) => {
                let of_code = self.of_code(&notice);
                let places = if of_code.len() < MAX_OF_CODE { 0..self.0.len() } else { of_code };
                if let Some(over) = places.into_iter().find(|place| self.0[*place].is_over()) {
                    self.0.remove(over);
                    self.0.insert(at - usize::from(over < at), notice);
                }
            }
        }
    }

    /// Where those with its code are.
    fn of_code(&self, notice: &Notice) -> Range<usize> {
        let code = notice.key().0;
        let from = self.0.partition_point(|known| known.key().0 < code);
        from..self.0.partition_point(|known| known.key().0 <= code)
    }

    fn find(&self, key: (&str, &str)) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.key().cmp(&key))
    }

    /// Leaves those that others have in the very same way.
    pub fn without(&mut self, others: &Self) {
        self.0.retain(|notice| others.get(notice.key()) != Some(notice));
    }

    /// Those of this code.
    #[must_use]
    pub fn coded(&self, code: &str) -> Self {
        Self(self.iter().filter(|notice| notice.key().0 == code).cloned().collect())
    }

    /// Those that have changed since, of which `news` says by how much.
    #[must_use]
    pub fn of(&self, news: &Self) -> Self {
        Self(news.iter().filter_map(|notice| self.get(notice.key())).cloned().collect())
    }
}

impl<N: Into<Notice>> FromIterator<N> for Warnings {
    fn from_iter<T: IntoIterator<Item = N>>(all: T) -> Self {
        let mut warnings = Self::default();
        all.into_iter().for_each(|notice| warnings.add(&notice.into()));
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_OF_CODE, Notice, Warned, Warnings};
    use crate::limits::{MAX_WARNING, MAX_WARNINGS};

    const CODE: &str = "unknown-field";

    fn holds(subject: &str, message: &str, records: u64) -> Notice {
        Warned { code: CODE.into(), subject: subject.into(), message: message.into(), records }.into()
    }

    #[test]
    fn what_holds_no_longer_is_kept_so_that_it_replaces_what_is_known() {
        let (over, once) = (Notice::over(CODE, "a"), holds("a", "there is none", 2));
        let mut known: Warnings =
            [holds("a", "there is none", 3), holds("a", "there is none", 4)].into_iter().collect();
        assert_eq!(known.get((CODE, "a")), Some(&holds("a", "there is none", 7)));
        known.put(&[over.clone()].into_iter().collect());
        assert_eq!((known.get((CODE, "a")), known.holding().count()), (Some(&over), 0));
        known.add(&over);
        known.add(&once);
        assert_eq!(known.get((CODE, "a")), Some(&once));
    }

    /// They are part of tokens: a database that takes no U+0000 would take no progress.
    #[test]
    fn names_of_fields_may_have_any_character() {
        let mut known: Warnings = [holds("a\0b", "no column a\0b\x1b[31m\nat all", 1)].into_iter().collect();
        known.add(&holds("a\0b", "the same", 2));
        assert_eq!(
            known.get((CODE, "a\\u0000b")),
            Some(&holds("a\\u0000b", "no column a\\u0000b\\u001b[31m at all", 3))
        );
        known.add(&Notice::over(CODE, "a\0b"));
        assert_eq!((known.iter().count(), known.holding().count()), (1, 0));
    }

    #[test]
    fn what_holds_no_longer_keeps_nothing_new_out() {
        let subject = |number: usize| format!("{number:03}");
        let of = |number: usize, message: &str| holds(&subject(number), message, 0);
        let mut known: Warnings = (0..MAX_OF_CODE).map(|number| of(number, "there is none")).collect();
        known.add(&of(MAX_OF_CODE, "there is none"));
        assert_eq!(known.get((CODE, "080")), None, "there are too many");
        let other = |number: usize| Warned {
            code: format!("other-{number:03}"),
            ..of(number, "it is").holding().unwrap().clone()
        };
        known.add(&other(0).into());
        assert!(known.get(("other-000", "000")).is_some(), "others have room");
        (0..MAX_OF_CODE).for_each(|number| known.add(&Notice::over(CODE, subject(number))));
        known.add(&of(MAX_OF_CODE, "there is none"));
        assert!(known.get((CODE, "080")).is_some());
        assert_eq!(known.iter().count(), MAX_OF_CODE + 1);
        let long = "x".repeat(MAX_WARNING + 1);
        known.put(&Warnings(vec![of(MAX_WARNINGS + 1, &long)]));
        known.add(&of(1, &long));
        assert_eq!(known.iter().count(), MAX_OF_CODE + 1);
        for subject in ["001", "101"] {
            let kept = known.get((CODE, subject)).and_then(Notice::holding);
            assert_eq!(kept.map(|warned| warned.message.len()), Some(MAX_WARNING));
        }
        (1..2 * MAX_WARNINGS).for_each(|number| known.add(&other(number).into()));
        assert_eq!(known.iter().count(), MAX_WARNINGS);
    }
}
