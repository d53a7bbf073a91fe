//! A transaction that outlives the call that began it.
use super::pool::Server;
use dataflow_sdk::Error;
use deadpool_postgres::Object;
use std::ops::Deref;

/// Limits every wait for a lock, so that its holder can be named; a limit set by the user takes precedence. The limit
/// is shorter than that of the statement, so that a wait is not mistaken for slow rows.
const PATIENCE: &str = "select set_config('lock_timeout', ceil(1000 * extract(epoch from least( \
    coalesce(nullif(current_setting('lock_timeout'), '0')::interval, '30s'), \
    nullif(current_setting('statement_timeout'), '0')::interval / 2)))::text, true)";

/// A transaction on a connection of its own. Dropping it before its end closes the connection: the server rolls back,
/// and the pool never hands out a connection with an open transaction.
pub(super) struct Transaction {
    client: Option<Object>,
}

impl Transaction {
    /// Begins a transaction, followed at once by the statements `more`.
    pub(super) async fn begin(server: &Server, more: &str) -> Result<Self, Error> {
        let transaction = Self { client: Some(server.connection().await?) };
        let began = transaction.batch_execute(&format!("begin; {PATIENCE}{more}")).await;
        began.map_err(|error| server.failed("begin a transaction in", &error))?;
        Ok(transaction)
    }

    /// Commits; everything is durable once this returns.
    pub(super) async fn commit(self) -> Result<(), tokio_postgres::Error> {
        self.end("commit").await
    }

    /// Rolls back.
    pub(super) async fn roll_back(self) -> Result<(), tokio_postgres::Error> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &str) -> Result<(), tokio_postgres::Error> {
        self.batch_execute(how).await?;
        // Only now the connection may return to the pool.
        drop(self.client.take());
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.client.as_ref().unwrap_or_else(|| unreachable!("it has a connection until it ends"))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}
