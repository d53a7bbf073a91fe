//! What a database says of a table.
use super::types::{self, Base, Wire};
use crate::table::{Found, FoundColumn};
use deadpool_postgres::GenericClient;
use std::collections::HashMap;
use tokio_postgres::Error;

const COLUMNS: &str = "select a.attname::text, b.typname::text, b.typtype::text, b.typcategory::text, \
    case when t.typtype = 'd' then t.typtypmod else a.atttypmod end, format_type(a.atttypid, a.atttypmod), \
    a.attnotnull or t.typnotnull, a.atthasdef or a.attidentity = 'd' or t.typdefault is not null, \
    a.attidentity = 'a' or a.attgenerated <> '' \
    from pg_attribute a join pg_type t on t.oid = a.atttypid \
    join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end \
    where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum";
const INDEXES: &str = "select array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (attnum, place) \
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where k.place <= i.indnkeyatts order by k.place), \
    i.indisprimary, i.indimmediate and i.indpred is null and i.indexprs is null \
    from pg_index i where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid";

/// A table, and how values of its columns travel.
pub(super) struct Described {
    pub(super) found: Found,
    pub(super) wires: HashMap<String, Wire>,
}

/// The table as it is there; none if it is not. The name comes quoted.
pub(super) async fn describe(client: &impl GenericClient, table: &str) -> Result<Option<Described>, Error> {
    let there = client.query_one("select to_regclass($1) is not null", &[&table]).await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let mut described = Described { found: Found::default(), wires: HashMap::new() };
    for row in client.query(COLUMNS, &[&table]).await? {
        let letter = |index: usize| row.get::<_, &str>(index).chars().next().unwrap_or_default();
        let (name, declared): (String, String) = (row.get(0), row.get(5));
        let base = Base {
            name: row.get(1),
            class: letter(2),
            category: letter(3),
            modifier: row.get(4),
            declared: declared.clone(),
        };
        let known = types::of(&base);
        let ty = known.as_ref().map(|(ty, _)| *ty);
        if let Some((_, wire)) = known {
            described.wires.insert(name.clone(), wire);
        }
        let (not_null, has_default, generated) = (row.get(6), row.get(7), row.get(8));
        described.found.columns.push(FoundColumn { name, ty, declared, not_null, has_default, generated });
    }
    for row in client.query(INDEXES, &[&table]).await? {
        let columns: Vec<String> = row.get(0);
        if row.get(1) {
            described.found.primary_key.clone_from(&columns);
        }
        if row.get(2) {
            described.found.unique.push(columns);
        }
    }
    Ok(Some(described))
}
