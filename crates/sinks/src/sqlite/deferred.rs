//! Foreign keys that SQLite checks only at the commit, and then names no row: they are checked for each row as it is written.
use super::schema;
use crate::table::{ddl::quote, drops::words};
use rusqlite::{Connection, Result};
use std::collections::BTreeMap;

/// The clause by which a statement returns whether its row lacks one that it refers to; empty if no foreign key of the table
/// is deferred. SQLite does not tell which one is: all are checked if any is.
pub(super) fn returning(db: &Connection, table: &str) -> Result<String> {
    if !words(&schema::sql_of(db, table)?.unwrap_or_default()).contains(&"deferred".to_owned()) {
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
    Ok(format!(" returning {}", lacks.collect::<Vec<_>>().join(" or ")))
}
