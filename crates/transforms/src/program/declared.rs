//! Source fields with a declared type that leave as they are written: each value is to be one of that type, whatever the sink
//! could hold.
use super::{Chain, build::Builder, frame::Frame, misfits::Misfits, run::Made};
use crate::expression::{Origin, Slot};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, StringArray},
    compute::nullif,
};
use dataflow_core::types::Type;
use dataflow_formats::{
    decode::{Misfit, Want},
    encode,
};
use std::{collections::HashSet, sync::Arc};

/// A source field of a declared type.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Where it is in the output.
    pub(super) path: Vec<String>,
    /// The field as that type.
    pub(super) field: usize,
    /// What it is called in causes: `schema price (decimal(10,2))`.
    what: String,
}

/// The declared fields that leave.
pub(super) fn leaving(builder: &mut Builder<'_>) -> Vec<Declared> {
    let Builder { cx, scope, inputs, .. } = builder;
    let mut found = Vec::new();
    for (name, ty) in cx.schema {
        let parts: Vec<String> = name.split('.').map(String::from).collect();
        for source in if parts.len() > 1 { vec![vec![name.clone()], parts] } else { vec![parts] } {
            let mut leaves = |path: Vec<String>| {
                let field = inputs.field(source.clone(), Want::As(*ty));
                found.push(Declared { path, field, what: format!("schema {name} ({ty})") });
            };
            if scope.open && !scope.removed.contains(&source[0]) && !scope.columns.contains_key(&source[0]) {
                leaves(source.clone());
            }
            for (column, origin) in &scope.columns {
                if let Origin::Field(from) = origin
                    && let Some(rest) = source.strip_prefix(from.as_slice())
                {
                    leaves([std::slice::from_ref(column), rest].concat());
                }
            }
        }
    }
    found
}

impl Chain {
    /// Judges the values of declared types before there are columns for them; documents do so where they are made.
    pub(super) fn judge_declared(&self, frame: &mut Frame<'_>, misfits: &mut Misfits) {
        let target = match &self.result {
            Made::Columns(target) => Some(target),
            Made::Unknown => self.key.as_ref(),
            Made::Documents(_) => None,
        };
        if let Some(target) = target {
            target.judge(frame, self.lenient, misfits);
        }
    }
}

impl Declared {
    /// Kills the records with values of another type, or counts them if `lenient`.
    pub(super) fn take(&self, frame: &mut Frame<'_>, lenient: bool, misfits: &mut Misfits) {
        if let Some(column) = frame.field(Slot::Field(self.field)) {
            let about = |misfit: &Misfit| format!("{}: {}", self.what, misfit.cause);
            misfits.take(frame, column, "sink", &self.path.join("."), lenient, about);
        }
    }

    /// The rows with a value of another type.
    pub(super) fn misfits(&self, frame: &Frame<'_>) -> Vec<usize> {
        let column = frame.field(Slot::Field(self.field));
        let records: HashSet<u32> = column.iter().flat_map(|column| &column.misfits).map(|misfit| misfit.row).collect();
        match records.is_empty() {
            true => Vec::new(),
            false => (0..frame.len()).filter(|row| records.contains(&frame.record(*row))).collect(),
        }
    }

    /// Where the field is in a column of the output; none: elsewhere.
    fn within(&self, column: &str) -> Option<&[String]> {
        match self.path.split_first() {
            Some((first, rest)) if first == column => Some(rest),
            _ if self.path.join(".") == column => Some(&[]),
            _ => None,
        }
    }

    /// A column of the output with NULL in the place of values of another type.
    pub(super) fn without_misfits(&self, name: &str, ty: Type, column: ArrayRef, frame: &Frame<'_>) -> ArrayRef {
        let Some(within) = self.within(name) else { return column };
        let rows = self.misfits(frame);
        if rows.is_empty() {
            return column;
        }
        let here = |row: &usize| rows.binary_search(row).is_ok();
        if within.is_empty() {
            let here = BooleanArray::from_iter((0..column.len()).map(|row| Some(here(&row))));
            return nullif(&column, &here)
                .unwrap_or_else(|error| unreachable!("there is a flag for each row: {error}"));
        }
        let Some(texts) = column.as_string_opt::<i32>().filter(|_| matches!(ty, Type::Json | Type::Any)) else {
            return column;
        };
        let text = |row: usize| match (texts.is_valid(row), here(&row)) {
            (false, _) => None,
            (true, false) => Some(texts.value(row).to_owned()),
            (true, true) => encode::edited(texts.value(row), within, Some("null"), true).ok(),
        };
        Arc::new((0..texts.len()).map(text).collect::<StringArray>())
    }
}
