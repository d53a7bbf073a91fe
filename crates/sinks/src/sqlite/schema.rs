//! Reads the definition of a table from a SQLite file.
use super::{drops, types};
use crate::table::{Care, Found, FoundColumn, drops::words};
use rusqlite::{Connection, OptionalExtension, Result};

/// The table as it is there; none if it is not.
pub(super) fn describe(db: &Connection, table: &str) -> Result<Option<Found>> {
    let known = db.query_row(
        "select 1 from sqlite_schema where type in ('table', 'view') and name = ?1 collate nocase",
        [table],
        |_| Ok(()),
    );
    if known.optional()?.is_none() {
        return Ok(None);
    }
    let (mut columns, folded) = (Vec::new(), folded(db, table)?);
    let mut primary_key: Vec<(i64, String)> = Vec::new();
    let mut statement = db.prepare(
        "select name, type, \"notnull\", dflt_value is not null, pk, hidden from pragma_table_xinfo(?1) order by cid",
    )?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let (place, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
        if place > 0 {
            primary_key.push((place, name.clone()));
        }
        let ty = Some(types::of_declared(&declared));
        let (not_null, has_default) = (row.get(2)?, row.get(3)?);
        let (exact, generated, sure, fills) = (!folded.contains(&name), hidden != 0, true, Care::Last);
        columns.push(FoundColumn { name, ty, declared, not_null, has_default, exact, generated, sure, fills });
    }
    let triggers = drops::events(db, table)?;
    let checked = words(&sql_of(db, table)?.unwrap_or_default()).contains(&"check".to_owned());
    let filled = columns.iter().any(|column| column.generated || column.has_default);
    if let [(_, key)] = primary_key.as_slice()
        && has_row_ids(db, table)?
        && let Some(column) = columns.iter_mut().find(|column| column.name == *key)
        && column.declared.eq_ignore_ascii_case("integer")
    {
        // It is the row's id: one that is missing SQLite makes, but of an explicit null it would make one, too.
        (column.not_null, column.has_default) = (true, true);
    }
    primary_key.sort();
    let primary_key: Vec<String> = primary_key.into_iter().map(|(_, name)| name).collect();
    let mut unique = unique_indexes(db, table)?;
    if !primary_key.is_empty() {
        unique.push(primary_key.clone()); // an integer primary key is the row's id, without an index of its own
    }
    let rules = unique.len();
    // Rows are written one by one in any case. This tells what may refuse a new row for what it lacks: before SQLite looks for the
    // row that it would change.
    let care = Care::Each.when(checked || filled || !triggers.is_empty());
    let guarded = triggers.contains("delete");
    Ok(Some(Found { columns, primary_key, unique, rules, care, guarded, ..Found::default() }))
}

/// Whether the table is a strict one.
pub(super) fn is_strict(db: &Connection, table: &str) -> Result<bool> {
    let sql = "select strict from pragma_table_list(?1) where schema = 'main'";
    Ok(db.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// What it is: a `table`, a `view`, a `virtual` table, or a `shadow` table, in which a virtual one keeps its content.
pub(super) fn kind(db: &Connection, table: &str) -> Result<Option<String>> {
    let sql = "select type from pragma_table_list(?1) where schema = 'main'";
    db.query_row(sql, [table], |row| row.get(0)).optional()
}

/// The statement that made a table or view.
pub(super) fn sql_of(db: &Connection, table: &str) -> Result<Option<String>> {
    let sql = "select sql from sqlite_schema where type in ('table', 'view') and name = ?1 collate nocase";
    db.query_row(sql, [table], |row| row.get(0)).optional()
}

/// A number that each change of a table, index, trigger or view in the file changes.
pub(super) fn version(db: &Connection) -> Result<i64> {
    db.prepare_cached("pragma schema_version")?.query_row([], |row| row.get(0))
}

/// Whether rows have ids of their own.
fn has_row_ids(db: &Connection, table: &str) -> Result<bool> {
    let sql = "select not wr from pragma_table_list(?1) where schema = 'main'";
    Ok(db.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// The collation by which each column of a key is compared, in its order: that of the index on which an upsert finds its conflict, which
/// is the first one in SQLite's own order with just these columns. A row's number has no index, and needs none.
pub(super) fn collations(db: &Connection, table: &str, key: &[String]) -> Result<Vec<String>> {
    let mut indexes =
        db.prepare("select name from pragma_index_list(?1) where \"unique\" and not partial order by seq")?;
    let indexes: Vec<String> = indexes.query_map([table], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut columns = db.prepare("select name, upper(coll) from pragma_index_xinfo(?1) where key")?;
    for index in indexes {
        let columns = columns.query_map([index], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let columns: Vec<(Option<String>, String)> = columns.collect::<Result<_>>()?;
        let of = |name: &String| columns.iter().find(|(column, _)| column.as_ref() == Some(name));
        let collations = key.iter().map(|name| of(name).map(|(_, collation)| collation.clone()));
        match collations.collect::<Option<Vec<String>>>() {
            Some(collations) if columns.len() == key.len() => return Ok(collations),
            _ => {}
        }
    }
    Ok(vec!["BINARY".into(); key.len()])
}

/// Columns of unique indexes that take other texts for equal (NOCASE, RTRIM).
fn folded(db: &Connection, table: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare(
        "select distinct x.name from pragma_index_list(?1) i, pragma_index_xinfo(i.name) x \
         where i.\"unique\" and x.key and x.name is not null and upper(x.coll) <> 'BINARY'",
    )?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn unique_indexes(db: &Connection, table: &str) -> Result<Vec<Vec<String>>> {
    let mut statement = db.prepare("select name from pragma_index_list(?1) where \"unique\" and not partial")?;
    let names: Vec<String> = statement.query_map([table], |row| row.get(0))?.collect::<Result<_>>()?;
    let mut unique = Vec::new();
    for name in names {
        let mut statement = db.prepare("select name from pragma_index_info(?1) order by seqno")?;
        let columns: Vec<Option<String>> = statement.query_map([name], |row| row.get(0))?.collect::<Result<_>>()?;
        unique.extend(columns.into_iter().collect::<Option<Vec<String>>>()); // an expression has no name
    }
    Ok(unique)
}
