//! The entity and its run: starting, stopping, what it reports, and how it ends.
use super::{Entity, answer, inbox::EntityInbox, queries, snapshot};
use crate::{
    chunks,
    region::AskError,
    run::{
        End, Run,
        report::{Known, Refused, Report, Reports},
    },
    status::{RunStatus, Trouble, unsettled},
};
use dataflow_core::{
    branch::{BranchId, BranchNumber},
    id::RunId,
    pipeline::{Branch, CommandKind, Pipeline, event::Cause},
};
use futures::future::select_all;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long the task of a dropped run may take to end; it only has to come to its next wait.
const UNWIND: Duration = Duration::from_secs(10);

/// A run under way.
pub(super) struct ActiveRun {
    stop: CancellationToken,
    /// When a stop that is under way is given up, and the run dropped.
    deadline: Option<Instant>,
    reports: mpsc::Receiver<Report>,
    end: oneshot::Receiver<End>,
    task: JoinHandle<()>,
}

/// What comes from a run.
pub(super) enum Happened {
    Report(Report),
    End(End),
    /// It ended without a word: a panic.
    Panicked,
    /// It did not stop in time.
    Overdue,
}

/// Waits for what the run of a branch has to say; for ever if there is none.
pub(super) async fn next(runs: &mut BTreeMap<BranchNumber, ActiveRun>) -> (BranchNumber, Happened) {
    if runs.is_empty() {
        return std::future::pending().await;
    }
    let each = runs.iter_mut().map(|(number, run)| Box::pin(async { (*number, told(run).await) }));
    select_all(each).await.0
}

async fn told(run: &mut ActiveRun) -> Happened {
    let overdue = async {
        match run.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(report) = run.reports.recv() => Happened::Report(report),
        end = &mut run.end => end.map_or(Happened::Panicked, Happened::End),
        () = overdue => Happened::Overdue,
    }
}

impl Entity {
    /// Takes up what was under way when the pipeline was last in memory.
    pub(super) async fn resume(&mut self) {
        let branches: Vec<_> = {
            let state = self.cell.state();
            state.pipeline().into_iter().flat_map(Pipeline::present).map(|(number, _)| number).collect()
        };
        for branch in branches {
            // What follows on the end of one may have been done for others: an update starts them.
            let stopping = self.cell.state().branch(branch).and_then(Branch::running).map(|run| run.stopping.is_some());
            match stopping {
                Some(true) => self.stop_run(branch).await,
                Some(false) if !self.runs.contains_key(&branch) => self.start_run(branch),
                _ => {}
            }
        }
    }

    /// Opens a run of a branch as it is now.
    pub(super) fn start_run(&mut self, branch: BranchNumber) {
        debug_assert!(!self.runs.contains_key(&branch), "a branch has one run");
        let Some(view) = self.cell.state().pipeline().and_then(|pipeline| pipeline.view(branch)) else { return };
        let (reports, inbox) = Reports::channel();
        let (give, end) = oneshot::channel();
        let stop = CancellationToken::new();
        let live = Arc::new(RunStatus::new(&view.branch, self.context.directory.clone()));
        if let Some(failure) = self.failure.take() {
            live.trouble(failure);
        }
        let run = Run {
            view,
            epoch: self.log.epoch(),
            opening: self.log.opening(),
            replayed: self.replayed,
            parts: self.context.parts.clone(),
            paths: self.context.paths.clone(),
            default_lanes: self.context.default_lanes,
            inbox: Arc::new(EntityInbox { cell: self.cell.clone(), journal: self.context.parts.journal.clone() }),
            reports,
            live: live.clone(),
            stop: stop.clone(),
        };
        self.cell.set_live(branch, Some(live));
        let task = async move {
            if give.send(Box::pin(run.run()).await).is_err() {
                tracing::debug!("the entity was gone before its run ended");
            }
        };
        let task = self.context.parts.spawner.spawn("run", Box::pin(task));
        self.runs.insert(branch, ActiveRun { stop, deadline: None, reports: inbox, end, task });
        metrics::gauge!("dataflow_runs").increment(1.0);
    }

    /// Tells the run to end. Without a run (it went down with the node) the stop is over at once, unsettled.
    pub(super) async fn stop_run(&mut self, branch: BranchNumber) {
        let timeout = self.cell.state().branch(branch).map(|branch| branch.spec.stop_timeout);
        if let Some(run) = self.runs.get_mut(&branch) {
            run.stop.cancel();
            run.deadline = timeout.map(|timeout| Instant::now() + timeout.into());
        } else {
            let (run, prepared) = (self.next_run(branch), self.waiting_update(branch, false).await);
            let unsettled = Some(unsettled("node-down", "the node went down before the pipeline had stopped"));
            let stopped = Box::pin(self.report(branch, CommandKind::ReportStopped { run, unsettled, prepared })).await;
            self.expect_taken(branch, stopped);
        }
    }

    /// A number for a run that never came to be.
    fn next_run(&self, branch: BranchNumber) -> RunId {
        let last = self.cell.state().branch(branch).and_then(|branch| branch.last_run.as_ref().map(|run| run.run));
        RunId::after(last, self.context.parts.clock.now())
    }

    pub(super) async fn restart_by_policy(&mut self, branch: BranchNumber) {
        self.failure = self.shown_failure(branch);
        let started = self.report(branch, CommandKind::Start { only: None }).await;
        self.failure = None;
        self.expect_taken(branch, started);
    }

    /// What a failed branch shows, for the run that tries again.
    fn shown_failure(&self, branch: BranchNumber) -> Option<Trouble> {
        let state = self.cell.state();
        let failed = state.branch(branch)?.failed()?;
        let Cause { code, stage, message, fix, .. } = failed.cause.clone();
        Some(Trouble {
            code,
            stage,
            lane: None,
            message,
            fix,
            since: failed.at,
            attempts: failed.attempt + 1,
            retry: None,
        })
    }

    pub(super) async fn happened(&mut self, branch: BranchNumber, happened: Happened) {
        match happened {
            Happened::Report(Report::Asked(reply)) => {
                let view = self.cell.state().pipeline().and_then(|pipeline| pipeline.view(branch));
                let known = view.filter(|view| view.branch.running().is_some()).map(|view| Known {
                    view,
                    epoch: self.log.epoch(),
                    opening: self.log.opening(),
                    replayed: self.replayed,
                });
                // Without an answer the run knows that it is over.
                if let Some(known) = known
                    && reply.send(known).is_err()
                {
                    tracing::trace!("the run ended before it was answered");
                }
            }
            Happened::Report(Report::Happened { kind, done }) => {
                let opened = matches!(kind, CommandKind::ReportOpened { .. }).then_some(branch);
                let pending = chunks::pending(&self.cell.state());
                let taken = self.report(branch, kind).await.map_err(Refused::because);
                if done.send(taken.clone()).is_err() {
                    tracing::trace!("the run ended before its report was answered");
                }
                if taken.is_ok() {
                    let (journal, epoch) = (&self.context.parts.journal, self.log.epoch());
                    chunks::collect(journal, &self.cell, epoch, pending, opened).await;
                    self.join_dead_letters(branch).await;
                }
            }
            Happened::End(end) => {
                self.drop_run(branch).await;
                self.ended(branch, end).await;
            }
            Happened::Panicked => {
                self.drop_run(branch).await;
                let cause = Cause {
                    code: "panic".into(),
                    stage: "run".into(),
                    message: "the run panicked; the node's log has the details".into(),
                    fix: None,
                    retryable: true,
                };
                self.ended(branch, End::Failed(self.next_run_or_current(branch), cause)).await;
            }
            Happened::Overdue => {
                let (code, message) = ("overdue", "it did not stop within stopTimeout");
                let unsettled = match self.cell.live().get(&branch) {
                    Some(live) => live.unsettled(code, message),
                    None => unsettled(code, message),
                };
                self.drop_run(branch).await;
                let run = self.next_run_or_current(branch);
                self.ended(branch, End::Stopped { run, unsettled: Some(unsettled) }).await;
            }
        }
    }

    fn next_run_or_current(&self, branch: BranchNumber) -> RunId {
        let current = self.cell.state().branch(branch).and_then(|branch| branch.running()?.run);
        current.unwrap_or_else(|| self.next_run(branch))
    }

    /// Lets go of the run. Whoever opens the sink next must find none of its writers left, so its end is waited for.
    async fn drop_run(&mut self, branch: BranchNumber) {
        if let Some(run) = self.runs.remove(&branch) {
            run.task.abort();
            if tokio::time::timeout(UNWIND, run.task).await.is_err() {
                tracing::error!(pipeline = %self.cell.pipeline, "a run that was dropped keeps its thread busy");
            }
            metrics::gauge!("dataflow_runs").decrement(1.0);
        }
        if let Some(live) = self.cell.live().get(&branch) {
            self.context.directory.keep_warnings(live.branch(), snapshot::noted(live));
        }
        self.cell.set_live(branch, None);
    }

    async fn ended(&mut self, branch: BranchNumber, end: End) {
        let stopping = self.cell.state().branch(branch).is_some_and(|branch| branch.stopping().is_some());
        let ended = match end {
            End::Completed(run) => {
                let prepared = self.waiting_update(branch, true).await;
                self.report(branch, CommandKind::ReportCompleted { run, prepared }).await
            }
            // The node goes down: the pipeline goes on where it is, here or elsewhere.
            End::Stopped { .. } if !stopping => Ok(()),
            End::Stopped { run, unsettled } => {
                let prepared = self.waiting_update(branch, unsettled.is_none()).await;
                self.report(branch, CommandKind::ReportStopped { run, unsettled, prepared }).await
            }
            // What came again while the sink was opened may be what the journal lacked.
            End::Behind { replayed, .. } if !stopping && replayed < self.replayed => {
                self.start_run(branch);
                Ok(())
            }
            End::Failed(run, cause) | End::Behind { run, cause, .. } => self.failed(branch, run, cause).await,
            // Another node has the shard.
            End::Over(_) if self.lost.is_some() => Ok(()),
            // What the run said does not fit what is known. A run that opens anew begins with what is known.
            End::Over(refused) => {
                let cause = Cause {
                    code: "superseded".into(),
                    stage: "run".into(),
                    message: format!("the journal refused a report of the run: {refused}"),
                    fix: None,
                    retryable: true,
                };
                self.failed(branch, self.next_run_or_current(branch), cause).await
            }
        };
        self.expect_taken(branch, ended);
        self.answer_waiting();
    }

    /// Reports that a run can't go on.
    async fn failed(&mut self, branch: BranchNumber, run: RunId, cause: Cause) -> Result<(), AskError> {
        let Cause { code, stage, fix, message, .. } = &cause;
        tracing::error!(pipeline = %self.cell.pipeline, sink = self.sink(branch), stage, code, fix, "{message}");
        let id = BranchId::new(self.cell.pipeline.clone(), branch);
        self.context.directory.count(&id, |flow| flow.failures += 1);
        let restart_in = self.restart_in(branch);
        // What it finds out of the sink keeps the update from being made.
        let prepared = if cause.is_behind() { BTreeMap::new() } else { self.waiting_update(branch, false).await };
        self.report(branch, CommandKind::ReportFailed { run, cause, restart_in, prepared }).await
    }

    /// Logs what the journal did not take and should have. Another owner of the shard knows better.
    fn expect_taken(&self, branch: BranchNumber, taken: Result<(), AskError>) {
        if let Err(error) = taken
            && self.lost.is_none()
        {
            tracing::error!(pipeline = %self.cell.pipeline, sink = self.sink(branch), %error, "the journal refused what has happened to the pipeline");
        }
    }

    /// What a branch's sink is called, if there are several.
    fn sink(&self, branch: BranchNumber) -> Option<String> {
        self.cell.state().branch(branch)?.sink.as_ref().map(ToString::to_string)
    }

    fn restart_in(&self, branch: BranchNumber) -> Option<u64> {
        let wait = self.cell.state().branch(branch).and_then(|branch| {
            let running = branch.running()?;
            branch.spec.restart.wait_ms(running.attempt)
        });
        wait.map(|wait| self.context.parts.rng.jitter(wait))
    }

    /// Carries out a command of a branch's run.
    pub(super) async fn report(&mut self, branch: BranchNumber, kind: CommandKind) -> Result<(), AskError> {
        let command = self.system(branch, kind);
        self.carry_out(command).await.map(drop)
    }

    /// Answers who waits for a stop, once it is over.
    fn answer_waiting(&mut self) {
        let stopping = self.cell.state().is_stopping();
        if stopping {
            return;
        }
        for (_, reply) in std::mem::take(&mut self.waiting) {
            answer(reply, queries::state(&self.context, &self.cell));
        }
    }

    /// Ends the runs for good, without an event: the branches go on when the shard is next owned. Reports are taken
    /// until then, so that everything read is journalled.
    pub(super) async fn end_runs(&mut self) {
        self.runs.values().for_each(|run| run.stop.cancel());
        while !self.runs.is_empty() && self.lost.is_none() {
            let (branch, happened) = next(&mut self.runs).await;
            self.happened(branch, happened).await;
        }
        while let Some(branch) = self.runs.keys().next().copied() {
            self.drop_run(branch).await;
        }
    }
}
