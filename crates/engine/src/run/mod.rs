//! A run: from source to checkpoint. Opens sink and source, decides where each lane goes on, runs the lanes, and tries
//! again after what may pass.
mod attempt;
mod checkpoint;
mod commit;
mod failure;
mod in_flight;
mod lane;
mod letters;
pub(crate) mod live;
mod patience;
mod plan;
mod recover;
pub(crate) mod report;
mod source;
mod transform;
mod versions;

pub(crate) use attempt::{context, fence};
pub(crate) use failure::Failure;
pub(crate) use recover::{Choice, after, decide, held, recover, still_held, unknown};

use crate::parts::Parts;
use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{Pipeline, Request, event::Cause},
};
use dataflow_sdk::{Paths, inbox::Inbox};
use live::{Live, Trouble};
use report::{Known, Refused, Reports};
use source::Ended;
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
        let (mut attempts, mut said) = (0, None);
        let mut last = self.pipeline.last_run.as_ref().map(|run| run.run);
        loop {
            let run = RunId::after(last, self.parts.clock.now());
            last = Some(run);
            let committed_before = self.committed();
            let failure = match attempt::attempt(&self, run).await {
                Ok(Ended::Source) => return End::Completed(run),
                Ok(Ended::Stopped) => return End::Stopped { run, settled: true },
                Ok(Ended::Unopened) => return End::Stopped { run, settled: false },
                Err(failure) => failure,
            };
            if self.committed() > committed_before {
                (attempts, said) = (0, None);
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
                Failure::Transient { code, stage, lane, message, fix } => {
                    let wait = self.parts.rng.jitter((BACKOFF_MS.0 << attempts.min(10)).min(BACKOFF_MS.1));
                    attempts += 1;
                    let retry = Some(Instant::now() + Duration::from_millis(wait));
                    let since = self.parts.clock.now();
                    let trouble = Trouble { code, stage, lane, message, fix, since, attempts, retry };
                    self.trouble(trouble, wait, &mut said);
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

    /// Shows a failure that may pass, and logs each cause once: it was `said` last.
    fn trouble(&self, trouble: Trouble, wait: u64, said: &mut Option<String>) {
        let Trouble { code, stage, lane, message, fix, attempts, .. } = &trouble;
        let fix = fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        let pipeline = &self.pipeline.id;
        let cause = format!("{stage} {code} {message}");
        match said.replace(cause.clone()) == Some(cause) {
            true => {
                tracing::debug!(%pipeline, %code, %stage, lane, attempts, "{message}; retrying in {wait} ms{fix}")
            }
            false => {
                tracing::warn!(%pipeline, %code, %stage, lane, attempts, "{message}; retrying in {wait} ms{fix}")
            }
        }
        self.live.trouble(trouble);
    }

    /// Journals what was committed since the last checkpoint, so that a failed pipeline shows it.
    async fn settle(&self) {
        let Ok(Known { pipeline, .. }) = self.reports.known().await else { return };
        let Some(run) = pipeline.last_run.as_ref().map(|last| last.run) else { return };
        let tokens: Vec<_> = self.live.lock().lanes.values().filter_map(|lane| lane.token.clone()).collect();
        let known = tokens.iter().filter_map(|token| Some((token, pipeline.progress.by_lane.get(&token.fence.lane)?)));
        let news = known.filter(|(token, known)| token.sequence > known.sequence);
        let lanes: Vec<_> = news.map(|(token, known)| recover::since(token, known)).collect();
        if !lanes.is_empty() && self.reports.send(Request::ReportProgress { run, lanes, versions: None }).await.is_err()
        {
            tracing::debug!(pipeline = %self.pipeline.id, "the last commits of a run that failed are left to the next one");
        }
    }
}
