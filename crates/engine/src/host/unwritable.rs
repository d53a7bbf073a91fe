//! A journal that can't be written: why, since when, and what the log says of it.
use super::{LocalRegion, Region};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// After so long the log says again that the journal can't be written, then after twice as long each time.
const REMIND: Duration = Duration::from_secs(60);

/// A journal that can't be written.
#[derive(Debug)]
pub(super) struct Unwritable {
    why: String,
    since: Instant,
    /// How long it had lasted when the log said so last.
    said_after: Duration,
}

impl Region {
    /// Why the journal can't be written now, if it can't: the log says when that begins and ends, and in between at growing
    /// intervals that it goes on.
    pub(crate) fn note_unwritable(&self, why: Option<String>) {
        let mut known = self.0.unwritable.lock().unwrap_or_else(PoisonError::into_inner);
        *known = match (known.take(), why) {
            (None, None) => None,
            (Some(_), None) => {
                tracing::info!("the journal can be written again");
                None
            }
            (None, Some(why)) => {
                tracing::error!("the journal can't be written, so the node is not ready: {why}");
                Some(Unwritable { why, since: Instant::now(), said_after: Duration::ZERO })
            }
            (Some(before), Some(why)) => {
                let (lasts, next) = (before.since.elapsed(), (2 * before.said_after).max(REMIND));
                let remind = lasts >= next;
                if remind {
                    tracing::error!("the journal has not been writable for {} minutes: {why}", lasts.as_secs() / 60);
                }
                let said_after = if remind { next } else { before.said_after };
                Some(Unwritable { why, said_after, ..before })
            }
        };
    }

    /// How long it could not be written so far.
    pub(crate) fn unwritable_for(&self) -> Duration {
        let known = self.0.unwritable.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or(Duration::ZERO, |known| known.since.elapsed())
    }
}

impl LocalRegion {
    /// Why the journal can't be written now, if it can't.
    pub(super) fn why_unwritable(&self) -> Option<String> {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|unwritable| unwritable.why.clone())
    }
}
