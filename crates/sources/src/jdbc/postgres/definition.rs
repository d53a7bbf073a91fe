//! What is read: its columns, the key that its rows are read in the order of, and the tables behind it.
use super::{
    catalogue::{self, Version},
    safe,
    types::{self, Reading},
};
use crate::jdbc::{JdbcSource, Mode, database::Purpose, failures, position::KeyValue, shape::Shape};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::{Error, batch::Column};
use serde_json::Value;
use std::sync::Arc;
use tokio_postgres::types::Type as Native;

/// What is read, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// What comes after FROM: `"orders" as q`.
    pub(super) from: String,
    pub(super) shape: Arc<Shape>,
    pub(super) readings: Vec<Reading>,
    /// The columns in whose order rows are read.
    pub(super) order: Vec<KeyPart>,
    /// The tables behind it, their partitions, and what they are partitions of.
    pub(super) tables: Vec<u32>,
}

/// A column of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    pub(super) column: usize,
    /// Its name, quoted.
    pub(super) name: String,
    /// Its type, as statements name it.
    pub(super) ty: String,
    /// Whether its values are whole numbers.
    pub(super) is_whole: bool,
    /// Whether it may be NULL, as far as the catalogue says.
    pub(super) is_nullable: bool,
}

impl KeyPart {
    /// A value that the server writes as this text.
    pub(super) fn value(&self, text: &str) -> KeyValue {
        if self.is_whole { KeyValue::of_text(text) } else { KeyValue::Text(text.into()) }
    }
}

/// Finds out, within a transaction, what is read, and whether it can be read without missing a row. As long as the version is the same, so
/// is the answer.
pub(super) async fn define(
    source: &JdbcSource,
    session: &mut Session,
    purpose: Purpose,
) -> Result<(Definition, Version), Error> {
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
    let statement = session.prepare(&doing, &all).await.map_err(|error| of_statement(source, error))?;
    let names: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    let readings: Vec<Reading> =
        statement.columns().iter().map(|column| types::reading(column.type_(), column.type_modifier())).collect();
    let columns =
        names.iter().zip(&readings).map(|(name, of)| Column { name: (*name).into(), ty: of.ty }).collect::<Vec<_>>();

    let (of_table, required) = match oid {
        Some(oid) => (primary_key(session, oid).await?, required(session, oid).await?),
        // A join may make NULL of any column.
        None => (Vec::new(), Vec::new()),
    };
    let identity = identity(session, oid).await?;
    // Names in quotes are the same only if all their letters are.
    let shape = Shape::of(source, columns, &of_table, identity, |one, other| one == other)?;
    let mut parts = Vec::new();
    for column in shape.order.iter().copied() {
        let native = statement.columns()[column].type_();
        let rows = session.rows(&doing, &format!("select format_type({}, -1)", native.oid())).await?;
        let ty = rows.first().and_then(|row| row.get(0)).unwrap_or("text").to_owned();
        let is_whole = [Native::INT2, Native::INT4, Native::INT8, Native::OID].contains(native);
        let is_nullable = !required.iter().any(|name| name == names[column]);
        parts.push(KeyPart { column, name: sql::name(names[column]), ty, is_whole, is_nullable });
    }
    if source.mode.is_timed()
        && let Some(time) = parts.first().filter(|time| !time.ty.starts_with("timestamp "))
    {
        return Err(failures::no_point_in_time(source, names[time.column], &time.ty, "timestamptz"));
    }
    let (tables, version, plan) = tables(session, &doing, &all).await?;
    if source.mode != Mode::Bulk && chooses(&plan) {
        return Err(failures::choosing(source, "limit, fetch first or tablesample"));
    }
    let definition = Definition { from, shape: shape.into(), readings, order: parts, tables };
    if purpose == Purpose::Follow && source.mode != Mode::Bulk {
        safe::check(source, session, &definition, &statement).await?;
    }
    Ok((definition, version))
}

async fn oid_of(session: &mut Session, table: &str) -> Result<u32, Error> {
    let query = format!("select to_regclass({})::oid", sql::literal(&sql::table(table)));
    let rows = session.rows(&format!("look for table {table} in"), &query).await?;
    match rows.first().and_then(|row| row.get(0)).and_then(|oid| oid.parse().ok()) {
        Some(oid) => Ok(oid),
        None => Err(no_table(session, table).await?),
    }
}

/// The table is not there.
async fn no_table(session: &mut Session, table: &str) -> Result<Error, Error> {
    let query = "select case when pg_table_is_visible(oid) then relname else relnamespace::regnamespace || '.' || relname end \
                 from pg_class where relkind in ('r', 'p', 'v', 'm', 'f') and relnamespace <> 'pg_catalog'::regnamespace \
                 and relnamespace::regnamespace::text <> 'information_schema' limit 10000";
    let rows = session.rows("look for tables in", query).await?;
    let known: Vec<&str> = rows.iter().filter_map(|row| row.get(0)).collect();
    let place = format!("PostgreSQL at {}", session.server());
    let create = "create it, or name it with its schema (`sales.orders`), spelled as in the database";
    Ok(failures::no_table(table, &place, &known, create))
}

/// The server does not take the query as it stands.
fn of_statement(source: &JdbcSource, error: Error) -> Error {
    match error {
        Error::Fatal { code: "postgres" | "column-missing" | "table-missing", message, .. }
            if source.query.is_some() =>
        {
            failures::bad_query(message)
        }
        other => other,
    }
}

/// A query that would write: the session is read-only, whatever the server is.
pub(super) fn would_write(source: &JdbcSource, error: Error) -> Error {
    match error {
        Error::Transient { code: "server-read-only", message, .. } if source.query.is_some() => {
            Error::fatal("bad-query", message).fix("correct `query`: it may only read").for_user()
        }
        other => other,
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

/// The columns of a table that can't be NULL. A constraint that is not validated leaves those that are.
async fn required(session: &mut Session, oid: u32) -> Result<Vec<String>, Error> {
    let query = format!(
        "select a.attname from pg_attribute a where a.attrelid = {oid} and a.attnum > 0 and a.attnotnull and not exists ( \
           select from pg_constraint c where c.conrelid = a.attrelid and c.contype = 'n' and not c.convalidated and a.attnum = any (c.conkey))"
    );
    let rows = session.rows("look at the table in", &query).await?;
    Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
}

/// What a table, or else the database of a query, is known by besides its name: the cluster, as far as one may ask for it, the
/// database in it, and the table.
async fn identity(session: &mut Session, table: Option<u32>) -> Result<Option<Arc<str>>, Error> {
    let query = "select case when has_function_privilege('pg_control_system()', 'execute') \
                   then (select system_identifier::text from pg_control_system()) else '' end, oid \
                 from pg_database where datname = current_database()";
    let rows = session.rows("look at the database in", query).await?;
    let part = |at| rows.first().and_then(|row| row.get(at)).unwrap_or_default();
    let table = table.map_or_else(String::new, |oid| format!("/{oid}"));
    Ok(Some(format!("{}/{}{table}", part(0), part(1)).into()))
}

/// The tables that a query reads, which the server locks to plan it, their version, and the plan, as JSON.
async fn tables(session: &mut Session, doing: &str, query: &str) -> Result<(Vec<u32>, Version, String), Error> {
    session.run(doing, "savepoint looking").await?;
    let plan = session.rows(doing, &format!("explain (format json) {query}")).await?;
    let (tables, version) = catalogue::look(session, doing).await?;
    session.run(doing, "rollback to savepoint looking").await?;
    Ok((tables, version, plan.iter().filter_map(|row| row.get(0)).collect()))
}

/// Whether a plan passes over rows by their number or by chance: a limit around the whole, or a sample anywhere.
fn chooses(plan: &str) -> bool {
    const AROUND: [&str; 8] =
        ["Subquery Scan", "Gather", "Gather Merge", "Sort", "Incremental Sort", "Result", "WindowAgg", "LockRows"];
    let plan: Value = serde_json::from_str(plan).unwrap_or_default();
    let mut node = &plan[0]["Plan"];
    while node["Node Type"].as_str().is_some_and(|ty| AROUND.contains(&ty)) {
        node = &node["Plans"][0];
    }
    node["Node Type"] == "Limit" || samples(&plan)
}

fn samples(plan: &Value) -> bool {
    match plan {
        Value::Array(nodes) => nodes.iter().any(samples),
        Value::Object(fields) => plan["Node Type"] == "Sample Scan" || fields.values().any(samples),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::chooses;

    #[test]
    fn a_limit_inside_is_none_of_the_whole() {
        for (plan, expected) in [
            (r#"[{"Plan": {"Node Type": "Limit"}}]"#, true),
            (r#"[{"Plan": {"Node Type": "Subquery Scan", "Plans": [{"Node Type": "Limit"}]}}]"#, true),
            (
                r#"[{"Plan": {"Node Type": "Nested Loop", "Plans": [{"Node Type": "Seq Scan"}, {"Node Type": "Limit"}]}}]"#,
                false,
            ),
            (r#"[{"Plan": {"Node Type": "Nested Loop", "Plans": [{"Node Type": "Sample Scan"}]}}]"#, true),
            (r#"[{"Plan": {"Node Type": "Seq Scan"}}]"#, false),
            ("", false),
        ] {
            assert_eq!(chooses(plan), expected, "{plan}");
        }
    }
}
