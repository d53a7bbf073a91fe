//! What is wrong with what a spec names, in the words of the spec.
use super::JdbcSource;
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::{Error, check::nearest};

/// The table is not there.
///
/// # Errors
/// If the server can't be asked for others.
pub(super) async fn no_table(session: &mut Session, table: &str) -> Result<Error, Error> {
    let query = "select case when pg_table_is_visible(oid) then relname else relnamespace::regnamespace || '.' || relname end \
                 from pg_class where relkind in ('r', 'p', 'v', 'm', 'f') and relnamespace <> 'pg_catalog'::regnamespace \
                 and relnamespace::regnamespace::text <> 'information_schema' limit 10000";
    let rows = session.rows("look for tables in", query).await?;
    let known: Vec<&str> = rows.iter().filter_map(|row| row.get(0)).collect();
    let error = Error::fatal(
        "table-missing",
        format!("there is no table {} in PostgreSQL at {}", sql::table(table), session.server()),
    );
    Ok(match nearest(table, known.iter().copied()) {
        Some(name) => error.fix(format!("did you mean {name:?}? Names are spelled as in the database")),
        None => error.fix("create it, or name it with its schema (`sales.orders`), spelled as in the database"),
    })
}

/// The rows have no such column.
pub(super) fn no_column(source: &JdbcSource, column: &str, known: &[&str]) -> Error {
    let error = Error::fatal("column-missing", format!("{} has no column {column:?}", source.name()));
    let fix = match nearest(column, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("it has {}", known.join(", ")),
    };
    error.fix(fix).for_user()
}

/// The server does not take the query as it stands.
pub(super) fn of_statement(source: &JdbcSource, error: Error) -> Error {
    match error {
        Error::Fatal { code: "postgres" | "column-missing" | "table-missing", message, .. }
            if source.query.is_some() =>
        {
            Error::fatal("bad-query", message)
                .fix("correct `query`; it stands in the FROM of another SELECT")
                .for_user()
        }
        other => other,
    }
}
