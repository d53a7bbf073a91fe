//! The records pushed to a pipeline over REST, as its `http` source reads them.
use crate::Error;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// A pushed batch.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
    /// What tells all that was received up to its end apart from anything else.
    pub digest: Arc<str>,
    /// When it was received, milliseconds since the Unix epoch.
    pub at: i64,
    /// The body of the request as it came: `{batchId, records: [{id?, data, metadata?}]}`.
    pub body: Bytes,
}

/// The records pushed to one pipeline.
#[async_trait]
pub trait Inbox: Send + Sync + std::fmt::Debug {
    /// The batch that holds record number `from` (counted from 0); waits until there is one. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Transient`] if the journal can't be read, [`Error::Fatal`] if the records are gone.
    async fn next(&self, from: u64) -> Result<Pushed, Error>;
    /// Number of the first record that is still kept.
    ///
    /// # Errors
    /// If it can't be told.
    async fn first(&self) -> Result<u64, Error> {
        Ok(0)
    }
    /// Number of records received so far.
    async fn received(&self) -> Result<u64, Error>;
}
