//! Parts of a node that make it deterministic.
use async_trait::async_trait;
use dataflow_core::time::Timestamp;
use dataflow_engine::parts::{Clock, Compute, Work};

/// A clock that starts at a given time and moves with `tokio::time`, paused or not.
#[derive(Debug)]
pub struct TokioClock {
    origin: Timestamp,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `origin` now.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self { origin, started: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.origin.plus_millis(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// Compute at once, where it is asked for: deterministic.
#[derive(Debug, Default)]
pub struct Inline;

#[async_trait]
impl Compute for Inline {
    async fn run(&self, work: Work) {
        work();
    }
}
