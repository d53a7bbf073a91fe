//! Rows after a key, in the order of their keys, by a cursor: the server and this side hold a part of them at a time.
use super::definition::{Definition, KeyPart};
use crate::jdbc::position::{Key, KeyValue};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::Error;
use tokio_postgres::SimpleQueryRow;

/// The condition that a row comes after a key (or, with `<=`, does not).
pub(super) fn condition(definition: &Definition, operator: &str, key: &[KeyValue]) -> String {
    let parts = &definition.order[..key.len().min(definition.order.len())];
    if parts.is_empty() {
        return "true".into();
    }
    let values = parts.iter().zip(key).map(|(part, value)| format!("{}::{}", sql::literal(&value.text()), part.ty));
    format!("({}) {operator} ({})", each(parts, "", ", "), values.collect::<Vec<_>>().join(", "))
}

/// What is selected of a row: each column, with the casts that its text needs.
fn selected(definition: &Definition) -> String {
    let columns = definition.shape.columns.iter().zip(&definition.readings).map(|(column, reading)| {
        let name = sql::name(&column.name);
        match reading.cast {
            Some("to_json") => format!("to_json(q.{name})"),
            Some(cast) => format!("q.{name}::{cast}"),
            None => format!("q.{name}"),
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// The parts of the order, each with its name and what is said of it.
fn each<'a>(parts: impl IntoIterator<Item = &'a KeyPart>, says: &str, between: &str) -> String {
    let parts = parts.into_iter().map(|part| format!("{}{says}", part.name));
    parts.collect::<Vec<_>>().join(between)
}

/// The condition that a row has a place in the order: no part of its key is NULL.
fn placed(definition: &Definition) -> String {
    each(&definition.order, " is not null", " and ")
}

/// Whether a row has no place in the order, though it should: one without a time is not looked for.
pub(super) async fn lacks_key(
    session: &mut Session,
    doing: &str,
    definition: &Definition,
    is_timed: bool,
) -> Result<bool, Error> {
    let (time, of_key) = definition.order.split_at(usize::from(is_timed));
    let missing = each(of_key.iter().filter(|part| part.is_nullable), " is null", " or ");
    if missing.is_empty() {
        return Ok(false);
    }
    let has_time = each(time, " is not null and ", "");
    let query = format!("select exists (select from {} where {has_time}({missing}))", definition.from);
    let rows = session.rows(doing, &query).await?;
    Ok(rows.first().and_then(|row| row.get(0)) == Some("t"))
}

/// The query for the highest key after a place, up to a bound.
pub(super) fn highest(definition: &Definition, after: &[KeyValue], bound: &str) -> String {
    format!(
        "select {} from {} where {} and {} and {bound} order by {} limit 1",
        each(&definition.order, "", ", "),
        definition.from,
        placed(definition),
        condition(definition, ">", after),
        each(&definition.order, " desc", ", ")
    )
}

/// The key that it finds.
pub(super) fn key(definition: &Definition, rows: &[SimpleQueryRow]) -> Option<Key> {
    let row = rows.first()?;
    definition.order.iter().enumerate().map(|(at, part)| row.get(at).map(|text| part.value(text))).collect()
}

/// How many rows do not come after a key.
pub(super) async fn count(
    session: &mut Session,
    doing: &str,
    definition: &Definition,
    key: &[KeyValue],
) -> Result<u64, Error> {
    let query = format!("select count(*) from {} where {}", definition.from, condition(definition, "<=", key));
    let rows = session.rows(doing, &query).await?;
    Ok(rows.first().and_then(|row| row.get(0)?.parse().ok()).unwrap_or(0))
}

/// Statements that open the cursor: it sees all that was committed until then. The transaction keeps what is read from being changed,
/// and sees later what it is by then.
pub(super) fn open(definition: &Definition, after: &[KeyValue], bound: &str) -> String {
    format!(
        "begin isolation level read committed read only; \
         declare reading no scroll cursor for select {} from {} where {} and {} and {bound} order by {}",
        selected(definition),
        definition.from,
        placed(definition),
        condition(definition, ">", after),
        each(&definition.order, "", ", ")
    )
}

/// The next rows; fewer than asked for: these are the last.
pub(super) async fn fetch(session: &mut Session, doing: &str, rows: u32) -> Result<Vec<SimpleQueryRow>, Error> {
    session.rows(doing, &format!("fetch forward {rows} from reading")).await
}

/// Ends the transaction, and the cursor with it.
pub(super) async fn close(session: &mut Session, doing: &str) -> Result<(), Error> {
    session.run(doing, "commit").await
}
