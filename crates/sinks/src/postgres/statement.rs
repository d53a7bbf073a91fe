//! The statements that write rows: COPY for many appended rows, otherwise INSERT from arrays, for each set of fields
//! that rows have.
use super::{
    encode::{Encoder, Refused},
    types::Wire,
};
use crate::table::{Layout, Said, ddl, keys::Place};
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
    /// Key columns whose different values the server may consider equal.
    folded: Vec<String>,
    /// Whether COPY may be used.
    copied: bool,
    made: Mutex<HashMap<Said, Arc<Texts>>>,
}

/// The statements for one set of fields.
#[derive(Debug)]
pub(super) struct Texts {
    /// Run one after the other; the second does nothing for rows that the first has written.
    insert: Vec<String>,
    /// `None` if COPY can't be used: rows with a key, columns that need a cast.
    copy: Option<String>,
    counts: Counts,
    /// Whether connections keep them prepared.
    kept: bool,
}

/// Which rows count as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// Those that the server counts; the others were swallowed by triggers or rules.
    Each,
    /// Those that the server counts: an existing row is left alone if the new one has nothing but its key.
    Answered,
    /// All: a delete of a row that is not there is one, too.
    Sent,
}

impl Statements {
    /// Creates the statements for a table, whose name comes quoted.
    pub(super) fn new(table: &str, layout: &Layout, wires: &[Wire], copied: bool) -> Self {
        let (table, layout, wires) = (table.into(), layout.clone(), wires.to_vec());
        let folded = layout.key.iter().map(|slot| &layout.slots[*slot]).filter(|slot| !slot.exact);
        let folded = folded.map(|slot| slot.column.name.clone()).collect();
        Self { folded, copied, table, layout, wires, made: Mutex::default() }
    }

    /// Encodes rows of which this is said.
    pub(super) fn encode(&self, encoder: &Encoder<'_>, said: &Said, places: &[Place]) -> Result<Encoded, Refused> {
        let (texts, fields) = (self.texts(said), &said.fields);
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

    fn make(&self, Said { fields, deletes }: &Said, kept: bool) -> Texts {
        let Self { table, layout, wires, .. } = self;
        let name = |slot: &usize| layout.slots[*slot].column.name.clone();
        let names: Vec<String> = fields.iter().map(name).collect();
        let key: Vec<String> = layout.key.iter().map(name).collect();
        let joined = |parts: &mut dyn Iterator<Item = String>| parts.collect::<Vec<_>>().join(", ");
        let columns = ddl::quote_all(&names);
        let values = joined(&mut fields.iter().map(|slot| wires[*slot].value(&format!("r.c{slot}"))));
        let arrays = joined(&mut (1..).zip(&**fields).map(|(at, slot)| format!("${at}::{}[]", wires[*slot].base)));
        let aliases = joined(&mut fields.iter().map(|slot| format!("c{slot}")));
        let rows = format!("from unnest({arrays}) as r ({aliases})");
        let same = |slot: &usize| {
            format!("t.{} = {}", ddl::quote(&name(slot)), wires[*slot].comparable(&format!("r.c{slot}")))
        };
        let same = layout.key.iter().map(same).collect::<Vec<_>>().join(" and ");
        if *deletes {
            let delete = format!("delete from {table} as t using unnest({arrays}) as r ({aliases}) where {same}");
            return Texts { insert: vec![delete], copy: None, counts: Counts::Sent, kept };
        }
        let is_upsert = !key.is_empty() && layout.key.iter().all(|slot| fields.contains(slot));
        let copied = self.copied && key.is_empty() && !fields.is_empty() && fields.iter().all(|slot| wires[*slot].copy);
        let copy = copied.then(|| format!("copy {table} ({columns}) from stdin (format binary)"));
        let insert = match fields.is_empty() {
            // Rows of defaults: how many.
            true => format!("insert into {table} as t select from generate_series(1, $1::int8)"),
            false => format!("insert into {table} as t ({columns}) select {values} {rows}"),
        };
        let changes = |slot: &usize| !layout.key.contains(slot) || self.folded.contains(&name(slot));
        let insert = match is_upsert {
            false => vec![insert],
            true if layout.patches(|slot| fields.contains(&slot)) => {
                let changed = fields.iter().filter(|slot| changes(slot));
                let changed = changed
                    .map(|slot| format!("{} = {}", ddl::quote(&name(slot)), wires[*slot].value(&format!("r.c{slot}"))));
                let changed = changed.collect::<Vec<_>>().join(", ");
                let update =
                    (!changed.is_empty()).then(|| format!("update {table} as t set {changed} {rows} where {same}"));
                let insert = format!("{insert} where not exists (select 1 from {table} as t where {same})");
                update.into_iter().chain([insert]).collect()
            }
            true => vec![format!("{insert} {}", ddl::on_conflict(&key, &names, &self.folded))],
        };
        let counts = if !is_upsert || fields.iter().any(changes) { Counts::Each } else { Counts::Answered };
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
                try_join_all(answers).await?.into_iter().sum()
            }
        };
        Ok(match self.texts.counts {
            Counts::Each => Written { rows, swallowed: self.count.saturating_sub(rows) },
            Counts::Answered => Written { rows, swallowed: 0 },
            Counts::Sent => Written { rows: self.count, swallowed: 0 },
        })
    }
}

/// The effect of rows that the server has accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Rows that were added, changed or deleted.
    pub(super) rows: u64,
    /// Rows without an effect on the table, because of a trigger or a rule.
    pub(super) swallowed: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.swallowed += more.swallowed;
    }
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
