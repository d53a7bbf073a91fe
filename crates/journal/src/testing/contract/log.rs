//! Appending and reading.
use super::owner::{Owner, all, encoded, patient};
use crate::{
    Appended, Journal, Run,
    testing::samples::{self, lifecycle, pipeline, progress},
};
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use futures::future::join_all;

const SHARD: ShardId = ShardId(3);

fn seqs(run: &Run) -> Vec<u64> {
    run.entries.iter().map(|entry| entry.seq.0).collect()
}

/// Appended events are read in order, from 1 on, without a gap.
pub async fn appends_are_read_in_order(journal: &Journal, other: &Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    assert_eq!(owner.next, Seq(1));
    let events = [(a.clone(), lifecycle("1")), (b.clone(), progress("2", 1)), (a.clone(), lifecycle("3"))];
    owner.append(&events[..2]).await;
    owner.append(&events[2..]).await;
    for journal in [journal, other] {
        let entries = all(journal, SHARD, Seq(1)).await;
        assert_eq!(entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
        let stored: Vec<_> = entries.into_iter().map(|entry| (entry.pipeline, entry.event)).collect();
        assert_eq!(stored, events);
    }
}

/// A read returns about as many as requested; the rest is read from `next` on; nothing follows the end.
pub async fn reads_are_limited_and_go_on(journal: &Journal, _: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = (0..25).map(|n| (name.clone(), lifecycle(&format!("{n}")))).collect();
    owner.append(&events).await;
    let read = async |from, limit| patient(|| journal.read(SHARD, from, limit)).await.expect("read");
    let first = read(Seq(1), 10).await;
    assert_eq!((seqs(&first), first.next), ((1..=10).collect(), Seq(11)));
    let last = read(Seq(21), 10).await;
    assert_eq!((seqs(&last), last.next), ((21..=25).collect(), Seq(26)));
    for from in [26, 27, 1_000] {
        assert_eq!(read(Seq(from), 10).await, Run { entries: vec![], next: Seq(from) });
    }
    assert_eq!(read(Seq(1), 0).await.entries.len(), 1, "a read with limit 0 still makes progress");
}

/// Each shard has its own log, epoch and places.
pub async fn shards_do_not_mix(journal: &Journal, _: &Journal) {
    let mut first = Owner::claim(journal, ShardId(0)).await;
    let mut last = Owner::claim(journal, ShardId(255)).await;
    first.append(&[(pipeline(ShardId(0), 0), lifecycle("first"))]).await;
    last.append(&[(pipeline(ShardId(255), 0), lifecycle("last"))]).await;
    for (shard, command) in [(ShardId(0), "first"), (ShardId(255), "last")] {
        let entries = all(journal, shard, Seq(1)).await;
        assert_eq!(entries.iter().map(|entry| entry.event.command.as_str()).collect::<Vec<_>>(), [command]);
    }
    assert_eq!(all(journal, ShardId(1), Seq(1)).await, []);
}

/// Owners of all shards append concurrently; each log is dense, and fencing one shard affects no other.
pub async fn many_shards_at_once(journal: &Journal, _: &Journal) {
    let each = ShardId::all().map(async |shard| {
        let mut owner = Owner::claim(journal, shard).await;
        let name = pipeline(shard, 0);
        for n in 0..4 {
            owner
                .append(&[(name.clone(), lifecycle(&format!("{n}a"))), (name.clone(), progress(&format!("{n}b"), n))])
                .await;
            let zombie =
                owner.append_as_zombie(Epoch(owner.epoch.0 - 1), owner.next, &[(name.clone(), lifecycle("z"))]).await;
            assert_eq!(zombie, Appended::Fenced);
        }
        let commands: Vec<_> = all(journal, shard, Seq(1)).await.into_iter().map(|entry| entry.event.command).collect();
        let commands: Vec<_> = commands.iter().map(|command| command.as_str()).collect();
        assert_eq!(commands, ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"], "shard {shard}");
    });
    join_all(each).await;
}

/// Of concurrent appends at one place, one is applied.
pub async fn many_at_once_on_one_shard(journal: &Journal, _: &Journal) {
    let name = pipeline(SHARD, 0);
    let owner = Owner::claim(journal, SHARD).await;
    let racing: Vec<[(PipelineId, RecordedEvent); 1]> =
        (0..20).map(|n| [(name.clone(), lifecycle(&format!("{n}")))]).collect();
    let racing: Vec<_> = racing.iter().map(|events| encoded(journal, events)).collect();
    let outcomes = join_all(racing.iter().map(|events| journal.append(SHARD, owner.epoch, owner.next, events))).await;
    let owner = Owner::claim(journal, SHARD).await;
    let written = all(journal, SHARD, Seq(1)).await;
    assert_eq!(owner.next.0, written.len() as u64 + 1);
    assert!(written.len() <= 1, "one place takes one event");
    let applied = outcomes.iter().filter(|outcome| **outcome == Appended::Applied).count();
    assert!(applied <= written.len(), "applied appends are there");
    if !outcomes.contains(&Appended::Unknown) {
        assert_eq!((applied, written.len()), (1, 1));
    }
}

/// An empty append changes nothing, and reports whether the head is still the writer's.
pub async fn an_empty_append_only_checks_the_head(journal: &Journal, _: &Journal) {
    let owner = Owner::claim(journal, SHARD).await;
    let empty = async |epoch: Epoch| owner.append_as_zombie(epoch, owner.next, &[]).await;
    assert_eq!(empty(owner.epoch).await, Appended::Applied);
    assert_eq!(empty(Epoch(owner.epoch.0 - 1)).await, Appended::Fenced);
    assert_eq!(all(journal, SHARD, Seq(1)).await, []);
}

/// Every type of event is read back unchanged.
pub async fn every_event_comes_back(journal: &Journal, _: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = samples::all().into_iter().map(|(_, event)| (name.clone(), event)).collect();
    owner.append(&events).await;
    let stored = all(journal, SHARD, Seq(1)).await.into_iter().map(|entry| (entry.pipeline, entry.event));
    assert_eq!(stored.collect::<Vec<_>>(), events);
}

/// A history may begin after any number, including numbers that no event will ever have.
pub async fn a_history_may_begin_anywhere(journal: &Journal, _: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(name.clone(), lifecycle("1")), (name.clone(), lifecycle("2"))]).await;
    for (after, found) in [(0, 2), (1, 1), (2, 0), (i64::MAX as u64, 0), (1 << 63, 0), (u64::MAX, 0)] {
        assert_eq!(patient(|| journal.history(&name, after, 10)).await.expect("read").len(), found, "{after}");
    }
}
