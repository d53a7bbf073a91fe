//! Finds what may drop rows that a commit counts as written.
use super::schema;
use crate::table::drops::{Effect, effects, reach, words};
use rusqlite::{Connection, Result};
use std::collections::BTreeSet;

/// A trigger of any table in the file.
struct Trigger {
    name: String,
    /// The table, in lower case, and what of it fires the trigger.
    on: String,
    event: String,
    body: Vec<String>,
}

/// Constraints that drop rows themselves, triggers that stand in the place of the table, and those that reach its rows, also
/// by way of other tables and their triggers.
/// `deletes`: whether its rows may be deleted.
pub(super) fn droppers(db: &Connection, table: &str, deletes: bool) -> Result<BTreeSet<String>> {
    let (own, mut droppers) = (table.to_lowercase(), BTreeSet::new());
    let is_view = schema::kind(db, table)?.as_deref() == Some("view");
    let clauses = words(&schema::sql_of(db, table)?.unwrap_or_default());
    for way in ["replace", "ignore"].map(|way| ["on", "conflict", way]) {
        if clauses.windows(3).any(|part| part == way) {
            droppers.insert(format!("a constraint with {}", way.join(" ")));
        }
    }
    // What deletes or changes a row that others refer to may delete or change those, too.
    let mut parents = db.prepare("select lower(\"table\") from pragma_foreign_key_list(?1)")?;
    let mut reached = parents.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>>>()?;
    reached.push(own.clone());
    let reached: Vec<&str> = reached.iter().map(String::as_str).collect();
    let triggers = triggers(db)?;
    let mut fired = ["insert", "update", "delete"].map(|event| (event.to_owned(), own.clone())).to_vec();
    fired.truncate(if deletes { 3 } else { 2 });
    let mut next = 0;
    while let Some((event, on)) = fired.get(next).cloned() {
        next += 1;
        for trigger in triggers.iter().filter(|trigger| trigger.event == event && trigger.on == on) {
            if is_view && on == own || reach(&trigger.body, &reached) {
                droppers.insert(format!("trigger {}", trigger.name));
            }
            for Effect { verb, table, .. } in effects(&trigger.body) {
                let event = if verb == "replace" { "insert" } else { verb };
                let more = (event.to_owned(), table.to_owned());
                if !fired.contains(&more) {
                    fired.push(more);
                }
            }
        }
    }
    Ok(droppers)
}

/// What of a table fires triggers of its own: `insert`, `update`, `delete`.
pub(super) fn events(db: &Connection, table: &str) -> Result<BTreeSet<String>> {
    let own = triggers(db)?.into_iter().filter(|trigger| trigger.on == table.to_lowercase());
    Ok(own.map(|trigger| trigger.event).collect())
}

fn triggers(db: &Connection) -> Result<Vec<Trigger>> {
    let mut all = db.prepare("select name, lower(tbl_name), sql from sqlite_schema where type = 'trigger'")?;
    let trigger = |row: &rusqlite::Row<'_>| {
        let mut body = words(&row.get::<_, String>(2)?);
        let mut head: Vec<String> = body.drain(..body.iter().position(|word| word == "begin").unwrap_or(0)).collect();
        head.retain(|word| ["insert", "update", "delete"].contains(&word.as_str()));
        Ok(Trigger { name: row.get(0)?, on: row.get(1)?, event: head.into_iter().next().unwrap_or_default(), body })
    };
    all.query_map([], trigger)?.collect()
}
