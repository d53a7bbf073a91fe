//! Fencing: only the holder of the current epoch writes.
use super::owner::{Owner, all, holder, patient};
use crate::{
    Appended, Claim, Error, Head, Journal, Snapshot,
    testing::samples::{lifecycle, pipeline},
};
use bytes::Bytes;
use dataflow_core::{
    id::{Epoch, Seq},
    shard::ShardId,
};

const SHARD: ShardId = ShardId(7);

/// Each claim raises the epoch, and returns the place of the next event.
pub async fn a_claim_raises_the_epoch(journal: &Journal, other: &Journal) {
    let mut first = Owner::claim(journal, SHARD).await;
    assert!(first.epoch >= Epoch(1));
    first.append(&[(pipeline(SHARD, 0), lifecycle("1"))]).await;
    let second = Owner::claim(other, SHARD).await;
    assert!(second.epoch > first.epoch);
    assert_eq!(second.next, Seq(2));
    let epochs = patient(|| journal.epochs(&[SHARD, ShardId(8)])).await.expect("read");
    assert_eq!(epochs, [(SHARD, second.epoch)], "of those that were asked for and claimed");
    assert!(Owner::claim(journal, SHARD).await.epoch > second.epoch);
}

/// A repeated claim by the same holder takes effect once: only its answer may have been lost.
pub async fn a_claim_is_carried_out_once(journal: &Journal, other: &Journal) {
    let (one, two) = (holder(), holder());
    let claim =
        async |expected, holder| patient(|| journal.claim(SHARD, Epoch(expected), holder)).await.expect("answered");
    assert_eq!(patient(|| other.head(SHARD)).await.expect("read"), Head::UNCLAIMED);
    let first = Head { epoch: Epoch(1), holder: Some(one.clone()), next_seq: Seq(1) };
    for _ in 0..2 {
        assert_eq!(claim(0, &one).await, Claim::Claimed(first.clone()));
        assert_eq!(claim(0, &two).await, Claim::Held(first.clone()), "the epoch is not the expected one");
        assert_eq!(claim(2, &one).await, Claim::Held(first.clone()));
    }
    assert_eq!(patient(|| other.head(SHARD)).await.expect("read"), first);
    let second = Head { epoch: Epoch(2), holder: Some(two.clone()), ..first };
    assert_eq!(claim(1, &two).await, Claim::Claimed(second.clone()));
    for expected in [0, 1] {
        assert_eq!(claim(expected, &one).await, Claim::Held(second.clone()));
    }
}

/// Of two concurrent claims of the same epoch one succeeds, and both claimants learn which.
pub async fn of_two_that_claim_at_once_one_has_it(journal: &Journal, other: &Journal) {
    for expected in (0..20).map(Epoch) {
        let holders = [holder(), holder()];
        let claims = [(journal, &holders[0]), (other, &holders[1])]
            .map(|(journal, holder)| patient(move || journal.claim(SHARD, expected, holder)));
        let answers = futures::future::join_all(claims).await.into_iter().map(|answer| answer.expect("answered"));
        let heads: Vec<_> = answers.clone().map(|(Claim::Claimed(head) | Claim::Held(head))| head).collect();
        assert_eq!(answers.filter(|answer| matches!(answer, Claim::Claimed(_))).count(), 1);
        assert_eq!(heads[0], heads[1]);
        assert_eq!(heads[0].epoch, expected.next());
    }
}

/// An owner that has lost track of its append claims the epoch that it holds: a successor that came meanwhile keeps the
/// shard.
pub async fn a_shard_is_not_taken_back(journal: &Journal, other: &Journal) {
    let replaced = Owner::claim(journal, SHARD).await;
    let mut successor = Owner::claim(other, SHARD).await;
    let settle = async |owner: &Owner<'_>| {
        patient(|| owner.journal.claim(SHARD, owner.epoch, &owner.holder)).await.expect("answered")
    };
    assert!(matches!(settle(&replaced).await, Claim::Held(head) if head.holder.as_ref() == Some(&successor.holder)));
    let Claim::Claimed(head) = settle(&successor).await else { panic!("its own shard") };
    assert!(matches!(settle(&replaced).await, Claim::Held(_)));
    successor.epoch = head.epoch;
    successor.append(&[(pipeline(SHARD, 0), lifecycle("1"))]).await;
}

/// An epoch below the log's is fenced, and so is a higher one that nobody claimed.
pub async fn a_stale_epoch_writes_nothing(journal: &Journal, _: &Journal) {
    let old = Owner::claim(journal, SHARD).await;
    let new = Owner::claim(journal, SHARD).await;
    let events = [(pipeline(SHARD, 0), lifecycle("1")), (pipeline(SHARD, 0), lifecycle("2"))];
    for epoch in [old.epoch, new.epoch.next(), Epoch(0)] {
        assert_eq!(new.append_as_zombie(epoch, new.next, &events).await, Appended::Fenced);
    }
    assert_eq!(all(journal, SHARD, Seq(1)).await, []);
}

/// With the current epoch, an owner still writes at the head only.
pub async fn a_stale_place_writes_nothing(journal: &Journal, _: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut owner = Owner::claim(journal, SHARD).await;
    owner.append(&[(name.clone(), lifecycle("1")), (name.clone(), lifecycle("2"))]).await;
    for next in [0, 1, 2, 4, 100] {
        let outcome = owner.append_as_zombie(owner.epoch, Seq(next), &[(name.clone(), lifecycle("x"))]).await;
        assert_eq!(outcome, Appended::Fenced, "at {next}");
    }
    assert_eq!(all(journal, SHARD, Seq(1)).await.len(), 2);
    owner.append(&[(name, lifecycle("3"))]).await;
    assert_eq!(all(journal, SHARD, Seq(1)).await.len(), 3);
}

/// Without a claim nothing can be written.
pub async fn an_unclaimed_shard_takes_nothing(journal: &Journal, _: &Journal) {
    let owner = Owner { journal, holder: holder(), shard: SHARD, epoch: Epoch(0), next: Seq(1) };
    for epoch in [0, 1] {
        let outcome = owner.append_as_zombie(Epoch(epoch), Seq(1), &[(pipeline(SHARD, 0), lifecycle("1"))]).await;
        assert_eq!(outcome, Appended::Fenced);
    }
    assert_eq!(all(journal, SHARD, Seq(1)).await, []);
    let snapshots = patient(|| journal.snapshots(SHARD)).await.expect("read");
    assert_eq!(snapshots, (vec![], Seq(1)));
}

/// The node that claimed last writes; the other's very next append is refused, and it sees the new owner's events.
pub async fn the_zombie_is_fenced(journal: &Journal, other: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut zombie = Owner::claim(journal, SHARD).await;
    zombie.append(&[(name.clone(), lifecycle("1"))]).await;
    let mut owner = Owner::claim(other, SHARD).await;
    assert_eq!(
        zombie.append_as_zombie(zombie.epoch, zombie.next, &[(name.clone(), lifecycle("z"))]).await,
        Appended::Fenced
    );
    owner.append(&[(name.clone(), lifecycle("2"))]).await;
    for next in [2, 3] {
        let outcome = zombie.append_as_zombie(zombie.epoch, Seq(next), &[(name.clone(), lifecycle("z"))]).await;
        assert_eq!(outcome, Appended::Fenced);
    }
    let commands: Vec<_> = all(journal, SHARD, Seq(1)).await.into_iter().map(|entry| entry.event.command).collect();
    assert_eq!(commands.iter().map(|command| command.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

/// A snapshot by a fenced owner changes nothing.
pub async fn a_zombies_snapshot_is_refused(journal: &Journal, other: &Journal) {
    let name = pipeline(SHARD, 0);
    let mut zombie = Owner::claim(journal, SHARD).await;
    zombie.append(&[(name.clone(), lifecycle("1"))]).await;
    let owner = Owner::claim(other, SHARD).await;
    let snapshot = [Snapshot { pipeline: name.clone(), state: Bytes::from_static(b"stale") }];
    for epoch in [zombie.epoch, owner.epoch.next()] {
        let refused = patient(|| journal.snapshot(SHARD, epoch, Seq(2), snapshot.to_vec())).await;
        assert!(matches!(refused, Err(Error::Fenced { shard: SHARD, epoch: held }) if held == epoch));
    }
    let (state, since) = patient(|| other.load(&name)).await.expect("read");
    assert_eq!((state, since.len()), (None, 1));
}
