//! Listing chunks page by page.
use crate::{Error, Store};
use dataflow_core::chunk::{ChunkId, Scope};

/// Names of chunks that are listed at once.
pub(crate) const PAGE: usize = 1_000;

/// The names of all chunks of a scope.
pub(crate) async fn all(store: &dyn Store, of: &Scope) -> Result<Vec<ChunkId>, Error> {
    let mut all: Vec<ChunkId> = Vec::new();
    loop {
        let page = store.chunks(of, all.last(), PAGE).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}
