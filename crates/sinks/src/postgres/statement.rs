//! The statements that write rows: COPY for many appended rows, otherwise INSERT from arrays, for each set of fields
//! that rows have.
use super::{
    encode::{Encoder, Refused},
    types::Wire,
};
use crate::table::{Counts, Layout, Said, Written, ddl, keys::Place};
use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::ClientWrapper;
use futures::{SinkExt, future::try_join_all};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_postgres::{
    Error, Statement,
    types::{Format, IsNull, ToSql, Type},
};

/// The number of rows from which a COPY is faster than an INSERT, which needs one round trip less.
const COPY_FROM: usize = 64;
/// How many sets of fields keep their statements prepared on connections. Statements of further sets are prepared each
/// time.
const KEPT: usize = 100;

/// The statements for one layout of one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// Quoted.
    table: String,
    layout: Layout,
    wires: Vec<Wire>,
    /// Whether COPY may be used.
    copied: bool,
    made: Mutex<HashMap<Said, Arc<Texts>>>,
}

/// The statements for one set of fields.
#[derive(Debug)]
pub(super) struct Texts {
    /// Run one after the other; the second does nothing for rows that the first has written, or finds those that are still there
    /// after their delete.
    insert: Vec<String>,
    /// `None` if COPY can't be used: rows with a key, columns that need a cast.
    copy: Option<String>,
    counts: Counts,
    /// Whether connections keep them prepared.
    kept: bool,
}

impl Statements {
    /// Creates the statements for a table, whose name comes quoted.
    pub(super) fn new(table: &str, layout: &Layout, wires: &[Wire], copied: bool) -> Self {
        let (table, layout, wires) = (table.into(), layout.clone(), wires.to_vec());
        Self { copied, table, layout, wires, made: Mutex::default() }
    }

    /// Encodes rows of which this is said.
    pub(super) fn encode(&self, encoder: &Encoder<'_>, said: &Said, places: &[Place]) -> Result<Encoded, Refused> {
        Self::encoded(self.texts(said), encoder, &said.fields, places)
    }

    /// Encodes the keys of rows: what is counted is which of them are there.
    pub(super) fn encode_keys(&self, encoder: &Encoder<'_>, places: &[Place]) -> Result<Encoded, Refused> {
        let key = &self.layout.key;
        let texts = Texts { insert: vec![self.there(key)], copy: None, counts: Counts::Each, kept: false };
        Self::encoded(texts.into(), encoder, key, places)
    }

    fn encoded(
        texts: Arc<Texts>,
        encoder: &Encoder<'_>,
        fields: &[usize],
        places: &[Place],
    ) -> Result<Encoded, Refused> {
        let rows = match texts.copy.is_some() && places.len() >= COPY_FROM {
            _ if fields.is_empty() => Rows::Arrays(vec![Binary((places.len() as i64).to_be_bytes().into())]),
            true => Rows::Copy(encoder.copy(fields, places)?.into()),
            false => Rows::Arrays(encoder.arrays(fields, places)?.into_iter().map(Binary).collect()),
        };
        Ok(Encoded { texts, rows, count: places.len() as u64 })
    }

    fn texts(&self, said: &Said) -> Arc<Texts> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = made.get(said) {
            return texts.clone();
        }
        if made.len() >= 2 * KEPT {
            made.retain(|_, texts| texts.kept);
        }
        let texts = Arc::new(self.make(said, made.len() < KEPT));
        made.insert(said.clone(), texts.clone());
        texts
    }

    fn name(&self, slot: usize) -> String {
        self.layout.slots[slot].column.name.clone()
    }

    /// The rows that are sent with these fields, called `r`.
    fn rows(&self, fields: &[usize]) -> String {
        let arrays = (1..).zip(fields).map(|(at, slot)| format!("${at}::{}[]", self.wires[*slot].base));
        format!("unnest({}) as r ({})", joined(arrays), joined(fields.iter().map(|slot| format!("c{slot}"))))
    }

    /// Which of the table's rows, called `t`, has the key of one that is sent.
    fn same(&self) -> String {
        let same = |slot: &usize| {
            format!("t.{} = {}", ddl::quote(&self.name(*slot)), self.wires[*slot].comparable(&format!("r.c{slot}")))
        };
        self.layout.key.iter().map(same).collect::<Vec<_>>().join(" and ")
    }

    /// Finds the rows of the table that have the keys of those that are sent with these fields.
    fn there(&self, fields: &[usize]) -> String {
        format!("select 1 from {} as t, {} where {}", self.table, self.rows(fields), self.same())
    }

    fn make(&self, said: &Said, kept: bool) -> Texts {
        let (Self { table, layout, wires, .. }, fields) = (self, &said.fields);
        let name = |slot: &usize| self.name(*slot);
        let names: Vec<String> = fields.iter().map(name).collect();
        let columns = ddl::quote_all(&names);
        let values = joined(fields.iter().map(|slot| wires[*slot].value(&format!("r.c{slot}"))));
        let (rows, same, counts) = (self.rows(fields), self.same(), Counts::of(layout, said));
        if said.deletes {
            let delete = format!("delete from {table} as t using {rows} where {same}");
            let there = layout.guarded.then(|| self.there(fields));
            return Texts { insert: [delete].into_iter().chain(there).collect(), copy: None, counts, kept };
        }
        let is_upsert = layout.is_keyed(|slot| fields.contains(&slot));
        let copied =
            self.copied && layout.key.is_empty() && !fields.is_empty() && fields.iter().all(|slot| wires[*slot].copy);
        let copy = copied.then(|| format!("copy {table} ({columns}) from stdin (format binary)"));
        let insert = match fields.is_empty() {
            // Rows of defaults: how many.
            true => format!("insert into {table} as t select from generate_series(1, $1::int8)"),
            false => format!("insert into {table} as t ({columns}) select {values} from {rows}"),
        };
        let changed = fields.iter().filter(|slot| layout.changes(**slot));
        let insert = match is_upsert {
            false => vec![insert],
            true if layout.patches(|slot| fields.contains(&slot)) => {
                let changed = joined(changed.map(|slot| {
                    format!("{} = {}", ddl::quote(&name(slot)), wires[*slot].value(&format!("r.c{slot}")))
                }));
                let update = (!changed.is_empty())
                    .then(|| format!("update {table} as t set {changed} from {rows} where {same}"));
                let insert = format!("{insert} where not exists (select 1 from {table} as t where {same})");
                update.into_iter().chain([insert]).collect()
            }
            true => {
                let changed: Vec<String> = changed.map(name).collect();
                vec![format!("{insert} {}", ddl::on_conflict(&layout.key_names(), &changed))]
            }
        };
        Texts { insert, copy, counts, kept }
    }
}

/// Encoded rows.
pub(super) struct Encoded {
    texts: Arc<Texts>,
    rows: Rows,
    count: u64,
}

enum Rows {
    Copy(Bytes),
    Arrays(Vec<Binary>),
}

impl Encoded {
    /// Whether it is a COPY.
    pub(super) fn is_copy(&self) -> bool {
        matches!(self.rows, Rows::Copy(_))
    }

    /// Whether it is a single row.
    pub(super) fn is_single(&self) -> bool {
        self.count == 1
    }

    /// Distinguishes the statements of rows with other fields, or sent in another way.
    pub(super) fn kind(&self) -> (usize, bool) {
        (Arc::as_ptr(&self.texts) as usize, self.is_copy())
    }

    /// The statements that [`Self::run`] runs.
    pub(super) async fn prepare(&self, client: &ClientWrapper) -> Result<Vec<Statement>, Error> {
        let texts = if self.is_copy() { self.texts.copy.as_slice() } else { &self.texts.insert };
        let mut statements = Vec::with_capacity(texts.len());
        for text in texts {
            statements.push(match self.texts.kept {
                true => client.prepare_cached(text).await?,
                false => client.prepare(text).await?,
            });
        }
        Ok(statements)
    }

    /// Writes the encoded rows. Except for a COPY, everything is sent as soon as this is first polled.
    pub(super) async fn run(self, client: &ClientWrapper, statements: &[Statement]) -> Result<Written, Error> {
        let rows = match self.rows {
            Rows::Copy(data) => {
                let mut to = std::pin::pin!(client.copy_in::<_, Bytes>(&statements[0]).await?);
                to.send(data).await?;
                to.finish().await?
            }
            Rows::Arrays(arrays) => {
                let answers = statements.iter().map(|statement| client.execute_raw(statement, arrays.iter()));
                // How many rows a delete has found does not count, but how many are there after it.
                let uncounted = usize::from(self.texts.counts == Counts::Gone);
                try_join_all(answers).await?.into_iter().skip(uncounted).sum()
            }
        };
        Ok(self.texts.counts.written(self.count, rows))
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A parameter already in binary form.
#[derive(Debug)]
pub(super) struct Binary(Vec<u8>);

impl ToSql for Binary {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }
    tokio_postgres::types::to_sql_checked!();
}
