//! Breaking the locks of frozen sessions that a lane, or a creation of tables, waits for.
use super::pool::Server;
use dataflow_sdk::Error;
use deadpool_postgres::Transaction;
use std::{pin::pin, time::Duration};
use tokio_postgres::{Client, error::SqlState};

/// Prevents our other sessions from creating the same objects until the transaction ends. The wait for a frozen one is
/// limited.
pub(super) async fn lock_ddl(server: &Server, transaction: &Transaction<'_>, wait: Duration) -> Result<(), Error> {
    let lock = "select pg_advisory_xact_lock(hashtextextended('dataflow', 0))";
    breaking_locks(server, transaction, wait, Ended::Silent, "create tables in", transaction.batch_execute(lock)).await
}

/// Which of the blocking sessions are ended.
#[derive(Clone, Copy)]
pub(super) enum Ended {
    /// All: a blocking session has been replaced, even if it is active.
    All,
    /// Those whose client has been silent for that long. Others that hold the lock, or precede us in its queue
    /// (PostgreSQL counts them as blocking, too), are as alive as this session.
    Silent,
}

/// Runs a statement of `transaction`; ends sessions that block it for longer than `wait`.
pub(super) async fn breaking_locks<T>(
    server: &Server,
    transaction: &Transaction<'_>,
    wait: Duration,
    ended: Ended,
    doing: &str,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let failed = |error| server.failed(doing, &error);
    // The wait for a lock that can't be broken is limited, even if the caller has gone.
    let prepare = "select pg_backend_pid(), set_config('lock_timeout', $1, true)";
    let longest = (wait * 3 + Duration::from_secs(5)).as_millis().to_string();
    let pid: i32 = transaction.query_one(prepare, &[&longest]).await.map_err(failed)?.get(0);
    let mut statement = pin!(statement);
    loop {
        match tokio::time::timeout(wait, &mut statement).await {
            Ok(done) => return done.map_err(failed),
            Err(_) => {
                if let Err(error) = break_lock(server, pid, ended, wait).await {
                    // The connection must not continue to wait in the pool.
                    if let Err(error) = transaction.cancel_token().cancel_query(server.tls.clone()).await {
                        tracing::debug!(%error, "a waiting statement could not be cancelled");
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Ends the sessions that block the session `waiting`. All connections of the pool may be waiting like this one.
async fn break_lock(server: &Server, waiting: i32, ended: Ended, silent: Duration) -> Result<(), Error> {
    server.beside_the_pool(async |client| end_holders(server, &client, waiting, ended, silent).await).await
}

async fn end_holders(
    server: &Server,
    client: &Client,
    waiting: i32,
    ended: Ended,
    silent: Duration,
) -> Result<(), Error> {
    let failed = |error| server.failed("look for the holder of a lock in", &error);
    // The state and time of other users' sessions may be invisible; these can't be ended either, and are named.
    let which = match ended {
        Ended::All => "$2::float8 is not null",
        Ended::Silent => {
            "state is null or (wait_event_type = 'Client' and state_change < clock_timestamp() - make_interval(secs => $2::float8))"
        }
    };
    let holders = format!(
        "select pid, coalesce(usename::text, '?'), coalesce(application_name, ''), coalesce(host(client_addr), 'local') \
         from pg_stat_activity where pid = any(pg_blocking_pids($1)) and ({which})"
    );
    for row in client.query(&holders, &[&waiting, &silent.as_secs_f64()]).await.map_err(failed)? {
        let pid: i32 = row.get(0);
        let (user, application, address): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
        let holder = format!("session {pid} of user {user} ({application} from {address})");
        match client.query_one("select pg_terminate_backend($1)", &[&pid]).await {
            Ok(_) => {
                tracing::warn!(server = %server.name, %holder, "ended a session that held the lock of a lane or of a table creation")
            }
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let message = format!(
                    "{holder} holds a lock that this lane waits for (its row of dataflow_tokens, or the creation of tables) in \
                     PostgreSQL at {}, and this user may not end it",
                    server.name
                );
                return Err(Error::transient("locked", message));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
