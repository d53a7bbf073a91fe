//! The meaning of names at one place in the chain of transforms.
use super::finding::Finding;
use dataflow_sdk::check::nearest;
use datafusion_sql::sqlparser::{ast::Ident, tokenizer::Location};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The name of a record's metadata.
pub(crate) const META: &str = "meta";

/// The internal name of the record's time where it replaces the present time; users can't write it.
pub(crate) const NOW: &str = "now()";

/// The origin of an output field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An unchanged field of the source.
    Field(Vec<String>),
    /// A computed column.
    Register(usize),
    /// An object with fields set or removed.
    Edited(Edited),
}

/// An object of the source with fields set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The column with the current objects, as JSON texts.
    pub(crate) register: usize,
    /// The path of the original objects.
    pub(crate) base: Vec<String>,
    /// The paths of the changed fields, with their new origin; `None` for a removed one.
    pub(crate) changed: Vec<(Vec<String>, Option<Origin>)>,
}

/// The state of a field within an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// It is unchanged.
    Unchanged,
    /// It was set, or removed.
    Changed(Option<Origin>),
    /// A field inside it or around it was changed.
    Partly,
}

impl Edited {
    /// Returns the state of the field at a path.
    pub(crate) fn within(&self, path: &[String]) -> Within {
        for (changed, value) in self.changed.iter().rev() {
            if changed == path {
                return Within::Changed(value.clone());
            }
            if changed.starts_with(path) || path.starts_with(changed) {
                return Within::Partly;
            }
        }
        Within::Unchanged
    }
}

/// The fields of a record at one place in the chain of transforms.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Whether the source's other fields are still there.
    pub(crate) open: bool,
    /// Fields that were set or selected, in order.
    pub(crate) columns: IndexMap<String, Origin>,
    /// Source fields that were removed.
    pub(crate) removed: BTreeSet<String>,
}

/// The meaning of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A field of the source.
    Field(Vec<String>),
    /// A computed column.
    Register(usize),
    /// A field within the values of a computed column.
    Within(usize, Vec<String>),
    /// Metadata of the record.
    Meta(Vec<String>),
}

impl Scope {
    /// The fields of the source.
    pub(crate) fn source() -> Self {
        Self { open: true, columns: IndexMap::new(), removed: BTreeSet::new() }
    }

    /// Resolves a path. A first name among `qualifiers` is the table's, if more names follow.
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
                [] => Err(Finding::new("unknown-field", "meta is not a field by itself")
                    .fix("name a part of it, like meta.topic; a field of that name is written \"meta\"")
                    .at(place)),
                rest => Ok(Target::Meta(names(rest))),
            };
        }
        match self.columns.get(&first.value) {
            Some(Origin::Field(base)) => Ok(Target::Field([base.clone(), names(rest)].concat())),
            Some(Origin::Register(register)) if rest.is_empty() => Ok(Target::Register(*register)),
            Some(Origin::Edited(edited)) if rest.is_empty() => Ok(Target::Register(edited.register)),
            Some(Origin::Edited(edited)) => {
                let within = names(rest);
                let whole = names(path).join(".");
                let finding = |message: String| Err(Finding::new("unknown-field", message).at(place));
                match edited.within(&within) {
                    Within::Unchanged => Ok(Target::Field([edited.base.clone(), within].concat())),
                    Within::Changed(Some(Origin::Field(path))) => Ok(Target::Field(path)),
                    Within::Changed(Some(Origin::Register(register) | Origin::Edited(Edited { register, .. }))) => {
                        Ok(Target::Register(register))
                    }
                    Within::Changed(None) => finding(format!("field {whole} was removed by an earlier transform")),
                    Within::Partly => finding(format!("a part of {whole} was changed by an earlier transform")),
                }
            }
            Some(Origin::Register(register)) => Ok(Target::Within(*register, names(rest))),
            None if self.open && !self.removed.contains(&first.value) => Ok(Target::Field(names(path))),
            None => Err(self.unknown(&first.value).at(place)),
        }
    }

    fn unknown(&self, name: &str) -> Finding {
        let message = match self.removed.contains(name) {
            true => format!("field {name} was removed by an earlier transform"),
            false => format!("there is no field {name} after the earlier transforms"),
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

    /// Returns whether a field of the source is there unchanged.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.open && !self.removed.contains(name) && !self.columns.contains_key(name)
    }

    /// Returns whether a field of that name may exist.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.columns.contains_key(name) || (self.open && !self.removed.contains(name))
    }

    /// Sets a field.
    pub(crate) fn set(&mut self, name: &str, origin: Origin) {
        self.columns.insert(name.into(), origin);
    }

    /// Removes a field.
    pub(crate) fn remove(&mut self, name: &str) {
        self.columns.shift_remove(name);
        if self.open {
            self.removed.insert(name.into());
        }
    }
}
