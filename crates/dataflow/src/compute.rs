//! Compute on as many threads as the settings allow.
use async_trait::async_trait;
use dataflow_engine::parts::{Compute, Threads, Work};
use tokio::sync::Semaphore;

/// At most so many pieces of work at once, each on a thread of its own.
#[derive(Debug)]
pub struct Limited {
    free: Semaphore,
}

impl Limited {
    /// At most `threads` at once.
    pub fn to(threads: usize) -> Self {
        Self { free: Semaphore::new(threads.max(1)) }
    }
}

#[async_trait]
impl Compute for Limited {
    async fn run(&self, work: Work) {
        // The semaphore is never closed, so there is always a permit to come.
        let _permit = self.free.acquire().await;
        Threads.run(work).await;
    }
}
