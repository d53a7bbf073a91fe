//! The fault wrapper does what it says.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, Seq},
    shard::ShardId,
};
use dataflow_journal::{
    Appended, Error, Journal, Memory,
    fault::{Chances, Fault, Faulty},
    testing::samples::{lifecycle, pipeline},
};
use std::time::Duration;

const SHARD: ShardId = ShardId(1);

async fn claimed(faults: &[Fault]) -> (Faulty<Memory>, Epoch) {
    let journal = Faulty::scripted(Memory::new(), []);
    let epoch = journal.claim(SHARD).await.unwrap().epoch;
    journal.script(faults.iter().copied());
    (journal, epoch)
}

async fn written(journal: &Faulty<Memory>) -> usize {
    journal.inner().read(SHARD, Seq(1), 100).await.unwrap().entries.len()
}

#[tokio::test]
async fn an_append_is_unknown_whether_applied_or_not() {
    let events = [(pipeline(SHARD, 0), lifecycle("c"))];
    for (fault, there) in [(Fault::Before, 0), (Fault::After, 1), (Fault::Late, 0)] {
        let (journal, epoch) = claimed(&[fault]).await;
        assert_eq!(journal.append(SHARD, epoch, Seq(1), &events).await, Appended::Unknown);
        assert_eq!(written(&journal).await, there, "{fault:?}");
    }
}

#[tokio::test]
async fn a_late_append_lands_before_the_next_claim() {
    let (journal, epoch) = claimed(&[Fault::Late]).await;
    journal.append(SHARD, epoch, Seq(1), &[(pipeline(SHARD, 0), lifecycle("c"))]).await;
    assert_eq!(journal.read(SHARD, Seq(1), 10).await.unwrap().next, Seq(1), "a look without a claim decides nothing");
    assert_eq!(journal.claim(SHARD).await.unwrap().next_seq, Seq(2));
    assert_eq!(written(&journal).await, 1);
}

#[tokio::test]
async fn a_late_append_is_fenced_by_another_nodes_claim() {
    let (journal, epoch) = claimed(&[Fault::Late]).await;
    journal.append(SHARD, epoch, Seq(1), &[(pipeline(SHARD, 0), lifecycle("c"))]).await;
    journal.inner().claim(SHARD).await.unwrap();
    journal.claim(SHARD).await.unwrap();
    assert_eq!(written(&journal).await, 0);
}

#[tokio::test]
async fn other_calls_are_unavailable_whether_carried_out_or_not() {
    let id = ChunkId("p/i/1/x".into());
    for (fault, there) in [(Fault::Before, false), (Fault::After, true)] {
        let (journal, _) = claimed(&[fault]).await;
        let answer = journal.put_chunk(&id, Bytes::from_static(b"x")).await;
        assert!(matches!(answer, Err(Error::Unavailable(_))));
        assert_eq!(journal.chunk(&id).await.unwrap().is_some(), there, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_answers_after_its_time() {
    let (journal, _) = claimed(&[Fault::Slow(Duration::from_secs(3))]).await;
    let begun = tokio::time::Instant::now();
    journal.read(SHARD, Seq(1), 1).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_seed_tells_the_faults() {
    let outcomes = async |seed| {
        let journal = Faulty::seeded(Memory::new(), seed, Chances::default());
        let mut outcomes = Vec::new();
        for _ in 0..200 {
            outcomes.push(journal.claim(SHARD).await.is_ok());
        }
        outcomes
    };
    let first = outcomes(1).await;
    assert_eq!(first, outcomes(1).await);
    assert_ne!(first, outcomes(2).await);
    let failed = first.iter().filter(|well| !**well).count();
    assert!((20..=70).contains(&failed), "{failed} of 200 failed, 40 were to be expected");
}
