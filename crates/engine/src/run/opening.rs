//! Opens a lane: first its sink, which fences older writers and says where it goes on, then its source.
use super::{
    Run,
    attempt::{Attempt, fence},
    checkpoint::{Checkpoints, Durable},
    commit::Committer,
    failure::Failure,
    lane::Lane,
    letters::Letters,
    patience::wait_for_what,
    plan::Partitions,
    recover::recover,
    transform::{Binding, compile_with},
};
use crate::status::LaneStatus;
use dataflow_core::{
    level::WriteLevel,
    pipeline::{BranchView, event::LaneOpened},
    position::{Partition, Position, Positions},
    shard::ShardId,
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{
    Context, Error,
    declared::Declared,
    sink::{OpenLane, Opened, TakeOver, Waits},
    source::Assignment,
    transform::{Plan, SoFar},
};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

/// The journal was raised to a level that this build does not write.
fn other_build(error: &dataflow_journal::Error) -> Error {
    Error::fatal("other-build", error.to_string())
        .fix("run the build of dataflow that raised it, or a newer one")
        .for_user()
}

/// A lane whose sink is open.
pub(super) struct OpenSink {
    pub(super) fence: Fence,
    pub(super) recovered: LaneOpened,
    level: WriteLevel,
    opened: Opened,
    cx: Context,
    /// Ends what the connectors do for this opening.
    end: DropGuard,
}

impl OpenSink {
    /// Where the lane goes on.
    pub(super) fn journalled(&self) -> Durable {
        let progress = &self.recovered.progress;
        let token = Token {
            fence: self.fence.clone(),
            sequence: progress.sequence,
            positions: progress.positions.clone().into(),
            counters: progress.counters,
            chunks: Vec::new(),
            warnings: Warnings::default(),
            version: 0,
        };
        Durable { token: Arc::new(token), handle: None }
    }
}

impl Attempt<'_> {
    /// Fences older writers of a lane, reads its token, and decides where it goes on.
    pub(super) async fn open_sink(&self, view: &BranchView, lane: u32, opening: u64) -> Result<OpenSink, Failure> {
        let Run { epoch, parts, live, .. } = self.of;
        let stop = self.cx.stop.child_token();
        let (end, cx) = (stop.clone().drop_guard(), Context { stop, ..self.cx.clone() });
        let level = parts.journal.write_level().map_err(|error| Failure::of("journal", other_build(&error)))?;
        let fence = fence(&view.branch, lane, (*epoch, opening));
        let progress = &view.branch.progress;
        let open = OpenLane {
            fence: fence.clone(),
            lanes: progress.lanes.unwrap_or(1),
            journal: parts.journal.id().into(),
            level,
            take_over: TakeOver::Nobody,
            first: view.branch.last_run.is_none(),
            journalled: progress.by_lane.get(&lane).cloned(),
            settled: view.branch.settled,
            counted: progress.earlier,
            begin: progress.begin.clone(),
            known: progress.before(),
            siblings: view.siblings.clone(),
            ancestors: view.ancestors.clone(),
            earlier: progress.left.handle.clone(),
            remembered: progress.left.remembered.clone(),
            sealed: progress.left.sealed.clone(),
            left: progress.left.of.clone(),
            reserved: self.versions.as_ref().map(|versions| versions.bound()).unwrap_or_default(),
            waits: Waits::default(),
        };
        let sink = &self.built.sink;
        let waits = open.waits.clone();
        let doing = || waits.what().map_or("opening it".into(), |what| format!("opening it: {what}"));
        let mut opened = match wait_for_what("sink", doing, live, &*parts.clock, sink.open(&cx, open)).await {
            Ok(opened) => opened,
            Err(Error::Fenced(message)) if self.owns_shard().await => return Err(Failure::outdated(&message)),
            Err(error) => return Err(Failure::of("sink", error)),
        };
        let token = opened.token.take();
        let mut recovered = match recover(lane, self.built.delivery, progress, token, &opened.others, view.pushed()) {
            Ok(recovered) => recovered,
            Err(failure) => {
                opened.writer.close().await;
                return Err(failure);
            }
        };
        if let Some(handle) = opened.handle.take() {
            recovered.progress.handle = Some(handle);
        }
        Ok(OpenSink { fence, recovered, level, opened, cx, end })
    }

    /// Where the sink says that this generation began, if the journal has it otherwise and has never opened it: one that was
    /// restored from before that has planned again since.
    pub(super) fn begun_before(view: &BranchView, opened: &[OpenSink]) -> Positions {
        let progress = &view.branch.progress;
        let is_new = |(partition, at): (&Partition, &Position)| progress.begin.get(partition) != Some(at);
        let own = opened.iter().filter_map(|lane| lane.opened.begins.get(&progress.generation));
        let own = own.filter(|begun| progress.by_lane.is_empty() && begun.iter().any(is_new));
        own.flat_map(Clone::clone).collect()
    }

    /// Whether the journal says that nobody has taken the shard over: a sink that has seen a higher epoch all the same has seen
    /// another journal's. Unknown is no.
    async fn owns_shard(&self) -> bool {
        let Run { view, parts, epoch, .. } = self.of;
        let shard = ShardId::of(view.branch.id.pipeline());
        parts.journal.head(shard).await.is_ok_and(|head| head.epoch == *epoch)
    }

    /// Shows where a lane is before its first commit.
    pub(super) fn show(&self, view: &BranchView, sink: &OpenSink) {
        let Run { parts, live, .. } = self.of;
        live.warn(sink.opened.warnings.clone());
        let LaneOpened { lane, progress, .. } = &sink.recovered;
        let journalled = view.branch.progress.by_lane.get(lane);
        let mut warned = journalled.map(|known| known.warnings.clone()).unwrap_or_default();
        warned.put(&progress.warnings);
        let (committed, positions) = (progress.counters, progress.positions.clone().into());
        live.opened(*lane, LaneStatus { committed, positions, warned, ..LaneStatus::default() }, parts.clock.now());
    }

    /// Opens the source of a lane whose sink is open. What the connectors do for it ends with the guard.
    pub(super) async fn open_source(
        &self,
        view: &BranchView,
        sink: OpenSink,
        checkpoints: Checkpoints,
        partitions: Partitions,
    ) -> Result<(Lane<'_>, DropGuard), Failure> {
        let Run { parts, live, .. } = self.of;
        let Durable { token, .. } = sink.journalled();
        let OpenSink { level, opened, cx, end, .. } = sink;
        let number = token.fence.lane;
        let mut positions = view.branch.progress.begin.clone();
        positions.extend(Positions::clone(&token.positions));

        let plan = Plan {
            transforms: view.branch.spec.transforms.clone(),
            spec: Arc::new(view.branch.spec.clone()),
            demand: opened.demand,
            declared: Declared { sink: self.built.rows.clone(), ..parts.plugins.declared(&view.branch.spec) },
            learned: view.branch.learned.clone(),
            so_far: SoFar::default(),
        };
        let plugins = parts.plugins.clone();
        let program = Binding::new(plan, Arc::new(move |plan: &Plan| compile_with(plugins.compiler(), plan)))?;

        let mut known = view.branch.progress.positions();
        known.extend(positions.clone());
        let (lanes, plan) = (view.branch.progress.lanes.unwrap_or(1), view.branch.progress.plan.clone());
        let passed = |(partition, at): (&Partition, &Position)| {
            Some((partition.clone(), view.branch.progress.losses.after(partition, at)?.clone()))
        };
        let passed = known.iter().filter_map(passed).collect();
        let assignment = Assignment { lane: number, lanes, positions: known, plan, passed };
        let planned = lanes > 1 && !assignment.plan.is_empty();
        let own = planned.then(|| assignment.planned().into_keys().collect());
        let reader = self.source.open(&cx, assignment).await.map_err(|error| Failure::of("source", error))?;
        live.lane(number, |lane| lane.open = true);

        let warned = live.lock().lanes.get(&number).map(|lane| lane.warned.clone()).unwrap_or_default();
        let (journal, clock) = (parts.journal.clone(), parts.clock.clone());
        let letters = Letters { journal, live: live.clone(), clock, level };
        let committer = Committer {
            run: self.run,
            delivery: self.built.delivery,
            writer: opened.writer,
            journalled: token.sequence,
            behind_since: Instant::now(),
            token,
            warned,
            letters,
            checkpoints,
            versions: self.versions.clone(),
            clock: parts.clock.clone(),
            reports: self.of.reports.clone(),
            live: live.clone(),
        };
        let lane = Lane {
            number,
            source: &*self.source,
            reader,
            program,
            committer,
            positions,
            own,
            partitions,
            budget: self.budget.clone(),
            live: live.clone(),
            compute: parts.compute.clone(),
            stop: self.of.stop.clone(),
        };
        Ok((lane, end))
    }
}
