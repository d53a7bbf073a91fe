//! `map`: sets, removes and selects fields.
mod path;
mod vain;

use crate::{
    expression::{Finding, Origin, Scope},
    program::Builder,
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Sets, removes and selects fields of each record, in this order. What it doesn't speak of stays as it is, byte by byte.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapConfig {
    /// Fields to set, each to the value of a SQL expression: `{"total": "price * quantity", "address.city": "upper(address.city)"}`.
    /// Each expression sees what those before it have set. One that is just the name of a field passes on what the record has: a field that is
    /// missing stays missing. `a.b` is field b of the object a, which is made where there is none;
    /// `"a.b"` in double quotes is a key with a dot.
    #[serde(default)]
    set: IndexMap<String, String>,
    /// Fields to leave out: `a.b` is field b of the object a, `"a.b"` in double quotes a key with a dot.
    #[serde(default)]
    remove: Vec<String>,
    /// The only fields to keep, in this order; none given: all. A field that a record doesn't have is missing.
    /// Whole fields only: a key with a dot in it is written in double quotes.
    #[serde(default)]
    select: Vec<String>,
}

impl MapConfig {
    pub(crate) fn plan(&self, builder: &mut Builder<'_>) {
        if self.set.is_empty() && self.remove.is_empty() && self.select.is_empty() {
            let finding = Finding::new("missing-field", "does nothing");
            builder.problem("", finding.fix("give set, remove or select"));
        }
        let mut set = Vec::new();
        for (name, text) in &self.set {
            let field = format!("set.{name}");
            let path = builder.note(&field, path::path(name));
            if let Some(tree) = builder.parse(text, &field)
                && let Some(origin) = builder.value(tree.clone(), &[], &field)
                && let Some(path) = path
            {
                match path.as_slice() {
                    [name] => builder.scope.set(name, origin),
                    path => {
                        let edited = builder.edit(path, Some(origin));
                        builder.note(&field, edited);
                    }
                }
                set.push(vain::Set { field, path, value: tree });
            }
        }
        self.note_vain(&set, builder);
        for (index, name) in self.remove.iter().enumerate() {
            let field = format!("remove[{index}]");
            match builder.note(&field, path::path(name)).as_deref() {
                None => {}
                Some([name]) => {
                    if !builder.scope.knows(name) {
                        builder.problem(&field, unknown(name));
                    } else if builder.scope.has(name) {
                        builder.inputs.removed.insert(vec![name.clone()]);
                    }
                    builder.scope.remove(name);
                }
                Some(path) => {
                    let edited = builder.edit(path, None);
                    builder.note(&field, edited);
                }
            }
        }
        if !self.select.is_empty() {
            self.keep_selected(builder);
        }
    }

    fn keep_selected(&self, builder: &mut Builder<'_>) {
        let mut selected = IndexMap::new();
        for (index, name) in self.select.iter().enumerate() {
            let field = format!("select[{index}]");
            let name = match builder.note(&field, path::path(name)).as_deref() {
                None => continue,
                Some([name]) => name.clone(),
                Some(_) => {
                    let finding =
                        Finding::new("unsupported", format!("{name} is a part of a field, which can't be selected"));
                    let fix =
                        "set a field to it and select that one; a key with a dot in it is written in double quotes";
                    builder.problem(&field, finding.fix(fix));
                    continue;
                }
            };
            let name = &name;
            if !builder.scope.knows(name) {
                builder.problem(&field, unknown(name));
                continue;
            }
            let origin = builder.scope.columns.get(name).cloned();
            let origin = origin.unwrap_or_else(|| Origin::Field(vec![name.clone()]));
            if let Origin::Field(path) = &origin {
                builder.inputs.named.insert(path.clone());
            }
            if selected.insert(name.clone(), origin).is_some() {
                builder.problem(&field, Finding::new("duplicate", format!("{name} is selected twice")));
            }
        }
        builder.scope = Scope { open: false, columns: selected, removed: Default::default() };
    }
}

fn unknown(name: &str) -> Finding {
    Finding::new("unknown-field", format!("there is no field {name} after the earlier transforms"))
}
