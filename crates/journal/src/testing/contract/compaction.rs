//! Snapshots, and what they let go.
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

async fn snapshot(owner: &Owner<'_>, next: Seq, changed: &[Snapshot], gone: &[PipelineId]) {
    patient(|| owner.journal.snapshot(owner.shard, owner.epoch, next, changed, gone)).await.expect("taken");
}

async fn commands(journal: &dyn Journal, from: u64) -> Vec<String> {
    all(journal, SHARD, Seq(from)).await.into_iter().map(|entry| entry.event.command.to_string()).collect()
}

/// Snapshots come back with their place, for one pipeline and for all of the shard.
pub async fn snapshots_come_back(journal: &dyn Journal, other: &dyn Journal) {
    let (a, b, c) = (pipeline(SHARD, 0), pipeline(SHARD, 1), pipeline(SHARD, 2));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (b.clone(), lifecycle("2"))]).await;
    snapshot(&owner, Seq(3), &[of(&a, "state of a"), of(&b, "")], &[]).await;
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

/// A pipeline has one snapshot, the last; what is gone has none; what is not named keeps its own.
pub async fn a_snapshot_replaces_and_removes(journal: &dyn Journal, _: &dyn Journal) {
    let (a, b, c) = (pipeline(SHARD, 0), pipeline(SHARD, 1), pipeline(SHARD, 2));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1"))]).await;
    snapshot(&owner, Seq(2), &[of(&a, "a1"), of(&b, "b1"), of(&c, "c1")], &[]).await;
    owner.append(&[(b.clone(), lifecycle("2"))]).await;
    snapshot(&owner, Seq(3), &[of(&b, "b2")], &[c.clone(), pipeline(SHARD, 3)]).await;
    for (name, state) in [(&a, Some("a1")), (&b, Some("b2")), (&c, None)] {
        let found = patient(|| journal.load(name)).await.expect("read");
        assert_eq!(found, (state.map(Bytes::from), Vec::new()));
    }
}

/// A pipeline is loaded from its snapshot and all of its own events since, of every kind, and of no other's.
pub async fn a_pipeline_is_loaded_alone(journal: &dyn Journal, other: &dyn Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (a.clone(), progress("2", 1)), (b.clone(), lifecycle("3"))]).await;
    let loaded = async |journal: &dyn Journal, name: &PipelineId| {
        let (state, since) = patient(|| journal.load(name)).await.expect("read");
        assert!(since.iter().all(|entry| entry.pipeline == *name));
        (state, since.into_iter().map(|entry| entry.event.command.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(loaded(other, &a).await, (None, vec!["1".to_owned(), "2".to_owned()]));
    snapshot(&owner, Seq(3), &[of(&a, "a")], &[]).await;
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

/// The place of a snapshot lies between the last one's and the head; the same one again is fine.
pub async fn a_snapshot_has_its_place(journal: &dyn Journal, _: &dyn Journal) {
    let a = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(a.clone(), lifecycle("1")), (a.clone(), lifecycle("2"))]).await;
    let take = async |next| {
        let state = [of(&a, "a")];
        patient(|| journal.snapshot(SHARD, owner.epoch, Seq(next), &state, &[])).await
    };
    assert!(matches!(take(4).await, Err(Error::Corrupt(_))), "beyond the head");
    assert_eq!(patient(|| journal.load(&a)).await.expect("read").0, None);
    assert!(take(2).await.is_ok());
    assert!(take(3).await.is_ok());
    assert!(take(3).await.is_ok(), "again");
    assert!(matches!(take(2).await, Err(Error::Corrupt(_))), "backwards");
}

/// Before the snapshot's place, lifecycle events stay, and of progress the last of each kind of each pipeline; behind it, all.
pub async fn lifecycle_survives_and_the_last_progress(journal: &dyn Journal, _: &dyn Journal) {
    let (a, b) = (pipeline(SHARD, 0), pipeline(SHARD, 1));
    let mut owner = Owner::claim(journal, SHARD).await;
    let events = [
        (a.clone(), lifecycle("1")),
        (a.clone(), opened("2")),
        (a.clone(), progress("3", 1)),
        (b.clone(), progress("4", 1)),
        (a.clone(), received("5")),
        (a.clone(), progress("6", 2)),
        (a.clone(), received("7")),
        (a.clone(), lifecycle("8")),
        (a.clone(), opened("9")),
        (a.clone(), progress("10", 3)),
        (b.clone(), progress("11", 2)),
    ];
    owner.append(&events).await;
    snapshot(&owner, Seq(10), &[], &[]).await;
    assert_eq!(commands(journal, 1).await, ["1", "4", "6", "7", "8", "9", "10", "11"]);
    owner.append(&[(a.clone(), progress("12", 4))]).await;
    snapshot(&owner, Seq(13), &[], &[]).await;
    assert_eq!(commands(journal, 1).await, ["1", "7", "8", "9", "11", "12"]);
    assert_eq!(Owner::claim(journal, SHARD).await.next, Seq(13), "compaction doesn't move the head");
}

/// From any place on, reading goes over what was compacted, in steps of any length, and reaches the head.
pub async fn reading_goes_over_the_gaps(journal: &dyn Journal, _: &dyn Journal) {
    let a = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    let events: Vec<_> = (1..=30)
        .map(|n| (a.clone(), if n % 10 == 5 { lifecycle(&format!("{n}")) } else { progress(&format!("{n}"), n) }))
        .collect();
    owner.append(&events).await;
    snapshot(&owner, Seq(29), &[of(&a, "a")], &[]).await;
    let left = [5_u64, 15, 25, 28, 29, 30];
    for from in 1..=31 {
        for limit in 1..=7 {
            let (mut at, mut found) = (Seq(from), Vec::new());
            loop {
                let run = patient(|| journal.read(SHARD, at, limit)).await.expect("read");
                found.extend(run.entries.iter().map(|entry| entry.seq.0));
                if run.next == at {
                    break;
                }
                at = run.next;
            }
            assert_eq!(at, Seq(31), "from {from} by {limit}");
            assert_eq!(
                found,
                left.into_iter().filter(|seq| *seq >= from).collect::<Vec<_>>(),
                "from {from} by {limit}"
            );
        }
    }
}

/// The history of a pipeline is its lifecycle events, also after compaction, in pages.
pub async fn history_is_lifecycle(journal: &dyn Journal, other: &dyn Journal) {
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
            snapshot(&owner, owner.next, &[], &[]).await;
        }
        for journal in [journal, other] {
            for (after, limit, expected) in
                [(0, 10, vec![1, 6, 8]), (0, 2, vec![1, 6]), (1, 10, vec![6, 8]), (8, 10, vec![])]
            {
                let found = patient(|| journal.history(&a, Seq(after), limit)).await.expect("read");
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
                let found = patient(|| journal.history_before(&a, before.map(Seq), limit)).await.expect("read");
                assert_eq!(found.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected);
            }
        }
    }
}
