//! What is read: its columns, the key that its rows are read in the order of, and where that comes from.
use super::{
    failure,
    file::File,
    origin::{self, Origin},
    safe,
    statement::{Limit, Statements, quote},
};
use crate::jdbc::{JdbcSource, Mode, database::Purpose, failures, shape::Shape};
use dataflow_sdk::{Error, batch::Column};
use std::sync::Arc;

/// What is read, as it is at a version of the file's tables.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) shape: Arc<Shape>,
    pub(super) statements: Statements,
    /// The column with the numbers.
    pub(super) number: Option<Origin>,
    /// The column with the times.
    pub(super) time: Option<Origin>,
    /// Whether each part is found by sorting all that comes after it.
    pub(super) is_sorted: bool,
    /// A number that each change of a table, index or view of the file changes.
    pub(super) version: i64,
}

/// Finds out what is read, and whether it can be read without missing a row.
pub(super) fn define(source: &JdbcSource, file: &File, purpose: Purpose) -> Result<Definition, Error> {
    let failed = |error| file.failed("look at the tables of", &error);
    let db = &file.connection;
    let (base, primary_key) = match (&source.table, &source.query) {
        (Some(table), _) => {
            if !is_there(file, table).map_err(failed)? {
                return Err(no_table(file, table).map_err(failed)?);
            }
            (format!("main.{}", quote(table)), primary_key(file, table).map_err(failed)?)
        }
        (None, query) => {
            let query = query.as_deref().unwrap_or_default().trim().trim_end_matches(';');
            // By itself first: SQLite gives other names to columns of the same name in a FROM.
            let names = prepared(source, file, query)?;
            let columns = names.into_iter().map(|name| Column { name, ty: origin::ty(None) }).collect();
            Shape::of(source, columns, &[], None, same)?;
            (format!("(\n{query}\n)"), Vec::new())
        }
    };
    let from = format!("{base} as q");
    let all = format!("select q.* from {from}");
    let names = prepared(source, file, &all)?;
    let origins = origin::origins(db, &all, &db.prepare(&all).map_err(failed)?).map_err(failed)?;
    let columns = names.into_iter().zip(&origins);
    let columns = columns.map(|(name, origin)| Column { name, ty: origin::ty(origin.as_ref()) }).collect();
    let shape = Shape::of(source, columns, &primary_key, Some(file.identity()), same)?;
    let origin = |name: &Option<String>| {
        let at = shape.columns.iter().position(|column| Some(&column.name) == name.as_ref())?;
        origins.get(at)?.clone()
    };
    let (number, time) = (origin(&source.incrementing_column), origin(&source.timestamp_column));
    if purpose == Purpose::Follow && source.mode != Mode::Bulk {
        let reasons = safe::reasons(source, number.as_ref(), time.as_ref());
        if !reasons.is_empty() {
            return Err(failures::unsafe_order(&shape.name, &file.name(), &reasons));
        }
    }
    let order = shape.order_names().map(|name| format!("q.{}", quote(name))).collect();
    let statements = Statements { from, order };
    let steps = origin::plan(db, &statements.rows(shape.order.len(), Limit::None)).map_err(failed)?;
    Ok(Definition {
        is_sorted: steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")),
        version: version(file).map_err(failed)?,
        shape: shape.into(),
        statements,
        number,
        time,
    })
}

/// Names are the same whatever the case of their letters.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The names of a statement's columns.
fn prepared(source: &JdbcSource, file: &File, sql: &str) -> Result<Vec<String>, Error> {
    let failed = |error: rusqlite::Error| {
        let is_query = source.query.is_some()
            && matches!(
                error,
                rusqlite::Error::SqlInputError { .. }
                    | rusqlite::Error::SqliteFailure(
                        rusqlite::ffi::Error { code: rusqlite::ErrorCode::Unknown, .. },
                        _
                    )
                    | rusqlite::Error::MultipleStatement
            );
        match is_query {
            true => failures::bad_query(format!("can't read {}: {}", file.name(), failure::words(&error))),
            false => file.failed("read", &error),
        }
    };
    let statement = file.connection.prepare(sql).map_err(failed)?;
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(failures::bad_query(format!("{} is no SELECT", source.name())));
    }
    Ok(statement.column_names().into_iter().map(str::to_owned).collect())
}

fn is_there(file: &File, table: &str) -> rusqlite::Result<bool> {
    file.connection.prepare("select 1 from pragma_table_list(?1) where schema = 'main'")?.exists([table])
}

/// The columns of a table's primary key, in its order.
fn primary_key(file: &File, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = file.connection.prepare("select name from pragma_table_xinfo(?1) where pk > 0 order by pk")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// The table is not there.
fn no_table(file: &File, table: &str) -> rusqlite::Result<Error> {
    let sql = "select name from sqlite_schema where type in ('table', 'view') and name not like 'sqlite^_%' escape '^' limit 10000";
    let known: Vec<String> =
        file.connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let create = "create it, or name one that is there: a SQLite file has no schemas, so a dot is part of the name";
    Ok(failures::no_table(table, &file.name(), &known, create))
}

/// See [`Definition::version`].
pub(super) fn version(file: &File) -> rusqlite::Result<i64> {
    file.connection.prepare_cached("pragma schema_version")?.query_row([], |row| row.get(0))
}
