//! What is visible, and what becomes of uploads, whoever is killed or frozen and when.
use crate::target::{PIPELINE, Target, none, uploads};
use dataflow_core::{
    id::{Epoch, Generation},
    pipeline::event::LaneProgress,
    token::Fence,
};
use dataflow_sdk::{
    Error,
    sink::{CommitError, OpenLane, Seal, Sealed},
};
use dataflow_testkit::{
    bucket::Kind,
    conformance::Subject,
    fixture::{context, fence, open_lane},
};
use serde_json::json;

for_each_store! {
    parts_are_uploaded_and_nobody_sees_them
    what_is_journalled_is_published_by_the_next_owner
    a_seal_that_was_not_journalled_is_in_the_next_one
    a_zombie_publishes_nothing
    a_zombie_may_publish_what_the_journal_counts
    an_upload_that_was_aborted_from_outside_is_told_of
    a_generation_of_fewer_lanes_settles_those_of_before
    what_is_published_may_be_taken_away_before_the_journal_says_so
    an_older_journal_is_refused
    an_older_journal_is_refused_also_where_a_later_generation_has_published_nothing
    it_rolls_by_age_and_waits_before
}

fn lane_of(number: u32, lanes: u32, epoch: u64) -> OpenLane {
    let fence = Fence { lane: number, ..fence(PIPELINE, epoch) };
    OpenLane { lanes, ..open_lane(&fence) }
}

/// So many rows that parts of an object are uploaded before it is sealed.
fn many(from: i64) -> Vec<i64> {
    (from..from + 200_000).collect()
}

async fn parts_are_uploaded_and_nobody_sees_them(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &many(0)).await;
    let under_way = target.bucket.uploads().await;
    assert_eq!(under_way.len(), 1, "recorded before its first part: {under_way:?}");
    assert!(target.bucket.objects().await.is_empty());
    // Killed: the next owner aborts what was never sealed.
    drop(lane);
    let (key, upload) = &under_way[0];
    assert!(target.bucket.is_under_way(key, upload).await);
    let mut lane = target.lane(2, None).await;
    // Azure keeps blocks that nobody commits for a week.
    let is_kept = kind == Kind::Azure;
    assert_eq!(target.bucket.is_under_way(key, upload).await, is_kept, "what was never sealed is aborted");
    lane.write(1, &many(0)).await;
    assert_eq!(target.ids().await, many(0));
    target.bucket.remove().await;
}

async fn what_is_journalled_is_published_by_the_next_owner(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"roll": {"maxRecords": 2}})).await else { return };
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1, 2, 3, 4, 5]).await;
    let sealed = lane.seal(1).await;
    assert_eq!(uploads(&sealed).len(), 3);
    lane.commit(2, &[6, 7]).await;
    drop(lane);
    assert!(target.ids().await.is_empty(), "nothing is visible before it is published");
    let lane = target.lane(2, Some(&sealed)).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5], "what was never sealed is read again");
    // Between publication and the journal: all of it again, with no harm.
    drop(lane);
    let lane = target.lane(3, Some(&sealed)).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5]);
    // What is published is others': they may take it away.
    let published = LaneProgress { handle: lane.handle.clone(), ..sealed.clone() };
    for key in target.bucket.objects().await.into_keys() {
        target.bucket.delete(&key).await;
    }
    drop(lane);
    let mut lane = target.lane(4, Some(&published)).await;
    lane.write(3, &[8]).await;
    assert_eq!(target.ids().await, [8]);
    target.bucket.remove().await;
}

async fn a_seal_that_was_not_journalled_is_in_the_next_one(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1]).await;
    lane.seal(1).await;
    lane.commit(2, &[2]).await;
    let sealed = lane.seal(2).await;
    assert_eq!(uploads(&sealed).len(), 2);
    let published = lane.publish(&sealed).await;
    assert!(uploads(&published).is_empty());
    assert_eq!(target.ids().await, [1, 2]);
    target.bucket.remove().await;
}

/// A frozen owner wakes up: at whatever step, it publishes nothing that the new owner reads again.
async fn a_zombie_publishes_nothing(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    // Frozen with nothing begun, with parts on their way, with everything sealed and not journalled.
    let mut idle = target.lane(1, None).await;
    let mut halfway = target.lane(2, None).await;
    halfway.commit(1, &many(0)).await;
    let halfway_uploads = target.bucket.uploads().await;
    let mut sealer = target.lane(3, None).await;
    sealer.commit(1, &[900_001]).await;
    let sealed = sealer.seal(1).await;
    let mut owner = target.lane(4, None).await;

    let is_fenced = |error: &CommitError| matches!(error, CommitError::Failed(Error::Fenced(_)));
    let error = idle.try_commit(1, &many(0), &[]).await.unwrap_err();
    assert!(is_fenced(&error), "an upload that it begins now is recorded nowhere: {error}");
    if kind == Kind::Azure {
        // Its uploads can't be aborted: it seals them, and its journal refuses the checkpoint.
        halfway.commit(2, &many(500_000)).await;
        let sealed = halfway.seal(2).await;
        let error = halfway.try_publish(&sealed).await.unwrap_err();
        assert!(matches!(error, Error::Fenced(_)), "{error}");
    } else {
        let error = halfway.try_commit(2, &many(500_000), &[]).await.unwrap_err();
        assert!(!target.bucket.is_under_way(&halfway_uploads[0].0, &halfway_uploads[0].1).await, "{error}");
        let error = halfway.writer.seal(Seal::All).await.unwrap_err();
        assert!(matches!(error, Error::Transient { .. } | Error::Fenced(_)), "{error}");
    }
    // Its journal refuses the checkpoint; were it published all the same, there is nothing to publish.
    let error = sealer.try_publish(&sealed).await.unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error}");

    owner.write(1, &[7]).await;
    assert_eq!(target.ids().await, [7]);
    let error = target.open(open_lane(&fence(PIPELINE, 3))).await.err().unwrap();
    assert!(matches!(error, Error::Fenced(_)), "{error}");
    target.bucket.remove().await;
}

/// Journalled, frozen before publication, published by the next owner: the zombie's own publication changes nothing.
async fn a_zombie_may_publish_what_the_journal_counts(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut old = target.lane(1, None).await;
    old.commit(1, &[1]).await;
    let sealed = old.seal(1).await;
    let mut new = target.lane(2, Some(&sealed)).await;
    assert_eq!(target.ids().await, [1]);
    let error = old.try_publish(&sealed).await.unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error}");
    new.write(2, &[2]).await;
    assert_eq!(target.ids().await, [1, 2]);
    target.bucket.remove().await;
}

async fn an_upload_that_was_aborted_from_outside_is_told_of(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    let first = lane.write(1, &[1]).await;
    lane.commit(2, &[2, 3]).await;
    let sealed = lane.seal(2).await;
    for (key, upload) in uploads(&sealed) {
        target.bucket.abort(&key, &upload).await;
    }
    let error = lane.try_publish(&sealed).await.unwrap_err();
    assert_eq!(error.code(), "upload-lost", "{error}");
    assert!(error.to_string().contains("p/0=10 on") && error.to_string().contains("2 rows"), "{error}");
    drop(lane);
    let open =
        |journalled: &LaneProgress| OpenLane { journalled: Some(journalled.clone()), ..open_lane(&fence(PIPELINE, 2)) };
    let error = target.open(open(&sealed)).await.err().unwrap();
    assert!(matches!(error, Error::Contradicts { code: "upload-lost", .. }), "{error}");
    let missing = target.sink().missing(&context(PIPELINE), sealed.handle.as_ref().unwrap(), 3).await;
    assert_eq!(missing.unwrap(), Some(2), "what a user may count as lost");
    // An upload that is gone while parts are sent to it: opened again, and read again.
    let mut lane = target.lane(3, Some(&LaneProgress { handle: first.handle.clone(), ..sealed.clone() })).await;
    lane.commit(3, &many(0)).await;
    for (key, upload) in target.bucket.uploads().await {
        target.bucket.abort(&key, &upload).await;
    }
    if kind == Kind::Azure {
        // Blocks are sent by the blob's name, whatever has become of those before: it is told when they are committed.
        let sealed = lane.seal(3).await;
        assert_eq!(lane.try_publish(&sealed).await.unwrap_err().code(), "upload-lost");
    } else {
        let error = lane.try_commit(4, &many(0), &[]).await.unwrap_err();
        assert!(matches!(error, CommitError::Failed(Error::Transient { .. })), "{error}");
    }
    target.bucket.remove().await;
}

async fn a_generation_of_fewer_lanes_settles_those_of_before(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut sealed = Vec::new();
    for lane in 0..3 {
        let mut lane = target.open(lane_of(lane, 3, 1)).await.unwrap();
        lane.commit(1, &[i64::from(lane.fence.lane)]).await;
        sealed.push(lane.seal(1).await);
        // Never sealed.
        lane.commit(2, &many(1_000)).await;
    }
    let under_way = target.bucket.uploads().await;
    // A new generation, which nobody could settle the old one for: forced, while the bucket was out of reach.
    let handles: Vec<_> = sealed.iter().filter_map(|progress| progress.handle.clone()).collect();
    let of = |number| {
        let mut lane = lane_of(number, 2, 2);
        (lane.known, lane.fence.generation) = (vec![lane.fence.generation], Generation::new(2, 7));
        OpenLane { sealed: handles.clone(), earlier: handles.first().cloned(), first: false, ..lane }
    };
    let second = target.open(of(1)).await.unwrap();
    let first = target.open(of(0)).await.unwrap();
    assert_eq!(target.ids().await, [0, 1, 2], "what the journal counts is published");
    for (key, upload) in under_way.iter().filter(|_| kind != Kind::Azure) {
        assert!(!target.bucket.is_under_way(key, upload).await, "{key}");
    }
    // Killed before any of that is journalled, while readers take it away.
    assert_eq!(target.take().await, [0, 1, 2]);
    drop((first, second));
    let mut second = target.open(of(1)).await.unwrap();
    let mut first = target.open(of(0)).await.unwrap();
    first.write(1, &[10]).await;
    second.write(1, &[11]).await;
    assert_eq!(target.ids().await, [10, 11]);
    assert!(target.bucket.keys().await.iter().all(|key| !key.ends_with("/2.json")), "the third lane is over");
    target.bucket.remove().await;
}

impl Target {
    /// A reader takes away what is published; returns its rows.
    async fn take(&self) -> Vec<i64> {
        let ids = self.ids().await;
        for key in self.bucket.objects().await.into_keys() {
            self.bucket.delete(&key).await;
        }
        ids
    }
}

/// Readers take objects away as soon as they appear, and the journal may never hear that they were published.
async fn what_is_published_may_be_taken_away_before_the_journal_says_so(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1]).await;
    let first = lane.seal(1).await;
    lane.commit(2, &[2]).await;
    let second = lane.seal(2).await;
    assert_eq!(uploads(&second).len(), 2, "sealed before the first one was published, it names both");
    lane.publish(&first).await;
    assert_eq!(target.take().await, [1]);
    lane.publish(&second).await;
    assert_eq!(target.take().await, [2]);
    lane.publish(&second).await;
    drop(lane);
    for epoch in 2..4 {
        target.lane(epoch, Some(&second)).await;
        assert!(target.ids().await.is_empty(), "it is not written again");
    }
    // By an opening, too.
    let mut lane = target.lane(4, Some(&second)).await;
    lane.commit(3, &[3]).await;
    let third = lane.seal(3).await;
    drop(lane);
    for taken in [vec![3], vec![]] {
        target.lane(5, Some(&third)).await;
        assert_eq!(target.take().await, taken);
    }
    // Where only some were published and taken, the others are told of, and no more.
    let mut lane = target.lane(6, Some(&third)).await;
    lane.commit(4, &[4]).await;
    let fourth = lane.seal(4).await;
    lane.commit(5, &[5]).await;
    let fifth = lane.seal(5).await;
    lane.publish(&fourth).await;
    assert_eq!(target.take().await, [4]);
    for (key, upload) in uploads(&fifth).into_iter().skip(1) {
        target.bucket.abort(&key, &upload).await;
    }
    let error = lane.try_publish(&fifth).await.unwrap_err();
    assert!(error.code() == "upload-lost" && error.to_string().starts_with("1 of 2"), "{error}");
    let missing = target.sink().missing(&context(PIPELINE), fifth.handle.as_ref().unwrap(), 2).await;
    assert_eq!(missing.unwrap(), Some(1), "what a user may count as lost");
    target.bucket.remove().await;
}

/// The data folder is restored from a backup: what was delivered since would be doubled.
async fn an_older_journal_is_refused(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    let older = lane.write(1, &[1]).await;
    lane.write(2, &[2]).await;
    drop(lane);
    let open = |epoch, journalled: &LaneProgress| OpenLane {
        journalled: Some(journalled.clone()),
        ..open_lane(&fence(PIPELINE, epoch))
    };
    let error = target.open(open(2, &older)).await.err().unwrap();
    assert!(matches!(error, Error::Contradicts { code: "journal-behind", ledger: Some(_), .. }), "{error}");
    // Whoever removes them has it go on, exactly.
    for key in target.bucket.objects().await.into_keys().skip(1) {
        target.bucket.delete(&key).await;
    }
    let mut lane = target.lane(2, Some(&older)).await;
    let newer_again = lane.write(2, &[2]).await;
    assert_eq!(target.ids().await, [1, 2]);
    drop(lane);
    let next = OpenLane {
        fence: Fence { generation: Generation::new(2, 9), epoch: Epoch(3), ..fence(PIPELINE, 3) },
        known: vec![fence(PIPELINE, 1).generation],
        ..open_lane(&fence(PIPELINE, 3))
    };
    target.open(next).await.unwrap().write(1, &[3]).await;
    assert!(target.open(open(4, &newer_again)).await.is_err(), "a generation that this journal has never heard of");
    target.bucket.remove().await;
}

/// The record of each lane is then that of the later generation, or gone with the lane.
async fn an_older_journal_is_refused_also_where_a_later_generation_has_published_nothing(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut older = Vec::new();
    for number in 0..2 {
        let mut lane = target.open(lane_of(number, 2, 1)).await.unwrap();
        older.push(lane.write(1, &[i64::from(10 * number + 1)]).await);
        lane.write(2, &[i64::from(10 * number + 2)]).await;
    }
    let mut next = lane_of(0, 1, 2);
    (next.known, next.fence.generation) = (vec![next.fence.generation], Generation::new(2, 9));
    drop(target.open(next).await.unwrap());
    let open = |number: usize| OpenLane { journalled: Some(older[number].clone()), ..lane_of(number as u32, 2, 3) };
    for number in [0, 1] {
        let error = target.open(open(number)).await.err().unwrap();
        assert!(matches!(error, Error::Contradicts { code: "journal-behind", .. }), "{number}: {error}");
    }
    // Once they are removed, both go on exactly.
    for (key, bytes) in target.bucket.objects().await {
        if crate::target::rows_of(&key, &bytes).iter().any(|(id, _)| id % 10 == 2) {
            target.bucket.delete(&key).await;
        }
    }
    for number in [0, 1] {
        let mut lane = target.open(open(number)).await.unwrap();
        lane.write(2, &[10 * number as i64 + 2]).await;
    }
    assert_eq!(target.ids().await, [1, 2, 11, 12]);
    target.bucket.remove().await;
}

async fn it_rolls_by_age_and_waits_before(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"roll": {"maxAge": "300ms"}})).await else { return };
    let mut lane = target.lane(1, None).await;
    assert!(matches!(lane.writer.seal(Seal::Due).await.unwrap(), Sealed::Handle(_)), "there is nothing to wait for");
    lane.commit(1, &[1]).await;
    assert_eq!(lane.writer.seal(Seal::Due).await.unwrap(), Sealed::NotYet);
    tokio::time::sleep(std::time::Duration::from_millis(350)).await;
    assert!(matches!(lane.writer.seal(Seal::Due).await.unwrap(), Sealed::Handle(_)));
    target.bucket.remove().await;
}
