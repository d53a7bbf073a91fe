//! Finds triggers and rules of a table that may drop rows which a commit counts as written.
use super::definition::tree;
use crate::table::drops::{reach, warning, words};
use dataflow_sdk::batch::Warning;
use deadpool_postgres::GenericClient;
use std::collections::BTreeSet;
use tokio_postgres::Error;

/// What runs when rows are written to the table, or also ($2) deleted, its partitions, or the tables below a view: its name and text, the
/// table's name, and whether it replaces the write.
const HOOKS: &str = concat!(
    "with recursive target (oid) as (select to_regclass($1)::oid), ",
    tree!(),
    " select concat('trigger ', tgname), prosrc, relname::text, tgtype & 64 <> 0 \
        from tree t join pg_class c using (oid) join pg_trigger on tgrelid = t.oid join pg_proc p on p.oid = tgfoid \
        where tgenabled in ('O', 'A') and (tgtype & 20 <> 0 or $2 and tgtype & 8 <> 0) and not tgisinternal \
    union all select concat('rule ', rulename), pg_get_ruledef(r.oid), relname::text, is_instead \
        from tree t join pg_class c using (oid) join pg_rewrite r on ev_class = t.oid \
        where ev_enabled in ('O', 'A') and (ev_type in ('2', '3') or $2 and ev_type = '4')"
);

/// Warns of those of a table, whose name comes quoted; users call it `name`. `deletes`: whether its rows may be deleted.
pub(super) async fn look(
    client: &impl GenericClient,
    table: &str,
    name: &str,
    deletes: bool,
) -> Result<Option<Warning>, Error> {
    let mut by = BTreeSet::new();
    for row in client.query(HOOKS, &[&table, &deletes]).await? {
        let (hook, text, own, instead): (String, &str, &str, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
        if instead || reach(&words(text), &[own, super::target::name_of(name)]) {
            by.insert(hook);
        }
    }
    Ok(warning(name, &by))
}
