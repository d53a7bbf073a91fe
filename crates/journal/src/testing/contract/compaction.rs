//! Snapshots and compaction.
use super::owner::{Owner, all, patient};
use crate::{
    Error, Journal, Snapshot,
    testing::samples::{lifecycle, opened, pipeline, progress, received},
};
use bytes::Bytes;
use dataflow_core::{
    id::{PipelineId, Seq},
    shard::ShardId,
};

const SHARD: ShardId = ShardId(11);

fn of(pipeline: &PipelineId, state: &'static str) -> Snapshot {
    Snapshot { pipeline: pipeline.clone(), state: Bytes::from_static(state.as_bytes()) }
}

async fn snapshot(owner: &Owner<'_>, next: Seq, changed: &[Snapshot]) {
    patient(|| owner.journal.snapshot(owner.shard, owner.epoch, next, changed.to_vec())).await.expect("taken");
}

async fn compact(owner: &Owner<'_>, before: u64) -> Result<(), Error> {
    patient(|| owner.journal.compact(owner.shard, owner.epoch, Seq(before))).await
}

/// The first readable place of the log; everything from there on is present.
async fn first(journal: &Journal) -> Seq {
    match patient(|| journal.read(SHARD, Seq(1), 1)).await {
        Ok(_) => Seq(1),
        Err(Error::Trimmed { shard: SHARD, first }) => {
            let before = patient(|| journal.read(SHARD, Seq(first.0 - 1), 1)).await;
            assert!(matches!(before, Err(Error::Trimmed { .. })), "{before:?}");
            let places: Vec<_> = all(journal, SHARD, first).await.into_iter().map(|entry| entry.seq.0).collect();
            assert_eq!(places, (first.0..first.0 + places.len() as u64).collect::<Vec<_>>());
            first
        }
        Err(other) => panic!("{other}"),
    }
}

async fn history(journal: &Journal, of: &PipelineId) -> Vec<u64> {
    let found = patient(|| journal.history(of, 0, 100)).await.expect("read");
    found.into_iter().map(|entry| entry.seq.0).collect()
}

/// Snapshots come back with their place, for one pipeline and for all of the shard.
pub async fn snapshots_come_back(journal: &Journal, other: &Journal) {
    let (a, b, c) = (pipeline(SHARD, 0), pipeline(SHARD, 1), pipeline(SHARD, 2));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (b.clone(), lifecycle("2"))]).await;
    snapshot(&owner, Seq(3), &[of(&a, "state of a"), of(&b, "")]).await;
    for journal in [journal, other] {
        let (mut snapshots, next) = patient(|| journal.snapshots(SHARD)).await.expect("read");
        snapshots.sort_by(|one, other| one.pipeline.cmp(&other.pipeline));
        let mut expected = vec![of(&a, "state of a"), of(&b, "")];
        expected.sort_by(|one, other| one.pipeline.cmp(&other.pipeline));
        assert_eq!((snapshots, next), (expected, Seq(3)));
        for (name, state) in [(&a, Some("state of a")), (&b, Some("")), (&c, None)] {
            let found = patient(|| journal.load(name)).await.expect("read");
            assert_eq!(found, (state.map(Bytes::from), Vec::new()));
        }
    }
}

/// A pipeline has one snapshot, the last; one that is not named keeps its own.
pub async fn a_snapshot_replaces_the_last(journal: &Journal, _: &Journal) {
    let (a, b, c) = (pipeline(SHARD, 0), pipeline(SHARD, 1), pipeline(SHARD, 2));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1"))]).await;
    snapshot(&owner, Seq(2), &[of(&a, "a1"), of(&b, "b1"), of(&c, "c1")]).await;
    owner.append(&[(b.clone(), lifecycle("2"))]).await;
    snapshot(&owner, Seq(3), &[of(&b, "b2")]).await;
    for (name, state) in [(&a, Some("a1")), (&b, Some("b2")), (&c, Some("c1"))] {
        let found = patient(|| journal.load(name)).await.expect("read");
        assert_eq!(found, (state.map(Bytes::from), Vec::new()));
    }
}

/// A snapshot may have any length; the next owner continues where the last one was.
pub async fn a_long_snapshot_comes_back(journal: &Journal, other: &Journal) {
    let a = pipeline(SHARD, 0);
    let long = |from: u32| {
        let parts: String = (from..from + 30_000).map(|part| format!("{},", part.wrapping_mul(0x9e37_79b9))).collect();
        vec![Snapshot { pipeline: a.clone(), state: parts.into() }]
    };
    let mut owner = Owner::claim(journal, SHARD).await;
    for (next, from) in [(2, 0), (3, 100), (4, 100)] {
        owner.append(&[(a.clone(), lifecycle(&next.to_string()))]).await;
        snapshot(&owner, Seq(next), &long(from)).await;
        for journal in [journal, other] {
            assert_eq!(patient(|| journal.snapshots(SHARD)).await.expect("read"), (long(from), Seq(next)));
            assert_eq!(patient(|| journal.load(&a)).await.expect("read").0, Some(long(from)[0].state.clone()));
        }
    }
    let mut owner = Owner::claim(other, SHARD).await;
    assert_eq!(patient(|| other.recover(SHARD)).await.expect("read"), (long(100), Seq(4)));
    owner.append(&[(a.clone(), lifecycle("5"))]).await;
    snapshot(&owner, Seq(5), &long(200)).await;
    assert_eq!(patient(|| journal.load(&a)).await.expect("read").0, Some(long(200)[0].state.clone()));
}

/// A pipeline is loaded from its snapshot and all of its own events since, of every kind, and from no other pipeline's.
pub async fn a_pipeline_is_loaded_alone(journal: &Journal, other: &Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (a.clone(), progress("2", 1)), (b.clone(), lifecycle("3"))]).await;
    let loaded = async |journal: &Journal, name: &PipelineId| {
        let (state, since) = patient(|| journal.load(name)).await.expect("read");
        assert!(since.iter().all(|entry| entry.pipeline == *name));
        (state, since.into_iter().map(|entry| entry.event.command.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(loaded(other, &a).await, (None, vec!["1".to_owned(), "2".to_owned()]));
    snapshot(&owner, Seq(3), &[of(&a, "a")]).await;
    let events = [
        (a.clone(), progress("4", 2)),
        (b.clone(), progress("5", 1)),
        (a.clone(), lifecycle("6")),
        (a.clone(), received("7")),
        (a.clone(), opened("8")),
        (a.clone(), progress("9", 3)),
    ];
    owner.append(&events).await;
    for journal in [journal, other] {
        let since = ["4", "6", "7", "8", "9"].map(str::to_owned).to_vec();
        assert_eq!(loaded(journal, &a).await, (Some(Bytes::from_static(b"a")), since));
        assert_eq!(loaded(journal, &b).await, (None, vec!["3".to_owned(), "5".to_owned()]));
        assert_eq!(loaded(journal, &pipeline(SHARD, 2)).await, (None, Vec::new()));
    }
}

/// The place of a snapshot lies between the last one's and the head; repeating it is fine.
pub async fn a_snapshot_has_its_place(journal: &Journal, _: &Journal) {
    let a = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (a.clone(), lifecycle("2"))]).await;
    let take = async |next| {
        let state = [of(&a, "a")];
        patient(|| journal.snapshot(SHARD, owner.epoch, Seq(next), state.to_vec())).await
    };
    assert!(matches!(take(4).await, Err(Error::Corrupt(_))), "beyond the head");
    assert_eq!(patient(|| journal.load(&a)).await.expect("read").0, None);
    assert!(take(2).await.is_ok());
    assert!(take(3).await.is_ok());
    assert!(take(3).await.is_ok(), "again");
    assert!(matches!(take(2).await, Err(Error::Corrupt(_))), "backwards");
}

/// A snapshot alone drops nothing.
pub async fn a_snapshot_lets_nothing_go(journal: &Journal, _: &Journal) {
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = (1..=9).map(|n| (pipeline(SHARD, 0), progress(&format!("{n}"), n))).collect();
    owner.append(&events).await;
    snapshot(&owner, Seq(10), &[]).await;
    assert_eq!(all(journal, SHARD, Seq(1)).await.len(), 9);
}

/// The place of a compaction is not after the last snapshot's; a place not after the last compaction's changes nothing.
/// A fenced writer can't compact.
pub async fn a_compaction_has_its_place(journal: &Journal, other: &Journal) {
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = (1..=9).map(|n| (pipeline(SHARD, 0), progress(&format!("{n}"), n))).collect();
    owner.append(&events).await;
    assert!(matches!(compact(&owner, 2).await, Err(Error::Corrupt(_))), "there is no snapshot");
    snapshot(&owner, Seq(6), &[]).await;
    assert!(matches!(compact(&owner, 7).await, Err(Error::Corrupt(_))), "after the snapshot");
    assert_eq!(first(journal).await, Seq(1));
    for _ in 0..2 {
        compact(&owner, 4).await.expect("compacted");
        assert_eq!(first(other).await, Seq(4));
    }
    compact(&owner, 3).await.expect("nothing to do");
    assert_eq!(first(other).await, Seq(4));
    let successor = Owner::claim(other, SHARD).await;
    assert!(matches!(compact(&owner, 5).await, Err(Error::Fenced { shard: SHARD, .. })));
    assert_eq!((first(journal).await, successor.next), (Seq(4), Seq(10)), "compaction doesn't move the head");
}

/// Before the place of a compaction, only lifecycle events stay; after it, everything does.
pub async fn lifecycle_survives(journal: &Journal, other: &Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    let events = [
        (a.clone(), lifecycle("1")),
        (a.clone(), opened("2")),
        (a.clone(), progress("3", 1)),
        (b.clone(), lifecycle("4")),
        (a.clone(), received("5")),
        (a.clone(), lifecycle("6")),
        (b.clone(), progress("7", 2)),
        (a.clone(), lifecycle("8")),
    ];
    owner.append(&events).await;
    for before in [1, 3, 7, 9] {
        snapshot(&owner, Seq(9), &[of(&a, "a"), of(&b, "b")]).await;
        compact(&owner, before).await.expect("compacted");
        for journal in [journal, other] {
            assert_eq!(first(journal).await, Seq(before));
            assert_eq!((history(journal, &a).await, history(journal, &b).await), (vec![1, 6, 8], vec![4]));
        }
    }
}

/// A reader holds compaction back until it has read on or is forgotten.
pub async fn readers_hold_compaction_back(journal: &Journal, other: &Journal) {
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = (1..=20).map(|n| (pipeline(SHARD, 0), progress(&format!("{n}"), n))).collect();
    owner.append(&events).await;
    snapshot(&owner, owner.next, &[]).await;
    let note = async |reader, next| patient(|| other.note_reader(reader, SHARD, Seq(next))).await.expect("noted");
    note("slow", 5).await;
    note("fast", 15).await;
    let compacted = async || {
        compact(&owner, 21).await.expect("compacted");
        first(other).await
    };
    assert_eq!(compacted().await, Seq(5));
    note("slow", 9).await;
    assert_eq!(compacted().await, Seq(9));
    patient(|| other.forget_reader("slow", SHARD)).await.expect("forgotten");
    assert_eq!(compacted().await, Seq(15));
    patient(|| other.note_reader("elsewhere", ShardId(12), Seq(1))).await.expect("noted");
    note("fast", 21).await;
    assert_eq!(compacted().await, Seq(21));
}

/// The history of a pipeline is its lifecycle events, also after compaction, in pages.
pub async fn history_is_lifecycle(journal: &Journal, other: &Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    let events = [
        (a.clone(), lifecycle("1")),
        (b.clone(), lifecycle("2")),
        (a.clone(), progress("3", 1)),
        (a.clone(), received("4")),
        (a.clone(), opened("5")),
        (a.clone(), lifecycle("6")),
        (a.clone(), progress("7", 2)),
        (a.clone(), lifecycle("8")),
    ];
    owner.append(&events).await;
    for compacted in [false, true] {
        if compacted {
            snapshot(&owner, owner.next, &[]).await;
            compact(&owner, owner.next.0).await.expect("compacted");
        }
        for journal in [journal, other] {
            for (after, limit, expected) in
                [(0, 10, vec![1, 6, 8]), (0, 2, vec![1, 6]), (1, 10, vec![6, 8]), (8, 10, vec![])]
            {
                let found = patient(|| journal.history(&a, after, limit)).await.expect("read");
                assert!(found.iter().all(|entry| entry.pipeline == a));
                assert_eq!(found.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected);
            }
            for (before, limit, expected) in [
                (None, 10, vec![8, 6, 1]),
                (None, 2, vec![8, 6]),
                (Some(u64::MAX), 1, vec![8]),
                (Some(6), 10, vec![1]),
                (Some(1), 10, vec![]),
            ] {
                let found = patient(|| journal.history_before(&a, before, limit)).await.expect("read");
                assert_eq!(found.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected);
            }
        }
    }
}
