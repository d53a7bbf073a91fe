//! A run: from source to checkpoint. Opens sink and source, decides where each lane goes on, runs the lanes, and tries
//! again after what may pass.
mod commit;
mod failure;
mod lane;
pub(crate) mod live;
mod patience;
mod recover;
pub(crate) mod report;

pub(crate) use failure::Failure;
pub(crate) use recover::{Choice, after, decide, held, places, recover, still_held, unknown};

use crate::parts::{BuiltSink, Parts};
use commit::Committer;
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{
        Pipeline, Request,
        event::{Cause, LaneOpened},
    },
    shard::ShardId,
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{
    Context, Error, Paths,
    inbox::Inbox,
    sink::{OpenLane, Opened, TakeOver},
    source::{Assignment, Source},
    transform::Plan,
};
use futures::future::try_join_all;
use lane::{Binding, Budget, Ended, Lane, compile_with};
use live::{LaneLive, Live, Trouble};
use patience::wait_for;
use report::{Known, Refused, Reports};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First and longest wait after a failure that may pass, in milliseconds.
const BACKOFF_MS: (u64, u64) = (200, 30_000);

/// What a run needs to know of its pipeline.
pub(crate) struct Run {
    /// The pipeline as of the start of the attempt under way.
    pub(crate) pipeline: Pipeline,
    pub(crate) epoch: Epoch,
    pub(crate) parts: Parts,
    pub(crate) paths: Arc<Paths>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) reports: Reports,
    pub(crate) live: Arc<Live>,
    /// Ends the run once what was read is committed and journalled.
    pub(crate) stop: CancellationToken,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A bounded source has ended.
    Completed(RunId),
    /// It was told to. Settled: everything read is committed and journalled.
    Stopped { run: RunId, settled: bool },
    /// It can't go on.
    Failed(RunId, Cause),
    /// The pipeline is no longer this run's.
    Over,
}

impl Run {
    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let mut attempts = 0;
        let mut last = self.pipeline.last_run.as_ref().map(|run| run.run);
        loop {
            let run = RunId::after(last, self.parts.clock.now());
            last = Some(run);
            let committed_before = self.committed();
            let failure = match self.attempt(run).await {
                Ok(Ended::Source) => return End::Completed(run),
                Ok(Ended::Stopped) => return End::Stopped { run, settled: true },
                Ok(Ended::Unopened) => return End::Stopped { run, settled: false },
                Err(failure) => failure,
            };
            if self.committed() > committed_before {
                attempts = 0;
            }
            // Told to stop while it can't go on: what is under way is settled by the next open, if that can settle it.
            let behind = matches!(&failure, Failure::Fatal(cause) if cause.is_behind());
            match failure {
                Failure::Over => return End::Over,
                _ if self.stop.is_cancelled() && !behind => return End::Stopped { run, settled: false },
                Failure::Fatal(cause) => {
                    self.settle().await;
                    return End::Failed(run, cause);
                }
                Failure::Transient { code, stage, message, fix } => {
                    let wait = self.parts.rng.jitter((BACKOFF_MS.0 << attempts.min(10)).min(BACKOFF_MS.1));
                    attempts += 1;
                    let retry = Some(Instant::now() + Duration::from_millis(wait));
                    let since = self.parts.clock.now();
                    self.trouble(Trouble { code, stage, message, fix, since, attempts, retry }, wait);
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                        () = self.stop.cancelled() => return End::Stopped { run, settled: false },
                    }
                }
            }
            // The journal has moved on since this attempt began, and a report of it may still be under way: what is cut
            // back or replayed from here on must not lie before the last checkpoint.
            match self.reports.known().await {
                Ok(Known { pipeline, epoch }) => (self.pipeline, self.epoch) = (pipeline, epoch),
                Err(Refused) => return End::Over,
            }
        }
    }

    fn committed(&self) -> u64 {
        self.live.lock().lanes.values().map(|lane| lane.committed.batches).sum()
    }

    fn trouble(&self, trouble: Trouble, wait: u64) {
        let Trouble { code, stage, message, fix, attempts, .. } = &trouble;
        let fix = fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        tracing::warn!(pipeline = %self.pipeline.id, %code, %stage, attempts, "{message}; trying again in {wait} ms{fix}");
        self.live.trouble(trouble);
    }

    /// Whether the journal says that nobody has taken the shard over: a sink that has seen a higher epoch all the same has seen
    /// another journal's. Unknown is no.
    async fn owns_shard(&self) -> bool {
        let shard = ShardId::of(&self.pipeline.id);
        self.parts.journal.head(shard).await.is_ok_and(|head| head.epoch == self.epoch)
    }

    /// Journals what was committed since the last checkpoint, so that a failed pipeline shows it.
    async fn settle(&self) {
        let Ok(Known { pipeline, .. }) = self.reports.known().await else { return };
        let Some(run) = pipeline.last_run.as_ref().map(|last| last.run) else { return };
        let tokens: Vec<_> = self.live.lock().lanes.values().filter_map(|lane| lane.token.clone()).collect();
        let known = tokens.iter().filter_map(|token| Some((token, pipeline.progress.by_lane.get(&token.fence.lane)?)));
        let news = known.filter(|(token, known)| token.sequence > known.sequence);
        let lanes: Vec<_> = news.map(|(token, known)| recover::since(token, known)).collect();
        if !lanes.is_empty() && self.reports.send(Request::ReportProgress { run, lanes }).await.is_err() {
            tracing::debug!(pipeline = %self.pipeline.id, "the last commits of a run that failed are left to the next one");
        }
    }

    /// Opens everything and runs the lanes until they end or one fails.
    async fn attempt(&self, run: RunId) -> Result<Ended, Failure> {
        let plugins = self.parts.plugins.clone();
        let source =
            plugins.source(&self.pipeline.spec.source).map_err(|problems| Failure::invalid("source", &problems))?;
        let built = plugins.sink(&self.pipeline.spec.sink).map_err(|problems| Failure::invalid("sink", &problems))?;
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = context(&self.pipeline, self.paths.clone(), Some(self.inbox.clone()), giving_up);
        let lanes = self.pipeline.progress.lanes.unwrap_or(1);

        let opened = try_join_all((0..lanes).map(|lane| self.open_sink(&built, &cx, run, lane)));
        let opened = tokio::select! {
            opened = opened => opened?,
            () = self.stop.cancelled() => return Ok(Ended::Unopened),
        };
        let report = Request::ReportOpened {
            run,
            epoch: self.epoch,
            lanes: opened.iter().map(|(recovered, _)| recovered.clone()).collect(),
        };
        let sending = self.reports.send(report);
        let sent = wait_for("journal", "an event", &self.live, &*self.parts.clock, sending).await;
        sent.map_err(|_| Failure::Over)?;
        self.show(&opened);

        let budget = Budget::new(self.pipeline.spec.max_in_flight_bytes);
        let lanes = try_join_all(
            opened
                .into_iter()
                .map(|(recovered, opened)| self.lane(&*source, &built, &cx, run, recovered, opened, &budget)),
        );
        let lanes = tokio::select! {
            lanes = lanes => lanes?,
            () = self.stop.cancelled() => return Ok(Ended::Stopped),
        };
        self.live.well();
        let ended = try_join_all(lanes.into_iter().map(Lane::run)).await?;
        let stopped = ended.contains(&Ended::Stopped);
        Ok(if stopped { Ended::Stopped } else { Ended::Source })
    }

    /// Fences older writers of a lane, reads its token, and decides where it goes on.
    async fn open_sink(
        &self,
        built: &BuiltSink,
        cx: &Context,
        run: RunId,
        lane: u32,
    ) -> Result<(LaneOpened, Opened), Failure> {
        let progress = &self.pipeline.progress;
        let journalled = progress.by_lane.get(&lane);
        let open = OpenLane {
            fence: fence(&self.pipeline, self.epoch, lane),
            journal: self.parts.journal.id().into(),
            take_over: TakeOver::Nobody,
            first: self.pipeline.last_run.is_none(),
            journalled: journalled.cloned(),
            begin: progress.begin.clone(),
            known: progress.known.clone(),
            earlier: progress.left.handle.clone(),
            remembered: progress.left.remembered.clone(),
            left: progress.left.of.clone(),
            version_base: run.0 << 32,
        };
        let opening = wait_for("sink", "opening it", &self.live, &*self.parts.clock, built.sink.open(cx, open));
        let mut opened = match opening.await {
            Ok(opened) => opened,
            Err(Error::Fenced(message)) if self.owns_shard().await => return Err(Failure::outdated(&message)),
            Err(error) => return Err(Failure::of("sink", error)),
        };
        let token = opened.token.take();
        let mut recovered =
            match recover(lane, built.sink.kind(), progress, token, &opened.others, &self.pipeline.inbox) {
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

    /// Shows where the lanes are before the first commit.
    fn show(&self, opened: &[(LaneOpened, Opened)]) {
        for (_, opened) in opened {
            self.live.warn(opened.warnings.clone());
        }
        let lanes = opened.iter().map(|(LaneOpened { lane, progress, .. }, _)| {
            let positions = progress.positions.clone();
            let journalled = self.pipeline.progress.by_lane.get(lane);
            let mut warned = journalled.map(|known| known.warnings.clone()).unwrap_or_default();
            warned.put(&progress.warnings);
            (*lane, LaneLive { committed: progress.counters, positions, warned, ..LaneLive::default() })
        });
        self.live.opened(lanes.collect(), self.parts.clock.now());
    }

    #[expect(clippy::too_many_arguments, reason = "a lane is made of all that the attempt has opened")]
    async fn lane(
        &self,
        source: &dyn Source,
        built: &BuiltSink,
        cx: &Context,
        run: RunId,
        recovered: LaneOpened,
        opened: Opened,
        budget: &Budget,
    ) -> Result<Lane, Failure> {
        let pipeline = &self.pipeline;
        let spec = Arc::new(pipeline.spec.clone());
        let LaneOpened { lane: number, progress, .. } = recovered;
        let mut positions = pipeline.progress.begin.clone();
        positions.extend(progress.positions.clone());

        let plan = Plan {
            transforms: spec.transforms.clone(),
            spec: spec.clone(),
            demand: opened.demand,
            unknown_fields: built.unknown_fields,
            learned: pipeline.learned.clone(),
        };
        let plugins = self.parts.plugins.clone();
        let program = Binding::new(plan, Arc::new(move |plan: &Plan| compile_with(plugins.compiler(), plan)))?;

        let lanes = pipeline.progress.lanes.unwrap_or(1);
        // A lane that has none of a topic's partitions yet must know that others of it were read.
        let mut known = pipeline.progress.positions();
        known.extend(positions.clone());
        let assignment = Assignment { lane: number, lanes, positions: known };
        let reader = source.open(cx, assignment).await.map_err(|error| Failure::of("source", error))?;

        let token = Token {
            fence: fence(pipeline, self.epoch, number),
            sequence: progress.sequence,
            positions: progress.positions,
            counters: progress.counters,
            chunks: Vec::new(),
            warnings: Warnings::default(),
        };
        let warned = self.live.lock().lanes.get(&number).map(|lane| lane.warned.clone()).unwrap_or_default();
        let committer = Committer {
            run,
            kind: built.sink.kind(),
            writer: opened.writer,
            token: Arc::new(token),
            warned,
            checkpoint_interval: spec.checkpoint_interval.into(),
            journal: self.parts.journal.clone(),
            clock: self.parts.clock.clone(),
            reports: self.reports.clone(),
            live: self.live.clone(),
        };
        Ok(Lane {
            number,
            reader,
            program,
            committer,
            positions,
            budget: budget.clone(),
            live: self.live.clone(),
            compute: self.parts.compute.clone(),
            stop: self.stop.clone(),
        })
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
