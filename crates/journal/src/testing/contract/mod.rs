//! The contract of a journal, as cases that every backend passes, also with injected faults.
//!
//! A case takes two handles of one empty store, like those of two nodes. [`journal_contract!`](crate::journal_contract)
//! generates a test for each. Cases panic at the first violation.
pub mod chunks;
pub mod compaction;
pub mod fencing;
pub mod level;
pub mod log;
pub mod outcome;
mod owner;

pub use owner::{Owner, encoded, holder, patient};

/// Generates a test for every case. The expression creates an empty store: `(a guard that keeps it alive, one handle,
/// another handle)`, each handle an `Arc` of a [`Store`](crate::Store).
#[macro_export]
macro_rules! journal_contract {
    ($make:expr) => {
        $crate::journal_contract!(@ $make;
            log: appends_are_read_in_order, reads_are_limited_and_go_on, shards_do_not_mix, many_shards_at_once,
                many_at_once_on_one_shard, an_empty_append_only_checks_the_head, every_event_comes_back,
                a_history_may_begin_anywhere;
            fencing: a_claim_raises_the_epoch, a_claim_is_carried_out_once, of_two_that_claim_at_once_one_has_it,
                a_shard_is_not_taken_back, a_stale_epoch_writes_nothing, a_stale_place_writes_nothing,
                an_unclaimed_shard_takes_nothing, the_zombie_is_fenced, a_zombies_snapshot_is_refused;
            compaction: snapshots_come_back, a_snapshot_replaces_the_last, a_long_snapshot_comes_back,
                a_pipeline_is_loaded_alone,
                a_snapshot_has_its_place, a_snapshot_lets_nothing_go, a_compaction_has_its_place, lifecycle_survives,
                readers_hold_compaction_back, history_is_lifecycle;
            level: the_write_level_is_kept_and_never_falls, a_write_level_that_this_build_cant_read_is_refused;
            chunks: a_chunk_comes_back, a_chunk_is_never_overwritten, chunks_are_listed_by_scope,
                removed_chunks_are_gone;
            outcome: a_claim_decides_every_unknown_append);
    };
    (@ $make:expr; $($part:ident: $($case:ident),+);+) => {
        $($(
            #[tokio::test]
            async fn $case() {
                let (_keep, one, other) = $make;
                let [one, other] = [$crate::Journal::new(one), $crate::Journal::new(other)];
                $crate::testing::contract::$part::$case(&one, &other).await;
            }
        )+)+
    };
}
