//! Reads in rounds: what has come since, up to where no other can come.
use super::{
    cursor,
    definition::{self, Definition},
    horizon::{self, Whose},
};
use crate::{
    column,
    jdbc::{JdbcSource, Mode, position::Place, said::Said},
};
use dataflow_core::position::{Partition, Position};
use dataflow_formats::encode::{Rows, Value};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::{
    Context, Error, Records,
    records::{Columns, Layout},
    source::Read,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_postgres::SimpleQueryRow;

/// Rows of the first part, while nobody knows how large they are.
const FIRST: u32 = 64;
/// How far behind the server's clock is read where times are given out by it: a statement has its time a moment before others
/// can see its transaction.
const MARGIN: Duration = Duration::from_secs(1);

/// The work of a reader.
#[derive(Debug)]
pub(crate) struct Work {
    source: JdbcSource,
    session: Session,
    definition: Definition,
    partition: Partition,
    shared: Arc<Vec<(String, String)>>,
    at: Place,
    /// What the reading position is known by: nothing before the first row.
    identity: Option<Arc<str>>,
    is_open: bool,
    /// Rows of the next part.
    part: u32,
    most: Limits,
    again: bool,
    /// When the round began.
    begun: Option<Instant>,
    said: Said,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    rows: u32,
    bytes: usize,
    record: usize,
}

impl Work {
    pub(crate) async fn open(
        source: &JdbcSource,
        cx: &Context,
        from: Option<&Position>,
        said: Said,
    ) -> Result<Self, Error> {
        let mut session = super::session(source, cx).await?;
        let definition = definition::define(source, &mut session, cx.again).await?;
        let (name, partition) = (source.name(), source.partition());
        let at = match from {
            None => Place::default(),
            Some(from) => Place::read(&from.at)
                .filter(|place| place.key.is_empty() || place.key.len() == definition.order.len())
                .ok_or_else(|| {
                    let error = Error::fatal("bad-position", format!("{from} is not a position of {name}"));
                    error.fix("set the checkpoint to beginning, or to a position like [0] or [1000,42]").for_user()
                })?,
        };
        if let Some(from) = from
            && let (Some(known), Some(now)) = (&from.identity, &definition.identity)
            && known != now
        {
            let latest = super::end(source, cx).await?;
            return Err(Error::PositionLost {
                partition,
                wanted: from.clone(),
                earliest: Position { at: Place::default().text(), identity: definition.identity.clone() },
                latest,
                reason: "the table was made anew since".into(),
            });
        }
        let most_rows = cx.batch.max_records.max(1).min(source.fetch_size.unwrap_or(u32::MAX).max(1));
        let most = Limits {
            rows: most_rows,
            bytes: cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize,
            record: cx.max_record_bytes as usize,
        };
        let shared = source.table.iter().map(|table| ("table".to_owned(), table.clone())).collect();
        Ok(Self {
            identity: from.and_then(|from| from.identity.clone()),
            source: source.clone(),
            session,
            definition,
            partition,
            shared: Arc::new(shared),
            at,
            is_open: false,
            part: FIRST.min(most.rows),
            most,
            again: cx.again,
            begun: None,
            said,
        })
    }

    /// The next rows; waits while there are none.
    pub(crate) async fn step(&mut self) -> Result<Read, Error> {
        let doing = self.source.doing();
        let is_bounded = self.again || self.source.mode == Mode::Bulk;
        loop {
            if self.is_open {
                let rows = cursor::fetch(&mut self.session, &doing, self.part).await?;
                if rows.len() < self.part as usize {
                    cursor::close(&mut self.session, &doing).await?;
                    self.is_open = false;
                }
                if !rows.is_empty() {
                    return Ok(Read::Records(self.records(&rows)?));
                }
            }
            if is_bounded && self.begun.is_some() {
                return Ok(Read::End);
            }
            self.rest().await;
            let bound = if is_bounded { Some("true".into()) } else { self.bound(&doing).await? };
            if let Some(bound) = bound {
                cursor::open(&mut self.session, &doing, &self.definition, &self.at, &bound).await?;
                self.is_open = true;
            }
        }
    }

    /// Waits until the next round is due.
    async fn rest(&mut self) {
        if let Some(begun) = self.begun {
            tokio::time::sleep_until(begun + Duration::from(self.source.poll_interval)).await;
        }
        self.begun = Some(Instant::now());
    }

    /// Up to where can be read now; none: there is nothing new.
    async fn bound(&mut self, doing: &str) -> Result<Option<String>, Error> {
        let Some(first) = self.definition.order.first().cloned() else { return Ok(None) };
        let (is_timed, delay) = (self.source.mode.is_timed(), self.source.delay.map(Duration::from));
        let past = match is_timed {
            true => self.clock(doing, delay.unwrap_or(MARGIN).max(MARGIN), &first.ty).await?,
            false => None,
        };
        let until = |value: &str| format!("{} <= {}::{}", first.name, sql::literal(value), first.ty);
        let limit = past.as_deref().map_or_else(|| "true".into(), until);
        let noted = cursor::highest(&mut self.session, doing, &self.definition, &self.at, &limit).await?;
        let Some(highest) = noted.as_deref().and_then(<[String]>::first) else { return Ok(None) };
        if let Some(delay) = delay.filter(|_| !is_timed) {
            tokio::time::sleep(delay).await;
        }
        let whose = if is_timed && delay.is_none() { Whose::All } else { Whose::Writers };
        horizon::wait(&mut self.session, &self.definition, whose, &self.source.name(), &self.said).await?;
        Ok(Some(until(highest)))
    }

    /// The server's time so long ago, as the column writes it.
    async fn clock(&mut self, doing: &str, ago: Duration, ty: &str) -> Result<Option<String>, Error> {
        let ago = format!("clock_timestamp() - interval '{} milliseconds'", ago.as_millis());
        let local = "(select reset_val from pg_settings where name = 'TimeZone')";
        let past = match ty {
            "timestamp with time zone" => ago,
            _ => format!("({ago}) at time zone {local}"),
        };
        let rows = self.session.rows(doing, &format!("select ({past})::{ty}")).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    fn records(&mut self, rows: &[SimpleQueryRow]) -> Result<Records, Error> {
        let definition = &self.definition;
        let mut written = Rows::new(definition.columns.clone(), self.most.record);
        let mut scratch = vec![Vec::new(); definition.columns.len()];
        let (mut keys, mut key) = (column::Column::default(), Vec::new());
        let (mut before, mut offsets) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        let from = Position { at: self.at.text(), identity: self.identity.clone() };
        let mut at = from.at.clone();
        for row in rows {
            let texts = (0..definition.columns.len()).map(|at| row.try_get(at)).collect::<Result<Vec<_>, _>>();
            let texts = texts.map_err(|error| not_utf8(&self.source, &self.session, &error))?;
            let next = definition.order.iter().map(|part| texts[part.column].map(str::to_owned));
            let next = next.collect::<Option<Vec<_>>>().ok_or_else(|| self.no_key())?;
            if next == self.at.key {
                return Err(self.same_key());
            }
            offsets.push(self.at.rows);
            self.at = Place { rows: self.at.rows + 1, key: next };
            before.push(std::mem::replace(&mut at, self.at.text()));
            id(&definition.key, &texts, &mut key);
            keys.push(Some(&key));
            let values = texts.iter().zip(&definition.readings).zip(&mut scratch);
            written.push(values.map(|((text, reading), scratch)| match text {
                Some(text) => reading.form.value(text, scratch),
                None => Value::Null,
            }));
        }
        self.part = next_part(rows.len(), written.bytes(), self.most);
        self.identity.clone_from(&self.definition.identity);
        let layout = Layout::Columns(Columns { columns: self.definition.columns.clone(), values: Vec::new() });
        let mut records = written.into_records(Records::empty(self.partition.clone(), from, layout));
        records.to = Position { at, identity: self.identity.clone() };
        records.positions = Some(before);
        records.offsets = offsets;
        records.keys = keys.take();
        records.shared = self.shared.clone();
        Ok(records)
    }

    fn no_key(&self) -> Error {
        let names: Vec<_> = self.definition.order.iter().map(|part| part.name.as_str()).collect();
        let name = self.source.name();
        let message = format!("a row of {name} is NULL in {}, after which reading can't go on", names.join(" or "));
        Error::fatal("null-key", message).fix("fill it in, or leave such rows out by a `query`").for_user()
    }

    fn same_key(&self) -> Error {
        let names: Vec<_> = self.definition.order.iter().map(|part| part.name.as_str()).collect();
        let (name, key) = (self.source.name(), self.at.key.join(", "));
        let message = format!("two rows of {name} have the same {} ({key})", names.join(" and "));
        Error::fatal("duplicate-key", message).fix("name columns that identify a row").for_user()
    }
}

/// How many rows to ask for after so many of so many bytes: as many as fit into a batch, but few more than were seen to.
fn next_part(rows: usize, bytes: usize, most: Limits) -> u32 {
    let fit = most.bytes / (bytes / rows.max(1)).max(1);
    let next = fit.min(4 * rows.max(FIRST as usize / 4)).max(1);
    u32::try_from(next).map_or(most.rows, |next| next.min(most.rows))
}

/// What a row is known by: the text of its key, or the list of their texts.
fn id(columns: &[usize], texts: &[Option<&str>], id: &mut Vec<u8>) {
    id.clear();
    match columns {
        [] => {}
        [only] => id.extend_from_slice(texts[*only].unwrap_or_default().as_bytes()),
        several => {
            let parts: Vec<_> = several.iter().map(|column| texts[*column]).collect();
            id.extend_from_slice(serde_json::Value::from_iter(parts).to_string().as_bytes());
        }
    }
}

fn not_utf8(source: &JdbcSource, session: &Session, error: &tokio_postgres::Error) -> Error {
    let message = format!("a text in {} of PostgreSQL at {} is not UTF-8: {error}", source.name(), session.server());
    Error::fatal("not-utf8", message)
        .fix("use a database whose encoding is not SQL_ASCII, or convert the text by a `query`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_to_what_fits() {
        let most = Limits { rows: 8_192, bytes: 1_000_000, record: 0 };
        assert_eq!(next_part(64, 6_400, most), 256);
        assert_eq!(next_part(4_096, 409_600, most), 8_192);
        assert_eq!(next_part(64, 64_000_000, most), 1);
        assert_eq!(next_part(1, 1_000, most), 64);
    }

    #[test]
    fn rows_are_known_by_their_keys() {
        let texts = [Some("7"), Some("a\"b"), None];
        let of = |columns: &[usize]| {
            let mut bytes = Vec::new();
            id(columns, &texts, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        assert_eq!((of(&[]), of(&[0]), of(&[0, 1])), ("".into(), "7".into(), "[\"7\",\"a\\\"b\"]".into()));
    }
}
