//! Which column of which table a column of what is read is.
use super::definition::Table;
use dataflow_mysql::{Session, sql};
use dataflow_sdk::Error;

/// Database, table and column.
pub(super) type Origin = [String; 3];

/// How many views are looked through.
const DEPTH: usize = 16;

/// The column of a table, looked for through views; none: its values are computed. A server says nothing of it where a query or view stands
/// in the place of a table, so these are asked for by themselves.
pub(super) async fn find(
    session: &mut Session,
    table: Option<&Table>,
    query: &str,
    column: &str,
) -> Result<Option<Origin>, Error> {
    let mut found = match table {
        Some(table) => Some([table.database.clone(), table.name.clone(), column.to_owned()]),
        None => of(session, query, column).await?,
    };
    for _ in 0..DEPTH {
        let Some([database, table, column]) = &found else { return Ok(None) };
        let query = format!(
            "select view_definition from information_schema.views where table_schema = {} and table_name = {}",
            sql::literal(database),
            sql::literal(table)
        );
        let rows = session.rows("look for views in", &query).await?;
        let Some(view) = rows.into_iter().next() else { return Ok(found) };
        found = match view.into_iter().next().flatten().filter(|view| !view.is_empty()) {
            Some(view) => of(session, &view, column).await?,
            // It is not shown to everybody.
            None => None,
        };
    }
    Ok(None)
}

/// Where a column of a query comes from.
async fn of(session: &mut Session, query: &str, column: &str) -> Result<Option<Origin>, Error> {
    let columns = session.columns("look at the query in", query).await?;
    let found = columns.into_iter().find(|found| found.name == column);
    Ok(found.map(|found| found.origin).filter(|[.., name]| !name.is_empty()))
}
