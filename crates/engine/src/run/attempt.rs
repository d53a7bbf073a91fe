//! One attempt of a run: opens the sink for all lanes, journals where each goes on, and keeps the lanes running beside their
//! checkpointer until they end or one fails for good.
use super::{
    Run, checkpoint::Checkpointer, failure::Failure, in_flight::Budget, lane_retry::Place, patience::wait_for,
    plan::Planner, report::Known, source::Ended, versions::Versions,
};
use crate::parts::BuiltSink;
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{CommandKind, Pipeline},
    token::Fence,
};
use dataflow_sdk::{Context, Paths, inbox::Inbox, sink::DeliveryMode, source::Source};
use futures::{TryFutureExt, future::try_join_all};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio_util::sync::CancellationToken;

/// What the lanes of an attempt have in common.
pub(super) struct Attempt<'a> {
    pub(super) of: &'a Run,
    /// The pipeline with its plan.
    pipeline: Pipeline,
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
    let (pipeline, plugins) = (&of.pipeline, &of.parts.plugins);
    let source = plugins.source(&pipeline.spec.source).map_err(|problems| Failure::invalid("source", &problems))?;
    let built = plugins.sink(&pipeline.spec.sink).map_err(|problems| Failure::invalid("sink", &problems))?;
    let giving_up = CancellationToken::new();
    let _end = giving_up.clone().drop_guard();
    let cx = connector_context(pipeline, of.paths.clone(), Some(of.inbox.clone()), giving_up);
    let budget = Budget::new(pipeline.spec.max_in_flight_bytes);
    // Where reading begins must not depend on when the sink is ready.
    let doors = (of.reports.clone(), of.live.clone(), of.parts.clock.clone());
    let planned = tokio::select! {
        planned = Planner::open(run, &*source, &cx, doors) => planned?,
        () = of.stop.cancelled() => return Ok(Ended::Unopened),
    };
    let (planner, pipeline) = planned;
    let keyed = built.sink.delivery() == DeliveryMode::Keyed;
    let versions = keyed.then(|| Arc::new(Versions::after(pipeline.versions, run)));
    Attempt { of, pipeline, run, source, built, cx, budget, versions }.run(planner).await
}

impl Attempt<'_> {
    async fn run(&self, mut planner: Planner) -> Result<Ended, Failure> {
        let (Run { parts, reports, live, stop, .. }, pipeline) = (self.of, &self.pipeline);
        let lanes = pipeline.progress.lanes.unwrap_or(1);
        let opening =
            (0..lanes).map(|lane| self.open_sink(pipeline, lane).map_err(move |failure| failure.in_lane(lane)));
        let opened = tokio::select! {
            opened = try_join_all(opening) => opened?,
            () = stop.cancelled() => return Ok(Ended::Unopened),
        };
        let begun = Self::begun_before(pipeline, &opened);
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
            versions: wanted,
        };
        let sent = wait_for("journal", "an event", live, &*parts.clock, reports.send(report)).await;
        sent.map_err(|_| Failure::Over)?;
        if let Some(versions) = &self.versions {
            versions.reserved(wanted.unwrap_or(0));
        }
        opened.iter().for_each(|lane| self.show(pipeline, lane));

        let (delivery, interval) = (self.built.sink.delivery(), pipeline.spec.checkpoint_interval.into());
        let doors = (reports.clone(), live.clone(), parts.clock.clone());
        let (mut checkpointer, desk) = Checkpointer::new((self.run, delivery, interval), self.versions.clone(), doors);
        let Known { pipeline, .. } = reports.known().await.map_err(|_| Failure::Over)?;
        let mut running = Vec::new();
        for sink in opened {
            let number = sink.fence.lane;
            let checkpoints = checkpointer.lane(sink.journalled());
            let place = Place { number, only: lanes == 1, desk: desk.clone(), partitions: planner.lane(number) };
            running.push(self.keep(place, sink, &pipeline, checkpoints));
        }
        drop(desk); // those of the lanes are left
        let (ended, (), ()) = tokio::try_join!(try_join_all(running), checkpointer.run(), planner.run())?;
        // A run is as settled as the least settled of its lanes.
        Ok(ended.into_iter().max().unwrap_or(Ended::Source))
    }
}

/// Who comes to the sink with a lane of this pipeline: each call is another opening, later than all before it.
pub(crate) fn fence(pipeline: &Pipeline, epoch: Epoch, lane: u32, openings: &AtomicU64) -> Fence {
    // The count restarts with the node, which then owns its shards under higher epochs.
    let opening = openings.fetch_add(1, Ordering::Relaxed) + 1;
    Fence {
        pipeline: pipeline.id.clone(),
        incarnation: pipeline.incarnation.clone(),
        generation: pipeline.progress.generation,
        lane,
        epoch,
        opening,
    }
}

/// What a connector of this pipeline is given of the node.
pub(crate) fn connector_context(
    pipeline: &Pipeline,
    paths: Arc<Paths>,
    inbox: Option<Arc<dyn Inbox>>,
    stop: CancellationToken,
) -> Context {
    Context {
        pipeline: pipeline.id.clone(),
        incarnation: pipeline.incarnation.clone(),
        batch: pipeline.spec.batch,
        max_record_bytes: pipeline.spec.max_record_bytes,
        max_in_flight_bytes: pipeline.spec.max_in_flight_bytes,
        paths,
        again: false,
        inbox,
        stop,
    }
}
