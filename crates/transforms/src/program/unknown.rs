//! Output fields that a table sink has no column for.
use super::{Chain, frame::Frame, infer, target::Target};
use crate::expression::{Edited, Inputs, Origin, Scope, Slot};
use arrow::array::Array;
use dataflow_core::types::Type;
use dataflow_formats::decode::{Decoded, Decoder, Field, Key, MAX_NAME, Untracked, Want};
use dataflow_sdk::{
    Records,
    batch::{Column, Dead, Inferred, Warning},
    declared::UnknownFields,
    transform::Plan,
};
use std::collections::{BTreeSet, HashSet};

/// Characters of a long name that are shown.
const SHOWN: usize = 64;

/// Most fields of a record that are named.
const MAX_NAMED: usize = 5;

/// The fate of output fields without a column.
#[derive(Debug)]
pub(crate) struct Unknown {
    rule: UnknownFields,
    /// Names that are no longer, or already, spoken for.
    covered: HashSet<String>,
    /// Fields that the sink was asked for a column for, and can't have one.
    turned_down: BTreeSet<String>,
    /// Set or selected fields that no column takes.
    extra: Vec<(String, Origin)>,
    /// Fields that had no value yet when the sink's columns were made: they get one as soon as they have a value. And
    /// where it would be.
    pending: Vec<(String, Origin, Slot)>,
    /// The first field of the sink's key.
    key: Option<String>,
}

impl Unknown {
    pub(crate) fn new(rule: UnknownFields, target: &Target, scope: &Scope, plan: &Plan, inputs: &mut Inputs) -> Self {
        let mut covered: HashSet<String> = target.names().into_iter().collect();
        let pending =
            plan.learned.0.iter().filter(|(name, ty)| ty.is_none() && !target.covers(name)).filter_map(|(name, _)| {
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
        let extra = scope.columns.iter().filter(|(name, _)| !target.covers(name) && !covered.contains(name.as_str()));
        let extra = extra.map(|(name, origin)| (name.clone(), origin.clone())).collect();
        let key = plan.declared.sink.key.first().cloned();
        Self { rule, covered, turned_down: plan.so_far.turned_down.clone(), extra, pending, key }
    }

    /// Kills records, or says which columns to add.
    pub(crate) fn apply(
        &self,
        chain: &Chain,
        decoded: &Decoded,
        target: &Target,
        frame: &mut Frame<'_>,
        records: &Records,
    ) -> Inferred {
        if frame.len() == 0 {
            return Inferred::default();
        }
        let found = self.unknown(chain, decoded, target, frame, records);
        if found.columns.is_empty() {
            self.kill_bare(chain, target, frame, records);
        }
        found
    }

    /// What was left out of the records that go to the sink.
    pub(crate) fn ignored(
        &self,
        chain: &Chain,
        decoded: &Decoded,
        frame: &Frame<'_>,
        records: &Records,
    ) -> Vec<Warning> {
        let (left, mut warnings) = (Left::of(frame, records), Vec::new());
        if matches!(self.rule, UnknownFields::Ignore | UnknownFields::Add) {
            let is_left_out = |name: &str| self.rule == UnknownFields::Ignore || self.turned_down.contains(name);
            let keys = decoded.keys.iter().filter(|key| is_left_out(&key.name) && self.is_unknown(chain, &key.name));
            let keys = left.count(&keys.collect::<Vec<&Key>>(), decoded);
            let extra = self.extra.iter().filter(|(name, _)| is_left_out(name));
            let extra = extra.map(|(name, _)| (name.as_str(), left.len));
            let had = keys.into_iter().chain(extra).filter(|(_, records)| *records > 0);
            warnings.extend(had.map(|(name, records)| self.left_out(name, records)));
            let here = untracked(chain, decoded, frame, records);
            warnings.extend(here.first().map(|first| {
                let (subject, what) = shown(first, records);
                let mut rows: Vec<u32> = here.iter().map(|key| key.row).collect();
                rows.dedup();
                Warning {
                    code: "ignored-field",
                    message: format!("the sink can't have a column for the field {what}: it is left out"),
                    subject,
                    records: rows.len() as u64,
                }
            }));
        }
        warnings
    }

    /// What is said of a field that has no column.
    fn left_out(&self, name: &str, records: u64) -> Warning {
        let message = match self.column_like(name) {
            _ if self.turned_down.contains(name) => format!(
                "the table can't have a column {name:?}: the field is left out. The database has that name itself, or not at all, or takes \
                 it for that of another column, or the table has as many columns as it gets: rename or remove fields with a map transform"
            ),
            Some(column) => format!(
                "the sink has no column {name} that records can fill: the field is left out; there is {column}, and names are case-sensitive"
            ),
            None => format!("the sink has no column {name} that records can fill: the field is left out"),
        };
        Warning { code: "ignored-field", subject: name.into(), message, records }
    }

    /// A record of which nothing would be written has not arrived anywhere. One without a key is what the sink calls it, whichever
    /// columns there are. Where each field gets a column, one whose fields have no value yet is a row of nulls.
    fn kill_bare(&self, chain: &Chain, target: &Target, frame: &mut Frame<'_>, records: &Records) {
        let mut bare = target.bare(frame);
        for (.., slot) in &self.pending {
            let absent = frame.absent(*slot);
            bare.retain(|row| absent.as_ref().is_some_and(|absent| absent.value(*row)));
        }
        let mut bare: Vec<u32> = bare.into_iter().map(|row| frame.record(row)).collect();
        bare.dedup();
        if self.rule == UnknownFields::Add && self.key.is_none() {
            let waits = |Key { name, .. }: &Key| self.is_unknown(chain, name) && !self.turned_down.contains(name);
            bare.retain(|row| !keys_of(records, &[*row]).iter().any(waits));
        }
        let dead = |row| {
            if let Some(key) = &self.key {
                let cause = format!("key column {key} is missing");
                return Dead { row, stage: "sink".into(), code: "rejected", cause };
            }
            let keys = keys_of(records, &[row]);
            let named = |Key { name, .. }: &Key| match self.column_like(name) {
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

    /// Whether a field of the records goes nowhere.
    fn is_unknown(&self, chain: &Chain, name: &str) -> bool {
        let scope = &chain.scope;
        let part = |column: &String| column.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        scope.open
            && !self.covered.contains(name)
            && !scope.removed.contains(name)
            && !scope.columns.contains_key(name)
            && !self.covered.iter().any(part)
    }

    fn unknown(
        &self,
        chain: &Chain,
        decoded: &Decoded,
        target: &Target,
        frame: &mut Frame<'_>,
        records: &Records,
    ) -> Inferred {
        // Of a record without its key nothing is written, so it gets no column.
        let keyed = (self.rule == UnknownFields::Add && self.key.is_some()).then(|| target.keyed(frame)).flatten();
        let mut keyed = keyed.map(|keyed| {
            let mut frame = frame.clone();
            frame.keep(keyed);
            frame
        });
        let frame = keyed.as_mut().unwrap_or(frame);
        let mut found = Inferred::default();
        let mut fields: Vec<(String, Origin)> = Vec::new();
        if self.rule != UnknownFields::Ignore {
            let keys = decoded.keys.iter().map(|key| key.name.as_str()).filter(|name| self.is_unknown(chain, name));
            let keys: Vec<&str> = keys.collect();
            match self.rule {
                UnknownFields::Dead => self.kill(&keys, chain, decoded, frame, records),
                UnknownFields::Add | UnknownFields::Fail => {
                    let keys = keys.iter().map(|name| ((*name).to_owned(), Origin::Field(vec![(*name).to_owned()])));
                    let asked = keys.chain(self.extra.iter().cloned());
                    fields.extend(asked.filter(|(name, _)| !self.turned_down.contains(name)));
                }
                UnknownFields::Ignore => {}
            }
        }
        if self.rule == UnknownFields::Fail
            && let Some(first) = untracked(chain, decoded, frame, records).first()
        {
            found.columns.push(Column { name: shown(first, records).0, ty: Type::Any });
        }
        for (name, origin, slot) in &self.pending {
            let column = frame.column(*slot);
            if column.logical_null_count() < column.len() {
                fields.push((name.clone(), origin.clone()));
            }
        }
        if !fields.is_empty() {
            let of_fields = infer::of(&fields, chain, frame, records);
            found.columns.extend(of_fields.columns);
            found.fields.extend(of_fields.fields);
            found.learned = of_fields.learned;
            found.warnings = of_fields.warnings;
        }
        found
    }

    /// Kills each record that has a field without a column. The cause names the first of its own by name, whichever the batch had first.
    fn kill(&self, keys: &[&str], chain: &Chain, decoded: &Decoded, frame: &mut Frame<'_>, records: &Records) {
        let cause = |name: &str| format!("the sink has no column {name} that records can fill");
        let dead = |row, name: &str| Dead { row, stage: "sink".into(), code: "unknown-field", cause: cause(name) };
        if let Some((name, _)) = self.extra.first() {
            let all: Vec<Dead> = (0..frame.len()).map(|row| dead(frame.record(row), name)).collect();
            return frame.kill(all);
        }
        let (no_columns, too_many): (Vec<Untracked>, Vec<Untracked>) = untracked(chain, decoded, frame, records)
            .into_iter()
            .partition(|key| key.name.len() > MAX_NAME || name_of(key, records).contains('\\'));
        let more: BTreeSet<String> = too_many.iter().map(|key| name_of(key, records)).collect();
        let more = more.iter().map(String::as_str).filter(|name| self.is_unknown(chain, name));
        let keys: Vec<&str> = keys.iter().copied().chain(more).collect();
        let mut all = Vec::new();
        if !keys.is_empty() {
            let fields = keys.iter().map(|name| Field { path: vec![(*name).into()], want: Want::As(Type::Any) });
            let found = Decoder::new(fields.collect()).decode(records);
            for (name, column) in keys.iter().zip(&found.columns) {
                let rows = (0..records.len()).filter(|row| column.array.is_valid(*row) && frame.has(*row as u32));
                all.extend(rows.map(|row| dead(row as u32, name)));
            }
        }
        all.extend(no_columns.iter().map(|key| Dead {
            cause: format!("the sink can't have a column for the field {}", shown(key, records).1),
            ..dead(key.row, "")
        }));
        all.sort_by(|one, other| (one.row, &one.cause).cmp(&(other.row, &other.cause)));
        frame.kill(all);
    }
}

/// The records that are left of a batch.
struct Left<'a> {
    /// Each of them; none: all.
    rows: Option<Vec<u32>>,
    /// How many they are.
    len: u64,
    records: &'a Records,
}

impl<'a> Left<'a> {
    fn of(frame: &Frame<'_>, records: &'a Records) -> Self {
        let mut rows = frame.rows().map(<[u32]>::to_vec);
        rows.iter_mut().for_each(Vec::dedup);
        Self { len: rows.as_ref().map_or(frame.len(), Vec::len) as u64, rows, records }
    }

    /// How many of them have each of these keys. Only where others went and not all have the same keys, it takes another look.
    fn count<'k>(&self, keys: &[&'k Key], decoded: &Decoded) -> Vec<(&'k str, u64)> {
        let count = |of: &dyn Fn(&Key) -> u64| keys.iter().map(|key| (key.name.as_str(), of(key))).collect();
        let Some(rows) = &self.rows else { return count(&|key| key.records) };
        if keys.iter().all(|key| key.records == decoded.read) {
            return count(&|_| self.len);
        }
        let seen = keys_of(self.records, rows);
        count(&|key| seen.iter().find(|seen| seen.name == key.name).map_or(0, |seen| seen.records))
    }
}

/// The fields of the rows that are left whose names are not tracked: they never have a column.
fn untracked(chain: &Chain, decoded: &Decoded, frame: &Frame<'_>, records: &Records) -> Vec<Untracked> {
    if !chain.scope.open || decoded.untracked.is_empty() {
        return Vec::new();
    }
    let here = |key: &&Untracked| frame.has(key.row) && !chain.scope.removed.contains(&name_of(key, records));
    decoded.untracked.iter().filter(here).copied().collect()
}

fn name_of(key: &Untracked, records: &Records) -> String {
    String::from_utf8_lossy(key.name.of(&records.data)).into_owned()
}

/// The name of such a field, and the same with why it can't have a column.
fn shown(key: &Untracked, records: &Records) -> (String, String) {
    match (name_of(key, records), key.name.len()) {
        (name, length) if length > MAX_NAME => {
            let begin: String = name.chars().take(SHOWN).collect();
            let what = format!("{begin}…, whose name has {length} bytes, more than the {MAX_NAME} of a column");
            (format!("{begin}…"), what)
        }
        (name, _) if name.contains('\\') => (name.clone(), format!("{name}, whose name has half of a surrogate pair")),
        (name, _) => (name.clone(), format!("{name}, which is one of too many")),
    }
}

/// The top-level fields of some of the records.
fn keys_of(records: &Records, rows: &[u32]) -> Vec<Key> {
    Decoder::new(Vec::new()).decode(&records.contents(rows)).keys
}
