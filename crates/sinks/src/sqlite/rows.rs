//! The rows of a commit, on their way to the table.
use super::{
    cell::Reader,
    database::Database,
    deferred::Returning,
    failure::{self, Blame},
    statement::Statements,
};
use crate::table::{
    Layout, Order, Said, Written,
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
    /// The end of each statement, if it returns whether its row has to be refused.
    returning: &'a Returning,
    /// In the order of their arrival. They are written in it, each of them: the last one of a key wins by the table's own
    /// equality, and a value that another unique index holds is free once the row that had it has another.
    pub(super) order: Order,
    /// The columns of each output.
    columns: Vec<Vec<Reader<'a>>>,
    /// Why, by the number of the row in the order.
    pub(super) refused: BTreeMap<usize, String>,
}

impl<'a> Rows<'a> {
    /// Rows for a table of this layout, whose statements end so.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows without a key, or with NULL where the table refuses it.
    pub(super) fn new(
        layout: &'a Layout,
        strict: bool,
        returning: &'a Returning,
        outputs: &'a [Output],
    ) -> Result<Self, CommitError> {
        let batches = keys::batches(outputs)?;
        keys::refuse_nulls(layout, outputs)?;
        let columns = batches.iter().map(|batch| {
            let columns = layout.slots.iter().zip(batch.columns());
            columns.map(|(slot, column)| Reader::new(slot, strict, column.as_ref())).collect::<Result<Vec<_>, _>>()
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let order = Order::arrived(layout, outputs)?;
        Ok(Self { layout, returning, order, columns, refused: BTreeMap::new() })
    }

    /// Writes those that are not refused yet, within a transaction; what became of them. None: the transaction has to be
    /// begun anew, and the rows written again with `care`: so that nothing stays of a row whose trigger fails half-way.
    pub(super) fn write(
        &mut self,
        db: &Database,
        table: &str,
        sql: &impl Fn(&Said) -> Statements,
        care: bool,
    ) -> Result<Option<Written>, Error> {
        let failed = |error: rusqlite::Error| db.failed(&format!("write to table {table} of"), &error);
        let step = |statement: &str| {
            db.connection.prepare_cached(statement).and_then(|mut statement| statement.execute([])).map_err(failed)
        };
        let mut written = Written::default();
        let runs: Vec<_> = self.order.runs(0..self.order.places.len()).collect();
        for run in runs {
            let Said { fields, deletes } = &run.said;
            let Statements { texts, there, counts } = sql(&run.said);
            let returning = if *deletes { &self.returning.deleted } else { &self.returning.written };
            let sql: Vec<String> = texts.into_iter().map(|text| text + returning).collect();
            let prepared = sql.iter().map(|sql| db.connection.prepare_cached(sql));
            let mut statements = prepared.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let mut there = there.map(|sql| db.connection.prepare_cached(&sql)).transpose().map_err(failed)?;
            for number in run.rows {
                let Place { output, row } = self.order.places[number];
                if !self.refused.is_empty() && self.refused.contains_key(&number) {
                    continue;
                }
                let mut bound = Ok(());
                for statement in statements.iter_mut().chain(&mut there) {
                    bound = bind(statement, &self.columns[output], self.layout, fields, row).map_err(failed)?;
                }
                if let Err(cause) = bound {
                    self.refused.insert(number, cause);
                    continue;
                }
                if care {
                    step("savepoint one_row")?;
                }
                let done = first(&mut statements, !returning.is_empty());
                let answered = done.and_then(|changed| match (&mut there, deletes) {
                    (Some(there), _) => is_there(there).map(u64::from),
                    (None, true) => Ok(0),
                    (None, false) => Ok(changed),
                });
                let error = match answered {
                    Ok(answered) => {
                        written += counts.written(1, answered);
                        if care {
                            step("release one_row")?;
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
                        sql.iter().try_for_each(|sql| db.connection.prepare(sql).map(drop)).map_err(failed)?;
                        return Ok(None);
                    }
                    Blame::Row | Blame::Deep => {
                        self.refused.insert(number, keys::refused_by(table, &failure::words(&error)));
                    }
                }
                if lost {
                    return Ok(None);
                }
                if care {
                    step("rollback to one_row")?;
                    step("release one_row")?;
                }
            }
        }
        Ok(Some(written))
    }

    /// Those that are refused.
    pub(super) fn rejected(&self) -> Vec<RejectedRow> {
        self.refused.iter().map(|(number, cause)| reject(self.order.places[*number], cause)).collect()
    }
}

/// Runs statements until one of them finds something to do; how many rows that were. They may return whether a row has to be refused.
fn first(statements: &mut [CachedStatement<'_>], returning: bool) -> rusqlite::Result<u64> {
    for statement in statements {
        let changed = if returning { accepted(statement)? } else { statement.raw_execute()? as u64 };
        if changed > 0 {
            return Ok(changed);
        }
    }
    Ok(0)
}

/// The rows that a statement has written, each of which it returns with whether it has to be refused. (As long as it returns rows, SQLite
/// counts the changes of the statement before.)
fn accepted(statement: &mut CachedStatement<'_>) -> rusqlite::Result<u64> {
    let (mut rows, mut accepted) = (statement.raw_query(), 0);
    while let Some(row) = rows.next()? {
        if row.get(0)? {
            return Err(failure::unresolved());
        }
        accepted += 1;
    }
    Ok(accepted)
}

/// Whether the row that is asked for is there.
pub(super) fn is_there(there: &mut CachedStatement<'_>) -> rusqlite::Result<bool> {
    there.raw_query().next()?.map_or(Ok(false), |row| row.get(0))
}

/// Binds the values of a row for these fields; or why one of them can't be stored.
pub(super) fn bind(
    insert: &mut CachedStatement<'_>,
    columns: &[Reader<'_>],
    layout: &Layout,
    fields: &[usize],
    row: usize,
) -> rusqlite::Result<Result<(), String>> {
    for (index, place) in fields.iter().enumerate() {
        match columns[*place].value(row) {
            Ok(value) => insert.raw_bind_parameter(index + 1, value)?,
            Err(cause) => {
                let slot = &layout.slots[*place];
                return Ok(Err(format!("column {} ({}): {cause}", slot.column.name, slot.declared)));
            }
        }
    }
    Ok(Ok(()))
}
