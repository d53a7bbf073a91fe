//! The entity and its run: starting, stopping, what it reports, and how it ends.
use super::{Entity, answer, inbox::EntityInbox, queries, snapshot};
use crate::{
    chunks,
    run::{
        End, Run,
        report::{Known, Refused, Report, Reports},
    },
    status::{RunStatus, Trouble},
};
use dataflow_core::{
    id::RunId,
    pipeline::{CommandKind, State, Status, event::Cause},
};
use std::{sync::Arc, time::Duration};
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

/// Waits for what the run has to say; for ever if there is none.
pub(super) async fn next(run: &mut Option<ActiveRun>) -> Happened {
    let Some(run) = run else { return std::future::pending().await };
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
        let (running, stopping) = {
            let state = self.cell.state();
            (state.status() == Status::Running, state.is_stopping())
        };
        if stopping {
            self.stop_run().await;
        } else if running {
            self.start_run();
        }
    }

    /// Opens a run of the pipeline as it is now.
    pub(super) fn start_run(&mut self) {
        let Some(pipeline) = self.cell.state().pipeline().cloned() else { return };
        let (reports, inbox) = Reports::channel();
        let (give, end) = oneshot::channel();
        let stop = CancellationToken::new();
        let live = Arc::new(RunStatus::new(self.cell.pipeline.clone(), self.context.directory.clone()));
        if let Some(failure) = self.failure.take() {
            live.trouble(failure);
        }
        let run = Run {
            pipeline,
            epoch: self.log.epoch(),
            parts: self.context.parts.clone(),
            paths: self.context.paths.clone(),
            inbox: Arc::new(EntityInbox { cell: self.cell.clone(), journal: self.context.parts.journal.clone() }),
            reports,
            live: live.clone(),
            stop: stop.clone(),
        };
        self.cell.set_live(Some(live));
        let task = async move {
            if give.send(run.run().await).is_err() {
                tracing::debug!("the entity was gone before its run ended");
            }
        };
        let task = self.context.parts.spawner.spawn("run", Box::pin(task));
        self.run = Some(ActiveRun { stop, deadline: None, reports: inbox, end, task });
        metrics::gauge!("dataflow_runs").increment(1.0);
    }

    /// Tells the run to end. Without a run (it went down with the node) the stop is over at once, unsettled.
    pub(super) async fn stop_run(&mut self) {
        let timeout = self.cell.state().pipeline().map(|pipeline| pipeline.spec.stop_timeout);
        if let Some(run) = &mut self.run {
            run.stop.cancel();
            run.deadline = timeout.map(|timeout| Instant::now() + timeout.into());
        } else {
            let (run, update) = (self.next_run(), self.waiting_update(false).await);
            Box::pin(self.report(CommandKind::ReportStopped { run, settled: false, update })).await;
        }
    }

    /// A number for a run that never came to be.
    fn next_run(&self) -> RunId {
        let last = self.cell.state().pipeline().and_then(|pipeline| pipeline.last_run.as_ref().map(|run| run.run));
        RunId::after(last, self.context.parts.clock.now())
    }

    pub(super) async fn restart_by_policy(&mut self) {
        let lanes = self.choose_lanes().await;
        self.failure = self.shown_failure();
        self.report(CommandKind::Start { lanes }).await;
        self.failure = None;
    }

    /// What a failed pipeline shows, for the run that tries again.
    fn shown_failure(&self) -> Option<Trouble> {
        let state = self.cell.state();
        let State::Failed(failed) = &*state else { return None };
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

    pub(super) async fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Report(Report::Asked(reply)) => {
                let known = match &*self.cell.state() {
                    State::Running(running) => {
                        Some(Known { pipeline: running.pipeline.clone(), epoch: self.log.epoch() })
                    }
                    _ => None,
                };
                // Without an answer the run knows that it is over.
                if let Some(known) = known
                    && reply.send(known).is_err()
                {
                    tracing::trace!("the run ended before it was answered");
                }
            }
            Happened::Report(Report::Happened { kind, done }) => {
                let opened = matches!(kind, CommandKind::ReportOpened { .. });
                let pending = chunks::pending(&self.cell.state());
                let taken = self.report(kind).await;
                if done.send(if taken { Ok(()) } else { Err(Refused) }).is_err() {
                    tracing::trace!("the run ended before its report was answered");
                }
                if taken {
                    let (journal, epoch) = (&self.context.parts.journal, self.log.epoch());
                    chunks::collect(journal, &self.cell, epoch, pending, opened).await;
                    self.join_dead_letters().await;
                }
            }
            Happened::End(end) => {
                self.drop_run().await;
                self.ended(end).await;
            }
            Happened::Panicked => {
                self.drop_run().await;
                let cause = Cause {
                    code: "panic".into(),
                    stage: "run".into(),
                    message: "the run panicked; the node's log has the details".into(),
                    fix: None,
                    retryable: true,
                };
                self.ended(End::Failed(self.next_run_or_current(), cause)).await;
            }
            Happened::Overdue => {
                self.drop_run().await;
                let run = self.next_run_or_current();
                self.ended(End::Stopped { run, settled: false }).await;
            }
        }
    }

    fn next_run_or_current(&self) -> RunId {
        let current = match &*self.cell.state() {
            State::Running(running) => running.run,
            _ => None,
        };
        current.unwrap_or_else(|| self.next_run())
    }

    /// Lets go of the run. Whoever opens the sink next must find none of its writers left, so its end is waited for.
    async fn drop_run(&mut self) {
        if let Some(run) = self.run.take() {
            run.task.abort();
            if tokio::time::timeout(UNWIND, run.task).await.is_err() {
                tracing::error!(pipeline = %self.cell.pipeline, "a run that was dropped keeps its thread busy");
            }
            metrics::gauge!("dataflow_runs").decrement(1.0);
        }
        if let Some(live) = self.cell.live() {
            self.context.directory.keep_warnings(&self.cell.pipeline, snapshot::noted(&live));
        }
        self.cell.set_live(None);
    }

    async fn ended(&mut self, end: End) {
        let stopping = self.cell.state().is_stopping();
        match end {
            End::Completed(run) => {
                let update = self.waiting_update(true).await;
                self.report(CommandKind::ReportCompleted { run, update }).await
            }
            // The node goes down: the pipeline goes on where it is, here or elsewhere.
            End::Stopped { .. } if !stopping => false,
            End::Stopped { run, settled } => {
                let update = self.waiting_update(settled).await;
                self.report(CommandKind::ReportStopped { run, settled, update }).await
            }
            End::Failed(run, cause) => {
                let Cause { code, stage, fix, message, .. } = &cause;
                tracing::error!(pipeline = %self.cell.pipeline, stage, code, fix, "{message}");
                self.context.directory.count(&self.cell.pipeline, |flow| flow.failures += 1);
                let restart_in = self.restart_in();
                // What it finds out of the sink keeps the update from being made.
                let update = if cause.is_behind() { None } else { self.waiting_update(false).await };
                self.report(CommandKind::ReportFailed { run, cause, restart_in, update }).await
            }
            // Another node has the shard.
            End::Over if self.lost.is_some() => false,
            // What the run said does not fit what is known. A run that opens anew begins with what is known.
            End::Over => {
                let cause = Cause {
                    code: "superseded".into(),
                    stage: "run".into(),
                    message: "a report of the run was rejected, so the run ended; the node's log has the details"
                        .into(),
                    fix: None,
                    retryable: true,
                };
                let (run, restart_in) = (self.next_run_or_current(), self.restart_in());
                let update = self.waiting_update(false).await;
                self.report(CommandKind::ReportFailed { run, cause, restart_in, update }).await
            }
        };
        self.answer_waiting();
    }

    fn restart_in(&self) -> Option<u64> {
        let wait = match &*self.cell.state() {
            State::Running(running) => running.pipeline.spec.restart.wait_ms(running.attempt),
            _ => None,
        };
        wait.map(|wait| self.context.parts.rng.jitter(wait))
    }

    /// Carries out a command of the run; false if it was turned down.
    pub(super) async fn report(&mut self, kind: CommandKind) -> bool {
        let command = self.system(kind);
        match self.carry_out(command).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(pipeline = %self.cell.pipeline, %error, "a report of the run was rejected");
                false
            }
        }
    }

    /// Answers who waits for a stop, once it is over.
    fn answer_waiting(&mut self) {
        let stopping = self.cell.state().is_stopping();
        if stopping {
            return;
        }
        let refused = self.refused.take();
        for (id, reply) in std::mem::take(&mut self.waiting) {
            answer(
                reply,
                match &refused {
                    Some((of, rejected)) if *of == id => Err(rejected.clone().into()),
                    _ => queries::state(&self.context, &self.cell),
                },
            );
        }
    }

    /// Ends the run for good, without an event: the pipeline goes on when its shard is next owned. Reports are taken
    /// until then, so that everything read is journalled.
    pub(super) async fn end_run(&mut self) {
        if self.lost.is_some() {
            self.drop_run().await;
        }
        if let Some(run) = &self.run {
            run.stop.cancel();
        }
        while self.run.is_some() && self.lost.is_none() {
            let happened = next(&mut self.run).await;
            self.happened(happened).await;
        }
    }
}
