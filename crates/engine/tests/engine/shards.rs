//! Shards are taken over and let go while the node lives.
use crate::house::{House, numbers, question};
use dataflow_core::{id::PipelineId, shard::ShardId};
use dataflow_engine::region::{AskError, ListQuery, Query};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_released_goes_on_once_it_is_acquired() {
    let mut house = House::new("released").await;
    house.create(house.spec()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 10).await;

    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let shards = house.shards();
    shards.release(shard).await;
    assert!(shards.owned().len() == 255 && !shards.owned().contains(&shard));
    house.feed.push("t/0", numbers(10, 20));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(house.store.data(), numbers(0, 10), "nobody runs it");
    let refused = house.ask(question(Query::State)).await;
    assert!(matches!(refused, Err(AskError::Unavailable(_))), "{refused:?}");
    let listed = house.region().list(ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    assert!(listed.pipelines.is_empty(), "{listed:?}");

    for _ in 0..2 {
        shards.acquire(shard).await.unwrap();
        assert_eq!(house.owned().await, 256);
    }
    house.until(|view| view.counters.delivered == 20).await;
    assert_eq!(house.store.data(), numbers(0, 20));
    assert!(house.shutdown().await);
}
