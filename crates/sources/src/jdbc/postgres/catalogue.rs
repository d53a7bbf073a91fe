//! What the server's catalogue says of the tables that are read: which they are, and in which version.
use dataflow_postgres::session::Session;
use dataflow_sdk::Error;

/// Differs from that of before if a table or view that is read, one of its columns, defaults, keys or sequences, or its place among
/// partitions is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(String);

/// The tables that were read since a transaction began, with all that they have partitions in common with, and their version. They are
/// those that the server has locked for it.
pub(super) async fn look(session: &mut Session, doing: &str) -> Result<(Vec<u32>, Version), Error> {
    let rows = session.rows(doing, QUERY).await?;
    let text = |at| rows.first().and_then(|row| row.get(at)).unwrap_or_default();
    let tables = text(0).split(',').filter_map(|oid| oid.parse().ok()).collect();
    Ok((tables, Version(text(1).into())))
}

/// Each change of an entry of the catalogue gives it another `xmin`.
const QUERY: &str = "with recursive used(oid, kind) as ( \
     select c.oid, c.relkind from pg_locks l join pg_class c on c.oid = l.relation \
       where l.pid = pg_backend_pid() and l.locktype = 'relation' and c.relkind in ('r', 'p', 'f', 'm', 'v') \
         and c.relnamespace <> 'pg_catalog'::regnamespace \
     union \
     select c.oid, c.relkind from used u join pg_inherits i on u.oid in (i.inhrelid, i.inhparent) \
       join pg_class c on c.oid = case when i.inhrelid = u.oid then i.inhparent else i.inhrelid end), \
   entries(entry) as ( \
     select concat('table ', c.oid, ' ', c.xmin) from used u join pg_class c using (oid) \
     union all select concat('column ', a.attnum, ' ', a.xmin) from used u join pg_attribute a on a.attrelid = u.oid where a.attnum > 0 \
     union all select concat('default ', d.oid, ' ', d.xmin) from used u join pg_attrdef d on d.adrelid = u.oid \
     union all select concat('index ', i.indexrelid, ' ', i.xmin) from used u join pg_index i on i.indrelid = u.oid \
     union all select concat('constraint ', c.oid, ' ', c.xmin) from used u join pg_constraint c on c.conrelid = u.oid \
     union all select concat('view ', r.oid, ' ', r.xmin) from used u join pg_rewrite r on r.ev_class = u.oid \
     union all select concat('partition ', i.inhrelid, ' ', i.xmin) from used u join pg_inherits i on i.inhrelid = u.oid \
     union all select concat('subscription ', s.srrelid, ' ', s.srsubid) from used u join pg_subscription_rel s on s.srrelid = u.oid \
     union all select concat('sequence ', s.seqrelid, ' ', s.xmin) from used u join pg_depend d \
       on d.refclassid = 'pg_class'::regclass and d.refobjid = u.oid and d.classid = 'pg_class'::regclass \
       join pg_sequence s on s.seqrelid = d.objid \
     union all select concat('sequence ', s.seqrelid, ' ', s.xmin) from used u join pg_attrdef a on a.adrelid = u.oid join pg_depend d \
       on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid and d.refclassid = 'pg_class'::regclass \
       join pg_sequence s on s.seqrelid = d.refobjid \
     union all select concat('standby ', pg_is_in_recovery())) \
   select (select string_agg(oid::text, ',' order by oid) from used where kind <> 'v'), \
     (select md5(string_agg(entry, ',' order by entry)) from entries)";
