//! Work that blocks, off the threads that serve everything else.
use dataflow_sdk::Error;

/// Runs `work` of a source on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    source: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::fatal("internal", format!("the {source} source failed: {panic}"))))
}
