//! Output fields that a table sink has no column for.
use super::{Chain, frame::Frame, infer, target::Target};
use crate::expression::{Edited, Inputs, Origin, Scope, Slot};
use arrow::array::Array;
use dataflow_core::types::{Learned, Type};
use dataflow_formats::decode::{Decoded, Decoder, Field, MAX_NAME, Untracked, Want};
use dataflow_sdk::{
    Records,
    batch::{Column, Dead, Inferred, Warning},
    transform::UnknownFields,
};
use std::collections::HashSet;

/// Characters of a long name that are shown.
const SHOWN: usize = 64;

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
    /// Fields that had no value yet when the sink's columns were made: they get one as soon as they have a value. And
    /// where it would be.
    pending: Vec<(String, Origin, Slot)>,
}

/// What came of them in one batch.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Columns to be added.
    pub(crate) columns: Inferred,
    /// What was left out.
    pub(crate) warnings: Vec<Warning>,
}

impl Unknown {
    pub(crate) fn new(
        rule: UnknownFields,
        target: &Target,
        scope: &Scope,
        learned: &Learned,
        inputs: &mut Inputs,
    ) -> Self {
        let mut covered = target.names();
        let pending =
            learned.0.iter().filter(|(name, ty)| ty.is_none() && !target.covers(name)).filter_map(|(name, _)| {
                let origin = match scope.columns.get(name) {
                    Some(origin) => origin.clone(),
                    None if scope.open && !scope.removed.contains(name) => Origin::Field(vec![name.clone()]),
                    None => return None,
                };
                let slot = match &origin {
                    Origin::Field(path) => Slot::Field(inputs.field(path.clone(), Want::As(Type::Any))),
                    Origin::Register(register) | Origin::Edited(Edited { register, .. }) => Slot::Register(*register),
                };
                Some((name.clone(), origin, slot))
            });
        let pending: Vec<(String, Origin, Slot)> = pending.collect();
        covered.extend(pending.iter().map(|(name, ..)| name.clone()));
        let extra = scope.columns.iter().filter(|(name, _)| !target.covers(name) && !covered.contains(name));
        let extra = extra.map(|(name, origin)| (name.clone(), origin.clone())).collect();
        Self { rule, covered, extra, pending }
    }

    /// Kills records, or says which columns to add or what was left out.
    pub(crate) fn apply(
        &self,
        chain: &Chain,
        decoded: &Decoded,
        target: &Target,
        frame: &mut Frame<'_>,
        records: &Records,
    ) -> Found {
        if frame.len() == 0 {
            return Found::default();
        }
        let found = self.unknown(chain, decoded, frame, records);
        if found.columns.columns.is_empty() {
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

    fn unknown(&self, chain: &Chain, decoded: &Decoded, frame: &mut Frame<'_>, records: &Records) -> Found {
        let scope = &chain.scope;
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
        let mut found = Found::default();
        match self.rule {
            UnknownFields::Ignore => found.warnings = self.ignored(&keys, frame.len()),
            UnknownFields::Dead => self.kill(&keys, frame, records),
            UnknownFields::Add | UnknownFields::Fail => {}
        }
        self.untracked(chain, decoded, frame, records, &mut found);
        let mut fields: Vec<(String, Origin)> = Vec::new();
        if matches!(self.rule, UnknownFields::Add | UnknownFields::Fail) && !(keys.is_empty() && self.extra.is_empty())
        {
            fields.extend(keys.iter().map(|(name, _)| ((*name).to_owned(), Origin::Field(vec![(*name).to_owned()]))));
            fields.extend(self.extra.iter().cloned());
        }
        for (name, origin, slot) in &self.pending {
            let column = frame.column(*slot);
            if column.logical_null_count() < column.len() {
                fields.push((name.clone(), origin.clone()));
            }
        }
        if !fields.is_empty() {
            let of_fields = infer::of(&fields, chain, frame, records);
            found.columns.columns.extend(of_fields.columns);
            found.columns.fields.extend(of_fields.fields);
            found.columns.learned = of_fields.learned;
            found.columns.warnings = of_fields.warnings;
        }
        found
    }

    /// Fields whose names are not tracked never have a column.
    fn untracked(&self, chain: &Chain, decoded: &Decoded, frame: &mut Frame<'_>, records: &Records, found: &mut Found) {
        if !chain.scope.open || decoded.untracked.is_empty() {
            return;
        }
        let name = |key: &Untracked| String::from_utf8_lossy(key.name.of(&records.data)).into_owned();
        let here =
            decoded.untracked.iter().filter(|key| frame.has(key.row) && !chain.scope.removed.contains(&name(key)));
        let here: Vec<Untracked> = here.copied().collect();
        let Some(first) = here.first() else { return };
        let shown = |key: &Untracked| match (name(key), key.name.len()) {
            (name, length) if length > MAX_NAME => {
                let begin: String = name.chars().take(SHOWN).collect();
                (
                    format!("{begin}…"),
                    format!("{begin}…, whose name has {length} bytes, more than the {MAX_NAME} of a column"),
                )
            }
            (name, _) if name.contains('\\') => {
                (name.clone(), format!("{name}, whose name has half of a surrogate pair"))
            }
            (name, _) => (name.clone(), format!("{name}, which is one of too many")),
        };
        let (subject, what) = shown(first);
        match self.rule {
            UnknownFields::Ignore | UnknownFields::Add => {
                let mut rows: Vec<u32> = here.iter().map(|key| key.row).collect();
                rows.dedup();
                found.warnings.push(Warning {
                    code: "ignored-field",
                    message: format!("the sink can't have a column for the field {what}: it is left out"),
                    subject,
                    records: rows.len() as u64,
                });
            }
            UnknownFields::Dead => frame.kill(here.iter().map(|key| Dead {
                row: key.row,
                stage: "sink".into(),
                code: "unknown-field",
                cause: format!("the sink can't have a column for the field {}", shown(key).1),
            })),
            UnknownFields::Fail => found.columns.columns.push(Column { name: subject, ty: Type::Any }),
        }
    }

    fn ignored(&self, keys: &[(&str, u64)], rows: usize) -> Vec<Warning> {
        let extra = self.extra.iter().map(|(name, _)| (name.as_str(), rows as u64));
        let warning = |(name, records): (&str, u64)| Warning {
            code: "ignored-field",
            subject: name.into(),
            message: match self.column_like(name) {
                Some(column) => format!(
                    "the sink has no column {name} that records can fill: the field is left out; there is {column}, and names are case-sensitive"
                ),
                None => format!("the sink has no column {name} that records can fill: the field is left out"),
            },
            records,
        };
        keys.iter().copied().chain(extra).map(warning).collect()
    }

    fn kill(&self, keys: &[(&str, u64)], frame: &mut Frame<'_>, records: &Records) {
        let cause = |name: &str| format!("the sink has no column {name} that records can fill");
        let dead = |row, name: &str| Dead { row, stage: "sink".into(), code: "unknown-field", cause: cause(name) };
        if let Some((name, _)) = self.extra.first() {
            let all: Vec<Dead> = (0..frame.len()).map(|row| dead(frame.record(row), name)).collect();
            return frame.kill(all);
        }
        if keys.is_empty() {
            return;
        }
        let fields = keys.iter().map(|(name, _)| Field { path: vec![(*name).into()], want: Want::As(Type::Any) });
        let found = Decoder::new(fields.collect()).decode(records);
        let mut all = Vec::new();
        for ((name, _), column) in keys.iter().zip(&found.columns) {
            let rows = (0..records.len()).filter(|row| column.array.is_valid(*row) && frame.has(*row as u32));
            all.extend(rows.map(|row| dead(row as u32, name)));
        }
        frame.kill(all);
    }
}

/// The top-level fields of a record.
fn keys_of(records: &Records, row: u32) -> Vec<String> {
    let mut one = Records::empty(records.partition.clone(), records.from.clone(), records.layout.clone());
    one.data = records.data.clone();
    one.spans = vec![records.spans[row as usize]];
    one.offsets = vec![0];
    let keys = Decoder::new(Vec::new()).decode(&one).keys;
    keys.into_iter().map(|key| key.name).collect()
}
