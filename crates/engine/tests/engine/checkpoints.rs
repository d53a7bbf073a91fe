//! One checkpointer per run: what it journals of many lanes, how often, and who waits for whom.
use crate::house::{House, numbers};
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::{
        Status,
        event::{Event, LaneProgress},
    },
    shard::ShardId,
};
use dataflow_journal::{Journal, Memory};
use dataflow_testkit::memory::Fault;
use std::{sync::Arc, time::Duration};

const LANES: u64 = 8;

async fn of_many_lanes(name: &str) -> House {
    let mut house = House::on(name, Journal::new(Arc::new(Memory::new())), LANES as u32, 1).await;
    (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), numbers(0, 10)));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10 * LANES).await;
    house
}

/// What was journalled of lanes, from the first on.
pub(crate) async fn checkpoints(house: &House) -> Vec<Vec<LaneProgress>> {
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let log = house.journal.read(shard, Seq(1), 100_000).await.unwrap();
    let lanes = log.entries.into_iter().filter_map(|entry| match entry.event.event {
        Event::BatchProcessed { lanes, .. } => Some(lanes),
        _ => None,
    });
    lanes.collect()
}

#[tokio::test(start_paused = true)]
async fn one_event_an_interval_covers_all_lanes() {
    let mut house = of_many_lanes("one-checkpointer").await;
    let before = checkpoints(&house).await.len();
    for tenth in 1..=100 {
        (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), numbers(10 * tenth, 10 * tenth + 10)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = checkpoints(&house).await.len() - before;
    assert!((8..=11).contains(&all), "in 10 s of {LANES} lanes, {all} checkpoints of an interval of 1 s");
    // Only one of the lanes moves from here on.
    house.feed.push("t/3", numbers(1_010, 1_015));
    house.until(|view| view.counters.delivered == 1_010 * LANES + 5).await;
    let before = checkpoints(&house).await.len();
    house.stop().await;
    let all = checkpoints(&house).await;
    assert!(all.len() <= before + 1, "a stop takes {} checkpoints", all.len() - before);
    let last = all.last().unwrap();
    assert_eq!(last.iter().map(|lane| u64::from(lane.lane)).collect::<Vec<_>>(), (0..LANES).collect::<Vec<_>>());
    let read: u64 = last.iter().map(|lane| lane.counters.read).sum();
    assert_eq!(read, 1_010 * LANES + 5, "whoever reads the last event alone has read everything");
    let positions =
        last.iter().flat_map(|lane| lane.positions.iter()).map(|(name, at)| (name.to_string(), at.to_string()));
    let expected = (0..LANES).map(|lane| (format!("t/{lane}"), if lane == 3 { "1015" } else { "1010" }.to_owned()));
    assert_eq!(positions.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_hangs_holds_back_no_other() {
    let mut house = of_many_lanes("hanging-lane").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.store.fault_commits([Fault::Hang]);
    for round in 1..=5 {
        (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), numbers(10 * round, 10 * round + 10)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let view = house.get().await;
        assert_eq!(view.counters.delivered, 10 * LANES + 10 * round * (LANES - 1));
        let at = (10 * round + 10).to_string();
        let there = view.positions.iter().filter(|(_, shown)| *shown.at == *at).count();
        assert_eq!(there as u64, LANES - 1, "{:?}", view.positions);
    }
}

/// Lanes whose source has ended wait for the checkpoint at the end; all of them take it together.
#[tokio::test(start_paused = true)]
async fn a_source_that_ends_is_journalled_at_once() {
    let mut house = of_many_lanes("ending").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = checkpoints(&house).await.len();
    (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), numbers(10, 15)));
    house.feed.end();
    house.until_status(Status::Completed).await;
    assert!(checkpoints(&house).await.len() <= before + 2);
    assert_eq!(house.store.len() as u64, 15 * LANES);
}

async fn planned(house: &House) -> Vec<Vec<(String, u32)>> {
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let log = house.journal.read(shard, Seq(1), 100_000).await.unwrap();
    let plans = log.entries.into_iter().filter_map(|entry| match entry.event.event {
        Event::PartitionsPlanned { planned, .. } => Some(planned),
        _ => None,
    });
    plans.map(|plan| plan.into_iter().map(|planned| (planned.partition.to_string(), planned.lane)).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_partition_has_a_lane_for_good_that_the_journal_knows() {
    let mut house = House::on("planned", Journal::new(Arc::new(Memory::new())), 2, 1).await;
    ["b", "d"].iter().for_each(|name| house.feed.push(name, numbers(0, 10)));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 20).await;
    // These come before and between the others, by name: no partition changes its lane for that.
    house.feed.push("a", numbers(0, 10));
    house.until(|view| view.counters.delivered == 30).await;
    house.stop().await;
    house.feed.push("c", numbers(0, 10));
    ["a", "b", "d"].iter().for_each(|name| house.feed.push(name, numbers(10, 20)));
    house.start().await;
    house.until(|view| view.counters.delivered == 70).await;
    house.stop().await;
    let plan = |names: &[(&str, u32)]| names.iter().map(|(name, lane)| ((*name).to_owned(), *lane)).collect::<Vec<_>>();
    assert_eq!(planned(&house).await, [plan(&[("b", 0), ("d", 1)]), plan(&[("a", 0)]), plan(&[("c", 1)])]);
    for lane in checkpoints(&house).await.last().unwrap() {
        let names: Vec<_> = lane.positions.keys().map(ToString::to_string).collect();
        assert_eq!(names, if lane.lane == 0 { ["a", "b"] } else { ["c", "d"] });
        assert_eq!(lane.counters.read, if lane.lane == 0 { 40 } else { 30 });
    }
}

/// Where reading begins must not depend on when the sink is ready.
#[tokio::test(start_paused = true)]
async fn the_partitions_are_planned_while_the_sink_is_not_ready() {
    let mut house = House::on("planned-first", Journal::new(Arc::new(Memory::new())), 2, 1).await;
    ["a", "b", "c"].iter().for_each(|name| house.feed.push(name, numbers(0, 10)));
    house.store.fault_opens([Fault::FailBefore, Fault::FailBefore, Fault::Fatal]);
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.error.as_ref().is_some_and(|error| error.attempts == 1)).await;
    let plan = |names: &[(&str, u32)]| names.iter().map(|(name, lane)| ((*name).to_owned(), *lane)).collect::<Vec<_>>();
    let all = [plan(&[("a", 0), ("b", 1), ("c", 0)])];
    assert_eq!(planned(&house).await, all);
    house.until_status(Status::Failed).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 30).await;
    house.stop().await;
    assert_eq!(planned(&house).await, all);
}
