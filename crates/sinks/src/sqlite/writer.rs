//! Opening and writing: token and rows in one transaction, the token first.
use super::{SqliteSink, database::Database, rows::Rows, schema, types};
use crate::{
    blocking,
    table::{
        Layout, Options, Unknown, ddl,
        kept::Kept,
        keys::Place,
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
    let mut target = Target { db, options, table: None, added: Vec::new(), kept: None };
    let (token, warnings) = target.transaction(|target| {
        target.db.fence(&fence)?;
        let token = target.db.token(&fence)?;
        Ok((token, target.prepare(None)?))
    })?;
    let demand = target.demand();
    let writer = Box::new(SqliteWriter { target: Arc::new(Mutex::new(target)), alive: Arc::default() });
    Ok(Opened { writer, token, demand, warnings, handle: None })
}

/// A table in an open file.
struct Target {
    db: Database,
    options: Options,
    /// None: the table is missing, and made of the first batch.
    table: Option<Table>,
    /// Columns that were added because records have them.
    added: Vec<String>,
    /// What a commit has written that was refused; its transaction is still open.
    kept: Option<Kept>,
}

/// How rows are written to a table.
struct Table {
    layout: Layout,
    strict: bool,
    /// The statement that writes a row.
    insert: String,
}

impl Target {
    fn demand(&self) -> Demand {
        self.table.as_ref().map_or(Demand::AllColumns, |table| table.layout.demand())
    }

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
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.is(token, outputs, &arrived(outputs))) else {
            return Ok(None);
        };
        let rows_written = kept.written;
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
            let Some(mut columns) = columns else { return Ok(Vec::new()) };
            // Of names that are one to SQLite the first one gets the column; fields of the others find none.
            let names: Vec<String> = columns.iter().map(|column| column.name.to_ascii_lowercase()).collect();
            let mut at = 0..;
            columns.retain(|_| at.next().is_some_and(|at| !names[..at].contains(&names[at])));
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
        let failed = |error| self.db.failed("read the tables of", &error);
        let strict = schema::is_strict(&self.db.connection, &table).map_err(failed)?;
        let folded = schema::folded(&self.db.connection, &table).map_err(failed)?;
        let insert = insert(&layout, &table, &folded);
        self.table = Some(Table { layout, strict, insert });
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
    fn write(&mut self, outputs: &[Output], token: &Token, alive: &Alive) -> Result<Committed, CommitError> {
        let Self { db, options, table, kept, .. } = self;
        let Some(Table { layout, strict, insert }) = table else {
            return match outputs.iter().all(Output::is_empty) {
                true => Ok(db.advance(token).map(|()| Committed::default())?),
                false => Err(Error::fatal("internal", "rows came before the table was defined").for_user().into()),
            };
        };
        let mut rows = Rows::new(layout, *strict, outputs, arrived(outputs))?;
        let expected = token.with_rows(rows.places.len() as u64);
        db.advance(&expected)?;
        let mut written = rows.write(db, &options.table, insert, false)?;
        while written.is_none() {
            db.roll_back();
            db.begin()?;
            alive.check()?;
            db.advance(&expected)?;
            written = rows.write(db, &options.table, insert, true)?;
        }
        let rows_written = written.unwrap_or_default();
        if !rows.refused.is_empty() {
            let refused: Vec<usize> = rows.refused.keys().copied().collect();
            *kept = Some(Kept::of(token, outputs, &rows.places, &refused, rows_written));
            return Err(CommitError::Rejected(rows.rejected()));
        }
        if rows_written != rows.places.len() as u64 {
            db.restate(&token.with_rows(rows_written))?;
        }
        Ok(Committed { rows_written })
    }
}

/// The rows of a commit in the order of their arrival. They are written in it, each of them: the last one of a key wins by
/// the table's own equality, and a value that another unique index holds is free once the row that had it has another.
fn arrived(outputs: &[Output]) -> Vec<Place> {
    let sizes = outputs.iter().map(Output::len).enumerate();
    sizes.flat_map(|(output, rows)| (0..rows).map(move |row| Place { output, row })).collect()
}

/// The statement that writes a row. A key of which `folded` says that other texts are equal to it becomes that of the last
/// record.
pub(super) fn insert(layout: &Layout, table: &str, folded: &[String]) -> String {
    let names: Vec<String> = layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
    let key: Vec<String> = layout.key.iter().map(|place| names[*place].clone()).collect();
    let conflict = if key.is_empty() { String::new() } else { ddl::on_conflict(&key, &names, folded) };
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
                Ok(target.demand())
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
                target.write(&outputs, &token, alive)
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
