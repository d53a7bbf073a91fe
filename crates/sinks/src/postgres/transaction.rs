//! A transaction that outlives the call that began it.
use super::pool::Server;
use dataflow_sdk::Error;
use deadpool_postgres::Object;
use std::ops::Deref;

/// No lock is waited for without end, so that it can be said who holds it; where the user has set a limit, that counts. A
/// wait for a lock ends before its statement has to, so that it is not taken for rows that take too long.
const PATIENCE: &str = "select set_config('lock_timeout', ceil(1000 * extract(epoch from least( \
    coalesce(nullif(current_setting('lock_timeout'), '0')::interval, '30s'), \
    nullif(current_setting('statement_timeout'), '0')::interval / 2)))::text, true)";

/// A transaction on a connection of its own. Dropped before its end, it takes the connection with it: the server rolls
/// back, and nobody gets a connection from the pool on which something is still open.
pub(super) struct Transaction {
    client: Option<Object>,
}

impl Transaction {
    /// Begins one; `more` statements follow at once.
    pub(super) async fn begin(server: &Server, more: &str) -> Result<Self, Error> {
        let transaction = Self { client: Some(server.connection().await?) };
        let began = transaction.batch_execute(&format!("begin; {PATIENCE}{more}")).await;
        began.map_err(|error| server.failed("begin a transaction in", &error))?;
        Ok(transaction)
    }

    /// All of it is durable once this returns.
    pub(super) async fn commit(self) -> Result<(), tokio_postgres::Error> {
        self.end("commit").await
    }

    /// As if it had never been.
    pub(super) async fn roll_back(self) -> Result<(), tokio_postgres::Error> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &str) -> Result<(), tokio_postgres::Error> {
        self.batch_execute(how).await?;
        // Only now the connection may go back.
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
