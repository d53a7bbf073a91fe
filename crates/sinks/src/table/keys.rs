//! Which rows of a commit are written: the last one per key, and none that the table is known to refuse.
use super::Layout;
use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    row::{RowConverter, Rows, SortField},
};
use dataflow_sdk::{
    Error,
    batch::{Output, Payload},
    sink::{CommitError, RejectedRow},
};

/// A row of a commit: which output, which row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into the outputs.
    pub output: usize,
    /// Row of that output.
    pub row: usize,
}

/// The columns of every output, in the order of the demand.
///
/// # Errors
/// [`Error::Fatal`] if an output is none of columns.
pub fn batches(outputs: &[Output]) -> Result<Vec<&RecordBatch>, Error> {
    let batch = |output: &Output| match output.payload {
        Payload::Columns(_) => Ok(()),
        Payload::Documents { .. } => {
            Err(Error::fatal("internal", "the sink was given documents where it asked for columns").for_user())
        }
    };
    outputs.iter().try_for_each(batch)?;
    Ok(outputs
        .iter()
        .filter_map(|output| match &output.payload {
            Payload::Columns(batch) => Some(batch),
            Payload::Documents { .. } => None,
        })
        .collect())
}

/// The rows to write: in their order, or, where there is a key, in that of the keys.
///
/// # Errors
/// [`CommitError::Rejected`] for rows without a key, or with NULL where the table refuses it.
pub fn places(layout: &Layout, outputs: &[Output]) -> Result<Vec<Place>, CommitError> {
    let batches = batches(outputs)?;
    refuse_nulls(layout, outputs, &batches)?;
    let sizes = batches.iter().map(|batch| batch.num_rows()).enumerate();
    let all = sizes.flat_map(|(output, rows)| (0..rows).map(move |row| Place { output, row }));
    if layout.key.is_empty() || batches.is_empty() {
        return Ok(all.collect());
    }
    let failed = |error| CommitError::Failed(Error::fatal("internal", format!("keys can't be compared: {error}")));
    let schema = batches[0].schema();
    let fields = layout.key.iter().map(|place| SortField::new(schema.field(*place).data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(failed)?;
    let keys: Vec<Rows> = batches
        .iter()
        .map(|batch| {
            let columns: Vec<ArrayRef> = layout.key.iter().map(|place| batch.column(*place).clone()).collect();
            converter.convert_columns(&columns).map_err(failed)
        })
        .collect::<Result<_, _>>()?;
    let key = |place: &Place| keys[place.output].row(place.row);
    let mut all: Vec<Place> = all.collect();
    // In the order of their keys, so that lanes that write the same keys lock them in the same order. The sort is
    // stable: of those with the same key the last one stays last.
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut last: Vec<Place> = Vec::with_capacity(all.len());
    for place in all {
        match last.last_mut() {
            Some(earlier) if key(earlier) == key(&place) => *earlier = place,
            _ => last.push(place),
        }
    }
    Ok(last)
}

/// Turns down rows without a key, or with NULL where the table refuses it.
///
/// # Errors
/// [`CommitError::Rejected`] with all of them.
pub fn refuse_nulls(layout: &Layout, outputs: &[Output], batches: &[&RecordBatch]) -> Result<(), CommitError> {
    let mut rejected = Vec::new();
    for (output, batch) in batches.iter().enumerate() {
        for (place, slot) in layout.slots.iter().enumerate() {
            let (column, key) = (batch.column(place), layout.key.contains(&place));
            if column.null_count() == 0 || !(key || slot.not_null) {
                continue;
            }
            for row in (0..column.len()).filter(|row| column.is_null(*row)) {
                let name = &slot.column.name;
                let cause = match key {
                    true => format!("key column {name} is null"),
                    false => format!("column {name} ({}) is null, which the table refuses", slot.declared),
                };
                rejected.push(reject(outputs, Place { output, row }, &cause));
            }
        }
    }
    rejected.sort_by_key(|row: &RejectedRow| (row.output, row.row));
    rejected.dedup_by_key(|row| (row.output, row.row));
    if rejected.is_empty() { Ok(()) } else { Err(CommitError::Rejected(rejected)) }
}

/// A row that the table refuses, with the id of its record in the cause.
pub fn reject(outputs: &[Output], place: Place, cause: &str) -> RejectedRow {
    let output = &outputs[place.output];
    let id = output.records.id(output.rows[place.row] as usize);
    RejectedRow { output: place.output, row: place.row, cause: format!("{cause} (record {id})") }
}
