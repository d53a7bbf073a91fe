//! One attempt of a run: opens the sink for all lanes, journals where each goes on, and keeps the lanes running beside their
//! checkpointer until they end or one fails for good.
use super::{
    Run, checkpoint::Checkpointer, failure::Failure, in_flight::Budget, lane_retry::LaneSlot, patience::wait_for,
    plan::Planner, report::Known, source::Ended, versions::Versions,
};
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{Branch, BranchView, CommandKind},
    token::Fence,
};
use dataflow_sdk::{Context, Paths, catalog::BuiltSink, inbox::Inbox, sink::DeliveryMode, source::Source};
use futures::{TryFutureExt, future::try_join_all};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the lanes of an attempt have in common.
pub(super) struct Attempt<'a> {
    pub(super) of: &'a Run,
    /// The branch with its plan.
    view: BranchView,
    pub(super) run: RunId,
    pub(super) source: Box<dyn Source>,
    pub(super) built: BuiltSink,
    pub(super) cx: Context,
    pub(super) budget: Budget,
    /// Of a keyed sink.
    pub(super) versions: Option<Arc<Versions>>,
}

/// Opens everything and runs the lanes until they end, or one fails for good.
pub(super) async fn attempt(of: &Run, run: RunId) -> Result<Ended, Failure> {
    let (view, plugins) = (&of.view, &of.parts.plugins);
    let source = plugins.source(&view.branch.spec.source).map_err(|problems| Failure::invalid("source", &problems))?;
    of.live.opens(source.lag_unit());
    let built = plugins.sink(&view.branch.spec.sink).map_err(|problems| Failure::invalid("sink", &problems))?;
    let giving_up = CancellationToken::new();
    let _end = giving_up.clone().drop_guard();
    let cx = connector_context(&view.branch, of.paths.clone(), Some(of.inbox.clone()), giving_up);
    let budget = Budget::new(view.branch.spec.max_in_flight_bytes);
    // Where reading begins must not depend on when the sink is ready.
    let planned = tokio::select! {
        planned = Planner::open(of, run, &*source, &built, &cx) => planned?,
        () = of.stop.cancelled() => return Ok(Ended::unopened(&of.live)),
    };
    let (planner, view) = planned;
    let keyed = built.delivery == DeliveryMode::Keyed;
    let versions = keyed.then(|| Arc::new(Versions::after(view.branch.reserved_versions, run)));
    Attempt { of, view, run, source, built, cx, budget, versions }.run(planner).await
}

impl Attempt<'_> {
    async fn run(&self, mut planner: Planner) -> Result<Ended, Failure> {
        let (Run { parts, reports, live, stop, .. }, view) = (self.of, &self.view);
        let lanes = view.branch.progress.lanes.unwrap_or(1);
        let opening = (0..lanes)
            .map(|lane| self.open_sink(view, lane, self.of.opening).map_err(move |failure| failure.in_lane(lane)));
        let opened = tokio::select! {
            opened = try_join_all(opening) => opened?,
            never = self.of.watch_source(view) => match never {},
            () = stop.cancelled() => return Ok(Ended::unopened(live)),
        };
        let begun = Self::begun_before(view, &opened);
        if !begun.is_empty() {
            let found = self.source.plan(&self.cx, &begun).await.map_err(|error| Failure::of("source", error))?;
            planner.plan_again(found).await?;
        }
        let wanted = self.versions.as_ref().map(|versions| versions.wanted());
        // All lanes: chunks of lower epochs that nothing names are removed after this, so all tokens must have been read.
        let report = CommandKind::ReportOpened {
            run: self.run,
            epoch: self.of.epoch,
            lanes: opened.iter().map(|lane| lane.recovered.clone()).collect(),
            reserved_versions: wanted,
        };
        let sent = wait_for("journal", "an event", live, &*parts.clock, reports.send(report)).await;
        sent?;
        if let Some(versions) = &self.versions {
            versions.reserved(wanted.unwrap_or(0));
        }
        opened.iter().for_each(|lane| self.show(view, lane));

        let (delivery, interval) = (self.built.delivery, view.branch.spec.checkpoint_interval.into());
        let doors = (reports.clone(), live.clone(), parts.clock.clone());
        let (mut checkpointer, desk) = Checkpointer::new((self.run, delivery, interval), self.versions.clone(), doors);
        let Known { view, .. } = reports.known().await?;
        let mut running = Vec::new();
        for sink in opened {
            let number = sink.fence.lane;
            let checkpoints = checkpointer.lane(sink.journalled());
            let slot = LaneSlot { number, only: lanes == 1, desk: desk.clone(), partitions: planner.lane(number) };
            running.push(self.keep(slot, sink, &view, checkpoints));
        }
        drop(desk); // those of the lanes are left
        let (ended, (), ()) = tokio::try_join!(try_join_all(running), checkpointer.run(), planner.run())?;
        Ok(ended.into_iter().fold(Ended::Source, Ended::and))
    }
}

/// Who comes to the sink with a lane of this branch. The shard's owner gives each opening of a lane its rank, above all before.
pub(crate) fn fence(branch: &Branch, lane: u32, (epoch, opening): (Epoch, u64)) -> Fence {
    Fence {
        branch: branch.id.clone(),
        incarnation: branch.incarnation.clone(),
        generation: branch.progress.generation,
        lane,
        epoch,
        opening,
    }
}

/// What a connector of this branch is given of the node.
pub(crate) fn connector_context(
    branch: &Branch,
    paths: Arc<Paths>,
    inbox: Option<Arc<dyn Inbox>>,
    stop: CancellationToken,
) -> Context {
    Context {
        branch: branch.id.clone(),
        incarnation: branch.incarnation.clone(),
        batch: branch.spec.batch,
        max_record_bytes: branch.spec.max_record_bytes,
        max_in_flight_bytes: branch.spec.max_in_flight_bytes,
        paths,
        again: false,
        inbox,
        stop,
    }
}
