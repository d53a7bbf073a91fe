//! Opening and writing: token and rows in one transaction, the token first.
use super::{SqliteSink, cell::Reader, database::Database, failure, schema, types};
use crate::{
    blocking,
    table::{
        Layout, Options, Unknown, ddl,
        kept::Kept,
        keys::{self, Place, reject},
        layout::{missing_typed, new_columns},
    },
};
use async_trait::async_trait;
use dataflow_core::token::{Fence, Token};
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output, Warning},
    sink::{CommitError, Committed, Opened, Writer},
};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Opens the file, fences older writers, reads the token, and looks at the table.
pub(super) fn open(config: &SqliteSink, fence: Fence) -> Result<Opened, Error> {
    let options = config.options();
    let db = Database::open(&config.path, config.fence_timeout.into(), config.create_table)?;
    let mut target = Target { db, options, layout: None, added: Vec::new(), kept: None };
    let (token, warnings) = target.transaction(|target| {
        target.db.fence(&fence)?;
        let token = target.db.token(&fence)?;
        Ok((token, target.prepare(None)?))
    })?;
    let demand = target.layout.as_ref().map_or(Demand::AllColumns, Layout::demand);
    let writer = Box::new(SqliteWriter { target: Arc::new(Mutex::new(target)), alive: Arc::default() });
    Ok(Opened { writer, token, demand, warnings, handle: None })
}

/// A table in an open file.
struct Target {
    db: Database,
    options: Options,
    /// None: the table is missing, and made of the first batch.
    layout: Option<Layout>,
    /// Columns that were added because records have them.
    added: Vec<String>,
    /// What a commit has written that was refused; its transaction is still open.
    kept: Option<Kept>,
}

impl Target {
    /// Runs `work` in a transaction; nothing of it stays if it fails, but what is kept for the next one.
    fn transaction<T, E: From<Error>>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        if self.kept.take().is_some() {
            self.db.roll_back();
        }
        self.db.begin()?;
        let done = work(self).and_then(|done| {
            self.db.commit()?;
            Ok(done)
        });
        if done.is_err() && self.kept.is_none() {
            self.db.roll_back();
        }
        done
    }

    /// Commits what is kept of the commit before, if this one is the same but for the records that were refused.
    fn commit_kept(&mut self, outputs: &[Output], token: &Token) -> Result<Option<Committed>, Error> {
        let (Some(kept), Some(layout)) = (&self.kept, &self.layout) else { return Ok(None) };
        let same = keys::places(layout, outputs).is_ok_and(|places| kept.is(token, outputs, &places));
        let rows_written = kept.written;
        if !same {
            return Ok(None);
        }
        self.db.restate(&token.with_rows(rows_written))?;
        self.db.commit()?;
        self.kept = None;
        Ok(Some(Committed { rows_written }))
    }

    fn run(&self, statement: &str) -> Result<(), Error> {
        let ran = self.db.connection.execute_batch(statement);
        ran.map_err(|error| self.db.failed(&format!("run \"{statement}\" in"), &error))
    }

    /// Looks at the table, and makes or widens it where that is wanted and what it takes is known.
    fn prepare(&mut self, columns: Option<&[Column]>) -> Result<Vec<Warning>, Error> {
        let table = self.options.table.clone();
        let describe = |target: &Self| {
            schema::describe(&target.db.connection, &table)
                .map_err(|error| target.db.failed("read the tables of", &error))
        };
        let mut found = describe(self)?;
        if found.is_none() {
            let columns = new_columns(&self.options, columns)?;
            if !self.options.create_table {
                return Err(self.missing(columns.as_deref()));
            }
            let Some(columns) = columns else { return Ok(Vec::new()) };
            self.run(&ddl::create_table(&table, &columns, &self.options.key(), types::declare))?;
            found = describe(self)?;
        } else if let Some(there) = &found
            && self.options.add_columns
        {
            let columns = columns.filter(|_| self.options.unknown_fields == Unknown::Add);
            let asked = missing_typed(&self.options, there);
            let unknown = |column: &&Column| there.columns.iter().all(|known| known.name != column.name);
            let new: Vec<Column> = columns.unwrap_or_default().iter().filter(unknown).cloned().collect();
            for column in asked.iter().chain(&new) {
                self.run(&ddl::add_column(&table, column, types::declare))?;
            }
            // A column that an earlier writer added is asked for as well.
            self.added.extend(columns.unwrap_or_default().iter().map(|column| column.name.clone()));
            self.added.sort();
            self.added.dedup();
            found = describe(self)?;
        }
        let found = found.ok_or_else(|| self.missing(None))?;
        let (layout, warnings) = Layout::of(&self.options, &found, &self.added)?;
        self.layout = Some(layout);
        Ok(warnings)
    }

    fn missing(&self, columns: Option<&[Column]>) -> Error {
        let message =
            format!("{} has no table {}, and createTable is false", self.db.path.display(), self.options.table);
        let fix = match columns {
            Some(columns) => {
                format!("run: {}", ddl::create_table(&self.options.table, columns, &self.options.key(), types::declare))
            }
            None => "make the table, or set createTable: true".into(),
        };
        Error::fatal("table-missing", message).fix(fix)
    }

    /// Writes token and rows, within a transaction.
    fn write(&mut self, outputs: &[Output], token: &Token) -> Result<Committed, CommitError> {
        let Some(layout) = &self.layout else {
            return match outputs.iter().all(Output::is_empty) {
                true => Ok(self.db.advance(token).map(|()| Committed::default())?),
                false => Err(Error::fatal("internal", "rows came before the table was defined").for_user().into()),
            };
        };
        let places = keys::places(layout, outputs)?;
        let expected = places.len() as u64;
        self.db.advance(&token.with_rows(expected))?;
        let batches = keys::batches(outputs)?;
        let columns = batches.iter().map(|batch| {
            let columns = layout.slots.iter().zip(batch.columns());
            columns.map(|(slot, column)| Reader::new(slot, column.as_ref())).collect::<Result<Vec<_>, _>>()
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let failed =
            |error: rusqlite::Error| self.db.failed(&format!("write to table {} of", self.options.table), &error);
        let mut insert = self.db.connection.prepare_cached(&insert(layout, &self.options.table)).map_err(failed)?;
        let (mut rows_written, mut rejected, mut refused) = (0, Vec::new(), Vec::new());
        'rows: for (number, place) in places.iter().copied().enumerate() {
            let Place { output, row } = place;
            for (index, (column, slot)) in columns[output].iter().zip(&layout.slots).enumerate() {
                match column.value(row) {
                    Ok(value) => insert.raw_bind_parameter(index + 1, value).map_err(failed)?,
                    Err(cause) => {
                        let cause = format!("column {} ({}): {cause}", slot.column.name, slot.declared);
                        rejected.push(reject(outputs, place, &cause));
                        refused.push(number);
                        continue 'rows;
                    }
                }
            }
            match insert.raw_execute() {
                Ok(changed) => rows_written += changed as u64,
                Err(error) if failure::is_of_row(&error) && !self.db.connection.is_autocommit() => {
                    let cause = format!("table {} refuses it: {}", self.options.table, failure::words(&error));
                    rejected.push(reject(outputs, place, &cause));
                    refused.push(number);
                }
                Err(error) => return Err(failed(error).into()),
            }
        }
        if !rejected.is_empty() {
            drop(insert);
            self.kept = Some(Kept::of(token, outputs, &places, &refused, rows_written));
            return Err(CommitError::Rejected(rejected));
        }
        if rows_written != expected {
            self.db.restate(&token.with_rows(rows_written))?;
        }
        Ok(Committed { rows_written })
    }
}

/// The statement that writes a row.
pub(super) fn insert(layout: &Layout, table: &str) -> String {
    let names: Vec<String> = layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
    let key: Vec<String> = layout.key.iter().map(|place| names[*place].clone()).collect();
    let conflict = if key.is_empty() { String::new() } else { ddl::on_conflict(&key, &names) };
    let marks = vec!["?"; names.len()].join(", ");
    format!("insert into {} ({}) values ({marks}) {conflict}", ddl::quote(table), ddl::quote_all(&names))
}

/// The writer of one lane.
struct SqliteWriter {
    target: Arc<Mutex<Target>>,
    /// Gone when the writer is dropped. Work that is then still on its thread may not begin a commit any more: whoever
    /// opened the file since has seen what there is.
    alive: Arc<()>,
}

/// Whether a writer still is there.
struct Alive(Weak<()>);

impl Alive {
    fn check(&self) -> Result<(), Error> {
        match self.0.strong_count() {
            0 => Err(Error::transient("dropped", "the writer was dropped before it got to the file")),
            _ => Ok(()),
        }
    }
}

impl SqliteWriter {
    /// Runs `work`, unless the writer was dropped while the file was waited for; it can tell.
    async fn with<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Target, &Alive) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (target, alive) = (self.target.clone(), Alive(Arc::downgrade(&self.alive)));
        blocking::run(move || work(&mut target.lock().unwrap_or_else(PoisonError::into_inner), &alive)).await?
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let columns = columns.to_vec();
        self.with(move |target, alive| {
            target.transaction(|target| {
                alive.check()?;
                target.prepare(Some(&columns))?;
                Ok(target.layout.as_ref().map_or(Demand::AllColumns, Layout::demand))
            })
        })
        .await
    }

    async fn commit(&mut self, outputs: &[Output], token: &Token) -> Result<Committed, CommitError> {
        let (outputs, token) = (outputs.to_vec(), token.clone());
        self.with(move |target, alive| {
            alive.check()?;
            if let Some(committed) = target.commit_kept(&outputs, &token)? {
                return Ok(committed);
            }
            target.transaction(|target| {
                alive.check()?;
                target.write(&outputs, &token)
            })
        })
        .await
    }

    async fn release(&mut self) {
        let released = self.with(|target, _| {
            if target.kept.take().is_some() {
                target.db.roll_back();
            }
            Ok::<_, Error>(())
        });
        if let Err(error) = released.await {
            tracing::warn!(%error, "what was kept of a refused commit could not be let go");
        }
    }

    async fn close(self: Box<Self>) {
        // Closing the last connection checkpoints the write-ahead log, which may block.
        if let Err(error) = blocking::run(move || drop(self)).await {
            tracing::warn!(%error, "a SQLite file was not closed cleanly");
        }
    }
}
