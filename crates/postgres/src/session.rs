//! A session of its own: its connection works while somebody waits for an answer, so it needs no task.
use crate::failure;
use dataflow_sdk::Error;
use std::{fmt, future::Future, pin::Pin, sync::Arc};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow, Statement};

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A session. After any error, and after a call that nobody waited for, it is of no use any more.
pub struct Session {
    server: Arc<str>,
    client: Client,
    connection: Connection,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(server: Arc<str>, client: Client, connection: Connection) -> Self {
        Self { server, client, connection }
    }

    /// `host:port/database`, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Runs statements without results. `doing` is what failed if they do.
    ///
    /// # Errors
    /// If the server refuses, or does not answer.
    pub async fn run(&mut self, doing: &str, statements: &str) -> Result<(), Error> {
        let work = self.client.batch_execute(statements);
        answered(&mut self.connection, &self.server, doing, work).await
    }

    /// The rows of a query, each value in the server's own text.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rows(&mut self, doing: &str, query: &str) -> Result<Vec<SimpleQueryRow>, Error> {
        let work = self.client.simple_query(query);
        let messages = answered(&mut self.connection, &self.server, doing, work).await?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Has the server read a single statement, which tells its columns.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn prepare(&mut self, doing: &str, statement: &str) -> Result<Statement, Error> {
        let work = self.client.prepare(statement);
        answered(&mut self.connection, &self.server, doing, work).await
    }
}

async fn answered<T>(
    connection: &mut Connection,
    server: &str,
    doing: &str,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = work => answer.map_err(|error| failure::classify(doing, server, &error)),
        ended = connection => Err(match ended {
            Err(error) => failure::classify(doing, server, &error),
            Ok(()) => failure::unreachable(format!("can't {doing} PostgreSQL at {server}: the connection was closed")),
        }),
    }
}
