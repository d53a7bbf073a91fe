//! What is read: its columns, the key that its rows are read in the order of, and the statements that read them.
use super::{
    choice,
    origin::{self, Origin},
    safe,
    state::{self, Version},
    statement::{KeyPart, Limit, Lock, Statements},
    types::{self, Kind, Reading},
};
use crate::jdbc::{JdbcSource, Mode, database::Purpose, failures, position::KeyValue, shape::Shape};
use dataflow_mysql::{Column, Session, sql};
use dataflow_sdk::{Error, batch};
use std::{sync::Arc, time::Duration};

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) database: String,
    pub(super) name: String,
}

impl Table {
    /// That of a column.
    fn of([database, name, _]: &Origin) -> Self {
        Self { database: database.clone(), name: name.clone() }
    }
}

/// What is read, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) shape: Arc<Shape>,
    pub(super) readings: Vec<Reading>,
    pub(super) statements: Statements,
    /// The table that is looked at: that with the numbers or times, or else what is read; none: nobody knows it.
    pub(super) table: Option<Table>,
    pub(super) version: Version,
    /// Whether an index keeps two rows from having the same key.
    pub(super) is_unique: bool,
    /// Whether each part is found by sorting all that comes after it.
    pub(super) is_sorted: bool,
    /// Where the numbers or times come from; none: they are computed.
    pub(super) origin: Option<Origin>,
    /// Whether the times are those of the server's own zone.
    pub(super) is_local: bool,
}

/// Finds out what is read, and whether it can be read without missing a row.
pub(super) async fn define(
    source: &JdbcSource,
    session: &mut Session,
    database: &str,
    purpose: Purpose,
) -> Result<Definition, Error> {
    let table = source.table.as_deref().map(|table| match table.split_once('.') {
        Some((database, name)) => Table { database: database.into(), name: name.into() },
        None => Table { database: database.into(), name: table.into() },
    });
    let query = source.query.as_deref().unwrap_or_default().trim().trim_end_matches(';');
    let base = source.table.as_deref().map_or_else(|| format!("(\n{query}\n)"), sql::table);
    let from = format!("{base} as q");
    let column = if source.mode.is_timed() { &source.timestamp_column } else { &source.incrementing_column };
    let origin = match column {
        Some(column) => origin::find(session, table.as_ref(), query, column).await,
        None => Ok(None),
    };
    let origin = origin.map_err(|error| of_query(source, error))?;
    let looked_at = origin.as_ref().map(Table::of).or_else(|| table.clone());
    let version = state::look(session, looked_at.as_ref(), Duration::ZERO, false).await?.version;
    let asked = session.columns(&format!("read {} of", source.name()), &format!("select q.* from {from}")).await;
    let native = match (asked, &table) {
        (Err(error), Some(table)) if error.code() == "table-missing" => return Err(no_table(session, table).await?),
        (asked, _) => asked.map_err(|error| of_query(source, error))?,
    };
    if source.mode != Mode::Bulk && source.query.as_deref().is_some_and(choice::chooses) {
        return Err(failures::choosing(source, "limit or offset"));
    }
    let readings: Vec<Reading> = native.iter().map(types::reading).collect();
    let columns = native.iter().zip(&readings);
    let columns = columns.map(|(column, of)| batch::Column { name: column.name.clone(), ty: of.ty }).collect();
    let indices = match &table {
        Some(table) => indices(session, table).await?,
        None => Vec::new(),
    };
    let primary = indices.iter().find(|index| index.is_primary).map_or(&[][..], |index| &index.columns);
    // Names are the same whatever the case of their letters.
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let shape = Shape::of(source, columns, primary, None, same)?;
    let order = shape.order.iter().map(|at| part(source, &native, *at)).collect::<Result<Vec<_>, _>>()?;
    if source.mode.is_timed()
        && let Some(time) = order.first().map(|part| &native[part.column])
        && let Some(ty) = types::no_point_in_time(time)
    {
        return Err(failures::no_point_in_time(source, &time.name, ty, "timestamp"));
    }
    let is_unique = indices
        .iter()
        .any(|index| index.columns.iter().all(|column| shape.order_names().any(|name| same(name, column))));
    let first = order.first().and_then(|part| native.get(part.column));
    if purpose == Purpose::Follow && source.mode != Mode::Bulk && source.delay.is_none() {
        let reasons = safe::reasons(source, session, origin.as_ref()).await?;
        if !reasons.is_empty() {
            return Err(failures::unsafe_order(&source.name(), session.server(), &reasons));
        }
    }
    let names = native.iter().map(|column| column.name.as_str());
    let statements = Statements::new(from, order, names.zip(&readings), source.mode.is_timed());
    let is_sorted = is_sorted(session, &statements).await;
    let is_local = first.is_some_and(types::is_local);
    Ok(Definition {
        shape: shape.into(),
        readings,
        statements,
        table: looked_at,
        version,
        is_unique,
        is_sorted,
        origin,
        is_local,
    })
}

/// A column of the order.
fn part(source: &JdbcSource, native: &[Column], at: usize) -> Result<KeyPart, Error> {
    let column = &native[at];
    let kind = types::kind(column).ok_or_else(|| {
        let message = format!(
            "{:?} of {} is of a type whose values can't be looked up in their order: single precision, bits, an enum, a set, JSON or geometry",
            column.name,
            source.name()
        );
        Error::fatal("unsupported-type", message).fix("name another column, or cast it in a `query`").for_user()
    })?;
    // A join may make NULL of any column of a query.
    let is_nullable = source.query.is_some() || types::is_nullable(column);
    Ok(KeyPart { column: at, name: format!("q.{}", sql::name(&column.name)), kind, is_nullable })
}

impl Definition {
    /// Before a time of the server's clock, cut to what the column keeps of it: later rows have at least that.
    pub(super) fn before(&self, time: &str) -> Option<Limit> {
        let part = self.statements.order.first()?;
        let Kind::Time(digits) = part.kind else { return None };
        let length = "2026-01-02 03:04:05".len() + if digits == 0 { 0 } else { 1 + usize::from(digits) };
        part.limit("<", &KeyValue::Text(time.get(..length).unwrap_or(time).into()))
    }
}

/// An index in which no two rows are the same.
struct Index {
    is_primary: bool,
    columns: Vec<String>,
}

/// The unique indices of a table.
async fn indices(session: &mut Session, table: &Table) -> Result<Vec<Index>, Error> {
    let query = format!(
        "select index_name, column_name, nullable from information_schema.statistics \
         where table_schema = {} and table_name = {} and non_unique = 0 and column_name is not null order by index_name, seq_in_index",
        sql::literal(&table.database),
        sql::literal(&table.name)
    );
    let mut indices: Vec<(String, bool, Index)> = Vec::new();
    for row in session.rows("look at the table in", &query).await? {
        let mut texts = row.into_iter().map(Option::unwrap_or_default);
        let mut text = || texts.next().unwrap_or_default();
        let (name, column, nullable) = (text(), text(), text());
        if indices.last().is_none_or(|(last, ..)| *last != name) {
            let index = Index { is_primary: name == "PRIMARY", columns: Vec::new() };
            indices.push((name, true, index));
        }
        if let Some((_, is_required, index)) = indices.last_mut() {
            index.columns.push(column);
            *is_required &= nullable.is_empty() || nullable == "NO";
        }
    }
    Ok(indices.into_iter().filter(|(_, is_required, _)| *is_required).map(|(.., index)| index).collect())
}

/// The table is not there.
async fn no_table(session: &mut Session, table: &Table) -> Result<Error, Error> {
    let query = format!(
        "select table_name from information_schema.tables where table_schema = {} limit 10000",
        sql::literal(&table.database)
    );
    let rows = session.rows("look for tables in", &query).await?;
    let known: Vec<&str> = rows.iter().filter_map(|row| row.first()?.as_deref()).collect();
    let create = "create it, or name it with its database (`sales.orders`), spelled as on the server";
    Ok(failures::no_table(&table.name, session.server(), &known, create))
}

/// The server does not take the query as it stands.
pub(super) fn of_query(source: &JdbcSource, error: Error) -> Error {
    match error {
        Error::Fatal { code: "mysql" | "column-missing" | "table-missing", message, .. } if source.query.is_some() => {
            failures::bad_query(message)
        }
        other => other,
    }
}

/// Whether the server sorts to find the first rows, as far as it says so: it may not, of a view.
async fn is_sorted(session: &mut Session, statements: &Statements) -> bool {
    let Some(rows) = statements.rows(&[], None, 1, Lock::None) else { return false };
    let steps = session.rows("look at the plan of", &format!("explain {rows}")).await.unwrap_or_default();
    steps.iter().flatten().flatten().any(|text| text.contains("Using filesort"))
}
