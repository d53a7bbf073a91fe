//! Opening and writing: token and rows in one transaction, the token first.
use super::{
    NAMING, SqliteSink,
    database::Database,
    deferred::{self, Returning},
    drops, failure,
    rows::Rows,
    schema,
    statement::{by_spelling, statements},
    types,
};
use crate::{
    blocking::{Alive, Owned},
    claim::Claim,
    owner::{may_write_again, written_before},
    table::{
        Layout, Options, Pages, Remembered, Said, Written, ddl,
        drops::warning,
        growth::{columns_to_add, new_columns},
        kept::{self, Kept},
        keys,
        tokens::Found,
    },
};
use async_trait::async_trait;
use dataflow_core::token::Token;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output, Warning},
    sink::{CommitError, Committed, OpenLane, Opened, Writer},
};
use std::sync::Arc;

/// Opens the file, fences older writers, reads the token, and looks at the table.
pub(super) fn open(config: &SqliteSink, lane: &OpenLane) -> Result<Opened, Error> {
    let options = config.options().as_known_to(lane)?;
    // A lane that was opened before has found a file, or made it.
    if lane.journalled.is_some() && !config.path.exists() {
        return Err(failure::gone(&config.path));
    }
    let db = Database::open(&config.path, config.fence_timeout.into(), config.create_table)?;
    let mut target = Target {
        db,
        options,
        claim: Claim::of(lane),
        pages: Pages::default(),
        table: None,
        added: Vec::new(),
        kept: None,
        swallowed: 0,
    };
    let (found, mut warnings) = target.transaction(|target| {
        target.db.fence(lane, &config.table)?;
        Ok((target.db.found(lane, &config.table)?, target.prepare(None)?))
    })?;
    if may_write_again(lane) && target.options.key().is_empty() {
        let rows = target.db.rows_before(&config.table, lane)?;
        let table = || format!("table {} in {}", config.table, config.path.display());
        warnings.extend((rows > 0).then(|| written_before(lane, &table(), rows)));
    }
    let Found { token, pages, others, begins } = found;
    target.pages = pages;
    let demand = target.demand();
    let remembered = target.remember();
    let handle = remembered.map(|remembered| remembered.to_json()).transpose()?;
    let writer = Box::new(SqliteWriter(Owned::new(target)));
    Ok(Opened { writer, token, others, begins, demand, warnings, handle })
}

/// A table in an open file.
struct Target {
    db: Database,
    options: Options,
    /// Which rows the table must hold.
    claim: Claim,
    /// Where the lane's positions are stored.
    pages: Pages,
    /// None: the table is missing, and made of the first batch.
    table: Option<Table>,
    /// Columns that were added because records have them.
    added: Vec<String>,
    /// What a commit has written that was refused; its transaction is still open.
    kept: Option<Kept>,
    /// Rows since the last warning that the table took and that had no effect on it.
    swallowed: u64,
}

/// How rows are written to a table.
struct Table {
    layout: Layout,
    strict: bool,
    /// By which the columns of the key are compared.
    collations: Vec<String>,
    /// The end of each statement, which returns what a deferred foreign key has against the row.
    returning: Returning,
    /// Whether its rows may refer to others of it.
    refers_to_itself: bool,
    /// Of a view's rows SQLite does not tell how many had an effect.
    is_view: bool,
    /// That of the file when the table was described: each change of a table in it raises it.
    version: i64,
}

impl Target {
    fn demand(&self) -> Demand {
        self.table.as_ref().map_or(Demand::AllColumns, |table| table.layout.demand())
    }

    /// Goes on with the key by which the table is written now.
    fn remember(&mut self) -> Option<Remembered> {
        let remembered = self.table.as_ref().map(|table| Remembered::of(&self.options, &table.layout));
        self.options = self.options.clone().as_before(remembered.as_ref());
        remembered
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
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.is(token, outputs, &keys::arrived(outputs))) else {
            return Ok(None);
        };
        let (rows_written, swallowed) = (kept.written, kept.swallowed);
        self.db.restate(&kept::written(token, &self.options.table, rows_written, swallowed))?;
        self.db.commit()?;
        (self.kept, self.swallowed) = (None, self.swallowed + swallowed);
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
        let missing = found.is_none();
        if missing {
            self.db.unclaimed(&table, &self.claim)?;
            let columns = new_columns(&self.options, &NAMING, columns)?;
            if !self.options.create_table {
                return Err(self.missing(columns.as_deref()));
            }
            let Some(columns) = columns else { return Ok(Vec::new()) };
            self.run(&self.create(&columns))?;
            if self.options.owns_what_it_made() {
                self.db.note_made(&table, &self.claim.fence)?;
            }
            self.db.forget_others(&table, &self.claim)?;
            found = describe(self)?;
        }
        if self.options.owns_what_it_made() {
            self.options.own = self.db.has_made(&table, &self.claim.fence)?;
        }
        if let (false, Some(there)) = (missing, &found) {
            for column in columns_to_add(&self.options, &NAMING, there, columns, &mut self.added)? {
                self.run(&ddl::add_column(&table, &column, types::declare))?;
            }
            found = describe(self)?;
        }
        let found = found.ok_or_else(|| self.missing(None))?;
        let failed = |error| self.db.failed("read the tables of", &error);
        let kind = schema::kind(&self.db.connection, &table).map_err(failed)?.unwrap_or_default();
        if !matches!(kind.as_str(), "table" | "view") {
            return Err(failure::not_a_table(&self.db.path, &table, &kind));
        }
        let (layout, mut warnings) = Layout::of(&self.options, &found, &self.added)?;
        let strict = schema::is_strict(&self.db.connection, &table).map_err(failed)?;
        let collations = schema::collations(&self.db.connection, &table, &layout.key_names()).map_err(failed)?;
        let returning = Returning::of(&self.db.connection, &table).map_err(failed)?;
        let refers_to_itself = deferred::refers_to_itself(&self.db.connection, &table).map_err(failed)?;
        let version = schema::version(&self.db.connection).map_err(failed)?;
        let droppers = drops::droppers(&self.db.connection, &table, !layout.key.is_empty()).map_err(failed)?;
        warnings.extend(warning(&table, &droppers));
        let is_view = kind == "view";
        self.table = Some(Table { layout, strict, collations, returning, refers_to_itself, is_view, version });
        Ok(warnings)
    }

    /// Looks at the table again if anything in the file was changed, within a transaction: nothing changes until its end.
    fn look_again(&mut self) -> Result<(), Error> {
        let Some(known) = &self.table else { return Ok(()) };
        let version = schema::version(&self.db.connection);
        if version.map_err(|error| self.db.failed("read the tables of", &error))? == known.version {
            return Ok(());
        }
        let (demand, options) = (known.layout.demand(), self.options.for_rows_of(&known.layout));
        let options = std::mem::replace(&mut self.options, options);
        self.table = None;
        let prepared = self.prepare(None);
        self.options = options;
        // What else is in the way is for the next opening to tell.
        match prepared.is_ok() && self.demand() == demand {
            true => Ok(()),
            false => Err(changed(&self.options.table)),
        }
    }

    /// The statement that makes the table.
    fn create(&self, columns: &[Column]) -> String {
        let key = self.options.key();
        let made = ddl::create_table(&self.options.table, columns, &key, types::declare);
        let is_integer = |name: &String| {
            columns.iter().any(|column| column.name == *name && types::declare(column.ty) == types::INTEGER)
        };
        match key.as_slice() {
            // Otherwise it is the row's id, which SQLite makes up for a record that has no key: that of another record.
            [only] if is_integer(only) => format!("{made} without rowid"),
            _ => made,
        }
    }

    fn missing(&self, columns: Option<&[Column]>) -> Error {
        let message =
            format!("{} has no table {}, and createTable is false", self.db.path.display(), self.options.table);
        let fix = match columns {
            Some(columns) => format!("run: {}", self.create(columns)),
            None => "create the table, or set createTable: true".into(),
        };
        Error::fatal("table-missing", message).fix(fix)
    }

    /// Writes token and rows, within a transaction.
    fn write(&mut self, outputs: &[Output], token: &Token, alive: &Alive) -> Result<Committed, CommitError> {
        self.look_again()?;
        let Self { db, options, pages, table, kept, swallowed, .. } = self;
        let Some(Table { layout, strict, collations, returning, refers_to_itself, is_view, version }) = table else {
            keys::of_nothing(outputs)?;
            return Ok(db.advance(token, pages).map(|()| Committed::default())?);
        };
        let mut rows = Rows::new(layout, *strict, returning, outputs)?;
        let expected = token.with_rows(rows.order.places.len() as u64);
        db.advance(&expected, pages)?;
        let sql = |said: &Said| match refers_to_itself {
            true => by_spelling(layout, collations, &options.table, said),
            false => statements(layout, collations, &options.table, said),
        };
        let mut written = rows.write(db, &options.table, &sql, false)?;
        while written.is_none() {
            db.roll_back();
            db.begin()?;
            alive.check()?;
            let now = schema::version(&db.connection);
            if now.map_err(|error| db.failed("read the tables of", &error))? != *version {
                return Err(changed(&options.table).into());
            }
            db.advance(&expected, pages)?;
            written = rows.write(db, &options.table, &sql, true)?;
        }
        let Written { rows: rows_written, swallowed: more } = written.unwrap_or_default();
        let more = if *is_view { 0 } else { more };
        if !rows.refused.is_empty() {
            let refused: Vec<usize> = rows.refused.keys().copied().collect();
            *kept = Some(Kept::of(token, outputs, &rows.order.places, &refused, rows_written, more));
            return Err(CommitError::Rejected(rows.rejected()));
        }
        if rows_written != rows.order.places.len() as u64 || more > 0 {
            db.restate(&kept::written(token, &options.table, rows_written, more))?;
        }
        *swallowed += more;
        Ok(Committed { rows_written })
    }
}

fn changed(table: &str) -> Error {
    Error::transient("table-changed", format!("table {table} has changed since it was opened"))
}

/// The writer of one lane.
struct SqliteWriter(Owned<Target>);

#[async_trait]
impl Writer for SqliteWriter {
    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let columns = columns.to_vec();
        self.0
            .with(move |target, alive| {
                target.transaction(|target| {
                    alive.check()?;
                    if target.table.is_some() {
                        target.options.grows = true;
                    }
                    target.prepare(Some(&columns))?;
                    target.remember();
                    Ok(target.demand())
                })
            })
            .await
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let (outputs, token) = (outputs.clone(), token.clone());
        self.0
            .with(move |target, alive| {
                alive.check()?;
                let committed = match target.commit_kept(&outputs, &token)? {
                    Some(committed) => committed,
                    None => target.transaction(|target| {
                        alive.check()?;
                        target.write(&outputs, &token, alive)
                    })?,
                };
                target.pages.committed(&token.positions);
                Ok(committed)
            })
            .await
    }

    fn warnings(&mut self) -> Vec<Warning> {
        let Some(mut target) = self.0.get() else { return Vec::new() };
        let swallowed = std::mem::take(&mut target.swallowed);
        kept::swallowed(&target.options.table, swallowed)
    }

    async fn release(&mut self) {
        let released = self.0.with(|target, _| {
            if target.kept.take().is_some() {
                target.db.roll_back();
            }
            Ok::<_, Error>(())
        });
        if let Err(error) = released.await {
            tracing::warn!(%error, "the savepoint of a rejected commit could not be released");
        }
    }

    async fn close(self: Box<Self>) {
        // Closing the last connection checkpoints the write-ahead log, which may block.
        if let Err(error) = self.0.close().await {
            tracing::warn!(%error, "a SQLite file was not closed cleanly");
        }
    }
}
