//! What a run tells its entity, which answers once it is durable; and what it asks.
use dataflow_core::{
    id::Epoch,
    pipeline::{CommandKind, Pipeline},
};
use tokio::sync::{mpsc, oneshot};

/// What comes from a run, and where its answer goes.
pub(crate) enum Report {
    /// Something has happened.
    Happened { kind: CommandKind, done: oneshot::Sender<Result<(), Refused>> },
    /// What is known of the pipeline now? Everything that was sent before is dealt with by then.
    Asked(oneshot::Sender<Known>),
}

/// A running pipeline as of its journal.
pub(crate) struct Known {
    pub(crate) pipeline: Pipeline,
    pub(crate) epoch: Epoch,
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
    pub(crate) async fn send(&self, kind: CommandKind) -> Result<(), Refused> {
        let (done, answer) = oneshot::channel();
        self.0.send(Report::Happened { kind, done }).await.map_err(|_| Refused)?;
        answer.await.unwrap_or(Err(Refused))
    }

    /// Asks what is known of the pipeline, all that was sent before included. Refused: it does not run any more.
    pub(crate) async fn known(&self) -> Result<Known, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Report::Asked(reply)).await.map_err(|_| Refused)?;
        answer.await.map_err(|_| Refused)
    }
}
