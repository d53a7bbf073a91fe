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

/// Whether rows of a table may refer to others of it.
pub(super) fn refers_to_itself(db: &Connection, table: &str) -> Result<bool> {
    let sql = "select exists (select 1 from pragma_foreign_key_list(?1) where \"table\" = ?1 collate nocase)";
    db.query_row(sql, [table], |row| row.get(0))
}

/// Which foreign keys of a table are deferred, by their numbers, which SQLite gives from the last one on. It does not tell
/// itself: this reads the statement that made the table, and takes all for deferred where that is unclear and any may be.
fn deferred(db: &Connection, table: &str) -> Result<impl Fn(i64) -> bool> {
    let count = "select count(distinct id) from pragma_foreign_key_list(?1)";
    let count: i64 = db.query_row(count, [table], |row| row.get(0))?;
    let words = words(&schema::sql_of(db, table)?.unwrap_or_default());
    let is_deferred = |clause: &[String]| {
        let at = clause.windows(3).position(|said| said == ["deferrable", "initially", "deferred"]);
        at.is_some_and(|at| at == 0 || clause[at - 1] != "not")
    };
    let clauses: Vec<bool> = words.split(|word| word == "references").skip(1).map(is_deferred).collect();
    let any = clauses.contains(&true);
    Ok(move |number: i64| match clauses.len() as i64 == count {
        true => clauses[(count - 1 - number) as usize],
        false => any,
    })
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
    for ((child, number), same) in referring {
        if deferred(db, &child)?(number) {
            refers.push(format!("exists (select 1 from {} child where {})", quote(&child), same.join(" and ")));
        }
    }
    Ok(if refers.is_empty() { String::new() } else { format!(" returning {}", refers.join(" or ")) })
}

/// A foreign key, as conditions.
struct Reference {
    parent: String,
    /// Its columns have values.
    given: Vec<String>,
    /// `parent` is the row that it refers to.
    same: Vec<String>,
    /// `parent` is the row itself.
    itself: Vec<String>,
    /// It spells the row's key as the row does.
    spelled: Vec<String>,
}

/// The clause by which a statement returns whether its row lacks one that it refers to; empty if no foreign key of the table
/// is deferred.
fn written(db: &Connection, table: &str) -> Result<String> {
    let deferred = deferred(db, table)?;
    let mut references = db.prepare(
        // Without columns of its own a reference is to the primary key.
        "select id, \"table\", \"from\", coalesce(\"to\", (select name from pragma_table_info(f.\"table\") where pk = f.seq + 1)) \
         from pragma_foreign_key_list(?1) f order by id, seq",
    )?;
    let mut rows = references.query([table])?;
    let mut deferring: BTreeMap<i64, Reference> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (number, parent, from, to): (i64, String, String, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if !deferred(number) {
            continue;
        }
        let (from, to) = (format!("{}.{}", quote(table), quote(&from)), quote(&to.unwrap_or_default()));
        let new = || Reference { parent, given: vec![], same: vec![], itself: vec![], spelled: vec![] };
        let reference = deferring.entry(number).or_insert_with(new);
        reference.given.push(format!("{from} is not null"));
        // They are compared by the type and the collation of the parent's column: `+` takes away that of the other.
        reference.same.push(format!("parent.{to} = +{from}"));
        let own = format!("+{}.{to}", quote(table));
        reference.itself.push(format!("parent.{to} is {own} collate binary"));
        reference.spelled.push(format!("{own} is +{from} collate binary"));
    }
    let lacks = deferring.into_values().map(|Reference { parent, given, same, itself, spelled }| {
        let and = |conditions: Vec<String>| conditions.join(" and ");
        // A row that refers to itself has to spell its key as it is: SQLite compares just the bytes there, whatever the collation.
        let spelled = match parent.eq_ignore_ascii_case(table) {
            true => format!(" and (not ({}) or {})", and(itself), and(spelled)),
            false => String::new(),
        };
        let parent = quote(&parent);
        format!("{} and not exists (select 1 from {parent} parent where {}{spelled})", and(given), and(same))
    });
    let lacks = lacks.collect::<Vec<_>>().join(" or ");
    Ok(if lacks.is_empty() { lacks } else { format!(" returning {lacks}") })
}
