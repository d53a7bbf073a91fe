//! A database of a test's own.
use std::{net::TcpStream, ops::Deref};
use tokio_postgres::{Client, NoTls};

const ADDRESS: &str = "127.0.0.1:5432";

pub(crate) struct Database {
    name: String,
    client: Client,
}

impl Database {
    /// With what these statements make. None if there is no server, and none is required.
    pub(crate) async fn fresh(name: &str, statements: &str) -> Option<Self> {
        if TcpStream::connect(ADDRESS).is_err() {
            let required = std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!required, "no PostgreSQL at {ADDRESS}: start it with dev/services/services.sh up postgres");
            println!("skipped: no PostgreSQL at {ADDRESS}");
            return None;
        }
        let name = format!("dataflow_jdbc_{name}");
        let admin = connect("dataflow").await;
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        admin.batch_execute(&format!("create database {name}")).await.unwrap();
        let database = Self { client: connect(&name).await, name };
        database.run(statements).await;
        Some(database)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://dataflow:dataflow@{ADDRESS}/{}", self.name)
    }

    pub(crate) async fn session(&self) -> Client {
        connect(&self.name).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Removes it; one of a test that failed stays.
    pub(crate) async fn remove(self) {
        drop(self.client);
        let sql = format!("drop database {} with (force)", self.name);
        connect("dataflow").await.batch_execute(&sql).await.unwrap();
    }
}

impl Deref for Database {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

async fn connect(database: &str) -> Client {
    let config = format!("host=127.0.0.1 user=dataflow password=dataflow dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}
