//! The partition plan while a run lasts: partitions that appear are journalled before a lane reads them.
use super::{
    Run,
    failure::Failure,
    patience::wait_for,
    report::{Known, Reports},
};
use crate::{parts::Clock, status::RunStatus};
use dataflow_core::{
    id::RunId,
    pipeline::{BranchView, CommandKind, Plan},
    position::{Partition, Position, Positions},
};
use dataflow_sdk::{Context, catalog::BuiltSink, source::Source};
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
    /// The plan, made if there is none yet, and the branch that has it. Until a run was opened, the number of lanes follows the
    /// source's partitions: what can't be asked is waited for.
    pub(super) async fn open(
        of: &Run,
        run: RunId,
        source: &dyn Source,
        sink: &BuiltSink,
        cx: &Context,
    ) -> Result<(Self, BranchView), Failure> {
        let (reports, live, clock) = (of.reports.clone(), of.live.clone(), of.parts.clock.clone());
        let Known { mut view, .. } = reports.known().await?;
        let mut planner =
            Self { run, reports, live, clock, plan: Plan::new(), appeared: mpsc::channel(1), lanes: BTreeMap::new() };
        let failed = |error| Failure::of("source", error);
        let progress = &view.branch.progress;
        let lanes = match progress.fixed_lanes() {
            Some(_) => None,
            None if source.single_lane() || sink.single_lane => Some(1),
            None if view.branch.spec.lanes.is_some() => view.branch.spec.lanes,
            None => {
                let partitions = source.partitions(cx).await.map_err(failed)?.len();
                Some(u32::try_from(partitions).unwrap_or(u32::MAX).min(of.default_lanes).max(1))
            }
        };
        let found = match progress.plan.is_empty() {
            true => source.plan(cx, &progress.positions()).await.map_err(failed)?,
            false => Found::new(),
        };
        if lanes.is_some() || !found.is_empty() {
            view = planner.report(found, lanes).await?;
        }
        planner.plan.clone_from(&view.branch.progress.plan);
        Ok((planner, view))
    }

    /// Plans where partitions begin once more, as long as no lane is open.
    pub(super) async fn plan_again(&mut self, found: Found) -> Result<(), Failure> {
        self.plan = self.report(found, None).await?.branch.progress.plan;
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
            let progress = self.report(found, None).await?.branch.progress;
            for (partition, lane) in progress.plan.iter().filter(|(partition, _)| !self.plan.contains_key(*partition)) {
                if let (Some(begin), Some(lane)) = (progress.position(&partition.0), self.lanes.get(lane)) {
                    lane.send_modify(|all| _ = all.insert(partition.clone(), begin.clone()));
                }
            }
            self.plan = progress.plan;
        }
        Ok(())
    }

    /// The branch once what was found is planned.
    async fn report(&self, found: Found, lanes: Option<u32>) -> Result<BranchView, Failure> {
        let sending = self.reports.send(CommandKind::ReportPartitions { run: self.run, found, lanes });
        let sent = wait_for("journal", "an event", &self.live, &*self.clock, sending).await;
        sent?;
        Ok(self.reports.known().await?.view)
    }
}
