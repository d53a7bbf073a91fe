//! The first stage of a lane: takes batches from the source, and checks that each goes on where the last one ended.
use super::{
    failure::Failure,
    in_flight::{Budget, InFlight},
    plan::Partitions,
};
use crate::status::RunStatus;
use dataflow_core::{
    pipeline::event::Cause,
    position::{Partition, Positions},
};
use dataflow_sdk::{
    records::Records,
    source::{Read, Reader, Source},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How often the lag of an idle source is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for a reader to close: nothing depends on it.
const CLOSING: Duration = Duration::from_secs(5);

/// How a lane has ended; the further down, the less settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There will never be more.
    Source,
    /// It was told to.
    Stopped,
    /// It was told to, and this is why what the sink has is not known.
    Unsettled(Cause),
}

impl Ended {
    /// It was told to before source and sink were open.
    pub(crate) fn unopened(live: &RunStatus) -> Self {
        Self::Unsettled(live.unsettled("not-opened", "it was stopped before source and sink were open"))
    }

    /// A run is as settled as the least settled of its lanes.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (unsettled @ Self::Unsettled(_), _) | (_, unsettled @ Self::Unsettled(_)) => unsettled,
            (Self::Source, Self::Source) => Self::Source,
            (Self::Stopped | Self::Source, Self::Stopped | Self::Source) => Self::Stopped,
        }
    }
}

/// The stage that reads.
pub(crate) struct ReadStage<'a> {
    pub(crate) lane: u32,
    pub(crate) source: &'a dyn Source,
    pub(crate) positions: Positions,
    pub(super) own: Option<BTreeSet<Partition>>,
    pub(super) partitions: Partitions,
    pub(crate) budget: Budget,
    pub(crate) live: Arc<RunStatus>,
    pub(crate) stop: CancellationToken,
    pub(crate) checkpointed: watch::Receiver<Arc<Positions>>,
    pub(crate) out: mpsc::Sender<InFlight<Records>>,
}

/// Reads until the source ends or fails, or it is told to stop, and closes the reader.
pub(crate) async fn read(stage: ReadStage<'_>, mut reader: Box<dyn Reader>) -> Result<Ended, Failure> {
    // The stages behind learn that it has ended while the reader is closed.
    let ended = read_all(stage, &mut *reader).await;
    if tokio::time::timeout(CLOSING, reader.close()).await.is_err() {
        tracing::debug!("a reader takes long to close; its run goes on without it");
    }
    ended
}

async fn read_all(stage: ReadStage<'_>, reader: &mut dyn Reader) -> Result<Ended, Failure> {
    let ReadStage { lane, source, mut positions, mut own, partitions, budget, live, stop, mut checkpointed, out } =
        stage;
    let Partitions { appeared, mut assigned } = partitions;
    let mut look = tokio::time::interval(LOOK);
    loop {
        // A read is cancel-safe: nothing is lost if something else comes first.
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            Ok(()) = checkpointed.changed() => {
                reader.checkpointed(&checkpointed.borrow_and_update());
                continue;
            }
            Ok(()) = assigned.changed() => {
                let mut planned = assigned.borrow_and_update().clone();
                if let Some(own) = &mut own {
                    own.extend(planned.keys().cloned());
                }
                planned.retain(|partition, _| !positions.contains_key(partition));
                positions.extend(planned.clone());
                reader.assign(planned);
                continue;
            }
            _ = look.tick() => {
                let found = reader.appeared();
                if !found.is_empty() && appeared.send(found).await.is_err() {
                    return Ok(Ended::Stopped); // the planner has failed and says why
                }
                live.lags(lane, |live| {
                    let uncommitted = if live.in_flight == 0 { 0 } else { between(source, &live.positions, &positions) };
                    Some(reader.lag()? + uncommitted)
                });
                live.warn(reader.warnings());
                continue;
            }
            read = reader.read() => read,
        };
        live.warn(reader.warnings());
        let Read::Records(records) = read.map_err(|error| Failure::of("source", error))? else {
            return Ok(Ended::Source);
        };
        is_own(lane, own.as_ref(), &records)?;
        continues(&positions, &records)?;
        positions.extend(records.beside.clone());
        positions.insert(records.partition.clone(), records.to.clone());
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(Ended::Stopped),
            permit = budget.take(records.weight()) => permit,
        };
        let Some(permit) = permit else { return Ok(Ended::Stopped) };
        let read = records.len() as u64 + records.lost.as_ref().map_or(0, |lost| lost.records);
        live.lane(lane, |live| live.in_flight += read);
        if out.send(InFlight { load: records, permit }).await.is_err() {
            return Ok(Ended::Stopped); // the stage behind has failed and says why
        }
    }
}

/// What lies between the positions of the last commit and those that were read, where that can be told.
fn between(source: &dyn Source, committed: &Positions, read: &Positions) -> u64 {
    let moved = read.iter().filter(|(partition, at)| committed.get(*partition) != Some(*at));
    moved.filter_map(|(partition, at)| source.between(committed.get(partition), at)).sum()
}

/// What another lane has to read would be delivered twice.
fn is_own(lane: u32, own: Option<&BTreeSet<Partition>>, records: &Records) -> Result<(), Failure> {
    match own {
        Some(own) if !own.contains(&records.partition) => Err(Failure::decide(
            "other-lane",
            "source",
            format!("the source gave lane {lane} records of {}, which another lane has to read", records.partition),
            "this is a bug in the source; nothing was doubled: the checkpoint is unchanged",
        )),
        _ => Ok(()),
    }
}

/// Progress is an interval, and counts only if it goes on where the last one ended.
fn continues(positions: &Positions, records: &Records) -> Result<(), Failure> {
    match positions.get(&records.partition) {
        Some(at) if at.at != records.from.at => Err(Failure::decide(
            "position-gap",
            "source",
            format!("the source continued at {} of {}, not at {at}", records.from, records.partition),
            "this is a bug in the source; nothing was lost: the checkpoint is unchanged",
        )),
        _ => Ok(()),
    }
}
