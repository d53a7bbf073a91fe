//! Records on their way through a lane, and the bound on their bytes over all lanes of a run.
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Records on their way, and their share of the bytes in flight.
pub(crate) struct InFlight<T> {
    pub(crate) load: T,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The bytes in flight of a run, over all lanes.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    most: u32,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let most = u32::try_from(bytes).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS.try_into().unwrap_or(u32::MAX));
        Self { bytes: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Waits until so many bytes may be taken; a load larger than all waits until it is alone.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.most);
        self.bytes.clone().acquire_many_owned(bytes).await.ok()
    }
}
