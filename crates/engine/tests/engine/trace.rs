//! One seed, one history: the same node on the same parts does the same things in the same order.
use crate::house::{House, numbers};
use dataflow_core::{id::Seq, shard::ShardId};
use dataflow_journal::memory::Memory;
use dataflow_testkit::memory::{Fault, Row};
use std::sync::Arc;

/// Create → flow → crash → recover; all that was journalled, written and shown.
async fn trace(name: &str, seed: u64) -> (String, Vec<Row>) {
    let mut house = House::on(name, Arc::new(Memory::new()), 2, seed).await;
    for partition in ["t/0", "t/1", "t/2"] {
        house.feed.push(partition, numbers(0, 100));
        house.feed.push(partition, [r#"{"a":"die"}"#, r#"{"a":"skip"}"#]);
    }
    house.store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.metrics.records_delivered >= 50).await;
    house.crash().await;
    house.build().await;
    let view = house.until(|view| view.metrics.records_read == 306 && view.metrics.records_in_flight == 0).await;
    house.stop().await;
    let shard = ShardId::of(&dataflow_core::id::PipelineId::try_from("p").unwrap());
    let log = house.journal.read(shard, Seq(1), 10_000).await.unwrap();
    (format!("{log:#?}\n{:?}", view.metrics), house.store.rows())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let (first_log, first_rows) = trace("trace-1", 42).await;
    let (second_log, second_rows) = trace("trace-2", 42).await;
    assert_eq!(first_log.replace("trace-1", "trace"), second_log.replace("trace-2", "trace"));
    assert_eq!(first_rows, second_rows);
    let mut rows: Vec<_> = first_rows.iter().map(|row| (row.id.clone(), row.data.clone())).collect();
    rows.sort();
    rows.dedup();
    assert_eq!((rows.len(), first_rows.len()), (300, 300), "nothing lost, nothing doubled");
}
