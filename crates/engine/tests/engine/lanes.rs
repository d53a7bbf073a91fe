//! One lane fails: it is tried again alone, and the others go on.
use crate::house::{House, numbers, view};
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::{Status, event::Event},
    shard::ShardId,
};
use dataflow_engine::region::{Action, ResetPoint};
use dataflow_journal::{Journal, Memory};
use dataflow_testkit::memory::Fault;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const LANES: u64 = 4;
/// The lane that fails, and its partition.
const SICK: u32 = 2;
const PARTITION: &str = "t/2";
const SINKS: [&str; 3] = ["memory", "memoryKeyed", "memoryStaged"];

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Source,
    Sink,
    /// Each commit takes effect, and its answer is lost.
    Answer,
}

impl Wrong {
    const ALL: [Self; 3] = [Self::Source, Self::Sink, Self::Answer];

    fn begins(self, house: &House) {
        match self {
            Self::Source => house.feed.away(PARTITION, true),
            Self::Sink => house.store.fault_lane(SICK, Fault::FailBefore),
            Self::Answer => house.store.fault_lane(SICK, Fault::FailAfter),
        }
    }
    fn is_over(house: &House) {
        house.feed.away(PARTITION, false);
        house.store.fault_lane(SICK, Fault::None);
    }
}

async fn of_lanes(name: &str) -> House {
    House::on(name, Journal::new(Arc::new(Memory::new())), LANES as u32, 1).await
}

fn spec(house: &House, sink: &str) -> Value {
    let mut spec = house.spec();
    spec["sink"]["type"] = json!(sink);
    if sink == "memoryStaged" {
        spec["sink"]["rollEvery"] = json!(2);
    }
    spec["lanes"] = json!(LANES);
    spec["checkpointInterval"] = json!("500ms");
    spec
}

/// Every tenth record is a dead letter.
fn records(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|n| if n % 10 == 7 { format!("{{\"die\":{n}}}") } else { format!("{{\"n\":{n}}}") }).collect()
}

fn feed(house: &House, from: u64, to: u64) {
    (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), records(from, to)));
}

/// Every row is there once, of each lane in order.
fn assert_written(house: &House, to: u64, what: &str) {
    let expected: Vec<_> = numbers(0, to).into_iter().filter(|row| !row.ends_with("7}")).collect();
    for lane in 0..LANES {
        let mut rows: Vec<_> = house.store.rows().into_iter().filter(|row| u64::from(row.lane) == lane).collect();
        let number = |id: &str| id.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        rows.sort_by_key(|row| number(&row.id));
        assert_eq!(rows.into_iter().map(|row| row.data).collect::<Vec<_>>(), expected, "{what}: lane {lane}");
    }
}

/// How often all lanes were opened together, as far as the log still says.
async fn runs(house: &House) -> usize {
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let from = match house.journal.read(shard, Seq(1), 1).await {
        Err(dataflow_journal::Error::Trimmed { first, .. }) => first,
        _ => Seq(1),
    };
    let log = house.journal.read(shard, from, 100_000).await.unwrap();
    log.entries.iter().filter(|entry| matches!(entry.event.event, Event::RunOpened { .. })).count()
}

/// A pipeline of which one lane fails, while the others have read `to` records each.
async fn sick(name: &str, sink: &str, wrong: Wrong, to: u64) -> House {
    let mut house = of_lanes(name).await;
    feed(&house, 0, 20);
    house.create(spec(&house, sink)).await;
    house.start().await;
    house.until(|view| view.counters.read == 20 * LANES && view.in_flight == 0).await;
    wrong.begins(&house);
    feed(&house, 20, to);
    house.until(|view| view.error.is_some()).await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_for_long_holds_up_no_other() {
    for (sink, wrong) in SINKS.into_iter().flat_map(|sink| Wrong::ALL.map(|wrong| (sink, wrong))) {
        let what = format!("{sink}, {wrong:?}");
        let mut house = sick(&format!("lanes-{what}"), sink, wrong, 30).await;
        let mut to = 30;
        for _ in 0..12 {
            feed(&house, to, to + 10);
            to += 10;
            let through = (LANES - 1) * to;
            house.until(|view| view.counters.read - view.in_flight >= through).await;
            let shown = house.get().await;
            assert_eq!(shown.status, Status::Running, "{what}");
            if wrong != Wrong::Answer {
                assert_eq!(shown.whole.error.unwrap().lane, Some(SICK), "{what}");
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        if wrong != Wrong::Answer || sink != "memory" {
            let error = house.until(|view| view.error.is_some()).await.whole.error.unwrap();
            assert!(error.attempts > 5 && error.retry_at.is_some(), "{what}: {error:?}");
        }
        Wrong::is_over(&house);
        let through = |view: &dataflow_engine::answers::PipelineSnapshot| {
            view.counters.read == LANES * to && view.in_flight == 0 && view.error.is_none()
        };
        let done = house.until(through).await;
        assert_eq!(done.counters.dead, LANES * to / 10, "{what}");
        assert!(runs(&house).await <= 1, "{what}: the other lanes were opened once");
        assert_written(&house, to, &what);
        let stopped = house.stop().await;
        assert_eq!((stopped.status, stopped.counters.read), (Status::Stopped, LANES * to), "{what}");
    }
}

/// What a crash finds while a lane waits, or is being opened again.
#[tokio::test(start_paused = true)]
async fn a_crash_while_a_lane_is_tried_again_loses_and_doubles_nothing() {
    for (number, (sink, wrong)) in
        SINKS.into_iter().flat_map(|sink| Wrong::ALL.map(|wrong| (sink, wrong))).cycle().take(90).enumerate()
    {
        let what = format!("{sink}, {wrong:?}, crash {number}");
        let mut house = sick(&format!("lanes-crash-{number}"), sink, wrong, 60).await;
        for crash in 0..3 {
            tokio::time::sleep(Duration::from_millis(37 * (number as u64 + 1) * (crash + 1) % 700)).await;
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            house.crash().await;
            house.build().await;
        }
        Wrong::is_over(&house);
        house.until(|view| view.counters.read == 60 * LANES && view.in_flight == 0).await;
        assert_written(&house, 60, &what);
    }
}

/// How many lanes there are doesn't depend on when the source can be asked.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_at_the_first_start_has_its_lanes_once_it_is_back() {
    let mut house = of_lanes("lanes-away").await;
    feed(&house, 0, 20);
    house.feed.out_of_reach(true);
    house.create(house.spec()).await;
    house.start().await;
    let waiting = house.until(|view| view.error.is_some()).await;
    assert_eq!(waiting.whole.error.unwrap().cause.code, "unreachable");
    house.feed.out_of_reach(false);
    house.until(|view| view.counters.read == 20 * LANES && view.in_flight == 0).await;
    assert_written(&house, 20, "once it is back");
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_in_any_lane_fails_the_pipeline() {
    for well_otherwise in [true, false] {
        let mut house = sick(&format!("lanes-fatal-{well_otherwise}"), "memory", Wrong::Source, 30).await;
        let lane = if well_otherwise { 0 } else { SICK };
        house.store.fault_lane(lane, Fault::Fatal);
        if lane == SICK {
            house.feed.away(PARTITION, false);
        }
        feed(&house, 30, 40);
        let failed = house.until_status(Status::Failed).await;
        assert_eq!(failed.whole.error.unwrap().cause.code, "broken");
        house.store.fault_lane(lane, Fault::None);
        Wrong::is_over(&house);
        house.start().await;
        house.until(|view| view.counters.read == 40 * LANES && view.in_flight == 0).await;
        assert_written(&house, 40, "after a failure for good");
    }
}

/// The pipeline goes on until the last of its lanes has.
#[tokio::test(start_paused = true)]
async fn a_source_that_ends_waits_for_the_lane_that_is_tried_again() {
    for sink in SINKS {
        for wrong in [Wrong::Source, Wrong::Sink] {
            let what = format!("{sink}, {wrong:?}");
            let mut house = sick(&format!("lanes-end-{what}"), sink, wrong, 40).await;
            house.feed.end();
            tokio::time::sleep(Duration::from_secs(90)).await;
            let waiting = house.get().await;
            assert_eq!(waiting.status, Status::Running, "{what}");
            assert_eq!(waiting.counters.read - waiting.in_flight, 40 * 3 + 20, "{what}");
            assert!(runs(&house).await <= 1, "{what}");
            Wrong::is_over(&house);
            house.until_status(Status::Completed).await;
            assert_written(&house, 40, &what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_an_update_and_a_reset_settle_while_a_lane_is_tried_again() {
    for (sink, wrong) in SINKS.into_iter().flat_map(|sink| Wrong::ALL.map(|wrong| (sink, wrong))) {
        for what in ["stop", "reset", "update"] {
            let name = format!("lanes-{what}-{sink}-{wrong:?}");
            let mut house = sick(&name, sink, wrong, 60).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            if what == "update" {
                let mut other = spec(&house, sink);
                other["batch"]["maxRecords"] = json!(7);
                let spec = Box::new(serde_json::from_value(other).unwrap());
                let wait = Duration::from_secs(60);
                view(house.act(Action::Update { spec, reset: false, retarget: false, force: false, wait }).await);
                Wrong::is_over(&house);
            } else {
                let stopped = house.stop().await;
                assert_eq!(stopped.status, Status::Stopped, "{name}");
                Wrong::is_over(&house);
                if what == "reset" {
                    let to = ResetPoint::Journal;
                    view(house.act(Action::ResetCheckpoint { to, sink: None, force: false, take_over: false }).await);
                }
                house.start().await;
            }
            let read = |view: &dataflow_engine::answers::PipelineSnapshot| {
                view.counters.read == 60 * LANES && view.in_flight == 0
            };
            house.until(read).await;
            assert_written(&house, 60, &name);
        }
    }
}

/// A partition that appears while its lane is away is the lane's once it is back.
#[tokio::test(start_paused = true)]
async fn a_partition_that_appears_meanwhile_is_read() {
    let mut house = sick("lanes-appeared", "memory", Wrong::Sink, 30).await;
    (0..LANES).for_each(|partition| house.feed.push(&format!("u/{partition}"), numbers(0, 10)));
    house.until(|view| view.counters.read - view.in_flight >= 3 * 40 + 20).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    Wrong::is_over(&house);
    house.until(|view| view.counters.read == 40 * LANES && view.in_flight == 0).await;
    assert!(runs(&house).await <= 1);
    assert_eq!(house.store.len() as u64, LANES * (30 - 3 + 10));
}

/// A source with a defect: what would come twice is not delivered.
#[tokio::test(start_paused = true)]
async fn a_lane_refuses_the_partitions_of_the_others() {
    let mut house = of_lanes("lanes-confused").await;
    for lane in 0..LANES {
        house.feed.push(&format!("t/{lane}"), numbers(10 * lane, 10 * lane + 5));
    }
    house.create(spec(&house, "memory")).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 20).await;
    house.feed.confuse();
    house.feed.push(PARTITION, numbers(25, 30));
    let failed = house.until_status(Status::Failed).await;
    let error = failed.whole.error.unwrap();
    assert_eq!((error.cause.code.as_str(), error.cause.stage.as_str()), ("other-lane", "source"));
    let mut rows = house.store.data();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), house.store.data().len(), "nothing came twice");
}
