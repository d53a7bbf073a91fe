//! Rows after a key, in the order of their keys, by a cursor: the server and this side hold a part of them at a time.
use super::definition::Definition;
use crate::jdbc::position::{Key, KeyValue};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::Error;
use tokio_postgres::SimpleQueryRow;

/// `("at", "id")`, or the only one.
fn tuple(parts: impl Iterator<Item = String>) -> String {
    format!("({})", parts.collect::<Vec<_>>().join(", "))
}

/// The condition that a row comes after a key (or, with `<=`, does not).
pub(super) fn condition(definition: &Definition, operator: &str, key: &[KeyValue]) -> String {
    let parts = &definition.order[..key.len().min(definition.order.len())];
    if parts.is_empty() {
        return "true".into();
    }
    let values = parts.iter().zip(key).map(|(part, value)| format!("{}::{}", sql::literal(&value.text()), part.ty));
    format!("{} {operator} {}", tuple(parts.iter().map(|part| part.name.clone())), tuple(values))
}

fn ordered(definition: &Definition, direction: &str) -> String {
    let parts = definition.order.iter().map(|part| format!("{}{direction}", part.name));
    parts.collect::<Vec<_>>().join(", ")
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

/// The condition that a row has a place in the order: no part of its key is NULL.
fn placed(definition: &Definition) -> String {
    let parts = definition.order.iter().map(|part| format!("{} is not null", part.name));
    parts.collect::<Vec<_>>().join(" and ")
}

/// Whether a row has no place in the order, though it should: one without a time is not looked for.
pub(super) async fn lacks_key(
    session: &mut Session,
    doing: &str,
    definition: &Definition,
    is_timed: bool,
) -> Result<bool, Error> {
    let of_key: Vec<_> = definition.order.iter().skip(usize::from(is_timed)).collect();
    if of_key.is_empty() {
        return Ok(false);
    }
    let missing = of_key.iter().map(|part| format!("{} is null", part.name)).collect::<Vec<_>>().join(" or ");
    let has_time = match definition.order.first() {
        Some(time) if is_timed => format!("{} is not null", time.name),
        _ => "true".into(),
    };
    let query = format!("select exists (select from {} where ({missing}) and {has_time})", definition.from);
    let rows = session.rows(doing, &query).await?;
    Ok(rows.first().and_then(|row| row.get(0)) == Some("t"))
}

/// The highest key after a place, up to a bound.
pub(super) async fn highest(
    session: &mut Session,
    doing: &str,
    definition: &Definition,
    after: &[KeyValue],
    bound: &str,
) -> Result<Option<Key>, Error> {
    let names = definition.order.iter().map(|part| part.name.clone()).collect::<Vec<_>>().join(", ");
    let query = format!(
        "select {names} from {} where {} and {} and {bound} order by {} limit 1",
        definition.from,
        placed(definition),
        condition(definition, ">", after),
        ordered(definition, " desc")
    );
    let rows = session.rows(doing, &query).await?;
    let parts = |row: &SimpleQueryRow| {
        definition.order.iter().enumerate().map(|(at, part)| row.get(at).map(|text| part.value(text))).collect()
    };
    Ok(rows.first().and_then(parts))
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

/// Opens the cursor: it sees all that was committed until now. The transaction keeps what is read from being changed, and sees later
/// what it is by then.
pub(super) async fn open(
    session: &mut Session,
    doing: &str,
    definition: &Definition,
    after: &[KeyValue],
    bound: &str,
) -> Result<(), Error> {
    let statement = format!(
        "begin isolation level read committed read only; \
         declare reading no scroll cursor for select {} from {} where {} and {} and {bound} order by {}",
        selected(definition),
        definition.from,
        placed(definition),
        condition(definition, ">", after),
        ordered(definition, "")
    );
    session.run(doing, &statement).await
}

/// The next rows; fewer than asked for: these are the last.
pub(super) async fn fetch(session: &mut Session, doing: &str, rows: u32) -> Result<Vec<SimpleQueryRow>, Error> {
    session.rows(doing, &format!("fetch forward {rows} from reading")).await
}

/// Ends the transaction, and the cursor with it.
pub(super) async fn close(session: &mut Session, doing: &str) -> Result<(), Error> {
    session.run(doing, "commit").await
}
