//! Up to where rows can be read: no transaction that is under way may still add one before that.
//!
//! The highest value is noted first. A transaction that was given a lower one before holds its lock on the table since, and until
//! all can see what it wrote: PostgreSQL locks a table for writing before it computes defaults, and lets go of the lock after the
//! commit is visible. So once those that held it at a moment after the noting have ended, each lower value is there or never
//! will be. A sequence gives no lower value later.
//!
//! The time of a transaction is that of its beginning, when it has locked nothing yet. So in the modes with a timestamp all
//! transactions of the database are waited for, unless a delay is given.
use super::definition::Definition;
use crate::jdbc::{said::Said, waiting::Waiting};
use dataflow_postgres::{session::Session, sql};
use dataflow_sdk::Error;
use std::{collections::BTreeMap, time::Duration};
use tokio_postgres::SimpleQueryRow;

/// What our own reading sessions, which write nothing, call themselves.
pub(super) const READER: &str = "dataflow jdbc source";

/// First and longest pause between two looks at the holders.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

/// Which transactions are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that hold a lock for writing on a table that is read.
    Writers,
    /// All of the database.
    All,
}

/// A transaction that holds what is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    is_prepared: bool,
    /// Who it is, and since when.
    words: String,
}

/// By virtual id, which no other transaction has while the server runs.
type Holders = BTreeMap<String, Holder>;

/// Those that are under way are looked for in the server's table of locks, which everybody may read.
fn query(tables: &[u32], whose: Whose) -> String {
    let own = "(select oid from pg_database where datname = current_database())";
    let oids = tables.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let writers = format!(
        "l.locktype = 'relation' and l.mode in ('RowExclusiveLock', 'AccessExclusiveLock') and l.database = {own} \
         and l.relation in ({})",
        if oids.is_empty() { "0" } else { &oids }
    );
    // A prepared transaction has no session any more, and holds the lock on its number.
    let all = format!(
        "l.locktype = 'virtualxid' and a.datid = {own} and a.usesysid is not null and a.application_name <> {reader} \
         or l.locktype = 'transactionid' and p.database = current_database()",
        reader = sql::literal(READER)
    );
    let which = match whose {
        Whose::Writers => writers,
        Whose::All => format!("{writers} or {all}"),
    };
    format!(
        "select l.virtualtransaction, l.pid, max(l.relation::regclass::text), max(p.gid), max(a.usename::text), \
           max(a.application_name), max(coalesce(a.client_addr::text, '')), \
           max(to_char(a.xact_start, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), max(a.state) \
         from pg_locks l left join pg_stat_activity a on a.pid = l.pid \
           left join pg_prepared_xacts p on l.pid is null and l.virtualtransaction = '-1/' || p.transaction::text \
         where l.granted and l.pid is distinct from pg_backend_pid() and ({which}) group by 1, 2"
    )
}

fn holder(row: &SimpleQueryRow) -> Option<(String, Holder)> {
    let text = |at| row.get(at).filter(|text| !text.is_empty());
    let mut words = match (text(1), text(3)) {
        (Some(pid), _) => format!("the transaction of session {pid}"),
        (None, Some(name)) => {
            format!("the prepared transaction {name:?} (commit prepared or rollback prepared ends it)")
        }
        (None, None) => "a prepared transaction (see pg_prepared_xacts)".into(),
    };
    for (before, at) in [("user ", 4), ("program ", 5), ("from ", 6), ("begun ", 7), ("", 8)] {
        if let Some(text) = text(at) {
            words = format!("{words}, {before}{text}");
        }
    }
    if let Some(table) = text(2) {
        words = format!("{words}, which writes to {table}");
    }
    Some((row.get(0)?.to_owned(), Holder { is_prepared: text(1).is_none(), words }))
}

async fn holders(session: &mut Session, query: &str) -> Result<Holders, Error> {
    let rows = session.rows("look at the locks of", query).await?;
    Ok(rows.iter().filter_map(holder).collect())
}

/// Waits until all have ended that are under way now.
pub(super) async fn wait(
    session: &mut Session,
    definition: &Definition,
    whose: Whose,
    said: &Said,
) -> Result<(), Error> {
    let (query, name) = (query(&definition.tables, whose), definition.shape.name.as_str());
    let mut waited_for = holders(session, &query).await?;
    let mut before = waited_for.clone();
    let (mut pause, mut waiting) = (PAUSES[0], Waiting::default());
    while let Some(holder) = waited_for.values().next() {
        waiting.met(said, name, || {
            let others = waited_for.len() - 1;
            let more = if others == 0 { String::new() } else { format!(" ({others} more)") };
            format!("rows of {name} wait for {}{more}: until it ends, it may add one with a lower value", holder.words)
        });
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
        let now = holders(session, &query).await?;
        waited_for = still(waited_for, &before, &now);
        before = now;
    }
    waiting.over(said, name);
    Ok(())
}

/// Those of them that have not ended. One that is prepared gets another id: it is taken for any that has gone meanwhile.
fn still(waited_for: Holders, before: &Holders, now: &Holders) -> Holders {
    let has_gone = waited_for.iter().any(|(id, holder)| !holder.is_prepared && !now.contains_key(id));
    let prepared_since = |id: &String, holder: &Holder| has_gone && holder.is_prepared && !before.contains_key(id);
    now.iter()
        .filter(|(id, holder)| waited_for.contains_key(*id) || prepared_since(id, holder))
        .map(|(id, holder)| (id.clone(), holder.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(ids: &[&str]) -> Holders {
        let holder =
            |id: &&str| ((*id).to_owned(), Holder { is_prepared: id.starts_with("-1/"), words: String::new() });
        ids.iter().map(holder).collect()
    }

    #[test]
    fn a_transaction_that_is_prepared_meanwhile_is_still_waited_for() {
        for (waited_for, before, now, expected) in [
            (vec!["3/4", "5/6"], vec!["3/4", "5/6"], vec!["5/6", "7/8"], vec!["5/6"]),
            (vec!["3/4"], vec!["3/4"], vec!["-1/77", "7/8"], vec!["-1/77"]),
            (vec!["3/4"], vec!["3/4", "-1/70"], vec!["-1/70"], vec![]),
            (vec!["3/4"], vec!["3/4"], vec!["3/4", "-1/77"], vec!["3/4"]),
            (vec!["-1/70"], vec!["-1/70"], vec!["-1/77"], vec![]),
        ] {
            let found = still(holders(&waited_for), &holders(&before), &holders(&now));
            assert_eq!(found, holders(&expected), "{waited_for:?} {now:?}");
        }
    }
}
