//! Reading from SQLite.
mod clock;
mod definition;
mod failure;
mod file;
mod origin;
mod safe;
mod session;
mod statement;
mod url;
mod values;

use super::{
    JdbcSource,
    database::{Database, Purpose, Session},
};
use async_trait::async_trait;
use dataflow_sdk::{Context, Error, Problem};
use std::path::PathBuf;

/// How its URLs look.
pub(super) const FORM: &str = "sqlite:/data/shop.db or jdbc:sqlite:/data/shop.db";

/// A SQLite file.
pub(super) struct Sqlite(PathBuf);

impl Sqlite {
    /// That of a URL; none: it is one of another database.
    pub(super) fn of_url(url: &str) -> Option<Result<Self, Problem>> {
        Some(url::read(url)?.map(Self))
    }
}

#[async_trait]
impl Database for Sqlite {
    fn check(&self, source: &JdbcSource) -> Vec<Problem> {
        let tls = source.tls.iter().map(|_| {
            let problem = Problem::new("tls", "contradiction", "is not used for a file");
            problem.fix("leave it out, or read from a server")
        });
        tls.collect()
    }

    fn spellings(&self, table: &str) -> Vec<String> {
        let path = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        vec![format!("table {} of {}", table.to_ascii_lowercase(), path.display())]
    }

    async fn connect(&self, source: &JdbcSource, cx: &Context, purpose: Purpose) -> Result<Box<dyn Session>, Error> {
        let (path, paths, source) = (self.0.clone(), cx.paths.clone(), source.clone());
        Ok(Box::new(session::SqliteSession::open(path, paths, source, purpose).await?))
    }
}
