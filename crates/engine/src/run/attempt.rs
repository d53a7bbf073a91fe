//! One attempt of a run: opens sink and source, decides where each lane goes on, and runs the lanes beside their
//! checkpointer until they end or one fails.
use super::{
    Run,
    checkpoint::{Checkpointer, Checkpoints},
    commit::Committer,
    failure::Failure,
    in_flight::Budget,
    lane::Lane,
    letters::Letters,
    live::LaneLive,
    patience::wait_for,
    plan::{Partitions, Planner},
    recover::recover,
    report::Known,
    source::Ended,
    transform::{Binding, compile_with},
    versions::Versions,
};
use crate::parts::BuiltSink;
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{Pipeline, Request, event::LaneOpened},
    position::{Partition, Position},
    shard::ShardId,
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{
    Context, Error, Paths,
    declared::Declared,
    inbox::Inbox,
    sink::{Kind, OpenLane, Opened, TakeOver},
    source::{Assignment, Source},
    transform::Plan,
};
use futures::{TryFutureExt, future::try_join_all};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the lanes of an attempt have in common.
struct Attempt<'a> {
    of: &'a Run,
    /// The pipeline with its plan.
    pipeline: Pipeline,
    run: RunId,
    source: Box<dyn Source>,
    built: BuiltSink,
    cx: Context,
    budget: Budget,
}

/// Opens everything and runs the lanes until they end or one fails.
pub(super) async fn attempt(of: &Run, run: RunId) -> Result<Ended, Failure> {
    let (pipeline, plugins) = (&of.pipeline, &of.parts.plugins);
    let source = plugins.source(&pipeline.spec.source).map_err(|problems| Failure::invalid("source", &problems))?;
    let built = plugins.sink(&pipeline.spec.sink).map_err(|problems| Failure::invalid("sink", &problems))?;
    let giving_up = CancellationToken::new();
    let _end = giving_up.clone().drop_guard();
    let cx = context(pipeline, of.paths.clone(), Some(of.inbox.clone()), giving_up);
    let budget = Budget::new(pipeline.spec.max_in_flight_bytes);
    // Where reading begins must not depend on when the sink is ready.
    let doors = (of.reports.clone(), of.live.clone(), of.parts.clock.clone());
    let planned = tokio::select! {
        planned = Planner::open(run, &*source, &cx, doors) => planned?,
        () = of.stop.cancelled() => return Ok(Ended::Unopened),
    };
    let (planner, pipeline) = planned;
    Attempt { of, pipeline, run, source, built, cx, budget }.run(planner).await
}

impl Attempt<'_> {
    async fn run(&self, mut planner: Planner) -> Result<Ended, Failure> {
        let (Run { parts, reports, live, stop, .. }, pipeline) = (self.of, &self.pipeline);
        let lanes = pipeline.progress.lanes.unwrap_or(1);
        let opened = (0..lanes).map(|lane| self.open_sink(lane).map_err(move |failure| failure.in_lane(lane)));
        let opened = try_join_all(opened);
        let opened = tokio::select! {
            opened = opened => opened?,
            () = stop.cancelled() => return Ok(Ended::Unopened),
        };
        let kind = self.built.sink.kind();
        let versions = (kind == Kind::Keyed).then(|| Arc::new(Versions::after(pipeline.versions, self.run)));
        let wanted = versions.as_ref().map(|versions| versions.wanted());
        let report = Request::ReportOpened {
            run: self.run,
            epoch: self.of.epoch,
            lanes: opened.iter().map(|(recovered, _)| recovered.clone()).collect(),
            versions: wanted,
        };
        let sent = wait_for("journal", "an event", live, &*parts.clock, reports.send(report)).await;
        sent.map_err(|_| Failure::Over)?;
        if let Some(versions) = &versions {
            versions.reserved(wanted.unwrap_or(0));
        }
        self.show(&opened);

        let interval = pipeline.spec.checkpoint_interval.into();
        let doors = (reports.clone(), live.clone(), parts.clock.clone());
        let mut checkpointer = Checkpointer::new((self.run, kind, interval), versions.clone(), doors);
        let Known { pipeline, .. } = reports.known().await.map_err(|_| Failure::Over)?;
        let mut opening = Vec::new();
        for (recovered, opened) in opened {
            let token = Arc::new(self.token(recovered));
            let checkpoints = checkpointer.lane(token.clone());
            let partitions = planner.lane(token.fence.lane);
            let number = token.fence.lane;
            let lane = self.lane(&pipeline, token, opened, checkpoints, versions.clone(), partitions);
            opening.push(lane.map_err(move |failure| failure.in_lane(number)));
        }
        let lanes = tokio::select! {
            lanes = try_join_all(opening) => lanes?,
            () = stop.cancelled() => return Ok(Ended::Stopped),
        };
        self.of.live.well();
        let run = |lane: Lane| {
            let number = lane.number;
            lane.run().map_err(move |failure| failure.in_lane(number))
        };
        let running = try_join_all(lanes.into_iter().map(run));
        let (ended, (), ()) = tokio::try_join!(running, checkpointer.run(), planner.run())?;
        let stopped = ended.contains(&Ended::Stopped);
        Ok(if stopped { Ended::Stopped } else { Ended::Source })
    }

    /// Fences older writers of a lane, reads its token, and decides where it goes on.
    async fn open_sink(&self, lane: u32) -> Result<(LaneOpened, Opened), Failure> {
        let (Run { epoch, parts, live, .. }, pipeline) = (self.of, &self.pipeline);
        let progress = &pipeline.progress;
        let open = OpenLane {
            fence: fence(pipeline, *epoch, lane),
            journal: parts.journal.id().into(),
            take_over: TakeOver::Nobody,
            first: pipeline.last_run.is_none(),
            journalled: progress.by_lane.get(&lane).cloned(),
            counted: progress.earlier,
            begin: progress.begin.clone(),
            known: progress.known.clone(),
            earlier: progress.left.handle.clone(),
            remembered: progress.left.remembered.clone(),
            left: progress.left.of.clone(),
        };
        let sink = &self.built.sink;
        let mut opened = match wait_for("sink", "opening it", live, &*parts.clock, sink.open(&self.cx, open)).await {
            Ok(opened) => opened,
            Err(Error::Fenced(message)) if self.owns_shard().await => return Err(Failure::outdated(&message)),
            Err(error) => return Err(Failure::of("sink", error)),
        };
        let token = opened.token.take();
        let mut recovered = match recover(lane, sink.kind(), progress, token, &opened.others, &pipeline.inbox) {
            Ok(recovered) => recovered,
            Err(failure) => {
                opened.writer.close().await;
                return Err(failure);
            }
        };
        if let Some(handle) = opened.handle.take() {
            recovered.progress.handle = Some(handle);
        }
        Ok((recovered, opened))
    }

    /// Whether the journal says that nobody has taken the shard over: a sink that has seen a higher epoch all the same has seen
    /// another journal's. Unknown is no.
    async fn owns_shard(&self) -> bool {
        let Run { parts, epoch, .. } = self.of;
        let shard = ShardId::of(&self.pipeline.id);
        parts.journal.head(shard).await.is_ok_and(|head| head.epoch == *epoch)
    }

    /// Shows where the lanes are before the first commit.
    fn show(&self, opened: &[(LaneOpened, Opened)]) {
        let (Run { parts, live, .. }, pipeline) = (self.of, &self.pipeline);
        for (_, opened) in opened {
            live.warn(opened.warnings.clone());
        }
        let lanes = opened.iter().map(|(LaneOpened { lane, progress, .. }, _)| {
            let positions = progress.positions.clone();
            let journalled = pipeline.progress.by_lane.get(lane);
            let mut warned = journalled.map(|known| known.warnings.clone()).unwrap_or_default();
            warned.put(&progress.warnings);
            (*lane, LaneLive { committed: progress.counters, positions, warned, ..LaneLive::default() })
        });
        live.opened(lanes.collect(), parts.clock.now());
    }

    /// Opens the source of a lane whose sink is open.
    async fn lane(
        &self,
        pipeline: &Pipeline,
        token: Arc<Token>,
        opened: Opened,
        checkpoints: Checkpoints,
        versions: Option<Arc<Versions>>,
        partitions: Partitions,
    ) -> Result<Lane, Failure> {
        let Run { parts, live, .. } = self.of;
        let number = token.fence.lane;
        let mut positions = pipeline.progress.begin.clone();
        positions.extend(token.positions.clone());

        let plan = Plan {
            transforms: pipeline.spec.transforms.clone(),
            spec: Arc::new(pipeline.spec.clone()),
            demand: opened.demand,
            declared: Declared { sink: self.built.rows.clone(), ..parts.plugins.declared(&pipeline.spec) },
            learned: pipeline.learned.clone(),
        };
        let plugins = parts.plugins.clone();
        let program = Binding::new(plan, Arc::new(move |plan: &Plan| compile_with(plugins.compiler(), plan)))?;

        let mut known = pipeline.progress.positions();
        known.extend(positions.clone());
        let (lanes, plan) = (pipeline.progress.lanes.unwrap_or(1), pipeline.progress.plan.clone());
        let passed = |(partition, at): (&Partition, &Position)| {
            Some((partition.clone(), pipeline.progress.passing.after(partition, at)?.clone()))
        };
        let passed = known.iter().filter_map(passed).collect();
        let assignment = Assignment { lane: number, lanes, positions: known, plan, passed };
        let reader = self.source.open(&self.cx, assignment).await.map_err(|error| Failure::of("source", error))?;

        let warned = live.lock().lanes.get(&number).map(|lane| lane.warned.clone()).unwrap_or_default();
        let letters =
            Letters { run: self.run, journal: parts.journal.clone(), live: live.clone(), clock: parts.clock.clone() };
        let committer = Committer {
            run: self.run,
            kind: self.built.sink.kind(),
            writer: opened.writer,
            journalled: token.sequence,
            behind_since: Instant::now(),
            token,
            warned,
            letters,
            checkpoints,
            versions,
            clock: parts.clock.clone(),
            reports: self.of.reports.clone(),
            live: live.clone(),
        };
        Ok(Lane {
            number,
            reader,
            program,
            committer,
            positions,
            partitions,
            budget: self.budget.clone(),
            live: live.clone(),
            compute: parts.compute.clone(),
            stop: self.of.stop.clone(),
        })
    }

    /// A lane that goes on here.
    fn token(&self, LaneOpened { lane, progress, .. }: LaneOpened) -> Token {
        Token {
            fence: fence(&self.pipeline, self.of.epoch, lane),
            sequence: progress.sequence,
            positions: progress.positions,
            counters: progress.counters,
            chunks: Vec::new(),
            warnings: Warnings::default(),
            version: 0,
        }
    }
}

/// Who a run of this pipeline is to its sink.
pub(crate) fn fence(pipeline: &Pipeline, epoch: Epoch, lane: u32) -> Fence {
    Fence {
        pipeline: pipeline.id.clone(),
        incarnation: pipeline.incarnation.clone(),
        generation: pipeline.progress.generation,
        lane,
        epoch,
    }
}

/// What a connector of this pipeline is given of the node.
pub(crate) fn context(
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
