//! Foreign keys that SQLite checks only at the commit, and then names no row: they are checked for each row as it is written.
use super::schema;
use crate::table::{ddl::quote, drops::words};
use rusqlite::{Connection, Result};
use std::collections::BTreeMap;

/// The ends of statements.
#[derive(Clone, Debug)]
pub(super) struct Returning {
    /// Of a row that is written.
    pub(super) written: String,
    /// Of one that is deleted.
    pub(super) deleted: String,
}

impl Returning {
    /// Those for a table.
    pub(super) fn of(db: &Connection, table: &str) -> Result<Self> {
        Ok(Self { written: written(db, table)?, deleted: deleted(db, table)? })
    }
}

fn is_deferred(db: &Connection, table: &str) -> Result<bool> {
    Ok(words(&schema::sql_of(db, table)?.unwrap_or_default()).contains(&"deferred".to_owned()))
}

/// The clause by which a statement returns whether a row still refers to the one that it has deleted; empty if no foreign key
/// to the table is deferred.
fn deleted(db: &Connection, table: &str) -> Result<String> {
    let mut children = db.prepare(
        "select c.name, f.id, f.\"from\", coalesce(f.\"to\", (select name from pragma_table_info(?1) where pk = f.seq + 1)) \
         from sqlite_schema c, pragma_foreign_key_list(c.name) f \
         where c.type = 'table' and f.\"table\" = ?1 collate nocase and f.on_delete = 'NO ACTION' order by c.name, f.id, f.seq",
    )?;
    let mut rows = children.query([table])?;
    let mut referring: BTreeMap<(String, i64), Vec<String>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (child, from, to): (String, String, Option<String>) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let same = format!("child.{} = {}.{}", quote(&from), quote(table), quote(&to.unwrap_or_default()));
        referring.entry((child, row.get(1)?)).or_default().push(same);
    }
    let mut refers = Vec::new();
    for ((child, _), same) in referring {
        if is_deferred(db, &child)? {
            refers.push(format!("exists (select 1 from {} child where {})", quote(&child), same.join(" and ")));
        }
    }
    Ok(if refers.is_empty() { String::new() } else { format!(" returning {}", refers.join(" or ")) })
}

/// The clause by which a statement returns whether its row lacks one that it refers to; empty if no foreign key of the table
/// is deferred. SQLite does not tell which one is: all are checked if any is.
fn written(db: &Connection, table: &str) -> Result<String> {
    if !is_deferred(db, table)? {
        return Ok(String::new());
    }
    let mut references = db.prepare(
        // Without columns of its own a reference is to the primary key.
        "select id, \"table\", \"from\", coalesce(\"to\", (select name from pragma_table_info(f.\"table\") where pk = f.seq + 1)) \
         from pragma_foreign_key_list(?1) f order by id, seq",
    )?;
    let mut rows = references.query([table])?;
    let mut parents: BTreeMap<i64, (String, Vec<String>, Vec<String>)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (parent, from, to): (String, String, Option<String>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (from, to) = (format!("{}.{}", quote(table), quote(&from)), quote(&to.unwrap_or_default()));
        let (_, given, same) = parents.entry(row.get(0)?).or_insert((parent, Vec::new(), Vec::new()));
        given.push(format!("{from} is not null"));
        // They are compared by the type and the collation of the parent's column: `+` takes away that of the other.
        same.push(format!("parent.{to} = +{from}"));
    }
    let lacks = parents.into_values().map(|(parent, given, same)| {
        let (given, same) = (given.join(" and "), same.join(" and "));
        format!("{given} and not exists (select 1 from {} parent where {same})", quote(&parent))
    });
    let lacks = lacks.collect::<Vec<_>>().join(" or ");
    // The word alone, such as a column's name, defers nothing.
    Ok(if lacks.is_empty() { lacks } else { format!(" returning {lacks}") })
}
