//! The statements that are running, which may still write a row with a number or time of before.
//!
//! A number is given out, and the time is looked at, some time before the row is written: the statement may wait for locks in between, and may
//! write many rows. In that time nothing else tells of the row. Once the statement has ended, the row is there, locked by its transaction
//! until that ends, too: who reads it with a lock waits for that.
use super::definition::Table;
use crate::jdbc::{said::Said, waiting::Waiting};
use dataflow_mysql::{Flavour, Session, sql};
use dataflow_sdk::Error;
use std::time::Duration;

/// First and longest pause between two looks at the statements.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];

/// Commands that run no statement of anybody.
const IDLE: &str = "'Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID'";

/// A statement that only reads.
const READS: &str = "'^[[:space:](]*(/[*].*?[*]/[[:space:]]*)*(select|with|show)[[:space:](*]'";

/// Which statements are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that may write.
    Writing,
    /// All: a procedure whose time was looked at when it was called may be running a query now.
    All,
}

/// The time of the look, and who is running a statement that began before another time, by default that of the look.
fn query(flavour: Flavour, which: Which, since: Option<&str>) -> String {
    let since = since.map_or_else(|| "now(6)".into(), sql::literal);
    let is_older = match flavour {
        Flavour::MariaDb => format!("time_ms * 1000 >= timestampdiff(microsecond, {since}, now(6))"),
        // It counts seconds.
        Flavour::MySql => format!("time >= unix_timestamp(now()) - floor(unix_timestamp({since}))"),
    };
    let writes = match which {
        Which::Writing => format!(" and (info is null or info not regexp {READS})"),
        Which::All => String::new(),
    };
    format!(
        "select now(6), id, user, host, command, state, time from information_schema.processlist \
         where id <> connection_id() and command not in ({IDLE}) and {is_older}{writes} order by time desc"
    )
}

/// Waits until all have ended that are running now.
pub(super) async fn wait(
    session: &mut Session,
    table: Option<&Table>,
    which: Which,
    said: &Said,
    name: &str,
) -> Result<(), Error> {
    let (mut since, mut pause, mut waiting): (Option<String>, _, _) = (None, PAUSES[0], Waiting::default());
    loop {
        let query = query(session.flavour(), which, since.as_deref());
        let rows = session.rows("look at the statements that run on", &query).await?;
        let Some(first) = rows.first() else { break };
        // Of those that may write, none does while nobody uses the table.
        if which == Which::Writing
            && let Some(table) = table
            && !is_used(session, table).await?
        {
            break;
        }
        waiting.met(said, name, || {
            let part = |at: usize| first.get(at).and_then(Option::as_deref).unwrap_or("?");
            let others = rows.len() - 1;
            let more = if others == 0 { String::new() } else { format!(" ({others} more)") };
            format!(
                "rows of {name} wait for the statement of session {} (user {}, from {}, {}, {}, running for {} s){more}: until it ends, it may add one with a lower value",
                part(1), part(2), part(3), part(4), part(5), part(6)
            )
        });
        since = since.or_else(|| first.first().cloned().flatten());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
    waiting.over(said, name);
    Ok(())
}

/// Whether a statement uses the table now.
async fn is_used(session: &mut Session, table: &Table) -> Result<bool, Error> {
    let (database, name) = (sql::name(&table.database), sql::literal(&table.name));
    let query = format!("show open tables from {database} where `Table` = {name} and In_use > 0");
    Ok(!session.rows("look at the open tables of", &query).await?.is_empty())
}
