//! Whether a table still is what a writer knows it as.
use super::{pool::Server, transaction::Transaction};
use deadpool_postgres::GenericClient;
use tokio_postgres::Error;

/// All rows of the catalogue that make a table what it is for a writer: its columns, their types and defaults, and, with
/// those of its partitions, indexes, triggers, rules and constraints. A row that was changed has another `xmin`. Arrays are
/// looked up in indexes of the catalogue, however large it is.
const DEFINITION: &str = "with recursive \
    target (oid) as (select to_regclass($1)::oid), \
    tree (oid) as (select oid from target union select inhrelid from tree join pg_inherits on inhparent = tree.oid), \
    type (oid) as ( \
        select atttypid from target t join pg_attribute on attrelid = t.oid and attnum > 0 \
        union select next from type join pg_type t using (oid), unnest(array[t.typbasetype, t.typelem]) next where next <> 0), \
    part (said) as ( \
        select concat('table ', oid) from tree \
        union all select concat('kind ', relkind, relpersistence, relispartition, relrowsecurity) from target join pg_class using (oid) \
        union all select concat('column ', attnum, ' ', a.xmin) from target t join pg_attribute a on attrelid = t.oid and attnum > 0 \
        union all select concat('default ', d.oid, ' ', d.xmin) from pg_attrdef d where adrelid = any(array(select oid from target)) \
        union all select concat('type ', oid, ' ', t.xmin) from pg_type t where oid = any(array(select oid from type)) \
        union all select concat('index ', indexrelid, ' ', i.xmin) from pg_index i where indrelid = any(array(select oid from tree)) \
        union all select concat('trigger ', g.oid, ' ', g.xmin, ' ', p.xmin) from pg_trigger g join pg_proc p on p.oid = tgfoid \
            where tgrelid = any(array(select oid from tree)) \
        union all select concat('rule ', r.oid, ' ', r.xmin) from pg_rewrite r where ev_class = any(array(select oid from tree)) \
        union all select concat('constraint ', c.oid, ' ', c.xmin) from pg_constraint c where conrelid = any(array(select oid from tree)) \
        union all select concat('constraint ', c.oid, ' ', c.xmin) from pg_constraint c where contypid = any(array(select oid from type))) \
    select md5(string_agg(said, ',' order by said)) from part";
/// Whether `lock table` may be used: it is for tables alone, and asks for a right to all columns.
const LOCKED: &str = "select relkind in ('r', 'p') and has_table_privilege(oid, 'insert, update, delete, truncate') \
    from pg_class where oid = to_regclass($1)";

/// What a table was when it was looked at.
#[derive(Debug)]
pub(super) struct Definition {
    /// Quoted.
    table: String,
    digest: String,
    /// Whether it can be locked before it is written to.
    lockable: bool,
}

impl Definition {
    /// That of a table, whose name comes quoted. Read before the table is described, it tells of all changes since.
    pub(super) async fn of(client: &impl GenericClient, table: &str) -> Result<Self, Error> {
        let lockable = client.query_opt(LOCKED, &[&table]).await?.is_some_and(|row| row.get(0));
        Ok(Self { table: table.into(), digest: digest(client, table).await?, lockable })
    }

    /// Begins a transaction; until its end nobody can change the table, where it can be locked. What is deferred to the
    /// end is to be noticed at its statement: written one by one, each row has an end of its own.
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

    /// Whether the table still is the same.
    pub(super) async fn holds(&self, client: &impl GenericClient) -> Result<bool, Error> {
        Ok(digest(client, &self.table).await? == self.digest)
    }

    /// Whether it has to be asked once more at the end: what is not locked from the start is after rows were written.
    pub(super) fn is_asked_again(&self) -> bool {
        !self.lockable
    }
}

async fn digest(client: &impl GenericClient, table: &str) -> Result<String, Error> {
    let statement = client.prepare_cached(DEFINITION).await?;
    Ok(client.query_one(&statement, &[&table]).await?.get(0))
}
