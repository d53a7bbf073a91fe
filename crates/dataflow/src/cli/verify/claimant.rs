//! Where claims come from: a node over REST, or a journal that no node has open.
use crate::cli::client::{Client, Request};
use async_trait::async_trait;
use dataflow_api::views;
use dataflow_api_types::{Claims, DeadLetter, DeadLetterPage};
use dataflow_core::id::PipelineId;
use dataflow_engine::claims::Stored;
use dataflow_verify::{Claimant, Error};

/// Dead letters asked for at once.
const PAGE: usize = 1_000;

/// A pipeline of a node.
pub(super) struct Node {
    pub(super) client: Client,
    pub(super) id: String,
}

#[async_trait]
impl Claimant for Node {
    async fn claims(&self) -> Result<Claims, Error> {
        let claims = self.client.send(Request::get(&["pipelines", &self.id, "claims"])).await;
        claims.map_err(|failure| Error::NotNow { message: failure.message, fix: failure.fix })
    }

    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error> {
        let query = [("limit", PAGE.to_string()), ("after", after.to_string())];
        let page = self.client.send(Request::get(&["pipelines", &self.id, "dead-letters"]).query(&query)).await;
        let page: DeadLetterPage = page.map_err(|failure| Error::Claims(failure.message))?;
        Ok(page.items)
    }
}

/// A pipeline of `dataflow run`.
pub(super) struct Journal<'a> {
    pub(super) journal: &'a dataflow_journal::Journal,
    pub(super) id: PipelineId,
}

impl Journal<'_> {
    async fn stored(&self) -> Result<Stored<'_>, Error> {
        Stored::load(self.journal, &self.id).await.map_err(|error| Error::Claims(error.to_string()))
    }
}

#[async_trait]
impl Claimant for Journal<'_> {
    async fn claims(&self) -> Result<Claims, Error> {
        let claims = self.stored().await?.claims().await.map_err(|error| Error::Claims(error.to_string()))?;
        claims
            .map(|claims| views::claims(claims, None))
            .ok_or_else(|| Error::NotNow { message: format!("{} has not run", self.id), fix: None })
    }

    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error> {
        let found = self.stored().await?.dead_letters(after, PAGE).await;
        let found = found.map_err(|error| Error::Claims(error.to_string()))?;
        Ok(found.into_iter().map(views::dead_letter).collect())
    }
}
