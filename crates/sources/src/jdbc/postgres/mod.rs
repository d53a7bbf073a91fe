//! Reading from PostgreSQL.
mod array;
mod catalogue;
mod cursor;
mod definition;
mod durable;
mod horizon;
mod safe;
mod session;
mod types;
mod url;

use super::{
    JdbcSource,
    database::{Database, Purpose, Session},
};
use async_trait::async_trait;
use dataflow_postgres::pool;
use dataflow_sdk::{Context, Error, Problem};

/// How its URLs look.
pub(super) const FORM: &str =
    "postgres://user:password@host:5432/database or jdbc:postgresql://host:5432/database?user=…";

/// A database of PostgreSQL, by its URL.
pub(super) struct Postgres(String);

impl Postgres {
    /// That of a URL; none: it is one of another database.
    pub(super) fn of_url(url: &str, of_jdbc: bool) -> Option<Result<Self, Problem>> {
        Some(url::read(url, of_jdbc)?.map(Self))
    }
}

#[async_trait]
impl Database for Postgres {
    fn check(&self, source: &JdbcSource) -> Vec<Problem> {
        let mut problems = pool::check(&self.0, source.tls.as_ref());
        if let Some(table) = source.table.as_ref().filter(|table| table.matches('.').count() > 1) {
            let message = format!("{table:?} has more parts than schema and name");
            let problem = Problem::new("table", "invalid-value", message);
            problems.push(problem.fix("write schema.table; the database is part of the url"));
        }
        problems
    }

    fn spellings(&self, table: &str) -> Vec<String> {
        let of_database = |table: &str| pool::table(&self.0, table);
        match table.split_once('.') {
            Some(("public", name)) => vec![of_database(table), of_database(name)],
            Some(_) => vec![of_database(table)],
            None => vec![of_database(table), of_database(&format!("public.{table}"))],
        }
    }

    async fn connect(&self, source: &JdbcSource, cx: &Context, purpose: Purpose) -> Result<Box<dyn Session>, Error> {
        let mut session = pool::alone(&self.0, source.tls.as_ref(), &cx.paths)?.session().await?;
        session.run("prepare a session of", &pinned()).await?;
        Ok(Box::new(session::PostgresSession::open(source, session, purpose).await?))
    }
}

/// What makes the server's texts mean the same whatever role, database or url say.
fn pinned() -> String {
    format!(
        "set application_name = '{}'; set default_transaction_read_only = on; set datestyle = 'ISO, YMD'; \
         set intervalstyle = postgres; set timezone = 'UTC'; set bytea_output = hex; set extra_float_digits = 1; \
         set standard_conforming_strings = on; set xmlbinary = base64; set idle_in_transaction_session_timeout = 0",
        horizon::READER
    )
}
