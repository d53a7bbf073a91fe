//! A PostgreSQL database for one flow.
use super::Row;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio_postgres::{Client, NoTls};

/// Databases of flows, by name: dropping this drops them, however their user ends.
#[derive(Debug)]
pub(crate) struct Databases(pub(crate) Vec<String>);

impl Drop for Databases {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        // The thread that drops this may itself run a runtime, which can't block.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let dropping = async {
                    let admin = connect("dataflow").await;
                    for name in &self.0 {
                        if let Err(error) =
                            admin.batch_execute(&format!("drop database if exists {name} with (force)")).await
                        {
                            eprintln!("database {name} stays: {error:?}");
                        }
                    }
                };
                runtime.expect("a runtime can be made").block_on(dropping);
            });
        });
    }
}

/// An empty database. It is kept until the next flow with its name.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    /// A file with the password: a spec may only refer to one.
    password: PathBuf,
}

impl Database {
    pub(super) async fn fresh(name: &str, password: PathBuf) -> Self {
        let admin = connect("dataflow").await;
        let there = admin.query_opt("select 1 from pg_database where datname = $1", &[&name]).await;
        if let Some(folder) = password.parent() {
            std::fs::create_dir_all(folder).expect("the folder of secrets can be made");
        }
        std::fs::write(&password, "dataflow").expect("the password can be written");
        let database = Self { name: name.into(), password };
        if there.expect("the server answers").is_none() {
            let create = format!("create database {name}");
            admin.batch_execute(&create).await.unwrap_or_else(|error| panic!("{create}: {error:?}"));
            return database;
        }
        // Emptying a database is much cheaper than recreating it. Sessions left by an earlier flow have to end first.
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        admin.query(end, &[&name]).await.expect("sessions of earlier flows can be ended");
        database.quiet().await;
        database.execute("drop schema public cascade; create schema public").await;
        database
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("postgres://dataflow:${{file:{}}}@127.0.0.1:5432/{}", self.password.display(), self.name)
    }

    pub(super) async fn execute(&self, sql: &str) {
        connect(&self.name).await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Waits until the server has noticed the death of a killed node: until then it may still carry out a commit.
    pub(super) async fn quiet(&self) {
        let client = connect(&self.name).await;
        let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
                      and backend_type = 'client backend'";
        for _ in 0..2_000 {
            if client.query_one(others, &[]).await.expect("the server answers").get::<_, i64>(0) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the sessions of a killed node are still open");
    }

    /// The number of the last commit of each lane that has one.
    pub(super) async fn tokens(&self, pipeline: &str) -> BTreeMap<u32, u64> {
        let client = connect(&self.name).await;
        let there = client.query_one("select to_regclass('dataflow_tokens') is not null", &[]).await;
        if !there.expect("the server answers").get::<_, bool>(0) {
            return BTreeMap::new();
        }
        let sql = "select lane, sequence from dataflow_tokens where pipeline = $1 and sequence > 0";
        let rows = client.query(sql, &[&pipeline]).await.expect("the tokens can be read");
        rows.iter()
            .map(|row| {
                let (lane, sequence): (i32, i64) = (row.get(0), row.get(1));
                (u32::try_from(lane).expect("a lane"), u64::try_from(sequence).expect("a commit's number"))
            })
            .collect()
    }

    pub(super) async fn rows(&self) -> Vec<Row> {
        let sql = "select id, \"group\", total, share, extra from rows";
        let rows = connect(&self.name).await.query(sql, &[]).await.expect("the rows can be read");
        rows.iter()
            .map(|row| Row {
                id: row.get(0),
                group: row.get(1),
                total: row.get(2),
                share: row.get(3),
                extra: row.get(4),
            })
            .collect()
    }
}

async fn connect(database: &str) -> Client {
    let config = format!("host=127.0.0.1 user=dataflow password=dataflow dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("PostgreSQL answers");
    #[expect(clippy::disallowed_methods, reason = "the connection ends with its client")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("the connection to PostgreSQL broke: {error}");
        }
    });
    client
}

#[cfg(test)]
mod tests {
    use super::{Database, Databases, connect};
    use futures::FutureExt;
    use std::panic::AssertUnwindSafe;

    #[tokio::test]
    async fn databases_go_also_after_a_failure() {
        if !crate::servers::are_up() {
            return;
        }
        let name = format!("dataflow_kill_test_{}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        let fails = async {
            let _all = Databases(vec![name.clone()]);
            let database = Database::fresh(&name, folder.join("password")).await;
            database.execute("create table t (id int)").await;
            let _open = connect(&name).await;
            panic!("the trial failed");
        };
        assert!(AssertUnwindSafe(fails).catch_unwind().await.is_err());
        std::fs::remove_dir_all(&folder).unwrap();
        let left = connect("dataflow").await.query("select 1 from pg_database where datname = $1", &[&name]).await;
        assert!(left.unwrap().is_empty());
    }
}
