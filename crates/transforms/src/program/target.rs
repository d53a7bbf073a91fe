//! The columns that a sink asks for: where each comes from, and making them.
use super::{build::Builder, convert, frame::Frame};
use crate::expression::{Edited, Inputs, Origin, Scope, Slot, Within};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::BooleanBuffer,
    compute::{is_not_null, kernels::zip::zip},
    datatypes::{Field, Schema, SchemaRef},
};
use dataflow_formats::decode::Want;
use dataflow_sdk::batch::{Cells, Column, Dead, arrow_type};
use std::{collections::BTreeSet, sync::Arc};

/// Where the values of a sink's column come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A source field, decoded as the column's type.
    Field(usize),
    /// Of a dotted name: the field of that very name, or else the one at that path.
    Either(usize, usize),
    /// A computed column.
    Register(usize),
    /// An object of a source field in which something was set or removed.
    Edited(usize, usize),
    /// Nothing has that name.
    Nothing,
}

/// The columns that a sink asks for.
#[derive(Debug)]
pub(crate) struct Target {
    columns: Vec<(Column, Source)>,
    schema: SchemaRef,
    /// Columns whose types were taken from the data, and nobody has named since.
    learned: BTreeSet<String>,
}

impl Target {
    /// Finds out where each column comes from.
    pub(crate) fn new(columns: &[Column], learned: BTreeSet<String>, builder: &mut Builder<'_>) -> Self {
        let Builder { scope, inputs, .. } = builder;
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new(&column.name, arrow_type(column.ty), true)).collect();
        let source = |column: &Column| {
            // An untyped value goes into a type that nobody has named only as it is written.
            let want = match learned.contains(&column.name) {
                true => Want::Strict(column.ty),
                false => Want::As(column.ty),
            };
            (column.clone(), source(column, want, scope, inputs))
        };
        let columns = columns.iter().map(source).collect();
        Self { columns, schema: Arc::new(Schema::new(fields)), learned }
    }

    /// Why a value doesn't fit a column, and what to do if its type was taken from the data.
    fn cause(&self, column: &Column, why: &str) -> String {
        let Column { name, ty } = column;
        match self.learned.contains(name) {
            true => format!(
                "column {name} ({ty}): {why}; the first values made the column {ty}: to have another type, name it in the sink's columns, as in {name:?}: \"text\""
            ),
            false => format!("column {name} ({ty}): {why}"),
        }
    }

    /// Whether a top-level field goes into a column, or some of it does.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let part = |column: &str| column.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        self.columns.iter().any(|(column, _)| column.name == name || part(&column.name))
    }

    /// No rows.
    pub(crate) fn nothing(&self) -> Cells {
        RecordBatch::new_empty(self.schema.clone()).into()
    }

    /// Names of the columns.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(column, _)| column.name.clone()).collect()
    }

    /// The rows whose record has no field for a column; none: all have one. What is computed is always there.
    fn absent(source: Source, frame: &Frame<'_>) -> Option<BooleanBuffer> {
        match source {
            Source::Field(field) => frame.absent(field),
            Source::Either(key, path) => Some(&frame.absent(key)? & &frame.absent(path)?),
            Source::Register(_) => None,
            Source::Edited(_, field) => frame.absent(field),
            Source::Nothing => Some(BooleanBuffer::new_set(frame.len())),
        }
    }

    /// The records that have no field for any column, by row.
    pub(crate) fn bare(&self, frame: &Frame<'_>) -> Vec<usize> {
        let mut bare: Option<BooleanBuffer> = None;
        for (_, source) in &self.columns {
            let Some(absent) = Self::absent(*source, frame) else { return Vec::new() };
            bare = Some(bare.map_or_else(|| absent.clone(), |bare| &bare & &absent));
        }
        bare.map_or_else(|| (0..frame.len()).collect(), |bare| bare.set_indices().collect())
    }

    /// Makes the columns. Values that don't fit become dead letters, or NULL and counted if `lenient`.
    pub(crate) fn make(&self, frame: &mut Frame<'_>, lenient: bool, misfits: &mut super::misfits::Misfits) -> Cells {
        for (column, source) in &self.columns {
            let fields = match *source {
                Source::Field(field) => [Some(field), None],
                Source::Either(key, path) => [Some(key), Some(path)],
                Source::Register(_) | Source::Edited(..) | Source::Nothing => [None, None],
            };
            for field in fields.into_iter().flatten() {
                let Some(decoded) = frame.field(Slot::Field(field)) else { continue };
                let about = |cause: &str| self.cause(column, cause);
                misfits.take(frame, decoded, "sink", &column.name, lenient, about);
            }
        }
        // Of computed columns a conversion tells what doesn't fit; a dead record takes all its rows with it.
        let mut converted: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.len());
        let mut dead = Vec::new();
        for (column, source) in &self.columns {
            let (Source::Register(register) | Source::Edited(register, _)) = *source else {
                converted.push(None);
                continue;
            };
            let computed = frame.column(Slot::Register(register));
            let (values, failed) = convert::to(&computed, column.ty, frame.is_json(Slot::Register(register)));
            for (row, why) in failed {
                let cause = self.cause(column, &why);
                match lenient {
                    true => misfits.count(&column.name, &cause),
                    false => {
                        dead.push(Dead { row: frame.record(row), stage: "sink".into(), code: "type-mismatch", cause })
                    }
                }
            }
            converted.push(Some(values));
        }
        if !dead.is_empty() {
            let all: Vec<u32> = (0..frame.len()).map(|row| frame.record(row)).collect();
            frame.kill(dead);
            let alive = BooleanArray::from_iter(all.iter().map(|record| Some(!frame.dead.contains_key(record))));
            for column in converted.iter_mut().flatten() {
                *column = arrow::compute::filter(column, &alive)
                    .unwrap_or_else(|error| unreachable!("the column has a value for each row: {error}"));
            }
        }
        let arrays =
            self.columns.iter().zip(converted).map(|((column, source), converted)| match (*source, converted) {
                (_, Some(values)) => values,
                (Source::Field(field), None) => frame.column(Slot::Field(field)),
                (Source::Either(key, path), None) => {
                    either(&frame.column(Slot::Field(key)), &frame.column(Slot::Field(path)))
                }
                (Source::Register(_) | Source::Edited(..) | Source::Nothing, None) => {
                    new_null_array(&arrow_type(column.ty), frame.len())
                }
            });
        let arrays = arrays.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(frame.len()));
        let values = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .unwrap_or_else(|error| unreachable!("every column is made in the type that the sink asked for: {error}"));
        Cells::new(values, self.columns.iter().map(|(_, source)| Self::absent(*source, frame)).collect())
    }
}

/// Rows without any column.
pub(crate) fn nothing(rows: usize) -> Cells {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .unwrap_or_else(|error| unreachable!("no column can be of a wrong length: {error}"))
        .into()
}

fn source(column: &Column, want: Want, scope: &Scope, inputs: &mut Inputs) -> Source {
    match scope.columns.get(&column.name) {
        Some(Origin::Register(register)) => return Source::Register(*register),
        Some(Origin::Field(path)) => return Source::Field(inputs.field(path.clone(), want)),
        Some(Origin::Edited(edited)) => return Source::Edited(edited.register, edited.raw),
        None => {}
    }
    let key = (scope.open && !scope.removed.contains(&column.name)).then(|| vec![column.name.clone()]);
    if let Some((top, rest)) = column.name.split_once('.')
        && let Some(Origin::Edited(edited)) = scope.columns.get(top)
    {
        let rest: Vec<String> = rest.split('.').map(String::from).collect();
        match edited.within(&rest) {
            Within::Changed(Some(Origin::Field(path))) => return Source::Field(inputs.field(path, want)),
            Within::Changed(Some(Origin::Register(register) | Origin::Edited(Edited { register, .. }))) => {
                return Source::Register(register);
            }
            Within::Changed(None) | Within::Partly => return Source::Nothing,
            Within::Unchanged => {}
        }
    }
    let path: Option<Vec<String>> = column
        .name
        .contains('.')
        .then(|| {
            let parts: Vec<String> = column.name.split('.').map(String::from).collect();
            let (first, rest) = parts.split_first()?;
            match scope.columns.get(first) {
                Some(Origin::Field(base)) => Some([base.as_slice(), rest].concat()),
                Some(Origin::Edited(edited)) => Some([edited.base.as_slice(), rest].concat()),
                Some(Origin::Register(_)) => None,
                None => (scope.open && !scope.removed.contains(first)).then_some(parts),
            }
        })
        .flatten();
    match (key, path) {
        (Some(key), Some(path)) => Source::Either(inputs.field(key, want), inputs.field(path, want)),
        (Some(only), None) | (None, Some(only)) => Source::Field(inputs.field(only, want)),
        (None, None) => Source::Nothing,
    }
}

fn either(first: &ArrayRef, second: &ArrayRef) -> ArrayRef {
    if first.null_count() == 0 || second.null_count() == second.len() {
        return first.clone();
    }
    if first.null_count() == first.len() {
        return second.clone();
    }
    is_not_null(first)
        .and_then(|has| zip(&has, first, second))
        .unwrap_or_else(|error| unreachable!("both are of the column's type: {error}"))
}
