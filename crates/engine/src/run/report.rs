//! What a run tells its entity, which answers once it is durable.
use dataflow_core::pipeline::Request;
use tokio::sync::{mpsc, oneshot};

/// A report, and where its answer goes.
pub(crate) struct Report {
    pub(crate) request: Request,
    pub(crate) done: oneshot::Sender<Result<(), Refused>>,
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A run's door to its entity.
#[derive(Clone, Debug)]
pub(crate) struct Reports(mpsc::Sender<Report>);

impl Reports {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (send, receive) = mpsc::channel(16);
        (Self(send), receive)
    }

    /// Tells the entity; comes back once what follows is durable. Refused: the pipeline is no longer this run's.
    pub(crate) async fn send(&self, request: Request) -> Result<(), Refused> {
        let (done, answer) = oneshot::channel();
        self.0.send(Report { request, done }).await.map_err(|_| Refused)?;
        answer.await.unwrap_or(Err(Refused))
    }
}
