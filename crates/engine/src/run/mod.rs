//! A run: from source to checkpoint. Opens sink and source, decides where each lane goes on, runs the lanes, and tries
//! again after what may pass: one of several lanes alone (`lane_retry.rs`), otherwise the whole run.
mod attempt;
mod backoff;
mod checkpoint;
mod commit;
mod failure;
mod in_flight;
mod lane;
mod lane_retry;
mod letters;
mod opening;
mod patience;
mod plan;
mod recover;
pub(crate) mod report;
mod source;
mod transform;
mod versions;
mod waiting;

pub(crate) use attempt::{connector_context, fence};
pub(crate) use failure::Failure;
pub(crate) use recover::{Choice, after, decide, held, recover, still_held, unknown};

use crate::{parts::Parts, status::RunStatus};
use backoff::Backoff;
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{BranchView, CommandKind, event::Cause},
};
use dataflow_sdk::{Paths, inbox::Inbox};
use report::{Known, Refused, Reports};
use source::Ended;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a run needs to know of its branch.
pub(crate) struct Run {
    /// The branch as of the start of the attempt under way.
    pub(crate) view: BranchView,
    pub(crate) epoch: Epoch,
    /// The number of the [opening](dataflow_core::token::Fence::opening) of all lanes in this attempt.
    pub(crate) opening: u64,
    /// Batches that had been pushed [again](Known::replayed) then.
    pub(crate) replayed: u64,
    pub(crate) parts: Parts,
    pub(crate) paths: Arc<Paths>,
    /// Most lanes where the spec names no number.
    pub(crate) default_lanes: u32,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) reports: Reports,
    pub(crate) live: Arc<RunStatus>,
    /// Ends the run once what was read is committed and journalled.
    pub(crate) stop: CancellationToken,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A bounded source has ended.
    Completed(RunId),
    /// It was told to. Unless it says why not, everything read is committed and journalled.
    Stopped { run: RunId, unsettled: Option<Cause> },
    /// It can't go on.
    Failed(RunId, Cause),
    /// The same: the journal lacks what the sink has, by what had been pushed [again](Known::replayed) so far.
    Behind { run: RunId, cause: Cause, replayed: u64 },
    /// The pipeline is no longer this run's.
    Over(Refused),
}

impl Run {
    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let mut backoff = Backoff::default();
        let mut last = self.view.branch.last_run.as_ref().map(|run| run.run);
        loop {
            let run = RunId::after(last, self.parts.clock.now());
            last = Some(run);
            let failure = match attempt::attempt(&self, run).await {
                Ok(Ended::Source) => return End::Completed(run),
                Ok(Ended::Stopped) => return End::Stopped { run, unsettled: None },
                Ok(Ended::Unsettled(cause)) => return End::Stopped { run, unsettled: Some(cause) },
                Err(failure) => failure,
            };
            // Told to stop while it can't go on: what is under way is settled by the next open, if that can settle it.
            let stopping = self.stop.is_cancelled();
            match failure {
                Failure::Over(refused) => return End::Over(refused),
                Failure::Fatal(cause) if stopping && !cause.is_behind() => {
                    return End::Stopped { run, unsettled: Some(cause) };
                }
                Failure::Transient(passing) if stopping => {
                    return End::Stopped { run, unsettled: Some(passing.into()) };
                }
                Failure::Fatal(cause) => {
                    self.settle().await;
                    return match cause.code == Cause::JOURNAL_BEHIND {
                        true => End::Behind { run, cause, replayed: self.replayed },
                        false => End::Failed(run, cause),
                    };
                }
                Failure::Transient(passing) => {
                    let goes_on = tokio::select! {
                        goes_on = backoff.wait(&self, None, self.commits(), passing.clone()) => goes_on,
                        never = self.watch_source(&self.view) => match never {},
                    };
                    if !goes_on {
                        return End::Stopped { run, unsettled: Some(passing.into()) };
                    }
                }
            }
            // The journal has moved on since this attempt began, and a report of it may still be under way: what is cut
            // back or replayed from here on must not lie before the last checkpoint.
            match self.reports.known().await {
                Ok(Known { view, epoch, opening, replayed }) => {
                    (self.view, self.epoch, self.opening, self.replayed) = (view, epoch, opening, replayed);
                }
                Err(refused) => return End::Over(refused),
            }
        }
    }

    fn commits(&self) -> u64 {
        self.live.lock().lanes.values().map(|lane| lane.committed.batches).sum()
    }

    /// Journals what was committed since the last checkpoint, so that a failed pipeline shows it.
    async fn settle(&self) {
        let Ok(Known { view, .. }) = self.reports.known().await else { return };
        let Some(run) = view.branch.last_run.as_ref().map(|last| last.run) else { return };
        let tokens: Vec<_> = self.live.lock().lanes.values().filter_map(|lane| lane.token.clone()).collect();
        let known =
            tokens.iter().filter_map(|token| Some((token, view.branch.progress.by_lane.get(&token.fence.lane)?)));
        let news = known.filter(|(token, known)| token.sequence > known.sequence);
        let lanes: Vec<_> = news.map(|(token, known)| recover::since(token, known)).collect();
        if !lanes.is_empty()
            && self.reports.send(CommandKind::ReportProgress { run, lanes, reserved_versions: None }).await.is_err()
        {
            tracing::debug!(pipeline = %self.live.pipeline(), sink = self.live.sink(), "the last commits of a run that failed are left to the next one");
        }
    }
}
