//! What is waited for longer than usual is shown, so that nobody has to guess why a pipeline stands still: a server may
//! keep its connection and say nothing.
use crate::{
    parts::Clock,
    status::{RunStatus, Trouble},
};
use std::{pin::pin, time::Duration};

/// How long nothing is said.
const USUAL: Duration = Duration::from_secs(10);
/// The code of what is then shown.
const CODE: &str = "no-answer";

/// Waits for the sink or the journal (which the stage says) to do something, however long it takes.
pub(crate) async fn wait_for<T>(
    stage: &str,
    doing: &str,
    live: &RunStatus,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
) -> T {
    wait_for_what(stage, || doing.into(), live, clock, work).await
}

/// The same where it may say by and by what it is doing.
pub(crate) async fn wait_for_what<T>(
    stage: &str,
    doing: impl Fn() -> String,
    live: &RunStatus,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let begun = clock.now();
    let mut shown = false;
    loop {
        if let Ok(done) = tokio::time::timeout(USUAL, &mut work).await {
            if shown {
                live.answered(CODE);
            }
            return done;
        }
        let seconds = (clock.now().millis() - begun.millis()) / 1_000;
        let message = format!("the {stage} has not answered for {seconds} s ({}); still waiting", doing());
        if !shown {
            tracing::warn!(pipeline = %live.pipeline(), sink = live.sink(), "{message}");
        }
        shown = true;
        // Shown again each time: another lane may have been answered meanwhile.
        let (code, stage) = (CODE.into(), stage.into());
        live.trouble(Trouble { code, stage, lane: None, message, fix: None, since: begun, attempts: 0, retry: None });
    }
}
