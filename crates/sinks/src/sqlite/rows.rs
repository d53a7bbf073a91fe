//! The rows of a commit, on their way to the table.
use super::{
    cell::Reader,
    database::Database,
    failure::{self, Blame},
};
use crate::table::{
    Layout,
    keys::{self, Place, reject},
};
use dataflow_sdk::{
    Error,
    batch::Output,
    sink::{CommitError, RejectedRow},
};
use rusqlite::CachedStatement;
use std::collections::BTreeMap;

/// The rows of a commit, and which of them are refused.
pub(super) struct Rows<'a> {
    layout: &'a Layout,
    outputs: &'a [Output],
    /// In the order in which they are written.
    pub(super) places: Vec<Place>,
    /// The columns of each output.
    columns: Vec<Vec<Reader<'a>>>,
    /// Why, by the number of the row in `places`.
    pub(super) refused: BTreeMap<usize, String>,
}

impl<'a> Rows<'a> {
    /// Rows for a table of this layout.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows without a key, or with NULL where the table refuses it.
    pub(super) fn new(
        layout: &'a Layout,
        strict: bool,
        outputs: &'a [Output],
        places: Vec<Place>,
    ) -> Result<Self, CommitError> {
        let batches = keys::batches(outputs)?;
        keys::refuse_nulls(layout, outputs, &batches)?;
        let columns = batches.iter().map(|batch| {
            let columns = layout.slots.iter().zip(batch.columns());
            columns.map(|(slot, column)| Reader::new(slot, strict, column.as_ref())).collect::<Result<Vec<_>, _>>()
        });
        let columns = columns.collect::<Result<_, _>>()?;
        Ok(Self { layout, outputs, places, columns, refused: BTreeMap::new() })
    }

    /// Writes those that are not refused yet, within a transaction; how many rows changed. None: the transaction has to be
    /// begun anew, and the rows written again with `care`: so that nothing stays of a row whose trigger fails half-way.
    pub(super) fn write(&mut self, db: &Database, table: &str, sql: &str, care: bool) -> Result<Option<u64>, Error> {
        let failed = |error: rusqlite::Error| db.failed(&format!("write to table {table} of"), &error);
        let run = |statement: &str| {
            db.connection.prepare_cached(statement).and_then(|mut statement| statement.execute([])).map_err(failed)
        };
        let mut insert = db.connection.prepare_cached(sql).map_err(failed)?;
        let mut changed = 0;
        for (number, Place { output, row }) in self.places.iter().copied().enumerate() {
            if !self.refused.is_empty() && self.refused.contains_key(&number) {
                continue;
            }
            if let Err(cause) = bind(&mut insert, &self.columns[output], self.layout, row).map_err(failed)? {
                self.refused.insert(number, cause);
                continue;
            }
            if care {
                run("savepoint one_row")?;
            }
            let error = match insert.raw_execute() {
                Ok(rows) => {
                    changed += rows as u64;
                    if care {
                        run("release one_row")?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            let lost = db.connection.is_autocommit();
            match failure::blame(&error) {
                Blame::World => return Err(failed(error)),
                Blame::Deep if !care && !lost => {
                    // What can't be prepared any more fails for every row: the table or a trigger was changed.
                    db.connection.prepare(sql).map_err(failed)?;
                    return Ok(None);
                }
                Blame::Row | Blame::Deep => {
                    self.refused.insert(number, format!("table {table} refuses it: {}", failure::words(&error)));
                }
            }
            if lost {
                return Ok(None);
            }
            if care {
                run("rollback to one_row")?;
                run("release one_row")?;
            }
        }
        Ok(Some(changed))
    }

    /// Those that are refused.
    pub(super) fn rejected(&self) -> Vec<RejectedRow> {
        self.refused.iter().map(|(number, cause)| reject(self.outputs, self.places[*number], cause)).collect()
    }
}

/// Binds the values of a row; or why one of them can't be stored.
pub(super) fn bind(
    insert: &mut CachedStatement<'_>,
    columns: &[Reader<'_>],
    layout: &Layout,
    row: usize,
) -> rusqlite::Result<Result<(), String>> {
    for (index, (column, slot)) in columns.iter().zip(&layout.slots).enumerate() {
        match column.value(row) {
            Ok(value) => insert.raw_bind_parameter(index + 1, value)?,
            Err(cause) => return Ok(Err(format!("column {} ({}): {cause}", slot.column.name, slot.declared))),
        }
    }
    Ok(Ok(()))
}
