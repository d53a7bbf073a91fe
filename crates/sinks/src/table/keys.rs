//! Which rows of a commit are refused from the start, and what makes two keys the same.
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

/// A row of a commit: which output, which row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into the outputs.
    pub output: usize,
    /// Row of that output.
    pub row: usize,
}

/// All rows, in the order of their arrival.
pub fn arrived(outputs: &[Output]) -> Vec<Place> {
    let sizes = outputs.iter().map(Output::len).enumerate();
    sizes.flat_map(|(output, rows)| (0..rows).map(move |row| Place { output, row })).collect()
}

/// The columns of every output, in the order of the demand.
///
/// # Errors
/// [`Error::Fatal`] if an output is none of columns.
pub fn batches(outputs: &[Output]) -> Result<Vec<&Cells>, Error> {
    let cells = outputs.iter().map(|output| match &output.payload {
        Payload::Columns(cells) => Some(cells),
        Payload::Documents { .. } => None,
    });
    let batches: Option<Vec<&Cells>> = cells.collect();
    batches
        .ok_or_else(|| Error::fatal("internal", "the sink was given documents where it asked for columns").for_user())
}

/// The keys of the rows of each output, in a form in which equal ones are the same bytes. What only the database takes
/// for equal (another case, another collation) differs here.
///
/// # Errors
/// [`Error::Fatal`] if a key has a type that has no order.
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

/// A column in which values that are equal are written the same.
fn comparable(ty: Type, column: &ArrayRef) -> ArrayRef {
    let texts = |same: fn(&str) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter(column.as_string::<i32>().iter().map(|text| text.map(same))))
    };
    match (ty, column.data_type()) {
        (Type::Uuid, DataType::Utf8) => texts(|text| text.replace('-', "").to_ascii_lowercase()),
        (Type::Number, DataType::Utf8) => texts(super::decimal::canonical),
        // There is a zero below zero, which is equal to the other.
        (Type::Real, DataType::Float32) => {
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|value| value + 0.0)) as _
        }
        (Type::Double, DataType::Float64) => {
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| value + 0.0)) as _
        }
        _ => column.clone(),
    }
}

/// Turns down rows without a key, or with NULL where the table refuses it. Whether a field that is missing does any harm
/// in an upsert only the table can say: its row may be there.
///
/// # Errors
/// [`CommitError::Rejected`] with all of them.
pub fn refuse_nulls(layout: &Layout, batches: &[&Cells]) -> Result<(), CommitError> {
    let mut rejected = Vec::new();
    for (output, batch) in batches.iter().enumerate() {
        for (place, slot) in layout.slots.iter().enumerate() {
            let (column, key) = (batch.column(place), layout.key.contains(&place));
            if column.null_count() == 0 || !(key || slot.not_null) {
                continue;
            }
            let filled = |row| batch.is_absent(place, row) && (slot.has_default || !key && !layout.key.is_empty());
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
    rejected.sort_by_key(|row: &RejectedRow| (row.output, row.row));
    rejected.dedup_by_key(|row| (row.output, row.row));
    if rejected.is_empty() { Ok(()) } else { Err(CommitError::Rejected(rejected)) }
}

/// Why a row is refused, in the database's own words.
pub fn refused_by(table: &str, words: &str) -> String {
    format!("table {table} refuses it: {words}")
}

/// A row that the table refuses. Which record it is of stands beside the cause, so that causes can be counted.
pub fn reject(place: Place, cause: &str) -> RejectedRow {
    RejectedRow { output: place.output, row: place.row, cause: cause.into() }
}
