//! Work that blocks, off the threads that serve everything else.
use dataflow_sdk::Error;

/// Runs `work` on a thread where it may block.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::fatal("internal", format!("the sink broke off: {error}")).fix("report this; it is a defect of the sink")
    })
}

/// Runs `work` on a thread where it may block, and does not wait for it.
pub(crate) fn aside(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
