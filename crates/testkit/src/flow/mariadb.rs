//! A MariaDB database for one flow.
use dataflow_mysql::Session;
use std::path::PathBuf;

const SERVER: &str = "127.0.0.1:3306";

/// A database. It is kept until the next flow with its name.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    /// A file with the password: a spec may only refer to one.
    password: PathBuf,
}

impl Database {
    /// An empty one.
    pub(super) async fn fresh(name: &str, password: PathBuf) -> Self {
        if let Some(folder) = password.parent() {
            std::fs::create_dir_all(folder).expect("the folder of secrets can be made");
        }
        std::fs::write(&password, "dataflow").expect("the password can be written");
        let mut admin = connect("dataflow").await;
        for statement in [format!("drop database if exists {name}"), format!("create database {name}")] {
            admin.run("prepare", &statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        Self { name: name.into(), password }
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("mariadb://dataflow:${{file:{}}}@{SERVER}/{}", self.password.display(), self.name)
    }

    /// Runs statements, with a semicolon between them, in one transaction. Names stand in double quotes.
    pub(super) async fn execute(&self, statements: &str) {
        let mut session = connect(&self.name).await;
        for statement in
            ["set sql_mode = ansi_quotes, autocommit = 0"].into_iter().chain(statements.split(';')).chain(["commit"])
        {
            if !statement.trim().is_empty() {
                session.run("fill", statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
        }
    }
}

async fn connect(database: &str) -> Session {
    let url = format!("mysql://dataflow:dataflow@{SERVER}/{database}");
    let target = dataflow_mysql::read(&url).and_then(Result::ok).expect("it is a URL");
    Session::connect(&target, None, &dataflow_sdk::Paths::default()).await.unwrap_or_else(|error| panic!("{error}"))
}
