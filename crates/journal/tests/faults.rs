//! The fault wrapper injects the faults it is told to.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, Seq},
    shard::ShardId,
};
use dataflow_journal::{
    Appended, Claim, Error, Head, Holder, Journal, Memory,
    fault::{Chances, Fault, Faulty},
    testing::{
        contract::encoded,
        samples::{lifecycle, pipeline},
    },
};
use std::{sync::Arc, time::Duration};

const SHARD: ShardId = ShardId(1);

/// A journal whose next calls meet these faults, its store, and the holder of the shard at epoch 1.
struct House {
    store: Arc<Faulty<Memory>>,
    journal: Journal,
    holder: Holder,
}

impl House {
    async fn claimed(faults: &[Fault]) -> Self {
        let store = Arc::new(Faulty::scripted(Memory::new(), []));
        let house = Self { journal: Journal::new(store.clone()), store, holder: Holder::new("one") };
        house.journal.take_over(SHARD, &house.holder).await.unwrap();
        house.store.script(faults.iter().copied());
        house
    }

    async fn append(&self) -> Appended {
        self.journal
            .append(SHARD, Epoch(1), Seq(1), &encoded(&self.journal, &[(pipeline(SHARD, 0), lifecycle("c"))]))
            .await
    }

    /// The journal without faults.
    fn inner(&self) -> Journal {
        Journal::new(Arc::new(self.store.inner().clone()))
    }

    async fn written(&self) -> usize {
        self.inner().read(SHARD, Seq(1), 100).await.unwrap().entries.len()
    }

    async fn claim(&self, expected: u64) -> Head {
        match self.journal.claim(SHARD, Epoch(expected), &self.holder).await.unwrap() {
            Claim::Claimed(head) | Claim::Held(head) => head,
        }
    }
}

#[tokio::test]
async fn an_append_is_unknown_whether_applied_or_not() {
    for (fault, there) in [(Fault::Before, 0), (Fault::After, 1), (Fault::Late, 0)] {
        let house = House::claimed(&[fault]).await;
        assert_eq!(house.append().await, Appended::Unknown);
        assert_eq!(house.written().await, there, "{fault:?}");
    }
}

#[tokio::test]
async fn a_late_append_lands_before_the_next_claim() {
    let house = House::claimed(&[Fault::Late]).await;
    house.append().await;
    let looked = house.journal.read(SHARD, Seq(1), 10).await.unwrap();
    assert_eq!(looked.next, Seq(1), "a look without a claim decides nothing");
    assert_eq!(house.claim(1).await.next_seq, Seq(2));
    assert_eq!(house.written().await, 1);
}

#[tokio::test]
async fn a_late_append_is_fenced_by_another_nodes_claim() {
    let house = House::claimed(&[Fault::Late]).await;
    house.append().await;
    house.inner().take_over(SHARD, &Holder::new("other")).await.unwrap();
    assert_eq!(house.claim(1).await.epoch, Epoch(2));
    assert_eq!(house.written().await, 0);
}

#[tokio::test]
async fn other_calls_are_unavailable_whether_carried_out_or_not() {
    let id = ChunkId("p/i/1/x".into());
    for (fault, there) in [(Fault::Before, false), (Fault::After, true)] {
        let house = House::claimed(&[fault]).await;
        let answer = house.journal.put_chunk(&id, Bytes::from_static(b"x")).await;
        assert!(matches!(answer, Err(Error::Unavailable(_))));
        assert_eq!(house.journal.chunk(&id).await.unwrap().is_some(), there, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_answers_after_its_time() {
    let house = House::claimed(&[Fault::Slow(Duration::from_secs(3))]).await;
    let begun = tokio::time::Instant::now();
    house.journal.read(SHARD, Seq(1), 1).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_seed_tells_the_faults() {
    let outcomes = async |seed| {
        let journal = Journal::new(Arc::new(Faulty::seeded(Memory::new(), seed, Chances::default())));
        let mut outcomes = Vec::new();
        for _ in 0..200 {
            outcomes.push(journal.head(SHARD).await.is_ok());
        }
        outcomes
    };
    let first = outcomes(1).await;
    assert_eq!(first, outcomes(1).await);
    assert_ne!(first, outcomes(2).await);
    let failed = first.iter().filter(|well| !**well).count();
    assert!((20..=70).contains(&failed), "{failed} of 200 failed, 40 were to be expected");
}
