//! The columns that a sink asks for: where each comes from, and making them.
use super::{
    build::Builder,
    convert::{self, Texts},
    declared::{self, Declared},
    frame::Frame,
};
use crate::expression::{Edited, Inputs, Origin, Slot, Within};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::BooleanBuffer,
    compute::kernels::zip::zip,
    datatypes::{Field, Schema, SchemaRef},
};
use dataflow_core::types::Type;
use dataflow_formats::decode::{Misfit, Want};
use dataflow_sdk::batch::{Cells, Column, Dead, arrow_type};
use std::{collections::BTreeSet, sync::Arc};

/// Where the values of a sink's column come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A source field, decoded as the column's type.
    Field(usize),
    /// An untyped source field of a declared type, decoded as that; whether its texts are JSON.
    Declared(usize, bool),
    /// Of a dotted name: the field of that very name, or, where it is missing, the one at that path.
    Either(usize, usize),
    /// A computed column.
    Register(usize),
    /// Nothing has that name.
    Nothing,
}

/// The columns that a sink asks for.
#[derive(Debug)]
pub(crate) struct Target {
    /// What its columns are, in words.
    what: &'static str,
    columns: Vec<(Column, Source)>,
    /// For each column, what `schema` calls the field that it is of.
    fields: Vec<Option<String>>,
    schema: SchemaRef,
    /// For each column, whether it is needed of a row that is a delete.
    identifies: Vec<bool>,
    /// Columns whose types were taken from the data, and nobody has named since.
    learned: BTreeSet<String>,
    /// Declared fields that leave, whichever columns there are.
    declared: Vec<Declared>,
    /// Whether the source's values are texts without a type.
    untyped: bool,
}

impl Target {
    /// Finds out where each column comes from.
    pub(crate) fn new(columns: &[Column], learned: BTreeSet<String>, builder: &mut Builder<'_>) -> Self {
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new(&column.name, arrow_type(column.ty), true)).collect();
        let columns: Vec<_> = columns.iter().map(|column| (column.clone(), source(column, builder))).collect();
        let field_of = |(column, source): &(Column, Source)| match *source {
            Source::Field(field) | Source::Declared(field, _) => Some(builder.inputs.fields[field].path.join(".")),
            Source::Either(..) => Some(column.name.clone()),
            Source::Register(_) | Source::Nothing => None,
        };
        let of_columns = columns.iter().map(field_of).collect();
        let declared = declared::leaving(builder);
        Self {
            what: "column",
            identifies: vec![true; columns.len()],
            columns,
            fields: of_columns,
            schema: Arc::new(Schema::new(fields)),
            learned,
            declared,
            untyped: builder.cx.source.untyped,
        }
    }

    /// Columns that are computed, each with its number.
    pub(crate) fn of_computed(what: &'static str, columns: Vec<(Column, usize)>, builder: &Builder<'_>) -> Self {
        let fields = columns.iter().map(|(column, _)| Field::new(&column.name, arrow_type(column.ty), true));
        Self {
            what,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            fields: vec![None; columns.len()],
            identifies: vec![true; columns.len()],
            columns: columns.into_iter().map(|(column, at)| (column, Source::Register(at))).collect(),
            learned: BTreeSet::new(),
            declared: Vec::new(),
            untyped: builder.cx.source.untyped,
        }
    }

    /// The same, of rows that are known by these columns, if there are any: of deletes only they are looked at.
    pub(crate) fn known_by(mut self, key: &[String]) -> Self {
        if !key.is_empty() {
            self.identifies = self.columns.iter().map(|(column, _)| key.contains(&column.name)).collect();
        }
        self
    }

    /// Whether there is no column.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Why a value doesn't fit a column, and what to do if its type was taken from the data.
    fn cause(&self, column: &Column, why: &str, field: Option<(&str, Option<Type>)>) -> String {
        let Column { name, ty } = column;
        let cause = format!("{} {name} ({ty}): {why}", self.what);
        if !self.learned.contains(name) {
            return cause;
        }
        let anew = match field {
            Some((field, Some(suits))) => format!("with its type in schema, as in {field:?}: \"{suits}\""),
            Some((_, None)) => return cause,
            None => "after a cast, where it is computed, to a type that holds all its values".into(),
        };
        format!(
            "{cause}; the first values made the column {ty}: give it another type in the database, or have it made anew {anew}"
        )
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

    /// The rows that have no field for a column; none: all have one.
    fn absent(source: Source, frame: &Frame<'_>) -> Option<BooleanBuffer> {
        let of = |field| frame.absent(Slot::Field(field));
        match source {
            Source::Field(field) | Source::Declared(field, _) => of(field),
            Source::Either(key, path) => Some(&of(key)? & &of(path)?),
            Source::Register(register) => frame.absent(Slot::Register(register)),
            Source::Nothing => Some(BooleanBuffer::new_set(frame.len())),
        }
    }

    /// The records that have no field for any column, by row.
    pub(crate) fn bare(&self, frame: &Frame<'_>) -> Vec<usize> {
        Self::without(self.columns.iter().map(|(_, source)| *source), frame)
    }

    /// The records that have no field for any column that a row is known by, by row.
    pub(crate) fn unknown(&self, frame: &Frame<'_>) -> Vec<usize> {
        let known_by = self.columns.iter().zip(&self.identifies).filter(|(_, identifies)| **identifies);
        Self::without(known_by.map(|((_, source), _)| *source), frame)
    }

    /// The rows that have a value for each column that a row is known by; none: all do.
    pub(crate) fn keyed(&self, frame: &mut Frame<'_>) -> Option<BooleanBuffer> {
        let known_by = self.columns.iter().zip(&self.identifies).filter(|(_, identifies)| **identifies);
        let valid = known_by.filter_map(|((_, source), _)| Self::valid(*source, frame));
        valid.reduce(|keyed, valid| &keyed & &valid)
    }

    /// The rows that have a value for a column; none: all do.
    fn valid(source: Source, frame: &mut Frame<'_>) -> Option<BooleanBuffer> {
        let of = |array: &ArrayRef| array.logical_nulls().map(|nulls| nulls.inner().clone());
        match source {
            Source::Field(field) | Source::Declared(field, _) => of(&frame.column(Slot::Field(field))),
            Source::Either(key, path) => of(&either(key, path, frame)),
            Source::Register(register) => of(&frame.column(Slot::Register(register))),
            Source::Nothing => Some(BooleanBuffer::new_unset(frame.len())),
        }
    }

    fn without(sources: impl Iterator<Item = Source>, frame: &Frame<'_>) -> Vec<usize> {
        let mut bare: Option<BooleanBuffer> = None;
        for source in sources {
            let Some(absent) = Self::absent(source, frame) else { return Vec::new() };
            bare = Some(bare.map_or_else(|| absent.clone(), |bare| &bare & &absent));
        }
        bare.map_or_else(|| (0..frame.len()).collect(), |bare| bare.set_indices().collect())
    }

    /// Judges the values of declared types, on which no column has an influence: before it matters whether there is any.
    pub(crate) fn judge(&self, frame: &mut Frame<'_>, lenient: bool, misfits: &mut super::misfits::Misfits) {
        for declared in &self.declared {
            frame.upserts(|frame| declared.take(frame, lenient, misfits));
        }
    }

    /// Makes the columns of rows that were [judged](Self::judge). Values that don't fit become dead letters, or NULL and counted if `lenient`; of deletes, those of columns
    /// that they are not known by are NULL.
    pub(crate) fn make(&self, frame: &mut Frame<'_>, lenient: bool, misfits: &mut super::misfits::Misfits) -> Cells {
        for (((column, source), field), identifies) in self.columns.iter().zip(&self.fields).zip(&self.identifies) {
            let fields = match *source {
                Source::Field(field) | Source::Declared(field, _) => [Some(field), None],
                Source::Either(key, path) => [Some(key), Some(path)],
                Source::Register(_) | Source::Nothing => [None, None],
            };
            for slot in fields.into_iter().flatten() {
                let Some(decoded) = frame.field(Slot::Field(slot)) else { continue };
                // Of rows that are no deletes it has been judged.
                let judged = self.declared.iter().any(|declared| declared.field == slot);
                let about = |misfit: &Misfit| {
                    self.cause(column, &misfit.cause, field.as_deref().map(|field| (field, misfit.suits)))
                };
                let mut take =
                    |frame: &mut Frame<'_>| misfits.take(frame, decoded, "sink", &column.name, lenient, about);
                match (identifies, judged) {
                    (true, false) => take(frame),
                    (true, true) => frame.those_deleted(take),
                    (false, false) => frame.upserts(take),
                    (false, true) => {}
                }
            }
        }
        // Of computed columns a conversion tells what doesn't fit; a dead record takes all its rows with it.
        let mut converted: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.len());
        let mut dead = Vec::new();
        for ((column, source), identifies) in self.columns.iter().zip(&self.identifies) {
            let (slot, raw) = match *source {
                Source::Register(register) => (Slot::Register(register), frame.is_json(Slot::Register(register))),
                Source::Declared(field, json) => (Slot::Field(field), json),
                Source::Field(_) | Source::Either(..) | Source::Nothing => {
                    converted.push(None);
                    continue;
                }
            };
            let texts =
                if self.untyped && !matches!(source, Source::Declared(..)) { Texts::Untyped } else { Texts::Strings };
            let (values, failed) = convert::to(&frame.column(slot), column.ty, raw, texts);
            for (row, why) in failed.into_iter().filter(|(row, _)| *identifies || !frame.deletes(*row)) {
                let cause = self.cause(column, &why, None);
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
                (Source::Either(key, path), None) => either(key, path, frame),
                (Source::Register(_) | Source::Declared(..) | Source::Nothing, None) => {
                    new_null_array(&arrow_type(column.ty), frame.len())
                }
            });
        let mut arrays: Vec<ArrayRef> = arrays.collect();
        for declared in self.declared.iter().filter(|_| lenient) {
            for ((column, _), array) in self.columns.iter().zip(&mut arrays) {
                *array = declared.without_misfits(&column.name, column.ty, array.clone(), frame);
            }
        }
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

fn source(column: &Column, builder: &mut Builder<'_>) -> Source {
    let Builder { cx, scope, inputs, .. } = builder;
    // An untyped value goes into a column only as it is written, unless it is declared to stand for a value of a type.
    let field = |path: Vec<String>, inputs: &mut Inputs| match cx.declared(&path) {
        Some(ty) if ty == column.ty => Source::Field(inputs.field(path, Want::As(ty))),
        Some(ty) if cx.source.untyped => {
            Source::Declared(inputs.field(path, Want::As(ty)), matches!(ty, Type::Json | Type::Number))
        }
        _ => Source::Field(inputs.field(path, Want::Strict(column.ty))),
    };
    match scope.columns.get(&column.name) {
        Some(Origin::Register(register) | Origin::Edited(Edited { register, .. })) => {
            return Source::Register(*register);
        }
        Some(Origin::Field(path)) => return field(path.clone(), inputs),
        None => {}
    }
    let key = (scope.open && !scope.removed.contains(&column.name)).then(|| vec![column.name.clone()]);
    if let Some((top, rest)) = column.name.split_once('.')
        && let Some(Origin::Edited(edited)) = scope.columns.get(top)
    {
        let rest: Vec<String> = rest.split('.').map(String::from).collect();
        match edited.within(&rest) {
            Within::Changed(Some(Origin::Field(path))) => return field(path, inputs),
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
        (Some(key), Some(path)) if cx.is_flat(&path) => field(key, inputs),
        (Some(key), Some(path)) => {
            let want = Want::As(column.ty);
            let of_key = if cx.source.untyped { Want::Strict(column.ty) } else { want };
            Source::Either(inputs.field(key, of_key), inputs.field(path, want))
        }
        (Some(only), None) | (None, Some(only)) => field(only, inputs),
        (None, None) => Source::Nothing,
    }
}

/// The values of the field of a dotted name, or, where that is missing, those at its path: null is a value.
fn either(key: usize, path: usize, frame: &mut Frame<'_>) -> ArrayRef {
    let of_key = frame.column(Slot::Field(key));
    let Some(missing) = frame.absent(Slot::Field(key)) else { return of_key };
    let at_path = frame.column(Slot::Field(path));
    if missing.count_set_bits() == missing.len() {
        return at_path;
    }
    zip(&BooleanArray::new(missing, None), &at_path, &of_key)
        .unwrap_or_else(|error| unreachable!("both are of the column's type: {error}"))
}
