//! Where claims come from: a node over REST, or a journal that no node has open.
use crate::cli::{
    client::{Client, Request},
    exit::Failure,
    stored,
};
use async_trait::async_trait;
use dataflow_api::views;
use dataflow_api_types::{Claims, DeadLetter, DeadLetterPage};
use dataflow_core::id::PipelineId;
use dataflow_engine::claims::{self, Stored, StoredBranch};
use dataflow_verify::{Claimant, Error};

/// Dead letters asked for at once.
const PAGE: usize = 1_000;

/// A pipeline of a node.
pub(super) struct Node {
    pub(super) client: Client,
    pub(super) id: String,
    pub(super) sink: Option<String>,
}

impl Node {
    /// The names of its sinks, if there are several.
    pub(super) async fn sinks(&self) -> Result<Vec<String>, Failure> {
        Ok(self.client.pipeline(&self.id).await?.sinks.into_iter().map(|sink| sink.name).collect())
    }

    fn of_sink(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.sink.clone().map(|sink| ("sink", sink)).into_iter()
    }
}

#[async_trait]
impl Claimant for Node {
    async fn claims(&self) -> Result<Claims, Error> {
        let query: Vec<_> = self.of_sink().collect();
        let claims = self.client.send(Request::get(&["pipelines", &self.id, "claims"]).query(&query)).await;
        claims.map_err(|failure| Error::NotNow { message: failure.message, fix: failure.fix })
    }

    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error> {
        let query = [("limit", PAGE.to_string()), ("after", after.to_string())];
        let query: Vec<_> = query.into_iter().chain(self.of_sink()).collect();
        let page = self.client.send(Request::get(&["pipelines", &self.id, "dead-letters"]).query(&query)).await;
        let page: DeadLetterPage = page.map_err(|failure| Error::Claims(failure.message))?;
        Ok(page.items)
    }
}

/// A pipeline of `dataflow run`.
pub(super) struct Journal<'a> {
    pub(super) journal: &'a dataflow_journal::Journal,
    pub(super) id: PipelineId,
    pub(super) sink: Option<String>,
}

impl Journal<'_> {
    async fn stored(&self) -> Result<Stored<'_>, Error> {
        let stored = Stored::load(self.journal, &self.id).await.map_err(|error| Error::Claims(error.to_string()))?;
        match stored.branches().is_empty() {
            true => Err(Error::NotNow { message: format!("{} has not run", self.id), fix: None }),
            false => Ok(stored),
        }
    }

    /// The names of its sinks, if there are several.
    pub(super) async fn sinks(&self) -> Result<Vec<String>, Error> {
        let stored = self.stored().await?;
        Ok(stored.branches().iter().filter_map(|branch| branch.sink()).map(ToString::to_string).collect())
    }

    fn branch<'a>(&self, stored: &'a Stored<'_>) -> Result<StoredBranch<'a>, Error> {
        let no = |failure: Failure| Error::NotNow { message: failure.message, fix: failure.fix };
        stored::branch(stored, self.sink.as_deref()).map_err(no)
    }
}

#[async_trait]
impl Claimant for Journal<'_> {
    async fn claims(&self) -> Result<Claims, Error> {
        let stored = self.stored().await?;
        let claims = self.branch(&stored)?.claims().await.map_err(|error| Error::Claims(error.to_string()))?;
        Ok(views::claims(claims, None))
    }

    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error> {
        let stored = self.stored().await?;
        let found = claims::dead_letters(&[self.branch(&stored)?], &after.into(), (false, PAGE)).await;
        let found = found.map_err(|error| Error::Claims(error.to_string()))?;
        Ok(found.letters.into_iter().map(views::dead_letter).collect())
    }
}
