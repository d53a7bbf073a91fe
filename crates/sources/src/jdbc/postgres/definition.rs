//! What is read: its columns, the key that its rows are read in the order of, and the tables behind it.
use super::{
    safe,
    types::{self, Reading},
};
use crate::jdbc::{JdbcSource, Mode, failures};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::{Error, batch::Column};
use std::{collections::BTreeSet, sync::Arc};

/// What is read, as it is now.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// What comes after FROM: `"orders" as q`.
    pub(super) from: String,
    /// The columns, in order.
    pub(super) columns: Arc<[Column]>,
    pub(super) readings: Vec<Reading>,
    /// The columns in whose order rows are read.
    pub(super) order: Vec<KeyPart>,
    /// Which columns a row is known by.
    pub(super) key: Vec<usize>,
    /// The tables behind it, their partitions, and what they are partitions of.
    pub(super) tables: Vec<u32>,
    /// What the table is known by besides its name, so that another one under its name is noticed.
    pub(super) identity: Option<Arc<str>>,
}

/// A column of the order.
#[derive(Clone, Debug)]
pub(super) struct KeyPart {
    pub(super) column: usize,
    /// Its name, quoted.
    pub(super) name: String,
    /// Its type, as statements name it.
    pub(super) ty: String,
}

/// Finds out what is read, and whether it can be read without missing a row.
pub(super) async fn define(source: &JdbcSource, session: &mut Session, again: bool) -> Result<Definition, Error> {
    let name = source.name();
    let doing = format!("read {name} of");
    let base = match (&source.table, &source.query) {
        (Some(table), _) => sql::table(table),
        (None, query) => format!("(\n{}\n)", query.as_deref().unwrap_or_default().trim().trim_end_matches(';')),
    };
    let oid = match &source.table {
        Some(table) => Some(oid_of(session, table).await?),
        None => None,
    };
    let from = format!("{base} as q");
    let all = format!("select * from {from}");
    let statement = session.prepare(&doing, &all).await.map_err(|error| failures::of_statement(source, error))?;
    let names: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        let error = Error::fatal("duplicate-column", format!("{name} has two columns {twice:?}"));
        return Err(error.fix("give each column of the query a name of its own (`as`)").for_user());
    }
    let readings: Vec<Reading> =
        statement.columns().iter().map(|column| types::reading(column.type_(), column.type_modifier())).collect();
    let columns =
        names.iter().zip(&readings).map(|(name, of)| Column { name: (*name).into(), ty: of.ty }).collect::<Vec<_>>();

    let of_table = match oid {
        Some(oid) => primary_key(session, oid).await?,
        None => Vec::new(),
    };
    let key = match &source.key_columns {
        Some(named) => named.as_slice(),
        None => &of_table,
    };
    let order = wanted(source, key)?;
    let place = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| failures::no_column(source, name, &names))
    };
    // Without a key, its number tells a row from all others.
    let number = source.incrementing_column.iter().filter(|_| key.is_empty());
    let key = key.iter().chain(number).map(place).collect::<Result<Vec<_>, _>>()?;
    let mut parts = Vec::new();
    for name in &order {
        let column = place(name)?;
        let native = statement.columns()[column].type_();
        let rows = session.rows(&doing, &format!("select format_type({}, -1)", native.oid())).await?;
        let ty = rows.first().and_then(|row| row.get(0)).unwrap_or("text").to_owned();
        parts.push(KeyPart { column, name: sql::name(name), ty });
    }
    let tables = tables(session, &doing, &all).await?;
    let definition = Definition {
        from,
        columns: columns.into(),
        readings,
        order: parts,
        key,
        tables,
        identity: oid.map(|oid| oid.to_string().into()),
    };
    if !again && source.mode != Mode::Bulk {
        safe::check(source, session, &definition, &statement).await?;
    }
    Ok(definition)
}

/// The columns in whose order rows are read: no two rows may have the same values in them.
fn wanted(source: &JdbcSource, key: &[String]) -> Result<Vec<String>, Error> {
    let (number, time) = (source.incrementing_column.iter(), source.timestamp_column.iter());
    let order: Vec<&String> = match source.mode {
        Mode::Incrementing => number.collect(),
        Mode::TimestampIncrementing => time.chain(number).collect(),
        Mode::Bulk => key.iter().collect(),
        Mode::Timestamp => time.chain(key).collect(),
    };
    if key.is_empty() && matches!(source.mode, Mode::Bulk | Mode::Timestamp) {
        let name = source.name();
        let message = format!("{name} has no primary key, so nothing tells after which row reading goes on");
        let fix = match source.mode {
            Mode::Bulk => "name columns that identify a row in `keyColumns`",
            _ => "name columns that identify a row in `keyColumns`, or use timestamp+incrementing",
        };
        return Err(Error::fatal("no-key", message).fix(fix).for_user());
    }
    let mut distinct = Vec::new();
    for name in order {
        if !distinct.contains(name) {
            distinct.push(name.clone());
        }
    }
    Ok(distinct)
}

async fn oid_of(session: &mut Session, table: &str) -> Result<u32, Error> {
    let query = format!("select to_regclass({})::oid", sql::literal(&sql::table(table)));
    let rows = session.rows(&format!("look for table {table} in"), &query).await?;
    match rows.first().and_then(|row| row.get(0)).and_then(|oid| oid.parse().ok()) {
        Some(oid) => Ok(oid),
        None => Err(failures::no_table(session, table).await?),
    }
}

/// The columns of a table's primary key, in its order.
async fn primary_key(session: &mut Session, oid: u32) -> Result<Vec<String>, Error> {
    let query = format!(
        "select a.attname from pg_index i cross join unnest(i.indkey) with ordinality as k(number, nth) \
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number \
         where i.indrelid = {oid} and i.indisprimary and k.nth <= i.indnkeyatts order by k.nth"
    );
    let rows = session.rows("look at the table in", &query).await?;
    Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
}

/// The tables that a query reads: those that the server locks to plan it, with all that they have partitions in common with.
async fn tables(session: &mut Session, doing: &str, query: &str) -> Result<Vec<u32>, Error> {
    session.run(doing, "begin read only").await?;
    session.rows(doing, &format!("explain {query}")).await?;
    let rows = session
        .rows(
            doing,
            "with recursive tree(oid) as ( \
               select l.relation from pg_locks l join pg_class c on c.oid = l.relation \
                 where l.pid = pg_backend_pid() and l.locktype = 'relation' and c.relkind in ('r', 'p', 'f', 'm') \
                   and c.relnamespace <> 'pg_catalog'::regnamespace \
               union \
               select case when i.inhrelid = t.oid then i.inhparent else i.inhrelid end \
                 from tree t join pg_inherits i on t.oid in (i.inhrelid, i.inhparent)) \
             select oid from tree",
        )
        .await?;
    session.run(doing, "rollback").await?;
    Ok(rows.iter().filter_map(|row| row.get(0)?.parse().ok()).collect())
}
