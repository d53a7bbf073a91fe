//! What names stand for at one place in the chain of transforms.
use super::finding::Finding;
use dataflow_sdk::check::nearest;
use datafusion_sql::sqlparser::{ast::Ident, tokenizer::Location};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The name behind which a record's metadata is found.
pub(crate) const META: &str = "meta";

/// The name, which nobody can write, of the record's time where it stands for the present time.
pub(crate) const NOW: &str = "now()";

/// Where an output field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A field of the source, as it is there.
    Field(Vec<String>),
    /// A computed column.
    Register(usize),
}

/// The fields of a record at one place in the chain of transforms.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Whether the source's other fields are still there.
    pub(crate) open: bool,
    /// Fields that were set or selected, in order.
    pub(crate) columns: IndexMap<String, Origin>,
    /// Source fields that were taken away.
    pub(crate) removed: BTreeSet<String>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A field of the source.
    Field(Vec<String>),
    /// A computed column.
    Register(usize),
    /// Metadata of the record.
    Meta(Vec<String>),
}

impl Scope {
    /// The fields of the source.
    pub(crate) fn source() -> Self {
        Self { open: true, columns: IndexMap::new(), removed: BTreeSet::new() }
    }

    /// What a path stands for. A first name among `qualifiers` is the table's, if more follows.
    pub(crate) fn resolve(&self, path: &[Ident], qualifiers: &[String]) -> Result<Target, Finding> {
        let place = path.first().map_or(Location::new(0, 0), |ident| ident.span.start);
        let path = match path {
            [table, rest @ ..] if !rest.is_empty() && qualifiers.contains(&table.value) => rest,
            path => path,
        };
        let Some((first, rest)) = path.split_first() else {
            return Err(Finding::new("syntax", "has no name").at(place));
        };
        let names = |idents: &[Ident]| idents.iter().map(|ident| ident.value.clone()).collect::<Vec<_>>();
        if first.quote_style.is_none() && first.value == META {
            return match rest {
                [] => Err(Finding::new("unknown-field", "meta is no field by itself")
                    .fix("name what you want of it, like meta.topic; a field of that name is written \"meta\"")
                    .at(place)),
                rest => Ok(Target::Meta(names(rest))),
            };
        }
        match self.columns.get(&first.value) {
            Some(Origin::Field(base)) => Ok(Target::Field([base.clone(), names(rest)].concat())),
            Some(Origin::Register(register)) if rest.is_empty() => Ok(Target::Register(*register)),
            Some(Origin::Register(_)) => {
                let message = format!("{} is computed by an earlier transform and has no fields", first.value);
                Err(Finding::new("unknown-field", message).at(place))
            }
            None if self.open && !self.removed.contains(&first.value) => Ok(Target::Field(names(path))),
            None => Err(self.unknown(&first.value).at(place)),
        }
    }

    fn unknown(&self, name: &str) -> Finding {
        let message = match self.removed.contains(name) {
            true => format!("field {name} was removed by an earlier transform"),
            false => format!("there is no field {name} behind the earlier transforms"),
        };
        let finding = Finding::new("unknown-field", message);
        match nearest(name, self.columns.keys().map(String::as_str)) {
            Some(near) => finding.fix(format!("did you mean {near}?")),
            None if self.open || self.columns.is_empty() => finding,
            None => {
                let known: Vec<&str> = self.columns.keys().take(20).map(String::as_str).collect();
                finding.fix(format!("known: {}", known.join(", ")))
            }
        }
    }

    /// Sets a field.
    pub(crate) fn set(&mut self, name: &str, origin: Origin) {
        self.columns.insert(name.into(), origin);
    }

    /// Takes a field away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.columns.shift_remove(name);
        if self.open {
            self.removed.insert(name.into());
        }
    }
}
