//! The versions of a run's commits to a keyed sink: one sequence over all its lanes, so that of two commits the later one has
//! the greater version, also where a key has changed its lane.
//!
//! None is given that the journal has not reserved, and a run begins after all that are reserved: whatever an older run
//! still sends is older, however wrong the clock of its successor.
use dataflow_core::id::RunId;
use dataflow_sdk::sink::Reserved;
use tokio::sync::Notify;

/// How many each checkpoint reserves.
const AHEAD: u64 = 1 << 16;
/// A run also begins after so many for each second since 1970: should the journal be an older copy, or the pipeline's id have
/// had another life in another journal, what those have written is older all the same while clocks are right.
const PER_SECOND: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Versions {
    reserved: Reserved,
    more: Notify,
}

impl Versions {
    /// Those of a run whose journal has reserved so many for others.
    pub(crate) fn after(reserved: u64, run: RunId) -> Self {
        let last = reserved.max(run.0.saturating_mul(PER_SECOND));
        Self { reserved: Reserved::up_to(last), more: Notify::new() }
    }

    /// Up to which one the next checkpoint is to reserve them.
    pub(crate) fn wanted(&self) -> u64 {
        self.reserved.given().saturating_add(AHEAD)
    }

    /// Whether few of those that are reserved are left.
    pub(crate) fn are_few(&self) -> bool {
        self.reserved.highest() < self.reserved.given().saturating_add(AHEAD / 2)
    }

    /// Up to which one they are reserved and given, as it rises.
    pub(crate) fn bound(&self) -> Reserved {
        self.reserved.clone()
    }

    /// The journal has reserved them.
    pub(crate) fn reserved(&self, to: u64) {
        self.reserved.raise(to);
        self.more.notify_waiters();
    }

    /// The next one. Where the journal has reserved no more, it waits until it has, and says that it does.
    pub(crate) async fn next(&self, hurry: impl Fn()) -> u64 {
        loop {
            let more = self.more.notified();
            if let Some(next) = self.reserved.give() {
                return next;
            }
            hurry();
            more.await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt;
    use std::cell::Cell;

    #[test]
    fn none_is_given_that_is_not_reserved() {
        let versions = Versions::after(5_000 * PER_SECOND, RunId(3));
        let hurried = Cell::new(0);
        let next = || versions.next(|| hurried.set(hurried.get() + 1)).now_or_never();
        assert_eq!((next(), hurried.get()), (None, 1), "nothing is reserved yet");
        let to = versions.wanted();
        versions.reserved(to);
        let given: Vec<u64> = std::iter::from_fn(next).collect();
        assert_eq!(given, (5_000 * PER_SECOND + 1..=to).collect::<Vec<_>>());
        assert!(versions.are_few());
        versions.reserved(to - 1);
        assert_eq!(next(), None, "a reservation never falls");
        versions.reserved(versions.wanted());
        assert_eq!((next(), versions.are_few()), (Some(to + 1), false));
    }

    #[tokio::test]
    async fn who_waits_goes_on_once_more_are_reserved() {
        let versions = Versions::after(0, RunId(1));
        let (first, second) = tokio::join!(versions.next(|| versions.reserved(PER_SECOND + 1)), async {
            tokio::task::yield_now().await;
            versions.reserved(PER_SECOND + 2);
            versions.next(|| panic!("one is left")).await
        });
        assert_eq!([first, second], [PER_SECOND + 1, PER_SECOND + 2]);
    }

    #[test]
    fn a_run_begins_after_the_journal_and_after_its_own_second() {
        for (reserved, run, first) in [(0, 7, 7 * PER_SECOND), (9 * PER_SECOND, 7, 9 * PER_SECOND)] {
            let versions = Versions::after(reserved, RunId(run));
            versions.reserved(versions.wanted());
            assert_eq!(versions.next(|| {}).now_or_never(), Some(first + 1));
        }
    }
}
