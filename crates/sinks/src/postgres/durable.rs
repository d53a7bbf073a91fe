//! Checks whether a table survives a crash of the server, as the token does.
use super::pool::Server;
use dataflow_sdk::{Error, batch::Warning};
use deadpool_postgres::GenericClient;

/// The tables that hold a table's rows: itself, its partitions, and the tables below an updatable view; and whether the
/// server flushes commits to disk.
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

/// A reason why a table may lose committed rows.
struct Doubt {
    warning: Warning,
    /// The fix, if the table can't be written because of it.
    fix: Option<String>,
}

impl Doubt {
    fn of(subject: &str, message: String, fix: Option<String>) -> Self {
        Self { warning: Warning { code: "not-durable", subject: subject.into(), message, records: 0 }, fix }
    }
}

/// Refuses a table that a crash or the end of a session would empty; its name comes quoted.
pub(super) async fn check(server: &Server, client: &impl GenericClient, table: &str) -> Result<Vec<Warning>, Error> {
    let refuse = |Doubt { warning, fix }: Doubt| match fix {
        Some(fix) => Err(Error::fatal("not-durable", warning.message).fix(fix).for_user()),
        None => Ok(warning),
    };
    doubts(server, client, table).await?.into_iter().map(refuse).collect()
}

/// Returns warnings about all such reasons for these tables, whose names come quoted.
pub(super) async fn said(server: &Server, client: &impl GenericClient, tables: &[&str]) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    for table in tables {
        let doubts = doubts(server, client, table).await?;
        said.extend(
            doubts
                .into_iter()
                .map(|doubt| doubt.warning.message)
                .filter(|message| !said.contains(message))
                .collect::<Vec<_>>(),
        );
    }
    let default = "select reset_val from pg_settings where name = 'synchronous_commit'";
    let default = client.query_one(default, &[]).await.map_err(|error| server.failed("look at settings of", &error))?;
    if default.get::<_, Option<&str>>(0) == Some("off") {
        said.push(format!(
            "synchronous_commit is off by default for this user or database of PostgreSQL at {}: DataFlow sets it on for its \
             own commits, but a crash may lose commits of others",
            server.name
        ));
    }
    Ok(said)
}

async fn doubts(server: &Server, client: &impl GenericClient, table: &str) -> Result<Vec<Doubt>, Error> {
    let holders = client.query(HOLDERS, &[&table]).await;
    let mut doubts = Vec::new();
    let mut fsync = true;
    for row in holders.map_err(|error| server.failed("look at the table in", &error))? {
        let (name, kind, persistence): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        fsync &= row.get::<_, &str>(3) != "off";
        let (what, fix) = match (kind, persistence) {
            (_, "u") => (
                "is unlogged: a crash of the server empties it, but keeps the progress",
                Some(format!("run: alter table {name} set logged")),
            ),
            (_, "t") => (
                "is temporary: it ends with the session that created it",
                Some("write to a table that is not temporary".into()),
            ),
            ("f", _) => (
                "is on another server, which commits separately: a crash in between may double or lose the rows of a commit",
                None,
            ),
            _ => continue,
        };
        doubts.push(Doubt::of(name, format!("table {name} {what}"), fix));
    }
    if !fsync {
        let message = format!(
            "PostgreSQL at {} runs with fsync off: a crash of its machine may lose or damage committed data",
            server.name
        );
        doubts.push(Doubt::of("fsync", message, None));
    }
    Ok(doubts)
}
