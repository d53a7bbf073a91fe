//! The partition plan while a run lasts: partitions that appear are journalled before a lane reads them.
use super::{
    failure::Failure,
    patience::wait_for,
    report::{Known, Reports},
};
use crate::{parts::Clock, status::RunStatus};
use dataflow_core::{
    id::RunId,
    pipeline::{CommandKind, Pipeline, Plan},
    position::{Partition, Position, Positions},
};
use dataflow_sdk::{Context, source::Source};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc, watch};

/// Partitions of a source in its order, and where each begins.
pub(super) type Found = Vec<(Partition, Position)>;

/// Gives partitions to lanes.
pub(super) struct Planner {
    run: RunId,
    reports: Reports,
    live: Arc<RunStatus>,
    clock: Arc<dyn Clock>,
    plan: Plan,
    appeared: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    lanes: BTreeMap<u32, watch::Sender<Positions>>,
}

/// A lane's end of the planner; each opening of the lane has a copy.
#[derive(Clone)]
pub(super) struct Partitions {
    /// Takes what the lane's reader has found.
    pub(super) appeared: mpsc::Sender<Found>,
    /// What has appeared and is the lane's to read, too.
    pub(super) assigned: watch::Receiver<Positions>,
}

impl Planner {
    /// The plan, made if there is none yet, and the pipeline that has it.
    pub(super) async fn open(
        run: RunId,
        source: &dyn Source,
        cx: &Context,
        (reports, live, clock): (Reports, Arc<RunStatus>, Arc<dyn Clock>),
    ) -> Result<(Self, Pipeline), Failure> {
        let Known { mut pipeline, .. } = reports.known().await.map_err(|_| Failure::Over)?;
        let mut planner =
            Self { run, reports, live, clock, plan: Plan::new(), appeared: mpsc::channel(1), lanes: BTreeMap::new() };
        if pipeline.progress.plan.is_empty() {
            let known = pipeline.progress.positions();
            let found = source.plan(cx, &known).await.map_err(|error| Failure::of("source", error))?;
            if !found.is_empty() {
                pipeline = planner.report(found).await?;
            }
        }
        planner.plan.clone_from(&pipeline.progress.plan);
        Ok((planner, pipeline))
    }

    /// Plans where partitions begin once more, as long as no lane is open.
    pub(super) async fn plan_again(&mut self, found: Found) -> Result<(), Failure> {
        self.plan = self.report(found).await?.progress.plan;
        Ok(())
    }

    /// Takes charge of what a lane finds.
    pub(super) fn lane(&mut self, lane: u32) -> Partitions {
        let (give, assigned) = watch::channel(Positions::new());
        self.lanes.insert(lane, give);
        Partitions { appeared: self.appeared.0.clone(), assigned }
    }

    /// Plans what appears until no lane reads any more.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        self.appeared.0 = mpsc::channel(1).0; // those of the lanes are left
        while let Some(found) = self.appeared.1.recv().await {
            if found.iter().all(|(partition, _)| self.plan.contains_key(partition)) {
                continue;
            }
            let progress = self.report(found).await?.progress;
            for (partition, lane) in progress.plan.iter().filter(|(partition, _)| !self.plan.contains_key(*partition)) {
                if let (Some(begin), Some(lane)) = (progress.position(&partition.0), self.lanes.get(lane)) {
                    lane.send_modify(|all| _ = all.insert(partition.clone(), begin.clone()));
                }
            }
            self.plan = progress.plan;
        }
        Ok(())
    }

    /// The pipeline once what was found is planned.
    async fn report(&self, found: Found) -> Result<Pipeline, Failure> {
        let sending = self.reports.send(CommandKind::ReportPartitions { run: self.run, found });
        let sent = wait_for("journal", "an event", &self.live, &*self.clock, sending).await;
        sent.map_err(|_| Failure::Over)?;
        self.reports.known().await.map(|known| known.pipeline).map_err(|_| Failure::Over)
    }
}
