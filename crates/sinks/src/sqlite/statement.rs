//! The statements that write rows, for each set of fields that rows have.
use crate::table::{Counts, Layout, Said, ddl};

/// How rows are written of which the same is said.
pub(super) struct Statements {
    /// The first one that finds something to do is enough.
    pub(super) texts: Vec<String>,
    /// What tells whether a row is there after its delete; none: nothing keeps one.
    pub(super) there: Option<String>,
    pub(super) counts: Counts,
}

/// The statements for a table whose key is compared by these [collations](super::schema::collations).
pub(super) fn statements(layout: &Layout, collations: &[String], table: &str, said: &Said) -> Statements {
    let (fields, quoted) = (&said.fields, ddl::quote(table));
    let name = |place: &usize| layout.slots[*place].column.name.clone();
    let (counts, same) = (Counts::of(layout, said), same(layout, collations, fields));
    if said.deletes {
        let texts = vec![format!("delete from {quoted} where {same}")];
        let there = layout.guarded.then(|| there(layout, collations, table, fields));
        return Statements { texts, there, counts };
    }
    let columns = ddl::quote_all(&fields.iter().map(name).collect::<Vec<_>>());
    let marks = (1..=fields.len()).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let insert = format!("insert into {quoted} ({columns})");
    let changed = (1..).zip(&**fields).filter(|(_, place)| layout.changes(**place));
    let has = |place: usize| fields.contains(&place);
    let texts = match layout.is_keyed(has) {
        false => vec![format!("{insert} values ({marks})")],
        true if layout.patches(has) => {
            let changed = changed.map(|(number, place)| format!("{} = ?{number}", ddl::quote(&name(place))));
            let changed = changed.collect::<Vec<_>>().join(", ");
            let update = (!changed.is_empty()).then(|| format!("update {quoted} set {changed} where {same}"));
            // A row that a trigger leaves as it was is no new one.
            let insert = format!("{insert} select {marks} where not exists (select 1 from {quoted} where {same})");
            update.into_iter().chain([insert]).collect()
        }
        true => {
            let changed: Vec<String> = changed.map(|(_, place)| name(place)).collect();
            vec![format!("{insert} values ({marks}) {}", ddl::on_conflict(&layout.key_names(), &changed))]
        }
    };
    Statements { texts, there: None, counts }
}

/// The same, where a row that spells its key as the one that is there changes the other columns alone: SQLite takes a key that is
/// written for another one if the row refers to itself, and refuses it.
pub(super) fn by_spelling(layout: &Layout, collations: &[String], table: &str, said: &Said) -> Statements {
    let mut statements = statements(layout, collations, table, said);
    let name = |place: usize| ddl::quote(&layout.slots[place].column.name);
    let number = |place: &usize| said.fields.iter().position(|field| field == place).map(|at| at + 1);
    let others = (1..).zip(&*said.fields).filter(|(_, place)| !layout.key.contains(place));
    let changed: Vec<String> = others.map(|(number, place)| format!("{} = ?{number}", name(*place))).collect();
    let is_keyed = layout.is_keyed(|place| said.fields.contains(&place));
    if !said.deletes && is_keyed && !changed.is_empty() && layout.key.iter().any(|place| layout.changes(*place)) {
        let keys = layout.key.iter().filter_map(|place| Some((name(*place), number(place)?)));
        let spelled = keys.map(|(name, number)| format!("{name} is ?{number} collate binary")).collect::<Vec<_>>();
        let (quoted, same) = (ddl::quote(table), same(layout, collations, &said.fields));
        let update = format!("update {quoted} set {} where {same} and {}", changed.join(", "), spelled.join(" and "));
        statements.texts.insert(0, update);
    }
    statements
}

/// What tells whether the row of a key is there; the key is bound at its places among these fields.
pub(super) fn there(layout: &Layout, collations: &[String], table: &str, fields: &[usize]) -> String {
    format!("select exists (select 1 from {} where {})", ddl::quote(table), same(layout, collations, fields))
}

/// What holds for the row of a key: by the collations of the index on which an upsert finds its conflict, whatever those of the
/// columns.
fn same(layout: &Layout, collations: &[String], fields: &[usize]) -> String {
    let numbers = layout.key.iter().filter_map(|place| fields.iter().position(|field| field == place));
    let same = layout.key.iter().zip(numbers).zip(collations).map(|((place, at), collation)| {
        format!("{} = ?{} collate {}", ddl::quote(&layout.slots[*place].column.name), at + 1, ddl::quote(collation))
    });
    same.collect::<Vec<_>>().join(" and ")
}
