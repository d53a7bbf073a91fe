//! Detects changes of a table's definition, and whether it still is the table that rows were written to.
use super::{pool::Server, transaction::Transaction};
use deadpool_postgres::GenericClient;
use tokio_postgres::Error;

/// Lists a table (`target`) with its partitions and the tables below a view, as `tree`.
macro_rules! tree {
    () => {
        "tree (oid) as (select oid from target union select next.oid from tree t cross join lateral ( \
            select inhrelid as oid from pg_inherits where inhparent = t.oid \
            union all select d.refobjid from pg_class v join pg_rewrite r on v.relkind = 'v' and r.ev_class = v.oid \
                join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid \
                    and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid \
            where v.oid = t.oid) next)"
    };
}
pub(super) use tree;

/// All catalogue rows that define a table for a writer: its columns, their types and defaults, and, with those of its
/// partitions and of the tables below a view, indexes, triggers, rules and constraints; and whether they and the tokens
/// survive a crash. A changed row has another `xmin`. Arrays are looked up in the catalogue's indexes, however large it
/// is.
const DEFINITION: &str = concat!(
    "with recursive target (oid) as (select to_regclass($1)::oid), ",
    tree!(),
    ", \
    type (oid) as ( \
        select atttypid from target t join pg_attribute on attrelid = t.oid and attnum > 0 \
        union select next from type join pg_type t using (oid), unnest(array[t.typbasetype, t.typelem]) next where next <> 0), \
    part (said) as ( \
        select concat('table ', oid, relkind, relpersistence, relispartition, relrowsecurity) \
            from pg_class where oid = any(array(select oid from tree)) \
        union all select concat('tokens ', relpersistence) from pg_class where oid = to_regclass($2) \
        union all select concat('column ', attnum, ' ', a.xmin) from target t join pg_attribute a on attrelid = t.oid and attnum > 0 \
        union all select concat('default ', d.oid, ' ', d.xmin) from pg_attrdef d where adrelid = any(array(select oid from target)) \
        union all select concat('type ', oid, ' ', t.xmin) from pg_type t where oid = any(array(select oid from type)) \
        union all select concat('index ', indexrelid, ' ', i.xmin) from pg_index i where indrelid = any(array(select oid from tree)) \
        union all select concat('trigger ', g.oid, ' ', g.xmin, ' ', p.xmin) from pg_trigger g join pg_proc p on p.oid = tgfoid \
            where tgrelid = any(array(select oid from tree)) \
        union all select concat('rule ', r.oid, ' ', r.xmin) from pg_rewrite r where ev_class = any(array(select oid from tree)) \
        union all select concat('constraint ', c.oid, ' ', c.xmin) from pg_constraint c where conrelid = any(array(select oid from tree)) \
        union all select concat('constraint ', c.oid, ' ', c.xmin) from pg_constraint c where contypid = any(array(select oid from type))) \
    select md5(string_agg(said, ',' order by said)) from part"
);
/// Identifies the table that holds the rows, independent of its name: the table below a view, if that is a single one.
/// The identity of the token table comes first: with other tokens it is another database, or a restored one.
const RELATION: &str = "with recursive root (oid, kind) as ( \
        select oid, relkind from pg_class where oid = to_regclass($1) \
        union select c.oid, c.relkind from root v join pg_rewrite r on kind = 'v' and ev_class = v.oid \
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass \
            join pg_class c on c.oid = d.refobjid and c.oid <> v.oid) \
    select concat(to_regclass($2)::oid, ':', min(oid::text)) from root where kind <> 'v' having count(*) = 1";
/// Whether `lock table` may be used: it works for tables only, and needs a privilege on all columns.
const LOCKED: &str = "select relkind in ('r', 'p') and has_table_privilege(oid, 'insert, update, delete, truncate') \
    from pg_class where oid = to_regclass($1)";

/// A table's definition when it was read.
#[derive(Debug)]
pub(super) struct Definition {
    /// Quoted.
    table: String,
    /// The token table, quoted.
    tokens: String,
    digest: String,
    /// The table that holds the rows; `None` if that is unknown.
    pub(super) relation: Option<String>,
    /// Whether it can be locked before it is written to.
    lockable: bool,
}

impl Definition {
    /// Reads the definition of a table; both names come quoted. Read before the table is described, it detects all
    /// later changes.
    pub(super) async fn of(client: &impl GenericClient, table: &str, tokens: &str) -> Result<Self, Error> {
        let lockable = client.query_opt(LOCKED, &[&table]).await?.is_some_and(|row| row.get(0));
        let digest = digest(client, table, tokens).await?;
        let relation = relation(client, table, tokens).await?;
        Ok(Self { table: table.into(), tokens: tokens.into(), digest, relation, lockable })
    }

    /// Begins a transaction; until its end nobody can change the table, if it can be locked. Deferred constraints are
    /// checked at each statement: written one by one, each row has its own end of transaction.
    pub(super) async fn begin(&self, server: &Server) -> Result<Transaction, dataflow_sdk::Error> {
        let immediate = "; set constraints all immediate";
        match self.lockable {
            true => {
                let lock = format!("{immediate}; lock table only {} in row exclusive mode", self.table);
                Transaction::begin(server, &lock).await
            }
            false => Transaction::begin(server, immediate).await,
        }
    }

    /// Returns whether the table is unchanged.
    pub(super) async fn holds(&self, client: &impl GenericClient) -> Result<bool, Error> {
        Ok(digest(client, &self.table, &self.tokens).await? == self.digest)
    }

    /// Returns whether it has to be checked again at the end, because it is locked only after rows were written.
    pub(super) fn is_asked_again(&self) -> bool {
        !self.lockable
    }
}

/// Returns the table that holds the rows of a table; both names come quoted. `None` if that is unknown.
pub(super) async fn relation(client: &impl GenericClient, table: &str, tokens: &str) -> Result<Option<String>, Error> {
    Ok(client.query_opt(RELATION, &[&table, &tokens]).await?.map(|row| row.get(0)))
}

async fn digest(client: &impl GenericClient, table: &str, tokens: &str) -> Result<String, Error> {
    let statement = client.prepare_cached(DEFINITION).await?;
    Ok(client.query_one(&statement, &[&table, &tokens]).await?.get(0))
}
