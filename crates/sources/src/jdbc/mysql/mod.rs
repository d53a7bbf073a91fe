//! Reading from MySQL and MariaDB.
mod choice;
mod definition;
mod origin;
mod running;
mod safe;
mod session;
mod state;
mod statement;
mod types;

use super::{
    JdbcSource,
    database::{Database, Purpose, Session},
};
use async_trait::async_trait;
use dataflow_mysql::{Flavour, Session as Connected, Target};
use dataflow_sdk::{Context, Error, Problem};

/// How its URLs look.
pub(super) const FORM: &str =
    "mysql://user:password@host:3306/database, mariadb://…, jdbc:mysql://… or jdbc:mariadb://…";

/// A database of MySQL or MariaDB, by its URL.
pub(super) struct Mysql(Target);

impl Mysql {
    /// That of a URL; none: it is one of another database.
    pub(super) fn of_url(url: &str) -> Option<Result<Self, Problem>> {
        Some(dataflow_mysql::read(url)?.map(Self))
    }
}

#[async_trait]
impl Database for Mysql {
    fn check(&self, source: &JdbcSource) -> Vec<Problem> {
        let mut problems = dataflow_mysql::check(&self.0, source.tls.as_ref());
        if let Some(table) = source.table.as_ref().filter(|table| table.matches('.').count() > 1) {
            let message = format!("{table:?} has more parts than database and name");
            problems.push(Problem::new("table", "invalid-value", message).fix("write database.table, or table"));
        }
        problems
    }

    /// No sink writes to such a database.
    fn spellings(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    async fn connect(&self, source: &JdbcSource, cx: &Context, purpose: Purpose) -> Result<Box<dyn Session>, Error> {
        let mut connected = Connected::connect(&self.0, source.tls.as_ref(), &cx.paths).await?;
        for statement in pinned(connected.flavour()) {
            connected.run("prepare a session of", statement).await?;
        }
        Ok(Box::new(session::MysqlSession::open(source, connected, &self.0.database, purpose).await?))
    }
}

/// What makes the server's texts mean the same, and statements do no more than read, whatever user, server or url say.
fn pinned(flavour: Flavour) -> impl Iterator<Item = &'static str> {
    let common = [
        "set names utf8mb4",
        "set session sql_mode = 'NO_ENGINE_SUBSTITUTION'",
        "set session transaction isolation level read committed, read only",
        "set session time_zone = '+00:00', autocommit = 1, sql_select_limit = default, lock_wait_timeout = 10, \
           wait_timeout = 2147483, group_concat_max_len = 16777216",
    ];
    // Whoever waits for a row while others are locked can be part of a deadlock, which another transaction may have to pay for: so a statement
    // that meets a locked row ends, and is tried again. MySQL knows no wait shorter than a second.
    let own = match flavour {
        Flavour::MariaDb => "set session innodb_lock_wait_timeout = 0",
        Flavour::MySql => "set session innodb_lock_wait_timeout = 1, information_schema_stats_expiry = 0",
    };
    common.into_iter().chain([own])
}
