//! Determines from the catalogue how sensitive a table is to the way in which rows are written: everything that checks
//! or observes them.
use super::types::Base;
use crate::table::{Care, Found};
use dataflow_core::types::Type;
use deadpool_postgres::GenericClient;
use tokio_postgres::Error;

/// The table with its partitions (`tree`), and everything attached to it. Functions that are not immutable count,
/// because their result may depend on other rows. Those of extensions, and the server's own, read no table.
///
/// A row needs a statement of its own if something sees the table before or after the whole statement: triggers other
/// than those that run before each row and see everything written earlier, references to the table itself, constraints
/// that are checked at the end of the statement, rules, views, and policies.
const CARE: &str = "with recursive \
    tree (oid) as (select to_regclass($1)::oid union select inhrelid from tree join pg_inherits on inhparent = tree.oid), \
    type (oid) as ( \
        select atttypid from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped \
        union select next from type join pg_type t using (oid), unnest(array[t.typbasetype, t.typelem]) next where next <> 0), \
    fires (in_turn) as ( \
        select tgtype & 67 = 3 and provolatile = 'v' and tgqual is null \
        from tree t join pg_trigger on tgrelid = t.oid join pg_proc p on p.oid = tgfoid \
        where tgenabled <> 'D' and tgtype & 20 <> 0 and (not tgisinternal or proname !~ '^(RI_FKey_|unique_key_recheck)')), \
    diverted (so) as (select \
        not exists (select from pg_class where oid = to_regclass($1) and relkind in ('r', 'p')) \
            or exists (select from tree join pg_class using (oid) where relrowsecurity) \
            or exists (select from tree t join pg_rewrite on ev_class = t.oid)), \
    judge (oid, contype, confrelid) as ( \
        select c.oid, contype, confrelid from tree t join pg_constraint c on conrelid = t.oid and contype in ('c', 'f') \
        union all select c.oid, contype, confrelid from type t join pg_constraint c on contypid = t.oid), \
    index as (select i.* from tree t join pg_index i on indrelid = t.oid where indisready), \
    computed as (select a.attname, a.attgenerated <> '' as generated, d.oid from pg_attrdef d \
        join pg_attribute a on attrelid = adrelid and attnum = adnum where adrelid = to_regclass($1)), \
    calls (class, oid) as ( \
        select classid, objid from pg_depend join pg_proc p on refclassid = 'pg_proc'::regclass and p.oid = refobjid \
        where provolatile <> 'i' and not exists (select from pg_depend e \
                where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e') \
            and (classid = 'pg_constraint'::regclass and objid in (select oid from judge) \
                or classid = 'pg_class'::regclass and objid in (select indexrelid from index) \
                or classid = 'pg_attrdef'::regclass and objid in (select oid from computed))) \
    select \
        (select so from diverted) \
            or exists (select from fires where not in_turn) \
            or exists (select from fires) and exists (select from judge where contype = 'f') \
            or exists (select from judge where confrelid in (select oid from tree)) \
            or exists (select from index where not indimmediate) \
            or exists (select from calls where class <> 'pg_attrdef'::regclass) \
            or exists (select from calls join computed using (oid) where generated), \
        exists (select from fires), \
        exists (select from judge) \
            or exists (select from computed where generated) \
            or exists (select from type join pg_type using (oid) where typtype = 'd') \
            or exists (select from pg_class where oid = to_regclass($1) and (relkind = 'p' or relispartition or relnatts > 100)), \
        exists (select from index where indexprs is not null or indpred is not null) \
            or current_setting('server_encoding') <> 'UTF8', \
        (select count(*) from index where (indisunique or indisexclusion) \
            and (indrelid = to_regclass($1) or not exists (select from pg_inherits where inhrelid = indexrelid))), \
        array(select distinct a.attname::text from index i cross join unnest(i.indkey::int2[]) k (attnum) \
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where attlen < 0), \
        array(select distinct a.attname::text from tree t join pg_constraint c on confrelid = t.oid and conrelid <> t.oid \
            \
                and contype = 'f' cross join unnest(c.confkey) k (attnum) \
            join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.attnum), \
        array(select attname::text from calls join computed using (oid) where not generated), \
        array(select attname::text from computed c join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = c.oid \
                and d.refclassid = 'pg_class'::regclass join pg_class s on s.oid = d.refobjid and s.relkind = 'S' \
            union all select attname::text from pg_attribute where attrelid = to_regclass($1) and attidentity <> '' \
            union all select attname::text from pg_attribute join pg_type t on t.oid = atttypid \
            where attrelid = to_regclass($1) and typtype = 'd' and typdefault is not null), \
        (select so from diverted) or exists (select from tree t join pg_trigger on tgrelid = t.oid join pg_proc p on p.oid = tgfoid \
            where tgenabled <> 'D' and tgtype & 8 <> 0 and (not tgisinternal or proname !~ '^RI_FKey_'))";

/// Adds to `found` how sensitive a table is; its name comes quoted.
pub(super) async fn learn(client: &impl GenericClient, table: &str, found: &mut Found) -> Result<(), Error> {
    let row = client.query_one(CARE, &[&table]).await?;
    let care = |care: Care, column: usize| care.when(row.get(column));
    found.care = care(Care::Alone, 0).max(care(Care::Arrival, 1)).max(care(Care::Each, 2));
    found.unsure = row.get(3);
    found.rules = usize::try_from(row.get::<_, i64>(4)).unwrap_or(usize::MAX);
    (found.indexed, found.referenced, found.guarded) = (row.get(5), row.get(6), row.get(9));
    let (calling, numbered): (Vec<String>, Vec<String>) = (row.get(7), row.get(8));
    for column in &mut found.columns {
        column.fills = Care::Alone.when(calling.contains(&column.name));
        column.fills = column.fills.max(Care::Arrival.when(numbered.contains(&column.name)));
    }
    Ok(())
}

/// Returns whether a column accepts each value that is sent for it: what it would reject is detected beforehand.
pub(super) fn is_sure(base: &Base, ty: Type) -> bool {
    match base.name.as_str() {
        "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "text" | "varchar" | "bpchar" | "name"
        | "timestamptz" | "timestamp" | "date" | "uuid" | "bytea" => base.element.is_none(),
        "numeric" => base.element.is_none() && (base.modifier < 0 || matches!(ty, Type::Decimal { .. })),
        _ => false,
    }
}
