//! A staged sink that rolls late: nothing it has not sealed counts, and all it has shown is there once.
use crate::{
    checkpoints::checkpoints,
    house::{House, numbers, question},
};
use dataflow_core::pipeline::Status;
use dataflow_engine::region::{Action, Query, Reply, ResetPoint};
use dataflow_journal::{
    Journal, Memory,
    fault::{self as journal, Faulty},
};
use dataflow_testkit::memory::Fault;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const LANES: u64 = 3;

fn staged(house: &House, roll_every: u32) -> Value {
    let mut spec = house.spec();
    spec["sink"]["type"] = json!("memoryStaged");
    spec["sink"]["rollEvery"] = json!(roll_every);
    spec["lanes"] = json!(LANES);
    spec
}

fn feed(house: &House, from: u64, to: u64) {
    (0..LANES).for_each(|lane| house.feed.push(&format!("t/{lane}"), numbers(from, to)));
}

/// Every row is there once: of each lane, in order.
fn assert_shown(house: &House, to: u64, what: &str) {
    for lane in 0..LANES {
        let rows = house.store.rows().into_iter().filter(|row| u64::from(row.lane) == lane);
        assert_eq!(rows.map(|row| row.data).collect::<Vec<_>>(), numbers(0, to), "{what}: lane {lane}");
    }
}

async fn of_lanes(name: &str) -> House {
    House::on(name, Journal::new(Arc::new(Memory::new())), LANES as u32, 1).await
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_moves_only_over_what_is_sealed() {
    let mut house = of_lanes("staged-moves").await;
    feed(&house, 0, 10);
    house.create(staged(&house, 5)).await;
    house.start().await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let view = house.get().await;
    assert!(
        view.positions.values().all(|at| &*at.at == "0"),
        "it was asked three times, and has not sealed: {:?}",
        view.positions
    );
    assert_eq!((view.counters.delivered, view.in_flight), (0, 10 * LANES));
    assert_eq!((house.store.len(), house.store.unpublished()), (0, (3, 30)));
    house.until(|view| view.counters.delivered == 10 * LANES).await;
    assert_eq!(house.store.unpublished().1, 0);
    // Asked for all, as at a stop, it seals at once.
    feed(&house, 10, 20);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(house.stop().await.counters.delivered, 20 * LANES);
    assert_shown(&house, 20, "a stop settles");
}

/// It waits for no checkpoint that the sink will not seal: commits go on, however long.
#[tokio::test(start_paused = true)]
async fn a_sink_that_rolls_late_holds_up_no_commits() {
    let mut house = of_lanes("staged-late").await;
    house.create(staged(&house, 1_000_000)).await;
    house.start().await;
    for round in 0..20 {
        feed(&house, 10 * round, 10 * round + 10);
        tokio::time::sleep(Duration::from_secs(8)).await;
        let commits = house.store.commits();
        assert_eq!(commits, (round + 1) * LANES, "160 s without a checkpoint");
    }
    // 1,000 rows are its bound.
    feed(&house, 200, 1_100);
    house.until(|view| view.counters.delivered >= 1_000).await;
    house.feed.end();
    house.until_status(Status::Completed).await;
    assert_shown(&house, 1_100, "at the end");
}

/// Checkpoints go on while it seals and publishes for longer: what it says late of an earlier one is not taken for where it is.
#[tokio::test(start_paused = true)]
async fn a_slow_sink_says_nothing_that_is_behind_what_it_has_said() {
    for (interval, seal, publish) in [
        (1_000, 1, 3_000),
        (1_000, 1_500, 5_000),
        (1_000, 3_000, 1),
        (2_000, 1_500, 3_000),
        (2_000, 5_000, 2_100),
        (5_000, 1_500, 8_000),
    ] {
        let name = format!("staged-slow-{interval}-{seal}-{publish}");
        let mut house = of_lanes(&name).await;
        let mut spec = staged(&house, 1);
        spec["checkpointInterval"] = json!(format!("{interval}ms"));
        spec["sink"]["sealTakes"] = json!(format!("{seal}ms"));
        spec["sink"]["publishTakes"] = json!(format!("{publish}ms"));
        house.create(spec).await;
        house.start().await;
        for round in 0..60 {
            feed(&house, 10 * round, 10 * round + 10);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        house.until(|view| view.counters.delivered == 600 * LANES).await;
        assert_shown(&house, 600, &name);
        assert_eq!(house.store.opens(), LANES, "{name}: no lane failed");
        tokio::time::sleep(Duration::from_secs(30)).await;
        for lane in checkpoints(&house).await.last().unwrap() {
            assert_eq!(lane.handle, Some(json!([])), "{name}: the journal knows what is published");
        }
        assert_eq!(house.stop().await.counters.delivered, 600 * LANES);
    }
}

/// A lane names so many chunks of dead letters at most: then the sink has to seal.
#[tokio::test(start_paused = true)]
async fn dead_letters_of_what_is_not_sealed_are_bounded() {
    let mut house = House::new("staged-letters").await;
    let mut spec = staged(&house, 1_000_000);
    spec["batch"]["maxRecords"] = 1.into();
    house.create(spec).await;
    house.start().await;
    house.feed.push("t/0", (0..20_000).map(|n| format!("{{\"die\":{n}}}")));
    house.until(|view| view.counters.dead >= 10_000).await;
    let Reply::DeadLetters(page) =
        house.ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 10 })).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(page.letters.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn crashes_at_any_moment_lose_and_double_nothing() {
    for pause in 0..60 {
        let mut house = of_lanes(&format!("staged-crash-{pause}")).await;
        feed(&house, 0, 100);
        house.store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
        let mut spec = staged(&house, 2);
        spec["checkpointInterval"] = json!("1ms");
        house.create(spec).await;
        house.start().await;
        for crash in 0..4 {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(crash * pause % 7)).await;
            house.crash().await;
            house.build().await;
        }
        house.until(|view| view.counters.delivered == 100 * LANES).await;
        assert_shown(&house, 100, &format!("pause {pause}"));
    }
}

/// The journal answers late, or not: what it may or may not have is settled by opening again.
#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_loses_and_doubles_nothing() {
    for unlucky in 0..12 {
        let faulty = Arc::new(Faulty::scripted(Memory::new(), []));
        let journal = Journal::new(faulty.clone());
        let mut house = House::on(&format!("staged-journal-{unlucky}"), journal, LANES as u32, 1).await;
        let mut spec = staged(&house, 2);
        spec["checkpointInterval"] = json!("10ms");
        house.create(spec).await;
        house.start().await;
        for round in 0..10 {
            feed(&house, 10 * round, 10 * round + 10);
            if round == unlucky % 10 {
                faulty.script([journal::Fault::After, journal::Fault::None, journal::Fault::Before]);
            }
            tokio::time::sleep(Duration::from_millis(7 * (unlucky + 1))).await;
        }
        house.until(|view| view.counters.delivered == 100 * LANES).await;
        assert_shown(&house, 100, &format!("journal {unlucky}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_begins_after_what_was_shown() {
    let mut house = of_lanes("staged-reset").await;
    feed(&house, 0, 10);
    house.create(staged(&house, 4)).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10 * LANES).await;
    feed(&house, 10, 20);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    house.crash().await;
    house.build().await;
    house.stop().await;
    let reset = Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: false, take_over: false };
    crate::house::view(house.act(reset).await);
    house.start().await;
    house.until(|view| view.counters.delivered == 20 * LANES).await;
    assert_shown(&house, 20, "what was not sealed before the reset is written by the generation after it");
}
