//! Versions of a keyed sink: what was committed later stays, whichever lane, run or owner committed it.
use crate::house::House;
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::event::Event,
    shard::ShardId,
};
use dataflow_journal::{Journal, Memory};
use dataflow_testkit::memory::{Fault, feed::Fed};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

const HOUR: i64 = 3_600_000;

fn keyed(house: &House) -> Value {
    let mut spec = house.spec();
    spec["sink"]["type"] = json!("memoryKeyed");
    spec["lanes"] = json!(2);
    spec["batch"]["maxRecords"] = json!(1);
    spec
}

async fn of_two_lanes(name: &str) -> House {
    House::on(name, Journal::new(Arc::new(Memory::new())), 2, 1).await
}

/// Puts values of one key into a partition.
fn put(house: &House, partition: &str, key: &str, values: std::ops::Range<u64>) {
    let fed = values.map(|n| Fed { key: Some(key.into()), data: Some(format!("{{\"n\":{n}}}")), timestamp: 0 });
    house.feed.push_records(partition, fed);
}

/// The highest version that the journal has reserved.
async fn reserved(house: &House) -> u64 {
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let log = house.journal.read(shard, Seq(1), 100_000).await.unwrap();
    let versions = log.entries.into_iter().filter_map(|entry| match entry.event.event {
        Event::RunOpened { reserved_versions, .. } | Event::BatchProcessed { reserved_versions, .. } => {
            reserved_versions
        }
        _ => None,
    });
    versions.max().unwrap()
}

fn versions(house: &House) -> Vec<u64> {
    house.store.rows().into_iter().map(|row| row.version).collect()
}

fn value(house: &House, key: &str) -> String {
    house.store.rows().into_iter().find(|row| row.id == key).unwrap().data
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_its_lane_keeps_its_last_value() {
    let mut house = of_two_lanes("keyed-lanes").await;
    put(&house, "t/0", "k", 0..200);
    put(&house, "t/1", "other", 0..1);
    house.create(keyed(&house)).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 201).await;
    for (round, partition) in (1..).zip(["t/1", "t/0", "t/1"]) {
        put(&house, partition, "k", 1_000 * round..1_000 * round + 2 * round);
        let delivered = 201 + round * (round + 1);
        house.until(|view| view.counters.delivered == delivered).await;
        let last = 1_000 * round + 2 * round - 1;
        assert_eq!(value(&house, "k"), format!("{{\"n\":{last}}}"), "{partition}");
    }
}

/// It begins after all that its predecessor may have written, also what the journal has not heard of yet.
#[tokio::test(start_paused = true)]
async fn a_successor_whose_clock_is_an_hour_behind_goes_on_after_its_predecessor() {
    let mut house = of_two_lanes("keyed-clock").await;
    put(&house, "t/0", "k", 0..50);
    put(&house, "t/1", "other", 0..1);
    let mut spec = keyed(&house);
    spec["checkpointInterval"] = json!("1h");
    house.create(spec).await;
    house.start().await;
    let mut delivered = 51;
    for round in 1..=4 {
        house.until(|view| view.counters.delivered == delivered).await;
        let (before, highest) = (reserved(&house).await, versions(&house).into_iter().max().unwrap());
        assert!(highest <= before, "{highest} was written, and the journal has reserved {before}");
        house.crash().await;
        house.set_back.fetch_add(HOUR, Ordering::SeqCst);
        house.build().await;
        // Each time the key goes on in the other lane.
        put(&house, if round % 2 == 1 { "t/1" } else { "t/0" }, "k", 1_000 * round..1_000 * round + 3);
        delivered += 3;
        house.until(|view| view.counters.delivered == delivered).await;
        assert!(versions(&house).into_iter().max().unwrap() > before, "a run begins after all that were reserved");
        // What was not journalled is written again, by a lane that may come after the other: it is put once more.
        tokio::time::sleep(Duration::from_secs(5)).await;
        put(&house, "t/0", "k", 9_000 * round..9_000 * round + 1);
        delivered += 1;
        house.until(|view| view.counters.delivered == delivered).await;
        assert_eq!(value(&house, "k"), format!("{{\"n\":{}}}", 9_000 * round));
    }
}

/// A pipeline that is deleted and made again may write to the same target, also if the clock was set back meanwhile.
#[tokio::test(start_paused = true)]
async fn a_pipeline_that_was_made_again_goes_on_after_the_one_before() {
    let mut house = of_two_lanes("keyed-anew").await;
    put(&house, "t/0", "k", 0..5);
    put(&house, "t/1", "other", 0..1);
    house.create(keyed(&house)).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 6).await;
    house.stop().await;
    let before = reserved(&house).await;
    house.act(dataflow_engine::region::Action::Delete { discard: false }).await.unwrap();
    house.set_back.fetch_add(HOUR, Ordering::SeqCst);
    put(&house, "t/0", "k", 5..6);
    house.create(keyed(&house)).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 7).await;
    assert_eq!(value(&house, "k"), "{\"n\":5}");
    assert!(versions(&house).into_iter().all(|version| version > before));
}

/// A keyed sink applies what it can of a commit, and then refuses it: with the same version it is applied again.
#[tokio::test(start_paused = true)]
async fn a_refused_commit_comes_again_with_its_version() {
    let mut house = of_two_lanes("keyed-refused").await;
    house.store.reject(|_, data| data.contains("13").then(|| "n is 13".into()));
    put(&house, "t/0", "k", 1..2);
    let mut spec = keyed(&house);
    spec["batch"]["maxRecords"] = json!(10);
    house.create(spec).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 1).await;
    let first = versions(&house)[0];
    put(&house, "t/0", "k", 12..15);
    house.until(|view| view.counters.delivered == 3).await;
    let view = house.until(|view| view.counters.dead == 1).await;
    assert_eq!((view.counters.delivered, value(&house, "k")), (3, "{\"n\":14}".into()));
    assert_eq!(versions(&house), [first + 1]);
    put(&house, "t/0", "k", 13..14);
    house.until(|view| view.counters.dead == 2).await;
    assert_eq!(value(&house, "k"), "{\"n\":14}", "a record that is refused leaves the row of its key");
}

/// Whatever becomes of commits and their answers, nothing is written above what the journal has reserved.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_above_what_is_reserved() {
    for pause in 0..20 {
        let mut house = of_two_lanes(&format!("keyed-reserved-{pause}")).await;
        (0..30).for_each(|n| put(&house, if n % 2 == 0 { "t/0" } else { "t/1" }, &format!("k{n}"), n..n + 3));
        house.store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
        house.create(keyed(&house)).await;
        house.start().await;
        for _ in 0..3 {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            house.crash().await;
            house.set_back.fetch_add(HOUR, Ordering::SeqCst);
            let highest = versions(&house).into_iter().max();
            if let Some(highest) = highest {
                assert!(highest <= reserved(&house).await, "pause {pause}");
            }
            house.build().await;
        }
        house.until(|view| view.counters.delivered == 90).await;
        let mut data = house.store.data();
        data.sort();
        let mut expected: Vec<String> = (0..30).map(|n| format!("{{\"n\":{}}}", n + 2)).collect();
        expected.sort();
        assert_eq!(data, expected, "pause {pause}");
    }
}
