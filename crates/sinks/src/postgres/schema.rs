//! Reads the description of a table.
use super::{
    care,
    types::{self, Base, Wire},
};
use crate::table::{Care, Found, FoundColumn};
use deadpool_postgres::GenericClient;
use std::collections::HashMap;
use tokio_postgres::{Error, Row};

/// Each column with its type below any domains, and, for arrays, that of the elements.
const COLUMNS: &str = "with recursive base (attnum, type, modifier, not_null, has_default) as ( \
        select attnum, atttypid, atttypmod, attnotnull, \
            atthasdef and attgenerated = '' or attidentity <> '' \
        from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped \
        union all \
        select attnum, typbasetype, case modifier when -1 then typtypmod else modifier end, \
            not_null or typnotnull, has_default or typdefault is not null \
        from base join pg_type on oid = type where typtype = 'd'), \
    element (array_type, type, modifier) as ( \
        select t.oid, t.typelem, -1 from pg_type t where t.typcategory = 'A' and t.typlen = -1 and t.typelem <> 0 \
            and t.oid in (select type from base) \
        union all \
        select array_type, typbasetype, case modifier when -1 then typtypmod else modifier end \
        from element join pg_type on oid = type where typtype = 'd') \
    select a.attname::text, b.not_null, b.has_default, a.attidentity = 'a' or a.attgenerated <> '', \
        format_type(a.atttypid, a.atttypmod), coalesce(c.collisdeterministic, true), \
        n.nspname::text, t.typname::text, t.typtype::text, b.modifier, format_type(t.oid, b.modifier), \
        (select s.typname::text from pg_range join pg_type s on s.oid = rngsubtype where t.oid in (rngtypid, rngmultitypid)), \
        en.nspname::text, et.typname::text, et.typtype::text, e.modifier, format_type(et.oid, e.modifier), \
        (select s.typname::text from pg_range join pg_type s on s.oid = rngsubtype where et.oid in (rngtypid, rngmultitypid)) \
    from base b join pg_type t on t.oid = b.type and t.typtype <> 'd' join pg_namespace n on n.oid = t.typnamespace \
    join pg_attribute a on a.attrelid = to_regclass($1) and a.attnum = b.attnum \
    left join pg_collation c on c.oid = a.attcollation \
    left join (element e join pg_type et on et.oid = e.type and et.typtype <> 'd' \
        join pg_namespace en on en.oid = et.typnamespace) on e.array_type = t.oid \
    order by a.attnum";
const INDEXES: &str = "select array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (attnum, place) \
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where k.place <= i.indnkeyatts order by k.place), \
    i.indisprimary, i.indimmediate and i.indpred is null and i.indexprs is null and i.indisunique \
    from pg_index i where i.indrelid = to_regclass($1) and (i.indisunique or i.indisexclusion) and i.indisvalid";
/// Whether there are no rules.
const UNRULED: &str = "select not exists (select from pg_rewrite where ev_class = to_regclass($1))";

/// A table, and the encoding of its columns' values.
pub(super) struct Described {
    pub(super) found: Found,
    pub(super) wires: HashMap<String, Wire>,
    /// Whether a COPY has the same effect as an INSERT: it ignores rules, and so most views.
    pub(super) copied: bool,
}

/// Describes an existing table; `None` if it doesn't exist. The name comes quoted.
pub(super) async fn describe(client: &impl GenericClient, table: &str) -> Result<Option<Described>, Error> {
    let there = client.query_one("select to_regclass($1) is not null", &[&table]).await?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let mut described = Described { found: Found::default(), wires: HashMap::new(), copied: true };
    let found = &mut described.found;
    for row in client.query(COLUMNS, &[&table]).await? {
        let (name, declared): (String, String) = (row.get(0), row.get(4));
        let element = row.get::<_, Option<&str>>(13).map(|_| Box::new(base(&row, 12, true, None)));
        let base = base(&row, 6, row.get(5), element);
        let known = types::of(&base);
        let ty = known.as_ref().map(|(ty, _)| *ty);
        if let Some((_, wire)) = known {
            described.wires.insert(name.clone(), wire);
        }
        let (not_null, has_default, generated) = (row.get(1), row.get(2), row.get(3));
        let exact = types::is_exact(&base);
        let sure = ty.is_some_and(|ty| care::is_sure(&base, ty));
        let fills = Care::Last;
        found.columns.push(FoundColumn { name, ty, declared, not_null, has_default, exact, generated, sure, fills });
    }
    for row in client.query(INDEXES, &[&table]).await? {
        let columns: Vec<String> = row.get(0);
        if row.get(1) {
            found.primary_key.clone_from(&columns);
        }
        if row.get(2) {
            found.unique.push(columns);
        }
    }
    care::learn(client, table, found).await?;
    described.copied = client.query_one(UNRULED, &[&table]).await?.get(0);
    Ok(Some(described))
}

/// Reads a type from these columns of a row.
fn base(row: &Row, from: usize, deterministic: bool, element: Option<Box<Base>>) -> Base {
    let class = row.get::<_, &str>(from + 2).chars().next().unwrap_or_default();
    Base {
        schema: row.get(from),
        name: row.get(from + 1),
        class,
        modifier: row.get(from + 3),
        full: row.get(from + 4),
        bounds: row.get(from + 5),
        element,
        deterministic,
    }
}
