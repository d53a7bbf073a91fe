//! Notices fields that expressions or settings name and no record has, or that most records write in another case.
use dataflow_formats::decode::{Decoded, Field};
use dataflow_sdk::{
    batch::{Notice, Warning},
    check::nearest,
};
use std::collections::BTreeSet;

/// A field that is named and that no record has had so far.
#[derive(Debug)]
struct Unseen {
    path: Vec<String>,
    /// Columns that would have it.
    columns: Vec<usize>,
    by: By,
}

/// What names a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// An expression.
    Expression,
    /// It is removed, instead of being read.
    Removal,
    /// The sink's `columns`.
    Columns,
    /// The sink's `key`.
    Key,
    /// The spec's `schema`.
    Schema,
}

impl By {
    /// What follows if there is no such field.
    fn then(self) -> &'static str {
        match self {
            Self::Expression => "it is taken as NULL",
            Self::Removal => "there is nothing to remove",
            Self::Columns => "nothing fills that column of the sink",
            Self::Key => "it is part of the sink's key",
            Self::Schema => "its type in schema is no field's",
        }
    }
}

/// Watches for fields that no record has.
#[derive(Debug)]
pub(crate) struct Watch {
    unseen: Vec<Unseen>,
    /// Those that the first batch came without: once a record has one, that is taken back.
    told: Vec<Unseen>,
    /// Whether there was a batch.
    begun: bool,
}

impl Unseen {
    /// How many records of a batch have it. A top-level field that is removed is not decoded, but its name is seen.
    fn present(&self, decoded: &Decoded) -> u64 {
        let named = match self.path.as_slice() {
            [name] => decoded.keys.iter().find(|key| key.name == *name).map(|key| key.records),
            _ => None,
        };
        self.columns.iter().map(|column| decoded.columns[*column].present).chain(named).max().unwrap_or(0)
    }
}

impl Watch {
    /// Watches these paths, each once; `fields` is what is decoded.
    pub(crate) fn new(named: impl IntoIterator<Item = (Vec<String>, By)>, fields: &[Field]) -> Self {
        let mut unseen: Vec<Unseen> = Vec::new();
        for (path, by) in named {
            // A key with a dot in it may stand for a path.
            let is_it = |field: &Field| field.path == path || path.len() == 1 && field.path.join(".") == path[0];
            let columns = fields.iter().enumerate().filter(|(_, field)| is_it(field)).map(|(column, _)| column);
            let columns: Vec<usize> = columns.collect();
            // Of a field that is not decoded the name is seen, if it is at the top.
            let is_seen = !columns.is_empty() || by == By::Removal || path.len() == 1 && !path[0].contains('.');
            if is_seen && unseen.iter().all(|known| known.path != path) {
                unseen.push(Unseen { path, columns, by });
            }
        }
        Self { unseen, told: Vec::new(), begun: false }
    }

    /// The same, in place of one that has [missed](Self::missed) this.
    pub(crate) fn after(mut self, missed: Option<&BTreeSet<Vec<String>>>) -> Self {
        if let Some(missed) = missed {
            self.told = std::mem::take(&mut self.unseen);
            self.told.retain(|told| missed.contains(&told.path));
            self.begun = true;
        }
        self
    }

    /// The paths that no record has had; none: there was no batch.
    pub(crate) fn missed(&self) -> Option<BTreeSet<Vec<String>>> {
        self.begun.then(|| self.told.iter().map(|told| told.path.clone()).collect())
    }

    /// What to say after a batch. A field is spoken of once, when the first batch has come without it, and once more when it
    /// comes after all.
    pub(crate) fn warnings(&mut self, decoded: &Decoded, records: usize) -> Vec<Notice> {
        if decoded.keys.is_empty() {
            return Vec::new();
        }
        self.begun = true;
        let come = self.told.extract_if(.., |told| told.present(decoded) > 0);
        let mut warnings: Vec<Notice> = come.map(|told| Notice::over("unknown-field", told.path.join("."))).collect();
        let unseen = std::mem::take(&mut self.unseen).into_iter();
        let (missing, seen): (Vec<_>, Vec<_>) = unseen.partition(|unseen| unseen.present(decoded) == 0);
        let variants = seen.iter().filter_map(|seen| variant(seen, seen.present(decoded), decoded, records));
        warnings.extend(variants.map(Notice::from));
        let warning = |unseen: &Unseen| {
            let name = unseen.path.join(".");
            let keys = decoded.keys.iter().map(|key| key.name.as_str());
            let first = unseen.path.first().map(String::as_str).unwrap_or_default();
            let dotted = decoded.keys.iter().find(|key| key.name == name).map(|key| key.name.as_str());
            let near = match unseen.path.len() {
                2.. if dotted.is_some() => dotted,
                1 => nearest(first, keys.filter(|key| *key != first)),
                _ if decoded.keys.iter().any(|key| key.name == first) => None,
                _ => nearest(first, keys),
            };
            // A key with a dot in it is no path: it needs quotes.
            let near = near.map(|near| if near.contains('.') { format!("{near:?}") } else { near.into() });
            let then = unseen.by.then();
            let message = match near.as_deref() {
                Some(near) if near.eq_ignore_ascii_case(first) => {
                    format!(
                        "none of the first {records} records has a field {name}, but there is {near}: names are case-sensitive"
                    )
                }
                Some(near) => {
                    format!("none of the first {records} records has a field {name}: {then}; did you mean {near}?")
                }
                None => format!("none of the first {records} records has a field {name}: {then}"),
            };
            Warning { code: "unknown-field", subject: name, message, records: records as u64 }.into()
        };
        warnings.splice(0..0, missing.iter().map(warning)).for_each(drop);
        self.told.extend(missing);
        warnings
    }
}

/// What to say of a field that is there, but more often in another case.
fn variant(seen: &Unseen, has: u64, decoded: &Decoded, records: usize) -> Option<Warning> {
    let [name] = seen.path.as_slice() else { return None };
    let other = decoded.keys.iter().filter(|key| key.name != *name && key.name.to_lowercase() == name.to_lowercase());
    let other = other.max_by_key(|key| key.records).filter(|key| key.records > has)?;
    let message = format!(
        "{has} of the first {records} records have a field {name}, but {} have {}: names are case-sensitive",
        other.records, other.name
    );
    Some(Warning { code: "unknown-field", subject: name.clone(), message, records: other.records })
}
