//! Output fields that a table sink has no column for.
use super::{convert, frame::Frame, infer, target::Target};
use crate::expression::{Origin, Scope, Slot};
use arrow::array::Array;
use dataflow_core::types::{Learned, Type};
use dataflow_formats::decode::{Decoded, Decoder, Field, Want};
use dataflow_sdk::{
    Records,
    batch::{Column, Dead, Warning},
    transform::UnknownFields,
};
use std::collections::HashSet;

/// Most fields of a record that are named.
const MAX_NAMED: usize = 5;

/// What becomes of output fields without a column.
#[derive(Debug)]
pub(crate) struct Unknown {
    rule: UnknownFields,
    /// Names that are no longer, or already, spoken for.
    covered: Vec<String>,
    /// Set or selected fields that no column takes.
    extra: Vec<(String, Origin)>,
}

/// What came of them in one batch.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Columns to be added.
    pub(crate) columns: Vec<Column>,
    /// What was left out.
    pub(crate) warnings: Vec<Warning>,
}

impl Unknown {
    pub(crate) fn new(rule: UnknownFields, target: &Target, scope: &Scope) -> Self {
        let extra = scope.columns.iter().filter(|(name, _)| !target.covers(name));
        let extra = extra.map(|(name, origin)| (name.clone(), origin.clone())).collect();
        Self { rule, covered: target.names(), extra }
    }

    /// Kills records, or says which columns to add or what was left out.
    pub(crate) fn apply(
        &self,
        scope: &Scope,
        decoded: &Decoded,
        target: &Target,
        frame: &mut Frame<'_>,
        records: &Records,
    ) -> Found {
        if frame.len() == 0 {
            return Found::default();
        }
        let found = self.unknown(scope, decoded, frame, records);
        if found.columns.is_empty() {
            self.kill_bare(target, frame, records);
        }
        found
    }

    /// A record of which nothing would be written has not arrived anywhere.
    fn kill_bare(&self, target: &Target, frame: &mut Frame<'_>, records: &Records) {
        let mut bare: Vec<u32> = target.bare(frame).into_iter().map(|row| frame.record(row)).collect();
        bare.dedup();
        let dead = |row| {
            let keys = keys_of(records, row);
            let named = |name: &String| match self.column_like(name) {
                Some(column) => format!("{name}: there is {column}, and names are case-sensitive"),
                None => name.clone(),
            };
            let cause = match keys.iter().take(MAX_NAMED).map(named).collect::<Vec<_>>().join("; ") {
                named if named.is_empty() => "the record has no fields".into(),
                named => format!("the sink has no column for any field of the record ({named})"),
            };
            Dead { row, stage: "sink".into(), code: "no-fields", cause }
        };
        let dead: Vec<Dead> = bare.into_iter().map(dead).collect();
        frame.kill(dead);
    }

    /// A column whose name differs from a field's in case only.
    fn column_like(&self, field: &str) -> Option<&str> {
        let like = |column: &&String| column.as_str() != field && column.to_lowercase() == field.to_lowercase();
        self.covered.iter().find(like).map(String::as_str)
    }

    fn unknown(&self, scope: &Scope, decoded: &Decoded, frame: &mut Frame<'_>, records: &Records) -> Found {
        let set: HashSet<&str> = self.covered.iter().map(String::as_str).collect();
        let unknown = |name: &str| {
            scope.open
                && !set.contains(name)
                && !scope.removed.contains(name)
                && !scope.columns.contains_key(name)
                && !self
                    .covered
                    .iter()
                    .any(|column| column.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        };
        let keys: Vec<(&str, u64)> =
            decoded.keys.iter().filter(|key| unknown(&key.name)).map(|key| (key.name.as_str(), key.records)).collect();
        if keys.is_empty() && self.extra.is_empty() {
            return Found::default();
        }
        match self.rule {
            UnknownFields::Ignore => Found { warnings: self.ignored(&keys, frame.len()), columns: Vec::new() },
            UnknownFields::Dead => {
                self.kill(&keys, frame, records);
                Found::default()
            }
            UnknownFields::Add | UnknownFields::Fail => {
                Found { columns: self.add(&keys, frame, records), warnings: Vec::new() }
            }
        }
    }

    fn ignored(&self, keys: &[(&str, u64)], rows: usize) -> Vec<Warning> {
        let extra = self.extra.iter().map(|(name, _)| (name.as_str(), rows as u64));
        let warning = |(name, records): (&str, u64)| Warning {
            code: "ignored-field",
            subject: name.into(),
            message: match self.column_like(name) {
                Some(column) => format!(
                    "the sink has no column {name}: the field is left out; there is {column}, and names are case-sensitive"
                ),
                None => format!("the sink has no column {name}: the field is left out"),
            },
            records,
        };
        keys.iter().copied().chain(extra).map(warning).collect()
    }

    fn kill(&self, keys: &[(&str, u64)], frame: &mut Frame<'_>, records: &Records) {
        let cause = |name: &str| format!("the sink has no column {name}");
        let dead = |row, name: &str| Dead { row, stage: "sink".into(), code: "unknown-field", cause: cause(name) };
        if let Some((name, _)) = self.extra.first() {
            let all: Vec<Dead> = (0..frame.len()).map(|row| dead(frame.record(row), name)).collect();
            return frame.kill(all);
        }
        let fields = keys.iter().map(|(name, _)| Field { path: vec![(*name).into()], want: Want::As(Type::Json) });
        let found = Decoder::new(fields.collect(), &Learned::default()).decode(records);
        let mut all = Vec::new();
        for ((name, _), column) in keys.iter().zip(&found.columns) {
            let rows = (0..records.len()).filter(|row| column.array.is_valid(*row) && frame.has(*row as u32));
            all.extend(rows.map(|row| dead(row as u32, name)));
        }
        frame.kill(all);
    }

    fn add(&self, keys: &[(&str, u64)], frame: &mut Frame<'_>, records: &Records) -> Vec<Column> {
        let names = keys.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut columns = infer::fields(names, frame, records, &Learned::default());
        for (name, origin) in &self.extra {
            let ty = match origin {
                Origin::Register(register) => convert::type_of(frame.column(Slot::Register(*register)).data_type()),
                Origin::Field(path) => infer::path(path.clone(), frame, records),
            };
            columns.push(Column { name: name.clone(), ty });
        }
        columns
    }
}

/// The top-level fields of a record.
fn keys_of(records: &Records, row: u32) -> Vec<String> {
    let mut one = Records::empty(records.partition.clone(), records.from.clone(), records.layout.clone());
    one.data = records.data.clone();
    one.spans = vec![records.spans[row as usize]];
    one.offsets = vec![0];
    let keys = Decoder::new(Vec::new(), &Learned::default()).decode(&one).keys;
    keys.into_iter().map(|key| key.name).collect()
}
