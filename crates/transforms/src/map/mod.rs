//! `map`: sets, removes and selects fields.
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
    /// Fields to set, each to the value of a SQL expression: `{"total": "price * quantity", "name": "upper(name)"}`. Each
    /// expression sees what those before it have set. A name is one key, also with a dot in it.
    #[serde(default)]
    set: IndexMap<String, String>,
    /// Top-level fields to leave out.
    #[serde(default)]
    remove: Vec<String>,
    /// The only fields to keep, in this order; none given: all. A field that a record doesn't have is null.
    #[serde(default)]
    select: Vec<String>,
}

impl MapConfig {
    pub(crate) fn plan(&self, builder: &mut Builder<'_>) {
        if self.set.is_empty() && self.remove.is_empty() && self.select.is_empty() {
            let finding = Finding::new("missing-field", "does nothing");
            builder.problem("", finding.fix("give set, remove or select"));
        }
        for (name, text) in &self.set {
            let field = format!("set.{name}");
            if let Some(tree) = builder.parse(text, &field)
                && let Some(origin) = builder.value(tree, &[], &field)
            {
                builder.scope.set(name, origin);
            }
        }
        for (index, name) in self.remove.iter().enumerate() {
            if !known(&builder.scope, name) {
                builder.problem(&format!("remove[{index}]"), unknown(name));
            }
            builder.scope.remove(name);
        }
        if !self.select.is_empty() {
            self.keep_selected(builder);
        }
    }

    fn keep_selected(&self, builder: &mut Builder<'_>) {
        let mut selected = IndexMap::new();
        for (index, name) in self.select.iter().enumerate() {
            let field = format!("select[{index}]");
            if !known(&builder.scope, name) {
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

fn known(scope: &Scope, name: &str) -> bool {
    scope.columns.contains_key(name) || (scope.open && !scope.removed.contains(name))
}

fn unknown(name: &str) -> Finding {
    Finding::new("unknown-field", format!("there is no field {name} behind the earlier transforms"))
}
