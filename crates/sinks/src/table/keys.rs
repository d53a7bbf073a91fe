//! Finds the rows of a commit that are rejected before writing, and compares keys.
use super::Layout;
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{DataType, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Cells, Output, Payload},
    sink::{CommitError, RejectedRow},
};
use std::sync::Arc;

/// A row of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into the outputs.
    pub output: usize,
    /// Row of that output.
    pub row: usize,
}

/// Returns all rows in the order of arrival.
pub fn arrived(outputs: &[Output]) -> Vec<Place> {
    let sizes = outputs.iter().map(Output::len).enumerate();
    sizes.flat_map(|(output, rows)| (0..rows).map(move |row| Place { output, row })).collect()
}

/// Returns the columns of every output, in the order of the demand.
///
/// # Errors
/// [`Error::Fatal`] if an output has no columns.
pub fn batches(outputs: &[Output]) -> Result<Vec<&Cells>, Error> {
    let cells = outputs.iter().map(|output| match &output.payload {
        Payload::Columns(cells) => Some(cells),
        Payload::Documents { .. } => None,
    });
    let batches: Option<Vec<&Cells>> = cells.collect();
    batches.ok_or_else(|| Error::fatal("internal", "the sink received documents but requested columns").for_user())
}

/// Encodes the keys of each output's rows so that equal keys are equal bytes. Keys that only the database considers
/// equal (in another case or collation) differ here.
///
/// # Errors
/// [`Error::Fatal`] if the type of a key has no order.
pub fn of_rows(layout: &Layout, batches: &[&Cells]) -> Result<Vec<Rows>, Error> {
    let failed = |error| Error::fatal("internal", format!("keys can't be compared: {error}"));
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let schema = first.schema();
    let fields = layout.key.iter().map(|place| SortField::new(schema.field(*place).data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(failed)?;
    let rows = batches.iter().map(|batch| {
        let column = |place: &usize| comparable(layout.slots[*place].column.ty, batch.column(*place));
        let columns: Vec<ArrayRef> = layout.key.iter().map(column).collect();
        converter.convert_columns(&columns).map_err(failed)
    });
    rows.collect()
}

/// Normalizes a column, so that equal values are the same bytes.
fn comparable(ty: Type, column: &ArrayRef) -> ArrayRef {
    let texts = |same: fn(&str) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter(column.as_string::<i32>().iter().map(|text| text.map(same))))
    };
    match (ty, column.data_type()) {
        (Type::Uuid, DataType::Utf8) => texts(|text| text.replace('-', "").to_ascii_lowercase()),
        (Type::Number, DataType::Utf8) => texts(super::decimal::canonical),
        // Negative zero equals zero.
        (Type::Real, DataType::Float32) => {
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| value + 0.0)) as _
        }
        (Type::Double, DataType::Float64) => {
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| value + 0.0)) as _
        }
        _ => column.clone(),
    }
}

/// Rejects rows without a key, or with NULL in a column that refuses it. Only the table can decide about a missing
/// field in an upsert: its row may exist. Of a delete only the key counts.
///
/// # Errors
/// [`CommitError::Rejected`] with all of them.
pub fn refuse_nulls(layout: &Layout, outputs: &[Output]) -> Result<(), CommitError> {
    let mut rejected = Vec::new();
    for (output, (batch, of)) in batches(outputs)?.into_iter().zip(outputs).enumerate() {
        if layout.key.is_empty() {
            let deletes = (0..of.len()).filter(|row| of.deletes(*row));
            let cause = "rows are written without a key, by which one could be deleted";
            rejected.extend(deletes.map(|row| reject(Place { output, row }, cause)));
        }
        for (place, slot) in layout.slots.iter().enumerate() {
            let (column, key) = (batch.column(place), layout.key.contains(&place));
            if column.null_count() == 0 || !(key || slot.not_null) {
                continue;
            }
            let filled = |row| match of.deletes(row) {
                true => !key,
                false => batch.is_absent(place, row) && (slot.has_default || !key && !layout.key.is_empty()),
            };
            for row in (0..column.len()).filter(|row| column.is_null(*row) && !filled(*row)) {
                let name = &slot.column.name;
                let is = if batch.is_absent(place, row) { "missing" } else { "null" };
                let cause = match key {
                    true => format!("key column {name} is {is}"),
                    false => format!("column {name} ({}) is {is}, which the table refuses", slot.declared),
                };
                rejected.push(reject(Place { output, row }, &cause));
            }
        }
    }
    all(rejected)
}

/// Rejects rows without a key, of a table that is not there yet: their columns are those of the key, and one could be made of any
/// row that has a value for each. Deletes of what is not there are done.
///
/// # Errors
/// [`CommitError::Rejected`] with all of them; [`CommitError::Failed`] if a row has a key.
pub fn of_nothing(outputs: &[Output]) -> Result<(), CommitError> {
    let mut rejected = Vec::new();
    for (output, (batch, of)) in batches(outputs)?.into_iter().zip(outputs).enumerate() {
        for row in 0..of.len() {
            match (0..batch.num_columns()).find(|place| batch.column(*place).is_null(row)) {
                Some(place) => {
                    let is = if batch.is_absent(place, row) { "missing" } else { "null" };
                    let cause = format!("key column {} is {is}", batch.schema().field(place).name());
                    rejected.push(reject(Place { output, row }, &cause));
                }
                None if of.deletes(row) => {}
                None if batch.num_columns() == 0 => {
                    rejected
                        .push(reject(Place { output, row }, "no column can have the name of any field of the record"));
                }
                None => {
                    return Err(Error::fatal("internal", "rows came before the table was defined").for_user().into());
                }
            }
        }
    }
    all(rejected)
}

fn all(mut rejected: Vec<RejectedRow>) -> Result<(), CommitError> {
    rejected.sort_by_key(|row| (row.output, row.row));
    rejected.dedup_by_key(|row| (row.output, row.row));
    if rejected.is_empty() { Ok(()) } else { Err(CommitError::Rejected(rejected)) }
}

/// The cause of a rejected row, in the database's own words.
pub fn refused_by(table: &str, words: &str) -> String {
    format!("table {table} refuses it: {words}")
}

/// A row that the table rejects. The record is named beside the cause, so that causes can be counted.
pub fn reject(place: Place, cause: &str) -> RejectedRow {
    RejectedRow { output: place.output, row: place.row, cause: cause.into() }
}
