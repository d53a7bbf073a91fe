//! Whether a table outlives a crash of the server, as the token does.
use super::pool::Server;
use dataflow_sdk::{Error, batch::Warning};
use deadpool_postgres::GenericClient;

/// The tables that hold a table's rows: itself, its partitions, and what an updatable view is over; and whether the server
/// writes to disk what it commits.
const HOLDERS: &str = "with recursive holder (oid) as ( \
        select to_regclass($1)::oid \
        union \
        select next.oid from holder h cross join lateral ( \
            select inhrelid as oid from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = h.oid and c.relispartition \
            union all \
            select d.refobjid from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid \
                and d.refclassid = 'pg_class'::regclass and d.refobjid <> h.oid \
            where r.ev_class = h.oid and pg_relation_is_updatable(h.oid, false) & 8 = 8 \
                and exists (select from pg_class where oid = h.oid and relkind = 'v')) next) \
    select format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text, current_setting('fsync') \
    from holder join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace";

/// Refuses a table that a crash would empty, or the end of a session; its name comes quoted.
pub(super) async fn check(server: &Server, client: &impl GenericClient, table: &str) -> Result<Vec<Warning>, Error> {
    let holders = client.query(HOLDERS, &[&table]).await;
    let mut warnings = Vec::new();
    for row in holders.map_err(|error| server.failed("look at the table in", &error))? {
        let (name, kind, persistence, fsync): (&str, &str, &str, &str) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let refused = |what: &str, fix: String| Err(Error::fatal("not-durable", what).fix(fix).for_user());
        match (kind, persistence) {
            (_, "u") => {
                let what = format!("table {name} is unlogged: a crash of the server empties it, but not the progress");
                return refused(&what, format!("run: alter table {name} set logged"));
            }
            (_, "t") => {
                let what = format!("table {name} is temporary: it ends with the session that made it");
                return refused(&what, "write to a table that is not temporary".into());
            }
            ("f", _) => warnings.push(Warning {
                code: "not-durable",
                subject: name.into(),
                message: format!(
                    "table {name} is on another server, which commits on its own: a crash at that moment may double or lose the rows of a commit"
                ),
                records: 0,
            }),
            _ => {}
        }
        if fsync == "off" && warnings.iter().all(|warning| warning.subject != "fsync") {
            warnings.push(Warning {
                code: "not-durable",
                subject: "fsync".into(),
                message: format!(
                    "PostgreSQL at {} runs with fsync off: a crash of its machine may lose or damage what it has committed",
                    server.name
                ),
                records: 0,
            });
        }
    }
    Ok(warnings)
}
