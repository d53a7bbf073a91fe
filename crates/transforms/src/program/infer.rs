//! Which output fields there are, and of which types.
use super::{Chain, convert, frame::Frame};
use crate::expression::{Origin, Slot};
use dataflow_core::types::{Learned, Type};
use dataflow_formats::decode::{Decoder, Field, Want, learned_key};
use dataflow_sdk::{Records, batch::Column};
use std::sync::Arc;

/// Most columns that are inferred.
const MAX_COLUMNS: usize = 1_000;

/// All top-level output fields of the records that come through, in order: the source's, then those that were set.
pub(super) fn columns(chain: &mut Chain, records: &Arc<Records>) -> Vec<Column> {
    let (columns, ..) = chain.run(records, |chain, _, frame, _| {
        let scope = &chain.scope;
        let mut columns = Vec::new();
        if frame.len() == 0 {
            return columns;
        }
        if scope.open {
            let left = left(frame, records);
            let keys = Decoder::new(Vec::new(), &Learned::default()).decode(&left).keys.into_iter().map(|key| key.name);
            let names = keys.filter(|name| !scope.removed.contains(name) && !scope.columns.contains_key(name));
            columns = typed(names.take(MAX_COLUMNS).map(|name| vec![name]).collect(), &left, &chain.learned);
        }
        for (name, origin) in scope.columns.iter().take(MAX_COLUMNS - columns.len()) {
            let ty = match origin {
                Origin::Register(register) => convert::type_of(frame.column(Slot::Register(*register)).data_type()),
                Origin::Field(field) => path(field.clone(), frame, records),
            };
            columns.push(Column { name: name.clone(), ty });
        }
        columns
    });
    columns
}

/// The columns of these top-level fields, in the records that have rows, that any of them has.
pub(super) fn fields(names: Vec<String>, frame: &Frame<'_>, records: &Records, learned: &Learned) -> Vec<Column> {
    let left = left(frame, records);
    let keys = Decoder::new(Vec::new(), learned).decode(&left).keys;
    let there = names.into_iter().filter(|name| keys.iter().any(|key| key.name == *name));
    typed(there.map(|name| vec![name]).collect(), &left, learned)
}

/// The type of one field, in the records that have rows.
pub(super) fn path(path: Vec<String>, frame: &Frame<'_>, records: &Records) -> Type {
    let columns = typed(vec![path], &left(frame, records), &Learned::default());
    columns.first().map_or(Type::Text, |column| column.ty)
}

fn typed(paths: Vec<Vec<String>>, records: &Records, learned: &Learned) -> Vec<Column> {
    let fields: Vec<Field> = paths.into_iter().map(|path| Field { path, want: Want::Infer }).collect();
    let found = Decoder::new(fields.clone(), learned).decode(records).learned;
    let known = found.as_ref().unwrap_or(learned);
    let column = |field: Field| {
        // A field without any value so far is text.
        let ty = known.0.get(&learned_key(&field)).copied().unwrap_or(Type::Text);
        Column { name: field.path.join("."), ty }
    };
    fields.into_iter().map(column).collect()
}

/// The records that have rows.
fn left(frame: &Frame<'_>, records: &Records) -> Records {
    let mut left = Records::empty(records.partition.clone(), records.from.clone(), records.layout.clone());
    left.data = records.data.clone();
    left.spans = match frame.rows() {
        None => records.spans.clone(),
        Some(rows) => {
            let mut rows = rows.to_vec();
            rows.dedup();
            rows.iter().map(|row| records.spans[*row as usize]).collect()
        }
    };
    left.offsets = vec![0; left.spans.len()];
    left
}
