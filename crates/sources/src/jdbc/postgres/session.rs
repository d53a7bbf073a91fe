//! A session: reads up to where no other row can come.
use super::{
    catalogue::{self, Version},
    cursor,
    definition::{self, Definition},
    durable::{Log, Mark},
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

/// How far behind the server's clock is read where times are given out by it: a statement has its time a moment before others
/// can see its transaction.
const MARGIN: Duration = Duration::from_secs(1);

/// A session for reading.
#[derive(Debug)]
pub(super) struct PostgresSession {
    source: JdbcSource,
    purpose: Purpose,
    connected: Connected,
    definition: Definition,
    /// That of what the definition was made of.
    version: Version,
    log: Log,
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
        let (definition, version) = definition::define(source, &mut connected, purpose).await?;
        let log = Log::of(&mut connected, &doing).await?;
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
            version,
            log,
        })
    }

    /// Up to where can be read now, and where the server's log was before that was looked at; none: there is nothing new.
    async fn bound(&mut self, after: &Place, said: &Said) -> Result<Option<(String, Option<Mark>)>, Error> {
        let Some(first) = self.definition.order.first().cloned() else { return Ok(None) };
        let limit = match self.is_timed {
            true => format!("{} <= {}", first.name, ago(self.delay.unwrap_or(MARGIN).max(MARGIN), &first.ty)),
            false => "true".into(),
        };
        let query = self.log.look() + &cursor::highest(&self.definition, &after.key, &limit);
        let rows = self.connected.rows(&self.doing, &query).await?;
        let (mark, rows) = self.log.noted(&rows);
        let noted = cursor::key(&self.definition, rows);
        let Some(highest) = noted.as_deref().and_then(<[KeyValue]>::first) else { return Ok(None) };
        if let Some(delay) = self.delay.filter(|_| !self.is_timed) {
            tokio::time::sleep(delay).await;
        }
        let whose = if self.is_timed && self.delay.is_none() { Whose::All } else { Whose::Writers };
        horizon::wait(&mut self.connected, &self.definition, whose, said).await?;
        Ok(Some((format!("{} <= {}::{}", first.name, sql::literal(&highest.text()), first.ty), mark)))
    }

    /// Opens the cursor over all rows up to a bound, and makes sure of what it reads. None: there are no such rows.
    async fn open_cursor(&mut self, after: &Place, everything: bool, said: &Said) -> Result<Option<()>, Error> {
        let mark = if everything {
            let statements = self.log.look() + &cursor::open(&self.definition, &after.key, "true");
            self.log.noted(&self.connected.rows(&self.doing, &statements).await?).0
        } else {
            let Some((bound, mark)) = self.bound(after, said).await? else { return Ok(None) };
            self.connected.run(&self.doing, &cursor::open(&self.definition, &after.key, &bound)).await?;
            mark
        };
        self.check_again().await?;
        self.log.durable(&mut self.connected, &self.doing, mark).await?;
        Ok(Some(()))
    }

    /// Looks, while the cursor keeps it from being changed, whether what is read is still what it was and read safely, and whether all
    /// of its rows have a place in the order.
    async fn check_again(&mut self) -> Result<(), Error> {
        let (_, version) = catalogue::look(&mut self.connected, &self.doing).await?;
        let shape = &self.definition.shape;
        if version != self.version {
            let (now, version) = definition::define(&self.source, &mut self.connected, self.purpose).await?;
            if now != self.definition {
                let message = format!("{} was changed while it was read; it is opened again", shape.name);
                return Err(Error::transient("definition-changed", message));
            }
            self.version = version;
        }
        let connected = &mut self.connected;
        match cursor::lacks_key(connected, &self.doing, &self.definition, self.is_timed).await? {
            true => Err(failures::no_key(shape)),
            false => Ok(()),
        }
    }

    fn not_utf8(&self, error: &tokio_postgres::Error) -> Error {
        let (name, server) = (&self.definition.shape.name, self.connected.server());
        let message = format!("a text in {name} of PostgreSQL at {server} is not UTF-8: {error}");
        Error::fatal("not-utf8", message)
            .fix("use a database whose encoding is not SQL_ASCII, or convert the text by a `query`")
    }
}

/// The server's time so long ago, as a column of this type has it.
fn ago(time: Duration, ty: &str) -> String {
    let ago = format!("now() - interval '{} milliseconds'", time.as_millis());
    match ty {
        "timestamp with time zone" => ago,
        // The session itself has UTC.
        _ => format!("(({ago}) at time zone (select reset_val from pg_settings where name = 'TimeZone'))::{ty}"),
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
        let opened = self.open_cursor(after, everything, said).await;
        opened.map(|opened| opened.is_some()).map_err(|error| definition::would_write(&self.source, error))
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
        let query = cursor::highest(&self.definition, &[], "true");
        Ok(cursor::key(&self.definition, &self.connected.rows(&self.doing, &query).await?))
    }

    async fn count(&mut self, key: &Key) -> Result<Option<u64>, Error> {
        match cursor::count(&mut self.connected, &self.doing, &self.definition, key).await {
            // It is not of the column's type.
            Err(Error::Fatal { code: "postgres", .. }) => Ok(None),
            counted => counted.map(Some),
        }
    }
}
