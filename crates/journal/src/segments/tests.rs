#![allow(clippy::unwrap_used)]
use super::{MAX_SNAPSHOT, MIN_SEGMENT, cut};
use crate::{
    Encoded, Error, Holder, Journal, Memory, Snapshot, WriteLevel,
    fault::{Chances, Fault, Faulty},
    store::{Chunks, Snapshots},
    testing::samples::{lifecycle, pipeline},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, Seq},
    shard::ShardId,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

const SHARD: ShardId = ShardId(2);

/// A state with this many distinct parts.
fn state(parts: std::ops::Range<u32>) -> Bytes {
    let parts: Vec<String> = parts.map(|part| format!("\"part {}\"", part.wrapping_mul(0x9e37_79b9))).collect();
    format!("{{\"v\":1,\"state\":[{}]}}", parts.join(",")).into()
}

/// An owner of the shard, with some events in the log.
async fn owner(memory: &Memory) -> (Journal, Epoch) {
    let journal = Journal::new(Arc::new(memory.clone()));
    let head = journal.take_over(SHARD, &Holder::new("one")).await.unwrap();
    if head.next_seq == Seq(1) {
        let events: Vec<Encoded> = (0..9)
            .map(|at| Encoded::new(&pipeline(SHARD, 0), &lifecycle(&at.to_string()), WriteLevel::NEWEST).unwrap())
            .collect();
        journal.append(SHARD, head.epoch, Seq(1), &events).await;
    }
    (journal, head.epoch)
}

async fn chunks(memory: &Memory) -> BTreeSet<ChunkId> {
    memory.chunk_ids().into_iter().collect()
}

fn of(state: &Bytes) -> Vec<Snapshot> {
    vec![Snapshot { pipeline: pipeline(SHARD, 0), state: state.clone() }]
}

#[tokio::test]
async fn whatever_its_length_a_row_is_short_and_the_state_comes_back() {
    let memory = Memory::new();
    let (journal, epoch) = owner(&memory).await;
    // The last state's list is itself too long for a row.
    for (next, parts) in (1..).map(Seq).zip([1, 1_000, 10_000, 1, 1_500_000]) {
        let state = state(0..parts);
        journal.snapshot(SHARD, epoch, next, of(&state)).await.unwrap();
        assert!(memory.snapshots(SHARD).await.unwrap().0[0].state.len() <= MAX_SNAPSHOT);
        for id in chunks(&memory).await {
            assert!(memory.chunk(&id).await.unwrap().unwrap().len() <= MAX_SNAPSHOT);
        }
        assert_eq!(journal.snapshots(SHARD).await.unwrap(), (of(&state), next));
        assert_eq!(journal.load(&pipeline(SHARD, 0)).await.unwrap().0, Some(state));
        assert_eq!(chunks(&memory).await.is_empty(), parts <= 1_000, "{parts} parts: what nothing names is gone");
    }
    journal.snapshot(SHARD, epoch, Seq(6), of(&state(0..1))).await.unwrap();
    assert_eq!(chunks(&memory).await, BTreeSet::new());
}

#[tokio::test]
async fn only_what_has_changed_is_written_again() {
    let memory = Memory::new();
    let (journal, epoch) = owner(&memory).await;
    journal.snapshot(SHARD, epoch, Seq(2), of(&state(0..100_000))).await.unwrap();
    let first = chunks(&memory).await;
    // The oldest parts are dropped, and new ones added.
    journal.snapshot(SHARD, epoch, Seq(3), of(&state(50..100_100))).await.unwrap();
    let second = chunks(&memory).await;
    assert!(first.len() > 40 && second.difference(&first).count() <= 4, "{} {}", first.len(), second.len());
    // The next owner continues in the same way.
    let (next, epoch) = owner(&memory).await;
    next.recover(SHARD).await.unwrap();
    next.collect(SHARD, epoch, Seq(10)).await;
    next.snapshot(SHARD, epoch, Seq(4), of(&state(100..100_200))).await.unwrap();
    assert!(chunks(&memory).await.difference(&second).count() <= 4);
    assert_eq!(next.snapshots(SHARD).await.unwrap().0, of(&state(100..100_200)));
}

/// An owner crashes at any call, carried out or not; it leaves a complete snapshot, and the next owner removes the
/// rest.
#[tokio::test]
async fn nothing_dangles_and_nothing_stays_wherever_an_owner_goes_down() {
    let (old, new, newest) = (state(0..20_000), state(10..20_100), state(20..20_200));
    for fault in [Fault::Before, Fault::After] {
        let mut whole = false;
        for at in 0.. {
            let memory = Memory::new();
            let (journal, epoch) = owner(&memory).await;
            journal.recover(SHARD).await.unwrap();
            journal.snapshot(SHARD, epoch, Seq(2), of(&old)).await.unwrap();
            let script = std::iter::repeat_n(Fault::None, at).chain(std::iter::repeat_n(fault, 100));
            let faulty = Faulty::scripted(memory.clone(), script);
            let faulty = journal.wrapped(|_| Arc::new(faulty));
            let done = faulty.snapshot(SHARD, epoch, Seq(3), of(&new)).await.is_ok();
            let (next, epoch) = owner(&memory).await;
            let found = next.recover(SHARD).await.unwrap().0;
            next.collect(SHARD, epoch, Seq(10)).await;
            assert!(found == of(&old) && !done || found == of(&new), "{fault:?} at {at}");
            let named = next.segments().values().flat_map(|named| named.chunks(&pipeline(SHARD, 0))).collect();
            assert_eq!(chunks(&memory).await, named, "{fault:?} at {at}");
            next.snapshot(SHARD, epoch, Seq(4), of(&newest)).await.unwrap();
            assert_eq!(next.snapshots(SHARD).await.unwrap().0, of(&newest));
            if done {
                whole = true;
                break;
            }
        }
        assert!(whole);
    }
}

#[tokio::test]
async fn an_owner_whose_snapshot_failed_goes_on_and_one_that_was_replaced_harms_nobody() {
    let memory = Memory::new();
    let (old, old_epoch) = owner(&memory).await;
    old.snapshot(SHARD, old_epoch, Seq(2), of(&state(0..20_000))).await.unwrap();
    let faulty = Faulty::scripted(memory.clone(), [Fault::None, Fault::After]);
    let failing = old.clone().wrapped(|_| Arc::new(faulty));
    failing.snapshot(SHARD, old_epoch, Seq(3), of(&state(9..20_009))).await.unwrap_err();
    old.snapshot(SHARD, old_epoch, Seq(4), of(&state(9..20_019))).await.unwrap();
    assert_eq!(old.snapshots(SHARD).await.unwrap().0, of(&state(9..20_019)));
    let (next, epoch) = owner(&memory).await;
    next.recover(SHARD).await.unwrap();
    next.collect(SHARD, epoch, Seq(10)).await;
    next.snapshot(SHARD, epoch, Seq(5), of(&state(9..20_029))).await.unwrap();
    let fenced = old.snapshot(SHARD, old_epoch, Seq(6), of(&state(0..2))).await;
    assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");
    old.recover(SHARD).await.unwrap();
    old.collect(SHARD, old_epoch, Seq(10)).await;
    assert_eq!(next.snapshots(SHARD).await.unwrap().0, of(&state(9..20_029)));
}

/// Its segments disappear while it reads them.
#[tokio::test(start_paused = true)]
async fn who_reads_while_the_owner_writes_gets_a_whole_state() {
    let memory = Memory::new();
    let (journal, epoch) = owner(&memory).await;
    let states: Vec<Bytes> = (0..6).map(|n| state(n * 1_000..n * 1_000 + 8_000)).collect();
    let write = async {
        for (next, state) in (2..).map(Seq).zip(&states) {
            journal.snapshot(SHARD, epoch, next, of(state)).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let slow = Chances { slow: 1_000, before: 0, after: 0, late: 0 };
    let reader = Journal::new(Arc::new(Faulty::seeded(memory.clone(), 1, slow)));
    let read = async {
        loop {
            let one = reader.load(&pipeline(SHARD, 0)).await.unwrap().0;
            assert!(one.is_none_or(|one| states.contains(&one)));
            let (all, next) = reader.snapshots(SHARD).await.unwrap();
            assert!(next == Seq(0) || next == Seq(1) || all == of(&states[next.0 as usize - 2]));
            if next == Seq(7) {
                break;
            }
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_segment_that_is_gone_or_another_is_damage() {
    let memory = Memory::new();
    let (journal, epoch) = owner(&memory).await;
    journal.snapshot(SHARD, epoch, Seq(2), of(&state(0..10_000))).await.unwrap();
    let segment = chunks(&memory).await.into_iter().next().unwrap();
    memory.remove_chunks(std::slice::from_ref(&segment)).await.unwrap();
    for (body, expected) in [(None, "lacks its segment"), (Some("other"), "has other content in its segment")] {
        if let Some(body) = body {
            memory.put_chunk(&segment, body.into()).await.unwrap();
        }
        for error in [
            journal.snapshots(SHARD).await.unwrap_err(),
            journal.load(&pipeline(SHARD, 0)).await.unwrap_err(),
            journal.recover(SHARD).await.unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Corrupt(what) if what.contains(expected)), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn segments_are_within_bounds_and_hold_all_bytes(body in prop::collection::vec(any::<u8>(), 0..1 << 18)) {
        let segments = cut(&body.clone().into());
        prop_assert!(segments.iter().all(|segment| segment.len() <= MAX_SNAPSHOT));
        prop_assert!(segments.iter().rev().skip(1).all(|segment| segment.len() > MIN_SEGMENT));
        prop_assert_eq!(segments.concat(), body);
    }
}
