//! A session: reads up to where no other row can come.
use super::{
    cursor,
    definition::{self, Definition},
    horizon::{self, Whose},
};
use crate::jdbc::{
    JdbcSource,
    database::{Purpose, Session},
    failures,
    part::Part,
    position::{Key, KeyValue, Place},
    said::Said,
    shape::Shape,
};
use async_trait::async_trait;
use dataflow_core::position::Position;
use dataflow_formats::encode::Value;
use dataflow_postgres::{session::Session as Connected, sql};
use dataflow_sdk::Error;
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How far behind the server's clock is read where times are given out by it: a statement has its time a moment before others
/// can see its transaction.
const MARGIN: Duration = Duration::from_secs(1);

/// First and longest pause between two looks at how far the server's log is durable.
const FLUSHES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// A session for reading.
#[derive(Debug)]
pub(super) struct PostgresSession {
    source: JdbcSource,
    purpose: Purpose,
    connected: Connected,
    definition: Definition,
    doing: String,
    is_timed: bool,
    delay: Option<Duration>,
    /// Values of the row at hand.
    scratch: Vec<Vec<u8>>,
}

impl PostgresSession {
    pub(super) async fn open(source: &JdbcSource, mut connected: Connected, purpose: Purpose) -> Result<Self, Error> {
        let doing = format!("read {} of", source.name());
        connected.run(&doing, "begin isolation level read committed read only").await?;
        let definition = definition::define(source, &mut connected, purpose).await?;
        connected.run(&doing, "rollback").await?;
        Ok(Self {
            source: source.clone(),
            purpose,
            doing,
            is_timed: source.mode.is_timed(),
            delay: source.delay.map(Duration::from),
            scratch: vec![Vec::new(); definition.shape.columns.len()],
            connected,
            definition,
        })
    }

    /// Up to where can be read now; none: there is nothing new.
    async fn bound(&mut self, after: &Place, said: &Said) -> Result<Option<String>, Error> {
        let Some(first) = self.definition.order.first().cloned() else { return Ok(None) };
        let past = match self.is_timed {
            true => self.clock(self.delay.unwrap_or(MARGIN).max(MARGIN), &first.ty).await?,
            false => None,
        };
        let until = |value: &str| format!("{} <= {}::{}", first.name, sql::literal(value), first.ty);
        let limit = past.as_deref().map_or_else(|| "true".into(), until);
        let noted = cursor::highest(&mut self.connected, &self.doing, &self.definition, &after.key, &limit).await?;
        let Some(highest) = noted.as_deref().and_then(<[KeyValue]>::first) else { return Ok(None) };
        if let Some(delay) = self.delay.filter(|_| !self.is_timed) {
            tokio::time::sleep(delay).await;
        }
        let whose = if self.is_timed && self.delay.is_none() { Whose::All } else { Whose::Writers };
        horizon::wait(&mut self.connected, &self.definition, whose, said).await?;
        Ok(Some(until(&highest.text())))
    }

    /// Looks, while the cursor keeps it from being changed, whether what is read is still what it was and read safely, and whether all
    /// of its rows have a place in the order.
    async fn check_again(&mut self) -> Result<(), Error> {
        let now = definition::define(&self.source, &mut self.connected, self.purpose).await?;
        let shape = &self.definition.shape;
        if now != self.definition {
            let message = format!("{} was changed while it was read; it is opened again", shape.name);
            return Err(Error::transient("definition-changed", message));
        }
        let connected = &mut self.connected;
        match cursor::lacks_key(connected, &self.doing, &self.definition, self.is_timed).await? {
            true => Err(failures::no_key(shape)),
            false => Ok(()),
        }
    }

    /// Waits until all that the cursor sees would survive a crash of the server: a transaction with `synchronous_commit` off can be seen
    /// before that, and what a crash takes back would be numbered anew. It is durable after three times `wal_writer_delay` at the latest;
    /// what else was written to the log meanwhile may take until the next checkpoint.
    async fn flushed(&mut self) -> Result<(), Error> {
        let end = "select case when pg_is_in_recovery() then null else pg_current_wal_insert_lsn() end, \
                   (select setting from pg_settings where name = 'wal_writer_delay')";
        self.connected.run(&self.doing, "savepoint looking").await?;
        let Ok(end) = self.connected.rows(&self.doing, end).await else {
            // Not every server that speaks like PostgreSQL has such a log.
            return self.connected.run(&self.doing, "rollback to savepoint looking").await;
        };
        let text = |at| end.first().and_then(|row| row.get(at));
        let Some(flushed) =
            text(0).map(|end| format!("select pg_current_wal_flush_lsn() >= {}::pg_lsn", sql::literal(end)))
        else {
            return Ok(());
        };
        let delay = text(1).and_then(|millis| millis.parse().ok()).map_or(FLUSHES[1], Duration::from_millis);
        let (begun, mut pause) = (Instant::now(), FLUSHES[0]);
        while begun.elapsed() <= 3 * delay {
            let rows = self.connected.rows(&self.doing, &flushed).await?;
            if rows.first().and_then(|row| row.get(0)) == Some("t") {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(FLUSHES[1]);
        }
        Ok(())
    }

    /// The server's time so long ago, as the column writes it.
    async fn clock(&mut self, ago: Duration, ty: &str) -> Result<Option<String>, Error> {
        let ago = format!("clock_timestamp() - interval '{} milliseconds'", ago.as_millis());
        let local = "(select reset_val from pg_settings where name = 'TimeZone')";
        let past = match ty {
            "timestamp with time zone" => ago,
            _ => format!("({ago}) at time zone {local}"),
        };
        let rows = self.connected.rows(&self.doing, &format!("select ({past})::{ty}")).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    fn not_utf8(&self, error: &tokio_postgres::Error) -> Error {
        let (name, server) = (&self.definition.shape.name, self.connected.server());
        let message = format!("a text in {name} of PostgreSQL at {server} is not UTF-8: {error}");
        Error::fatal("not-utf8", message)
            .fix("use a database whose encoding is not SQL_ASCII, or convert the text by a `query`")
    }
}

#[async_trait]
impl Session for PostgresSession {
    fn shape(&self) -> &Arc<Shape> {
        &self.definition.shape
    }

    async fn lost(&mut self, from: &Position, _: &Place) -> Result<Option<String>, Error> {
        let (known, now) = (&from.identity, &self.definition.shape.identity);
        let is_other = known.is_some() && now.is_some() && known != now;
        let database = |identity: &Arc<str>| identity.split('/').take(2).map(str::to_owned).collect::<Vec<_>>();
        let is_elsewhere = known.as_ref().map(database) != now.as_ref().map(database);
        let why = if is_elsewhere { "this is another database" } else { "the table was made anew since" };
        Ok(is_other.then(|| why.into()))
    }

    async fn begin(&mut self, after: &Place, everything: bool, said: &Said) -> Result<bool, Error> {
        let bound = if everything { Ok(Some("true".into())) } else { self.bound(after, said).await };
        let bound = bound.map_err(|error| definition::would_write(&self.source, error))?;
        if let Some(bound) = &bound {
            let opened = cursor::open(&mut self.connected, &self.doing, &self.definition, &after.key, bound).await;
            opened.map_err(|error| definition::would_write(&self.source, error))?;
            self.check_again().await?;
            self.flushed().await?;
        }
        Ok(bound.is_some())
    }

    async fn fill(&mut self, mut part: Part) -> Result<(Part, bool), Error> {
        let rows = cursor::fetch(&mut self.connected, &self.doing, part.asked()).await?;
        let is_last = rows.len() < part.asked() as usize;
        if is_last {
            cursor::close(&mut self.connected, &self.doing).await?;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let definition = &self.definition;
        for row in &rows {
            let texts = (0..scratch.len()).map(|at| row.try_get(at)).collect::<Result<Vec<Option<&str>>, _>>();
            let texts = texts.map_err(|error| self.not_utf8(&error))?;
            let key = definition.order.iter().map(|part| texts[part.column].map(|text| part.value(text))).collect();
            let values = texts.iter().zip(&definition.readings).zip(&mut scratch);
            let values = values.map(|((text, reading), scratch)| match text {
                Some(text) => reading.form.value(text, scratch),
                None => Value::Null,
            });
            part.push(key, |at| texts[at].map(Cow::Borrowed), values)?;
        }
        self.scratch = scratch;
        Ok((part, is_last))
    }

    async fn highest(&mut self) -> Result<Option<Key>, Error> {
        cursor::highest(&mut self.connected, &self.doing, &self.definition, &[], "true").await
    }

    async fn count(&mut self, key: &Key) -> Result<Option<u64>, Error> {
        match cursor::count(&mut self.connected, &self.doing, &self.definition, key).await {
            // It is not of the column's type.
            Err(Error::Fatal { code: "postgres", .. }) => Ok(None),
            counted => counted.map(Some),
        }
    }
}
