//! Whether what can be seen would survive a crash of the server.
//!
//! A transaction with `synchronous_commit` off can be seen before it is durable, and what a crash takes back would be numbered anew. So before
//! anything is read the end of the server's log is noted, and rows are read only once the log is on disk up to there. It has to be
//! noted before: reading itself writes to the log where pages have checksums, and nobody flushes that.
use dataflow_postgres::session::Session;
use dataflow_sdk::Error;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryRow;

/// First and longest pause between two looks at how far the log is durable.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// The end of the log, and which transactions had ended by then. A standby has no log of its own.
const END: &str =
    "case when pg_is_in_recovery() then null else pg_current_wal_insert_lsn() end, txid_current_snapshot()";

/// The log of a server.
#[derive(Debug)]
pub(super) struct Log {
    /// How often the server writes what it owes to the log; none: it has no such log.
    delay: Option<Duration>,
}

/// A place in the log: all that could be seen before is before it.
#[derive(Debug)]
pub(super) struct Mark {
    end: u64,
    /// The transactions that had not ended.
    seen: String,
}

impl Log {
    /// Finds out, within a transaction, what log a server has. Not every server that speaks like PostgreSQL has one.
    pub(super) async fn of(session: &mut Session, doing: &str) -> Result<Self, Error> {
        let query = format!("select setting, {END} from pg_settings where name = 'wal_writer_delay'");
        session.run(doing, "savepoint looking").await?;
        let delay = match session.rows(doing, &query).await {
            Ok(rows) => rows.first().and_then(|row| row.get(0)?.parse().ok()).map(Duration::from_millis),
            Err(_) => None,
        };
        session.run(doing, "rollback to savepoint looking").await?;
        Ok(Self { delay })
    }

    /// A statement to stand before the first one that reads: its row comes before theirs.
    pub(super) fn look(&self) -> String {
        self.delay.map_or_else(String::new, |_| format!("select {END};"))
    }

    /// What that statement has found, and the rows of the others.
    pub(super) fn noted<'a>(&self, rows: &'a [SimpleQueryRow]) -> (Option<Mark>, &'a [SimpleQueryRow]) {
        match (self.delay, rows.split_first()) {
            (Some(_), Some((first, others))) => (Mark::of(first), others),
            _ => (None, rows),
        }
    }

    /// Waits until all is durable that can be seen now. That takes three times the server's delay at most; what else is in the log may
    /// take until the next checkpoint.
    pub(super) async fn durable(&self, session: &mut Session, doing: &str, mark: Option<Mark>) -> Result<(), Error> {
        let (Some(delay), Some(mark)) = (self.delay, mark) else { return Ok(()) };
        let query = format!("select {END}, pg_current_wal_flush_lsn()");
        let (begun, mut pause) = (Instant::now(), PAUSES[0]);
        let mut until = None;
        loop {
            let rows = session.rows(doing, &query).await?;
            let Some((now, flushed)) = rows.first().and_then(|row| Some((Mark::of(row)?, place(row.get(2)?)?))) else {
                return Ok(());
            };
            // Unless other transactions have become visible since.
            let until = *until.get_or_insert(if now.seen == mark.seen { mark.end } else { now.end });
            if flushed >= until || begun.elapsed() > 3 * delay {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }
}

impl Mark {
    fn of(row: &SimpleQueryRow) -> Option<Self> {
        Some(Self { end: place(row.get(0)?)?, seen: row.get(1)?.into() })
    }
}

/// A place in the log, as the server writes it: `16/B374D848`.
fn place(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_have_the_order_of_the_log() {
        assert_eq!(super::place("16/B374D848"), Some(0x16_b374_d848));
        assert!(super::place("1/0") > super::place("0/FFFFFFFF"));
        assert_eq!(super::place("16"), None);
    }
}
