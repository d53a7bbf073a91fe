//! A session: reads part by part, each by a statement of its own, up to where no other row can come.
use super::{
    definition::{self, Definition},
    running::{self, Which},
    state::{self, State},
    statement::{Limit, Lock},
};
use crate::jdbc::{
    JdbcSource, Mode,
    database::{Purpose, Session},
    failures,
    part::Part,
    position::{Key, KeyValue, Place},
    said::Said,
    shape::Shape,
    unindexed::Unindexed,
    waiting::Waiting,
};
use async_trait::async_trait;
use dataflow_core::position::Position;
use dataflow_formats::encode::Value;
use dataflow_mysql::{Row, Session as Connected};
use dataflow_sdk::Error;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// First and longest pause after a row was locked by somebody for long.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];
/// Rows that are waited for at once.
const SETTLED: u32 = 8_192;

/// A session for reading.
#[derive(Debug)]
pub(super) struct MysqlSession {
    source: JdbcSource,
    connected: Connected,
    definition: Definition,
    doing: String,
    delay: Option<Duration>,
    round: Round,
    unindexed: Unindexed,
    /// Values of the row at hand.
    scratch: Vec<Vec<u8>>,
}

/// What is being read.
#[derive(Debug, Default)]
struct Round {
    /// None: all of one moment.
    limit: Option<Limit>,
    said: Said,
}

/// A row is locked by somebody else, for longer than is waited for at a time.
fn is_locked(error: &Error) -> bool {
    ["locked", "conflict"].contains(&error.code())
}

impl MysqlSession {
    pub(super) async fn open(
        source: &JdbcSource,
        mut connected: Connected,
        database: &str,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let definition = definition::define(source, &mut connected, database, purpose).await?;
        Ok(Self {
            doing: format!("read {} of", source.name()),
            delay: source.delay.map(Duration::from),
            round: Round::default(),
            unindexed: Unindexed::default(),
            scratch: vec![Vec::new(); definition.shape.columns.len()],
            source: source.clone(),
            connected,
            definition,
        })
    }

    async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.connected.rows(&self.doing, query).await
    }

    /// The number that a query counts; none: there is no such query, as values are not of the columns' types.
    async fn number(&mut self, query: Option<String>) -> Result<Option<u64>, Error> {
        let Some(query) = query else { return Ok(None) };
        let rows = self.rows(&query).await?;
        Ok(rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()))
    }

    /// The highest key after another one, within a limit.
    async fn highest_after(&mut self, after: &Key, limit: Option<&Limit>) -> Result<Option<Key>, Error> {
        let Some(query) = self.definition.statements.highest(after, limit) else { return Ok(None) };
        let mut found = None;
        let order = &self.definition.statements.order;
        let take = |row: Row<'_>| {
            found = order.iter().enumerate().map(|(at, part)| row.get(at).map(|bytes| part.value(bytes))).collect();
            Ok(())
        };
        self.connected.each(&self.doing, &query, take).await?;
        Ok(found)
    }

    /// Makes sure that what is read is what it was, and that no number up to a key will be given out again.
    async fn look(&mut self, after: &Key) -> Result<State, Error> {
        let ago = self.delay.unwrap_or_default();
        let Definition { table, is_local, .. } = &self.definition;
        let now = state::look(&mut self.connected, table.as_ref(), ago, *is_local).await?;
        let name = &self.definition.shape.name;
        if now.version != self.definition.version {
            let message = format!("{name} was changed while it was read; it is opened again");
            return Err(Error::transient("definition-changed", message));
        }
        if let Some(reason) = self.began_anew(&now, after) {
            // Opening again says what is lost by it.
            return Err(Error::transient("table-changed", format!("{name}: {reason}")));
        }
        Ok(now)
    }

    fn began_anew(&self, now: &State, key: &Key) -> Option<String> {
        let last = match key.first()? {
            KeyValue::Whole(last) if self.source.mode == Mode::Incrementing => u64::try_from(*last).ok()?,
            _ => return None,
        };
        let next = now.next.filter(|next| *next <= last)?;
        let name = &self.definition.shape.name;
        Some(format!(
            "the next number of {name} is {next}, so it was made anew, or emptied: its numbers up to {last} are given out again"
        ))
    }

    /// Up to where can be read now; none: there is nothing new.
    async fn bound(&mut self, after: &Key, now: &State, said: &Said) -> Result<Option<Limit>, Error> {
        let is_timed = self.source.mode.is_timed();
        let before = if is_timed { self.definition.before(&now.time) } else { None };
        let Some(highest) = self.highest_after(after, before.as_ref()).await? else { return Ok(None) };
        match self.delay {
            Some(delay) if !is_timed => tokio::time::sleep(delay).await,
            Some(_) => {}
            None => {
                let which = if is_timed { Which::All } else { Which::Writing };
                let (table, name) = (self.definition.table.as_ref(), self.definition.shape.name.as_str());
                running::wait(&mut self.connected, table, which, said, name).await?;
            }
        }
        let order = &self.definition.statements.order;
        Ok(before.or_else(|| order.first()?.limit("<=", highest.first()?)))
    }

    /// Waits, before a query is read, for whoever has changed rows of the table behind it: a statement locks nothing of a query within it.
    async fn settle(&mut self, after: &Key, limit: &Limit, said: &Said) -> Result<(), Error> {
        let Some(origin) = self.definition.origin.clone() else { return Ok(()) };
        let (name, mut waiting, mut pause) = (self.definition.shape.name.clone(), Waiting::default(), PAUSES[0]);
        let (mut from, mut most) = (after.first().cloned(), SETTLED);
        while let Some(query) = self.definition.statements.behind(&origin, from.as_ref(), limit, most) {
            let (mut count, mut last) = (0, None);
            let part = self.definition.statements.order.first();
            let take = |row: Row<'_>| {
                count += 1;
                last = part.zip(row.get(0)).map(|(part, bytes)| part.value(bytes)).or(last.take());
                Ok(())
            };
            match self.connected.each(&self.doing, &query, take).await {
                Ok(()) if count < most => break,
                // All of them have one value.
                Ok(()) if last == from => most = most.saturating_mul(2),
                Ok(()) => from = last.or(from),
                Err(error) if is_locked(&error) => self.wait(&mut waiting, &mut pause, said, &name).await,
                Err(error) => return Err(error),
            }
        }
        waiting.over(said, &name);
        Ok(())
    }

    /// Waits a while for who has changed a row.
    async fn wait(&mut self, waiting: &mut Waiting, pause: &mut Duration, said: &Said, name: &str) {
        let oldest = self.oldest().await;
        waiting.met(said, name, || {
            format!("rows of {name} wait for a transaction that has changed the next one{oldest}: until it ends, nobody knows what will be there")
        });
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSES[1]);
    }

    /// Adds the next rows to a part. How many these are.
    async fn read(&mut self, part: &mut Part) -> Result<u32, Error> {
        let (limit, definition) = (self.round.limit.as_ref(), &self.definition);
        let lock = if limit.is_some() && self.source.query.is_none() { Lock::Shared } else { Lock::None };
        let query = definition.statements.rows(&part.at().key, limit, part.asked(), lock).ok_or_else(|| {
            let message = format!("a position of {} has values of other types", definition.shape.name);
            Error::fatal("bad-position", message).fix("set the checkpoint to beginning").for_user()
        })?;
        let mut read = 0;
        let scratch = &mut self.scratch;
        let take = |row: Row<'_>| {
            read += 1;
            let order = definition.statements.order.iter();
            let key = order.map(|part| row.get(part.column).map(|bytes| part.value(bytes))).collect();
            let text = |at: usize| {
                row.get(at).map(|bytes| match std::str::from_utf8(bytes) {
                    Ok(text) => Cow::Borrowed(text),
                    Err(_) => KeyValue::Bytes(bytes.into()).text().into(),
                })
            };
            let values = definition.readings.iter().zip(scratch.iter_mut()).enumerate();
            let values = values.map(|(at, (reading, scratch))| match row.get(at) {
                Some(bytes) => reading.form.value(bytes, scratch),
                None => Value::Null,
            });
            part.push(key, text, values)
        };
        let done = self.connected.each(&self.doing, &query, take).await;
        done.map(|()| read).map_err(|error| definition::of_query(&self.source, error))
    }

    /// Makes sure that the next part, which begins after this key, passes over no row that has the same one for the server.
    async fn tell_apart(&mut self, key: &Key) -> Result<(), Error> {
        if self.definition.is_unique || key.is_empty() {
            return Ok(());
        }
        match self.number(self.definition.statements.same(key)).await? {
            Some(2..) => Err(failures::same_key(&self.definition.shape, key)),
            _ => Ok(()),
        }
    }

    /// Who has a transaction open for longest.
    async fn oldest(&mut self) -> String {
        let query = "select t.trx_mysql_thread_id, p.user, p.host, t.trx_started from information_schema.innodb_trx t \
                     join information_schema.processlist p on p.id = t.trx_mysql_thread_id \
                     where t.trx_mysql_thread_id <> connection_id() order by t.trx_started limit 1";
        let rows = self.rows(query).await.unwrap_or_default();
        let text = |at: usize| rows.first()?.get(at)?.as_deref();
        match (text(0), text(1), text(2), text(3)) {
            (Some(id), Some(user), Some(host), Some(since)) => {
                format!("; the oldest one is that of session {id} (user {user}, from {host}, begun {since}Z)")
            }
            _ => String::new(),
        }
    }
}

#[async_trait]
impl Session for MysqlSession {
    fn shape(&self) -> &Arc<Shape> {
        &self.definition.shape
    }

    async fn lost(&mut self, _: &Position, place: &Place) -> Result<Option<String>, Error> {
        let now = state::look(&mut self.connected, self.definition.table.as_ref(), Duration::ZERO, false).await?;
        Ok(self.began_anew(&now, &place.key))
    }

    async fn begin(&mut self, after: &Place, everything: bool, said: &Said) -> Result<bool, Error> {
        let now = self.look(&after.key).await?;
        self.round = Round { limit: None, said: said.clone() };
        if self.definition.is_sorted {
            self.unindexed.say(said, &self.definition.shape, "the server");
        }
        if everything {
            // All parts are of one moment.
            self.connected.run(&self.doing, "set transaction isolation level repeatable read").await?;
            self.connected.run(&self.doing, "start transaction with consistent snapshot, read only").await?;
        } else {
            let Some(limit) = self.bound(&after.key, &now, said).await? else { return Ok(false) };
            if self.source.query.is_some() {
                self.settle(&after.key, &limit, said).await?;
            }
            self.round.limit = Some(limit);
        }
        if let Some(lacking) = self.definition.statements.lacking()
            && !self.rows(&lacking).await?.is_empty()
        {
            return Err(failures::no_key(&self.definition.shape));
        }
        Ok(true)
    }

    async fn fill(&mut self, mut part: Part) -> Result<(Part, bool), Error> {
        let said = self.round.said.clone();
        let (name, mut waiting, mut pause) = (self.definition.shape.name.clone(), Waiting::default(), PAUSES[0]);
        loop {
            match self.read(&mut part).await {
                Ok(read) => {
                    waiting.over(&said, &name);
                    let is_last = read < part.asked();
                    if !is_last {
                        self.tell_apart(&part.at().key.clone()).await?;
                    } else if self.round.limit.is_none() {
                        self.connected.run(&self.doing, "commit").await?;
                    }
                    return Ok((part, is_last));
                }
                Err(error) if is_locked(&error) && !part.is_empty() => {
                    self.tell_apart(&part.at().key.clone()).await?;
                    return Ok((part, false));
                }
                Err(error) if is_locked(&error) => self.wait(&mut waiting, &mut pause, &said, &name).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn highest(&mut self) -> Result<Option<Key>, Error> {
        self.highest_after(&Key::new(), None).await
    }

    async fn count(&mut self, key: &Key) -> Result<Option<u64>, Error> {
        self.number(self.definition.statements.count(key)).await
    }
}
