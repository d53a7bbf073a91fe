//! Fields that are set in vain: nothing reads them before they are set again, removed or left out.
use super::{MapConfig, path};
use crate::{
    expression::{self, Finding},
    program::Builder,
};
use datafusion_sql::sqlparser::ast::{Expr, visit_expressions};
use std::ops::ControlFlow;

/// A field that is set.
pub(super) struct Set {
    /// Where the spec says so.
    pub(super) field: String,
    /// Its keys.
    pub(super) path: Vec<String>,
    /// What it is set to.
    pub(super) value: Expr,
}

impl MapConfig {
    /// Notes each field that is set in vain.
    pub(super) fn note_vain(&self, set: &[Set], builder: &mut Builder<'_>) {
        let paths = |names: &[String]| names.iter().filter_map(|name| path::path(name).ok()).collect::<Vec<_>>();
        let (removed, selected) = (paths(&self.remove), paths(&self.select));
        for (index, Set { field, path, .. }) in set.iter().enumerate() {
            let later = &set[index + 1..];
            let again = later.iter().position(|later| path.starts_with(&later.path));
            if later[..again.map_or(later.len(), |again| again + 1)].iter().any(|later| reads(&later.value, path)) {
                continue;
            }
            let (fate, fix) = if let Some(again) = again {
                (format!("is set again by {}", later[again].field), "set it once")
            } else if removed.iter().any(|removed| path.starts_with(removed)) {
                ("is removed by remove".into(), "leave one of the two out")
            } else if !selected.is_empty() && !selected.contains(&path[..1].to_vec()) {
                ("is not selected".into(), "add it to select, or leave it out of set")
            } else {
                continue;
            };
            let message = format!("{} {fate}, and no expression reads it before", path.join("."));
            builder.problem(field, Finding::new("contradiction", message).fix(fix));
        }
    }
}

/// Whether an expression reads a field, a part of it, or what it is a part of.
fn reads(value: &Expr, path: &[String]) -> bool {
    let found = visit_expressions(value, |part| match expression::path(part) {
        Some(names) if names.first().map(|name| &name.value) == path.first() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
