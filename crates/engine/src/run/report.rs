//! What a run tells its entity, which answers once it is durable; and what it asks.
use dataflow_core::{
    id::Epoch,
    pipeline::{BranchView, CommandKind},
};
use tokio::sync::{mpsc, oneshot};

/// What comes from a run, and where its answer goes.
pub(crate) enum Report {
    /// Something has happened.
    Happened { kind: CommandKind, done: oneshot::Sender<Result<(), Refused>> },
    /// What is known of the pipeline now? Everything that was sent before is dealt with by then.
    Asked(oneshot::Sender<Known>),
}

/// A running branch as of its journal.
pub(crate) struct Known {
    pub(crate) view: BranchView,
    pub(crate) epoch: Epoch,
    /// For lanes that are opened next: greater than all before.
    pub(crate) opening: u64,
    /// Batches that were pushed again since the pipeline is in memory.
    pub(crate) replayed: u64,
}

/// Why a report was not taken, or a question not answered: the pipeline is no longer the run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(String);

impl Refused {
    pub(crate) fn because(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }

    /// Who would have answered has ended.
    fn ended() -> Self {
        Self("the pipeline does not run any more".into())
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run's door to its entity.
#[derive(Clone, Debug)]
pub(crate) struct Reports(mpsc::Sender<Report>);

impl Reports {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (send, receive) = mpsc::channel(16);
        (Self(send), receive)
    }

    /// Tells the entity; comes back once what follows is durable.
    pub(crate) async fn send(&self, kind: CommandKind) -> Result<(), Refused> {
        let (done, answer) = oneshot::channel();
        self.0.send(Report::Happened { kind, done }).await.map_err(|_| Refused::ended())?;
        answer.await.unwrap_or(Err(Refused::ended()))
    }

    /// Asks what is known of the pipeline, all that was sent before included.
    pub(crate) async fn known(&self) -> Result<Known, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Report::Asked(reply)).await.map_err(|_| Refused::ended())?;
        answer.await.map_err(|_| Refused::ended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Failure;
    use dataflow_core::{id::RunId, pipeline::Rejected};

    #[tokio::test]
    async fn a_run_that_is_refused_ends_with_the_reason() {
        let (reports, mut entity) = Reports::channel();
        let kind = CommandKind::ReportProgress { run: RunId(1), lanes: Vec::new(), reserved_versions: None };
        let refuses = async {
            let Some(Report::Happened { done, .. }) = entity.recv().await else { panic!("nothing came") };
            done.send(Err(Refused::because(Rejected::StaleRun))).expect("the run waits");
        };
        let (sent, ()) = tokio::join!(reports.send(kind), refuses);
        let Err(Failure::Over(refused)) = sent.map_err(Failure::from) else { panic!("it was taken") };
        assert_eq!(refused.to_string(), Rejected::StaleRun.to_string());
    }
}
