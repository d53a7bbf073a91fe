//! A lane: a fixed set of source partitions with its own order of commits. Three stages run beside each other: read,
//! transform, commit; bounded channels between them, and a bound on the bytes in flight over all.
use super::{
    commit::Committer,
    failure::Failure,
    in_flight::Budget,
    plan::Partitions,
    source::{Ended, ReadStage, read},
    transform::{Binding, transform},
};
use crate::{parts::Compute, status::RunStatus};
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::source::{Reader, Source};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Batches that wait between two stages.
const DEPTH: usize = 4;

/// What a lane is made of.
pub(crate) struct Lane<'a> {
    pub(crate) number: u32,
    pub(crate) source: &'a dyn Source,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) program: Binding,
    pub(crate) committer: Committer,
    pub(crate) positions: Positions,
    /// The partitions that it has to read, also once [more](Self::partitions) are; none: no plan says, or it is the only lane.
    pub(super) own: Option<BTreeSet<Partition>>,
    pub(super) partitions: Partitions,
    pub(crate) budget: Budget,
    pub(crate) live: Arc<RunStatus>,
    pub(crate) compute: Arc<dyn Compute>,
    /// Ends reading; what was read is committed.
    pub(crate) stop: CancellationToken,
}

impl Lane<'_> {
    /// Runs until the source ends or fails, it is told to stop, or a stage fails. Unless one of the others fails, everything
    /// read is committed and journalled.
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let Self {
            number,
            source,
            reader,
            program,
            committer,
            positions,
            own,
            partitions,
            budget,
            live,
            compute,
            stop,
        } = self;
        let (to_transform, raw) = mpsc::channel(DEPTH);
        let (to_commit, processed) = mpsc::channel(DEPTH);
        let (checkpoints, checkpointed) = watch::channel(Arc::default());
        let out = to_transform;
        let stage =
            ReadStage { lane: number, source, positions, own, partitions, budget, live, stop, checkpointed, out };
        // What was read before the source failed is committed: it may not be there any more when it is opened again.
        let read = async { Ok(read(stage, reader).await) };
        let transform = transform(program, compute, raw, to_commit);
        let commit = committer.run(processed, checkpoints);
        // The commit stage ends when the transform stage drops its end, and that when reading ends. Whichever of these
        // two fails first ends all three.
        let (ended, (), ()) = tokio::try_join!(read, transform, commit)?;
        ended
    }
}
