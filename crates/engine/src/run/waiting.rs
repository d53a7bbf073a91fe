//! What waits at the source while a lane can't read it: users are to see how far the pipeline lags while its sink is down.
use super::{Run, attempt::connector_context};
use dataflow_core::{pipeline::BranchView, position::Positions};
use std::{convert::Infallible, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often the source is asked, and how long an answer is waited for.
const LOOK: Duration = Duration::from_secs(5);

impl Run {
    /// Shows what waits at the source, again and again. Meant to be dropped as soon as somebody reads it.
    pub(super) async fn watch_source(&self, view: &BranchView) -> Infallible {
        loop {
            if self.live.asks_source(LOOK) {
                let lag = timeout(LOOK, self.ask_source(view)).await.ok().flatten();
                self.live.waits(lag);
            }
            sleep(LOOK).await;
        }
    }

    async fn ask_source(&self, view: &BranchView) -> Option<u64> {
        let source = self.parts.plugins.source(&view.branch.spec.source).ok()?;
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = connector_context(&view.branch, self.paths.clone(), Some(self.inbox.clone()), giving_up);
        let mut at = view.branch.progress.positions();
        at.extend(self.live.lock().lanes.values().flat_map(|lane| Positions::clone(&lane.positions)));
        source.lag(&cx, &at).await.ok()?
    }
}
