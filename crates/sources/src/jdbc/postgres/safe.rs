//! Whether values are given out in a way that lets a reader know when it has seen all up to one: otherwise rows that commit out
//! of order could be missed, and only a delay helps.
use super::definition::Definition;
use crate::jdbc::{JdbcSource, failures};
use dataflow_postgres::session::Session;
use dataflow_sdk::Error;
use tokio_postgres::Statement;

/// Clocks of the server: the values of these are never older than the transaction that writes them.
const CLOCKS: [&str; 5] =
    ["now()", "CURRENT_TIMESTAMP", "transaction_timestamp()", "statement_timestamp()", "clock_timestamp()"];

/// How many views are looked through.
const DEPTH: usize = 16;

/// Refuses what can't be read safely, with all reasons.
pub(super) async fn check(
    source: &JdbcSource,
    session: &mut Session,
    definition: &Definition,
    statement: &Statement,
) -> Result<(), Error> {
    if source.delay.is_some() {
        return Ok(());
    }
    let mut reasons = of_database(session, definition).await?;
    if source.mode.is_timed() {
        let column = source.timestamp_column.as_deref().unwrap_or_default();
        let origin = origin(session, definition, statement, column).await?;
        reasons.extend(of_clock(session, column, origin).await?);
    } else {
        let column = source.incrementing_column.as_deref().unwrap_or_default();
        let origin = origin(session, definition, statement, column).await?;
        reasons.extend(of_sequence(session, column, origin).await?);
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(failures::unsafe_order(&source.name(), &format!("PostgreSQL at {}", session.server()), &reasons))
}

/// What of the server and of the tables hides writers.
async fn of_database(session: &mut Session, definition: &Definition) -> Result<Vec<String>, Error> {
    let rows = session.rows("look at the server", "select pg_is_in_recovery()").await?;
    let mut reasons = Vec::new();
    if rows.first().and_then(|row| row.get(0)) == Some("t") {
        reasons.push("the server is a standby, which does not know who writes on the primary".into());
    }
    let oids: Vec<String> = definition.tables.iter().map(u32::to_string).collect();
    if oids.is_empty() {
        reasons.push("no table of this database is read".into());
        return Ok(reasons);
    }
    let query = format!(
        "select c.oid::regclass, c.relkind, exists (select from pg_subscription_rel s where s.srrelid = c.oid) \
         from pg_class c where c.oid in ({}) order by 1",
        oids.join(", ")
    );
    for row in session.rows("look at the tables of", &query).await? {
        let (Some(table), Some(kind)) = (row.get(0), row.get(1)) else { continue };
        match kind {
            "f" => reasons.push(format!("{table} is a foreign table, whose writers are elsewhere")),
            "m" => reasons.push(format!("{table} is a materialized view, which is replaced as a whole")),
            _ if row.get(2) == Some("t") => {
                reasons.push(format!("{table} is written by a subscription, with values of another server"));
            }
            _ => {}
        }
    }
    Ok(reasons)
}

/// A column of a table.
type Origin = Option<(u32, i16)>;

/// The column of a table that a column of the result is, looked for through views.
async fn origin(
    session: &mut Session,
    definition: &Definition,
    statement: &Statement,
    column: &str,
) -> Result<Origin, Error> {
    let origin_of = |statement: &Statement, at: usize| {
        let column = statement.columns().get(at)?;
        Some((column.table_oid()?, column.column_id()?))
    };
    let Some(at) = definition.shape.columns.iter().position(|known| known.name == column) else { return Ok(None) };
    let mut found = origin_of(statement, at);
    for _ in 0..DEPTH {
        let Some((table, number)) = found else { break };
        let query = format!("select pg_get_viewdef(oid) from pg_class where oid = {table} and relkind = 'v'");
        let rows = session.rows("look at a view in", &query).await?;
        let Some(view) = rows.first().and_then(|row| row.get(0)) else { break };
        let behind = session.prepare("look at a view in", view.trim_end().trim_end_matches(';')).await?;
        found = usize::try_from(number - 1).ok().and_then(|at| origin_of(&behind, at));
    }
    Ok(found)
}

/// Whether a sequence gives the values out, one by one and upwards, while the table is locked for writing.
async fn of_sequence(session: &mut Session, column: &str, origin: Origin) -> Result<Vec<String>, Error> {
    let taken = |by: &str| format!("the values of {column:?} {by}");
    let Some((table, number)) = origin else { return Ok(vec![taken("are computed")]) };
    let query = format!(
        "select a.attidentity, pg_get_expr(d.adbin, d.adrelid), s.seqincrement, s.seqcache, s.seqcycle, s.seqrelid::regclass \
         from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
         left join pg_sequence s on s.seqrelid in ( \
           select refobjid from pg_depend where classid = 'pg_attrdef'::regclass and objid = d.oid \
             and refclassid = 'pg_class'::regclass \
           union all \
           select objid from pg_depend where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass \
             and refobjid = a.attrelid and refobjsubid = a.attnum and deptype = 'i') \
         where a.attrelid = {table} and a.attnum = {number}"
    );
    let rows = session.rows("look at the column in", &query).await?;
    let [row] = rows.as_slice() else { return Ok(vec![taken("come from several sequences")]) };
    let (is_identity, default) = (row.get(0).is_some_and(|kind| !kind.is_empty()), row.get(1).unwrap_or_default());
    let is_next = default.starts_with("nextval('") && default.ends_with("'::regclass)");
    let Some(sequence) = row.get(5).filter(|_| is_identity || is_next) else {
        return Ok(vec![taken("are not given out by a sequence as its default, but by whoever writes")]);
    };
    let mut reasons = Vec::new();
    if row.get(2).is_none_or(|by| by.starts_with('-')) {
        reasons.push(format!("{sequence} counts downwards"));
    }
    if row.get(3) != Some("1") {
        let fix = format!("alter sequence {sequence} cache 1");
        reasons.push(format!("{sequence} gives each session several values in advance ({fix})"));
    }
    if row.get(4) == Some("t") {
        reasons.push(format!("{sequence} begins anew at its end (alter sequence {sequence} no cycle)"));
    }
    Ok(reasons)
}

/// Whether the server's clock gives the times.
async fn of_clock(session: &mut Session, column: &str, origin: Origin) -> Result<Vec<String>, Error> {
    let Some((table, number)) = origin else { return Ok(vec![format!("the values of {column:?} are computed")]) };
    let query = format!(
        "select format_type(a.atttypid, -1), pg_get_expr(d.adbin, d.adrelid) \
         from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
         where a.attrelid = {table} and a.attnum = {number}"
    );
    let rows = session.rows("look at the column in", &query).await?;
    let row = rows.first();
    let (ty, default) = (row.and_then(|row| row.get(0)), row.and_then(|row| row.get(1)));
    let mut reasons = Vec::new();
    if ty != Some("timestamp with time zone") {
        let ty = ty.unwrap_or_default();
        reasons.push(format!("{column:?} is {ty}, whose time depends on the zone of whoever writes"));
    }
    if !default.is_some_and(|default| CLOCKS.contains(&default)) {
        reasons.push(format!(
            "{column:?} has no default of the server's clock, such as now(): whoever writes gives the time"
        ));
    }
    Ok(reasons)
}
