//! A session: reads part by part, each as the file is then, and holds nothing of it in between.
use super::{
    clock::{self, Spelling},
    definition::{self, Definition},
    file::File,
    origin::{Numbers, Origin},
    statement::{Limit, quote},
    values,
};
use crate::{
    blocking::blocking,
    jdbc::{
        JdbcSource, Mode,
        database::{Purpose, Session},
        failures,
        part::Part,
        position::{Key, KeyValue, Place},
        said::Said,
        shape::Shape,
        unindexed::Unindexed,
        waiting::Waiting,
    },
};
use async_trait::async_trait;
use dataflow_core::{position::Position, types::Type};
use dataflow_sdk::{Error, Paths};
use rusqlite::{
    OptionalExtension, Row, params_from_iter,
    types::{Value, ValueRef},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// A session for reading. What works on the file blocks, and is elsewhere while it does.
pub(super) struct SqliteSession {
    /// None: that has failed.
    work: Option<Box<Work>>,
    shape: Arc<Shape>,
    delay: Option<Duration>,
    waiting: Waiting,
    unindexed: Unindexed,
}

struct Work {
    source: JdbcSource,
    file: File,
    definition: Definition,
    purpose: Purpose,
    /// Up to where the round goes.
    limit: (Limit, Option<Value>),
    /// How times have to be written, so that those of later rows come after them.
    spelling: Option<Spelling>,
}

/// What a look at the file has found.
enum Look {
    /// There may be new rows.
    Rows,
    /// There are none.
    Nothing,
    /// There are, up to the limit, once the delay is over.
    Later,
    /// There are, and the newest of them wait for whom this names.
    Held(String),
}

impl SqliteSession {
    pub(super) async fn open(
        path: PathBuf,
        paths: Arc<Paths>,
        source: JdbcSource,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let delay = source.delay.map(Duration::from);
        let work = blocking("jdbc", move || {
            let file = File::open(&path, &paths)?;
            let definition = file.at_once(|file| definition::define(&source, file, purpose))?;
            let (limit, spelling) = ((Limit::None, None), None);
            Ok(Box::new(Work { source, file, definition, purpose, limit, spelling }))
        })
        .await?;
        let shape = work.definition.shape.clone();
        Ok(Self { work: Some(work), shape, delay, waiting: Waiting::default(), unindexed: Unindexed::default() })
    }

    async fn with<T: Send + 'static>(
        &mut self,
        doing: impl FnOnce(&mut Work) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(mut work) = self.work.take() else {
            return Err(Error::fatal("internal", "the session has failed before"));
        };
        let (work, done) = blocking("jdbc", move || {
            let done = doing(&mut work);
            Ok((work, done))
        })
        .await?;
        self.work = Some(work);
        done
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    async fn lost(&mut self, from: &Position, place: &Place) -> Result<Option<String>, Error> {
        if let (Some(known), Some(now)) = (&from.identity, &self.shape.identity)
            && known != now
        {
            return Ok(Some(format!("the file was replaced since by another one (inode {known} by {now})")));
        }
        let key = place.key.clone();
        self.with(move |work| work.file.at_once(|file| began_anew(work, file, &key))).await
    }

    async fn begin(&mut self, after: &Place, everything: bool, said: &Said) -> Result<bool, Error> {
        let key = after.key.clone();
        let (look, is_sorted) =
            self.with(move |work| Ok((work.look(&key, everything)?, work.definition.is_sorted))).await?;
        if is_sorted {
            self.unindexed.say(said, &self.shape, "SQLite");
        }
        if let (Look::Later, Some(delay)) = (&look, self.delay) {
            tokio::time::sleep(delay).await;
        }
        let name = &self.shape.name;
        match &look {
            Look::Held(holder) => self.waiting.met(said, name, || {
                format!("the newest rows of {name} wait for {holder}, which writes to the file: until it has ended its transaction, it may add some of the same time")
            }),
            _ => self.waiting.over(said, name),
        }
        Ok(!matches!(look, Look::Nothing))
    }

    async fn fill(&mut self, mut part: Part) -> Result<(Part, bool), Error> {
        self.with(move |work| {
            let is_last = work.fill(&mut part)?;
            Ok((part, is_last))
        })
        .await
    }

    async fn highest(&mut self) -> Result<Option<Key>, Error> {
        self.with(|work| work.file.at_once(|file| highest(work, file, &[], (Limit::None, None)))).await
    }

    async fn count(&mut self, key: &Key) -> Result<Option<u64>, Error> {
        let is_whole = |(at, value): (&usize, &KeyValue)| {
            self.shape.columns[*at].ty != Type::Bigint || matches!(value, KeyValue::Whole(_))
        };
        if !self.shape.order.iter().zip(key).all(is_whole) {
            return Ok(None);
        }
        let key = key.clone();
        self.with(move |work| work.file.at_once(|file| count(work, file, "<=", &key))).await.map(Some)
    }
}

impl Work {
    /// Begins a round after a key.
    fn look(&mut self, after: &Key, everything: bool) -> Result<Look, Error> {
        self.file.is_in_place()?;
        self.limit = (Limit::None, None);
        self.refresh()?;
        if let Some(reason) = self.file.at_once(|file| began_anew(self, file, after))? {
            // Opening again says what is lost by it.
            return Err(Error::transient("table-changed", format!("{}: {reason}", self.definition.shape.name)));
        }
        if everything {
            return Ok(Look::Rows);
        }
        if self.source.delay.is_some() {
            let noted = self.file.at_once(|file| highest(self, file, after, (Limit::None, None)))?;
            let Some(value) = noted.as_deref().and_then(<[KeyValue]>::first) else { return Ok(Look::Nothing) };
            self.limit = (Limit::UpTo, Some(values::stored(value)));
            return Ok(Look::Later);
        }
        match self.definition.time.clone().filter(|_| self.source.mode.is_timed()) {
            Some(time) => self.look_by_clock(&time, after),
            None => Ok(Look::Rows),
        }
    }

    /// Whoever writes after the clock is asked has no earlier time, but whoever is just writing may. So all before the clock's time is read
    /// if nobody is; otherwise what is before the newest time that is there, since the writer has begun after that was committed.
    fn look_by_clock(&mut self, time: &Origin, after: &Key) -> Result<Look, Error> {
        let Some(expression) = clock::of(time) else { return Ok(Look::Nothing) };
        let asked = self.file.connection.query_row(&format!("select {expression}"), [], |row| row.get(0));
        let now: Value = asked.map_err(|error| self.file.failed("ask the clock of", &error))?;
        self.spelling = Spelling::of(&now, time.affinity());
        let until_now = (Limit::Below, Some(now));
        let Some(holder) = dataflow_locks::database_writer(&self.file.path) else {
            self.limit = until_now;
            return Ok(Look::Rows);
        };
        let newest = self.file.at_once(|file| highest(self, file, after, until_now))?;
        let Some(value) = newest.as_deref().and_then(<[KeyValue]>::first) else { return Ok(Look::Nothing) };
        self.limit = (Limit::Below, Some(values::stored(value)));
        Ok(Look::Held(holder))
    }

    /// Takes note of changes of tables, as far as they leave the same to be read.
    fn refresh(&mut self) -> Result<(), Error> {
        let definition = self.file.at_once(|file| {
            let now = definition::version(file).map_err(|error| file.failed("read", &error))?;
            let is_same = now == self.definition.version;
            (!is_same).then(|| definition::define(&self.source, file, self.purpose)).transpose()
        })?;
        let Some(mut definition) = definition else { return Ok(()) };
        if definition.shape != self.definition.shape {
            let (name, file) = (&self.definition.shape.name, self.file.name());
            return Err(Error::transient("table-changed", format!("the columns of {name} in {file} were changed")));
        }
        definition.shape = self.definition.shape.clone();
        self.definition = definition;
        Ok(())
    }

    /// Adds the next rows to a part. Whether they are the last.
    fn fill(&mut self, part: &mut Part) -> Result<bool, Error> {
        self.file.is_in_place()?;
        self.file.at_once(|file| {
            let failed = |error| file.failed("read", &error);
            if definition::version(file).map_err(failed)? != self.definition.version {
                let (name, file) = (&self.definition.shape.name, self.file.name());
                return Err(Error::transient(
                    "table-changed",
                    format!("tables were changed while {name} in {file} was read"),
                ));
            }
            let after = part.at().key.clone();
            let sql = self.definition.statements.rows(after.len(), self.limit.0);
            let mut statement = file.connection.prepare_cached(&sql).map_err(failed)?;
            // One more, to see whether it can be told from the last one.
            let most = Value::Integer(i64::from(part.most()) + 1);
            let values = after.iter().map(values::stored).chain(self.limit.1.clone()).chain([most]);
            let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let key = key_of(&self.definition.shape, row, &self.definition.shape.order)?;
                self.tell_apart(file, &part.at().key, key.as_ref())?;
                if part.is_full() {
                    return Ok(false);
                }
                let columns = 0..self.definition.shape.columns.len();
                let stored = columns.map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
                self.check_spelling(&stored)?;
                part.push(key, |at| values::text(stored[at]), stored.iter().map(|stored| values::value(*stored)))?;
            }
            Ok(true)
        })
    }

    /// Makes sure that a row is not the same as the one before by the order that they are in: it might be passed over then.
    fn tell_apart(&self, file: &File, before: &Key, next: Option<&Key>) -> Result<(), Error> {
        match next {
            Some(next) if values::may_be_equal(before, next) && count(self, file, "=", next)? > 1 => {
                Err(failures::same_key(&self.definition.shape, next))
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that a row's time is written as later ones will be.
    fn check_spelling(&self, row: &[ValueRef<'_>]) -> Result<(), Error> {
        let Some(spelling) = self.spelling.as_ref().filter(|_| self.source.mode.is_timed()) else { return Ok(()) };
        let Some(time) = self.definition.shape.order.first().map(|at| row[*at]) else { return Ok(()) };
        if spelling.is_of(time) {
            return Ok(());
        }
        let time = values::text(time).unwrap_or_default().into_owned();
        let column = self.source.timestamp_column.as_deref().unwrap_or_default();
        let reason = format!(
            "a value of {column:?} ({time}) is not written as those of the column's default are, so later ones may come before it"
        );
        Err(failures::unsafe_order(&self.definition.shape.name, &self.file.name(), &[reason]))
    }
}

/// The values of a row in these columns, as a place in the order; none: one is NULL.
fn key_of(shape: &Shape, row: &Row<'_>, columns: &[usize]) -> Result<Option<Key>, Error> {
    let mut key = Vec::with_capacity(columns.len());
    for at in columns {
        match row.get_ref(*at).map_or(Err("NULL"), values::key) {
            Ok(value) => key.push(value),
            Err("NULL") => return Ok(None),
            Err(what) => return Err(failures::odd_key(shape, what)),
        }
    }
    Ok(Some(key))
}

/// The highest key after another one.
fn highest(
    work: &Work,
    file: &File,
    after: &[KeyValue],
    (limit, value): (Limit, Option<Value>),
) -> Result<Option<Key>, Error> {
    let failed = |error| file.failed("read", &error);
    let sql = work.definition.statements.highest(after.len(), limit);
    let mut statement = file.connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(after.iter().map(values::stored).chain(value))).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let columns: Vec<usize> = (0..work.definition.shape.order.len()).collect();
    key_of(&work.definition.shape, row, &columns)
}

/// How many rows are related so to a key.
fn count(work: &Work, file: &File, operator: &str, key: &Key) -> Result<u64, Error> {
    let mut statement = file
        .connection
        .prepare_cached(&work.definition.statements.count(operator))
        .map_err(|error| file.failed("read", &error))?;
    let counted = statement.query_row(params_from_iter(key.iter().map(values::stored)), |row| row.get::<_, i64>(0));
    counted.map(|rows| rows.unsigned_abs()).map_err(|error| file.failed("read", &error))
}

/// Why numbers up to a key are given out again: the highest of a table's numbers is lower.
fn began_anew(work: &Work, file: &File, key: &Key) -> Result<Option<String>, Error> {
    let Some(KeyValue::Whole(last)) = key.first().filter(|_| work.source.mode == Mode::Incrementing) else {
        return Ok(None);
    };
    let Some(Origin { table, column, numbers, .. }) = &work.definition.number else { return Ok(None) };
    let (sql, of) = match numbers {
        Numbers::Rising => ("select seq from sqlite_sequence where name = ?".into(), Some(table)),
        Numbers::AboveHighest => (format!("select max({}) from main.{}", quote(column), quote(table)), None),
        Numbers::Given => return Ok(None),
    };
    let given = file.connection.prepare_cached(&sql).and_then(|mut statement| {
        statement.query_row(params_from_iter(of), |row| row.get::<_, Option<i64>>(0)).optional()
    });
    let given = given.map_err(|error| file.failed("read", &error))?.flatten().unwrap_or(0);
    Ok((given < *last).then(|| {
        format!("the highest number that {table} has given out is {given}, so it was made anew, or lost its last rows: their numbers are given out again")
    }))
}
