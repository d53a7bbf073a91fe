//! A database of a test's own.
use dataflow_mysql::{Session, Target};
use std::net::TcpStream;
use tokio::sync::Mutex;

pub(crate) const ADDRESS: &str = "127.0.0.1:3306";

pub(crate) struct Database {
    name: String,
    session: Mutex<Session>,
}

impl Database {
    /// With what these statements make. None if there is no server, and none is required.
    pub(crate) async fn fresh(name: &str, statements: &str) -> Option<Self> {
        if TcpStream::connect(ADDRESS).is_err() {
            let required = std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!required, "no MariaDB at {ADDRESS}: start it with dev/services/services.sh up mariadb");
            println!("skipped: no MariaDB at {ADDRESS}");
            return None;
        }
        let name = format!("dataflow_jdbc_{name}");
        let mut admin = connect("dataflow").await;
        admin.run("drop", &format!("drop database if exists {name}")).await.unwrap();
        admin.run("create", &format!("create database {name} character set utf8mb4")).await.unwrap();
        let database = Self { session: Mutex::new(connect(&name).await), name };
        database.run(statements).await;
        Some(database)
    }

    pub(crate) fn url(&self) -> String {
        url(&self.name)
    }

    pub(crate) async fn session(&self) -> Session {
        connect(&self.name).await
    }

    /// Runs statements, with a semicolon between them.
    pub(crate) async fn run(&self, statements: &str) {
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            let done = self.session.lock().await.run("run", statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// The rows of a query, in the server's own text.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        self.session.lock().await.rows("ask", query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one value of a query.
    pub(crate) async fn value(&self, query: &str) -> String {
        self.rows(query).await.remove(0).remove(0).unwrap()
    }

    /// Removes it; one of a test that failed stays.
    pub(crate) async fn remove(self) {
        self.run(&format!("drop database {}", self.name)).await;
    }
}

fn url(database: &str) -> String {
    format!("mysql://dataflow:dataflow@{ADDRESS}/{database}")
}

async fn connect(database: &str) -> Session {
    let target: Target = dataflow_mysql::read(&url(database)).unwrap().unwrap();
    Session::connect(&target, None, &Default::default()).await.unwrap()
}
