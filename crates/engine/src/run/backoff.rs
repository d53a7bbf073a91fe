//! The wait after a failure that may pass, of a run or of one of its lanes.
use super::{Run, failure::Passing};
use crate::status::Trouble;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest wait, in milliseconds.
const BACKOFF_MS: (u64, u64) = (200, 30_000);

/// How often it has failed since it last got on.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    /// The cause that was logged last.
    said: Option<String>,
    /// Commits at the last failure.
    commits: u64,
}

impl Backoff {
    /// Shows a failure, logs each cause once, and waits; false if it is to stop meanwhile. `alone` is the lane that is
    /// tried again while the others go on.
    pub(super) async fn wait(&mut self, run: &Run, alone: Option<u32>, commits: u64, passing: Passing) -> bool {
        if commits > self.commits {
            *self = Self { commits, ..Self::default() };
        }
        let wait = run.parts.rng.jitter((BACKOFF_MS.0 << self.attempts.min(10)).min(BACKOFF_MS.1));
        self.attempts += 1;
        self.say(run, &passing, wait);
        let Passing { code, stage, lane, message, fix } = passing;
        let retry = Some(Instant::now() + Duration::from_millis(wait));
        let since = run.parts.clock.now();
        let trouble = Trouble { code, stage, lane, message, fix, since, attempts: self.attempts, retry };
        match alone {
            Some(lane) => run.live.trouble_in(lane, trouble),
            None => run.live.trouble(trouble),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => true,
            () = run.stop.cancelled() => false,
        }
    }

    fn say(&mut self, run: &Run, passing: &Passing, wait: u64) {
        let (Passing { code, stage, lane, message, fix }, attempts) = (passing, self.attempts);
        let fix = fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        let (pipeline, sink) = (run.live.pipeline(), run.live.sink());
        let cause = format!("{stage} {code} {message}");
        match self.said.replace(cause.clone()) == Some(cause) {
            true => {
                tracing::debug!(%pipeline, sink, %code, %stage, lane, attempts, "{message}; retrying in {wait} ms{fix}")
            }
            false => {
                tracing::warn!(%pipeline, sink, %code, %stage, lane, attempts, "{message}; retrying in {wait} ms{fix}")
            }
        }
    }
}
