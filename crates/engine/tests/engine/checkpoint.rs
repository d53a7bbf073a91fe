//! Setting the checkpoint, and changes that start a new generation.
use crate::{
    house::{House, numbers, view},
    ingest::push,
};
use dataflow_core::pipeline::{Rejected, Status};
use dataflow_engine::region::{Action, AskError, ResetPoint};
use dataflow_testkit::memory::Fault;
use serde_json::json;

async fn stopped(name: &str) -> House {
    let mut house = House::new(name).await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10).await;
    house.stop().await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_the_beginning_reads_all_again_and_the_ledger_goes_on() {
    let mut house = stopped("reset-beginning").await;
    let reset = view(
        house
            .act(Action::ResetCheckpoint { to: ResetPoint::Beginning, sink: None, force: true, take_over: false })
            .await,
    );
    assert!(reset.positions.values().all(|at| &*at.at == "0"));
    assert!(reset.generation > 0);
    house.start().await;
    house.until(|view| view.counters.delivered == 20).await;
    assert_eq!(house.store.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_the_end_or_a_position_goes_on_there() {
    let mut house = stopped("reset-end").await;
    house.feed.push("t/0", numbers(10, 20));
    view(house.act(Action::ResetCheckpoint { to: ResetPoint::End, sink: None, force: false, take_over: false }).await);
    house.feed.push("t/0", numbers(20, 25));
    house.start().await;
    house.until(|view| view.counters.delivered == 15).await;
    house.stop().await;
    let to = ResetPoint::Positions([("t/0".to_owned(), "18".to_owned())].into());
    view(house.act(Action::ResetCheckpoint { to, sink: None, force: true, take_over: false }).await);
    house.start().await;
    house.until(|view| view.counters.delivered == 22).await;
    let expected: Vec<_> = numbers(0, 10).into_iter().chain(numbers(20, 25)).chain(numbers(18, 25)).collect();
    assert_eq!(house.store.data(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_position_of_a_partition_that_is_not_there_is_refused() {
    let mut house = stopped("reset-stranger").await;
    let to = ResetPoint::Positions([("t/o".to_owned(), "5".to_owned())].into());
    match house.act(Action::ResetCheckpoint { to, sink: None, force: false, take_over: false }).await {
        Err(AskError::Rejected(Rejected::Invalid { problems })) => {
            assert_eq!((problems[0].path.as_str(), problems[0].code.as_str()), ("to.positions", "unknown-partition"));
            assert_eq!(problems[0].fix.as_deref(), Some("did you mean \"t/0\"? There are: t/0 (0 to 10)"));
        }
        other => panic!("{other:?}"),
    }
    // One that has appeared since the last checkpoint is there.
    house.feed.push("t/1", numbers(0, 3));
    let to = ResetPoint::Positions([("t/1".to_owned(), "1".to_owned())].into());
    view(house.act(Action::ResetCheckpoint { to, sink: None, force: false, take_over: false }).await);
}

#[tokio::test(start_paused = true)]
async fn what_starts_a_generation_is_refused_while_the_sink_is_out_of_reach_unless_forced() {
    let mut house = stopped("unsettled").await;
    house.store.fault_opens([Fault::FailBefore]);
    let refused = house
        .act(Action::ResetCheckpoint { to: ResetPoint::Beginning, sink: None, force: false, take_over: false })
        .await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Unsettled { .. }))), "{refused:?}");
    house.store.fault_opens([Fault::FailBefore]);
    view(
        house
            .act(Action::ResetCheckpoint { to: ResetPoint::Beginning, sink: None, force: true, take_over: false })
            .await,
    );
}

#[tokio::test(start_paused = true)]
async fn name_description_and_labels_change_without_a_stop() {
    let mut house = stopped("update").await;
    let started = house.start().await;
    let mut spec = house.spec();
    spec["name"] = "another".into();
    let update = |spec: &serde_json::Value| Action::Update {
        spec: Box::new(serde_json::from_value(spec.clone()).unwrap()),
        reset: false,
        retarget: false,
        force: false,
        wait: std::time::Duration::from_secs(60),
    };
    let renamed = view(house.act(update(&spec)).await);
    assert_eq!((renamed.spec.name.as_str(), renamed.version), ("another", started.version + 1));
    spec["batch"]["maxRecords"] = 5.into();
    let restarted = view(house.act(update(&spec)).await);
    assert_eq!((restarted.status, restarted.version), (Status::Running, renamed.version + 4));
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_the_beginning_is_refused_while_the_source_is_out_of_reach() {
    let mut house = stopped("reset-beginning-unknown").await;
    house.feed.out_of_reach(true);
    for force in [false, true] {
        match house
            .act(Action::ResetCheckpoint { to: ResetPoint::Beginning, sink: None, force, take_over: false })
            .await
        {
            Err(AskError::Rejected(Rejected::Invalid { problems })) => {
                assert_eq!(problems[0].code, "unreachable");
            }
            other => panic!("{other:?}"),
        }
    }
    // Where the source begins says here only what it has no longer.
    view(
        house
            .act(Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: false, take_over: false })
            .await,
    );
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_to_open_says_nothing_of_what_it_has() {
    let mut house = stopped("reset-sink-broken").await;
    for to in [ResetPoint::Beginning, ResetPoint::End, ResetPoint::Journal, ResetPoint::SinkToken] {
        house.store.fault_opens([Fault::Fatal]);
        let refused = house.act(Action::ResetCheckpoint { to, sink: None, force: false, take_over: false }).await;
        assert!(matches!(refused, Err(AskError::Rejected(Rejected::Unsettled { .. }))), "{refused:?}");
    }
    house.store.fault_opens([Fault::Fatal]);
    let forced = view(
        house.act(Action::ResetCheckpoint { to: ResetPoint::End, sink: None, force: true, take_over: false }).await,
    )
    .counters;
    assert_eq!((forced.delivered, forced.lost), (10, 0));
    assert_eq!(house.store.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_choice_leads_past_all_generations_that_a_target_knows() {
    let mut house = stopped("reset-past").await;
    house.store.fault_opens([Fault::Contradicts(7)]);
    let chosen = view(
        house
            .act(Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: false, take_over: false })
            .await,
    );
    assert_eq!(chosen.generation, 8);
}

/// Pushed records were acknowledged, so that they are not passed over by mistake, nor without being counted.
#[tokio::test(start_paused = true)]
async fn pending_pushed_records_are_given_up_only_where_that_is_forced_and_whole_batches_may_be_pushed_again() {
    let at = |position: &str| ResetPoint::Positions([("http".to_owned(), position.to_owned())].into());
    for (number, (to, lost)) in
        [(ResetPoint::End, 20), (at("15"), 5), (at("20"), 10), (at("23"), 13)].into_iter().enumerate()
    {
        let mut house = House::new(&format!("reset-pending-{number}")).await;
        let mut spec = house.spec();
        spec["source"] = json!({"type": "http"});
        house.create(spec).await;
        house.start().await;
        let batch = |id: &str, from| {
            let lines = numbers(from, from + 10);
            push(id, &lines.iter().map(String::as_str).collect::<Vec<_>>(), None)
        };
        house.act(batch("a", 0)).await.unwrap();
        house.until(|view| view.counters.delivered == 10).await;
        house.stop().await;
        for (id, from) in [("b", 10), ("c", 20)] {
            house.act(batch(id, from)).await.unwrap();
        }

        let reset =
            |to: &ResetPoint, force| Action::ResetCheckpoint { to: to.clone(), sink: None, force, take_over: false };
        match house.act(reset(&to, false)).await {
            Err(AskError::Rejected(Rejected::Invalid { problems })) => {
                assert_eq!((problems[0].path.as_str(), problems[0].code.as_str()), ("to", "undelivered"));
                assert!(
                    problems[0].message.contains(&format!("{lost} acknowledged pushed record(s)")),
                    "{}",
                    problems[0].message
                );
            }
            other => panic!("{other:?}"),
        }
        for harmless in [ResetPoint::Beginning, ResetPoint::Journal, ResetPoint::SinkToken, at("10")] {
            assert_eq!(view(house.act(reset(&harmless, false)).await).counters.lost, 0);
        }
        let counters = view(house.act(reset(&to, true)).await).counters;
        assert_eq!((counters.read, counters.delivered, counters.lost), (10 + lost, 10, lost));

        // One of which a part is still to be delivered is a repeat.
        for (id, from) in [("a", 0), ("b", 10), ("c", 20)] {
            house.act(batch(id, from)).await.unwrap();
        }
        house.start().await;
        let again = numbers(10, 10 + lost / 10 * 10);
        let expected: Vec<_> = numbers(0, 10).into_iter().chain(numbers(10 + lost, 30)).chain(again).collect();
        house.until(|view| view.counters.delivered >= expected.len() as u64).await;
        assert_eq!(house.store.data(), expected);
    }
}

fn at(position: &str) -> ResetPoint {
    ResetPoint::Positions([("t/0".to_owned(), position.to_owned())].into())
}

/// Records that are written again to a sink that has no key are doubled: both positions and their number are told before.
#[tokio::test(start_paused = true)]
async fn to_write_again_what_a_sink_without_a_key_has_must_be_confirmed() {
    for (kind, to, doubled) in [
        ("transactional", ResetPoint::Beginning, 10),
        ("transactional", at("7"), 3),
        ("transactional", ResetPoint::Journal, 0),
        ("transactional", ResetPoint::SinkToken, 0),
        ("transactional", ResetPoint::End, 0),
        ("transactional", at("12"), 0),
        ("staged", ResetPoint::Beginning, 10),
        ("keyed", ResetPoint::Beginning, 0),
    ] {
        let name = format!("doubled-{kind}-{doubled}-{to:?}").replace(|c: char| !c.is_alphanumeric(), "-");
        let mut house = House::new(&name).await;
        house.feed.push("t/0", numbers(0, 10));
        let mut spec = house.spec();
        match kind {
            "staged" => spec["sink"] = json!({"type": "memoryStaged", "store": name, "rollEvery": 1}),
            "keyed" => spec["sink"] = json!({"type": "memoryKeyed", "store": name}),
            _ => {}
        }
        house.create(spec).await;
        house.start().await;
        house.until(|view| view.counters.delivered == 10).await;
        house.stop().await;
        house.feed.push("t/0", numbers(10, 20));
        let reset = |force| Action::ResetCheckpoint { to: to.clone(), sink: None, force, take_over: false };
        match house.act(reset(false)).await {
            Err(AskError::Rejected(Rejected::SinkAhead { places, .. })) => {
                let [place] = places.as_slice() else { panic!("{places:?}") };
                assert_eq!((place.records, place.to.to_string()), (Some(doubled), "10".into()), "{kind} {to:?}");
            }
            other => {
                view(other);
                assert_eq!(doubled, 0, "{kind} {to:?}");
                continue;
            }
        }
        view(house.act(reset(true)).await);
        // Confirmed once, it is not asked again, and what was turned back to is nothing that was passed over.
        let back =
            view(house.act(Action::ResetCheckpoint { to: at("10"), sink: None, force: false, take_over: false }).await);
        assert_eq!((back.counters.lost, back.counters.read), (0, 10), "{kind} {to:?}");
        view(house.act(reset(true)).await);
        house.start().await;
        let all = 20 + doubled;
        house.until(|view| view.counters.delivered == all).await;
        assert_eq!(house.store.len() as u64, all, "{kind} {to:?}");
    }
}

/// What the source still has and is passed over is on the ledger, and told; also after a crash.
#[tokio::test(start_paused = true)]
async fn what_is_passed_over_is_counted_and_told() {
    let mut house = stopped("passed-over").await;
    house.feed.push("t/0", numbers(10, 30));
    house.feed.push("t/1", numbers(0, 5));
    view(house.act(Action::ResetCheckpoint { to: ResetPoint::End, sink: None, force: false, take_over: false }).await);
    house.crash().await;
    house.build().await;
    let passed = house.get().await;
    let counters = passed.counters;
    assert_eq!((counters.read, counters.delivered, counters.lost), (35, 10, 25));
    let told: Vec<_> =
        passed.warnings.iter().filter(|told| told.code == "passed-over").map(|told| told.records).collect();
    assert_eq!(told, [20, 5], "{:?}", passed.warnings);
    // Taken back in part, only that counts.
    let back =
        view(house.act(Action::ResetCheckpoint { to: at("12"), sink: None, force: false, take_over: false }).await);
    assert_eq!((back.counters.lost, back.positions.len()), (7, 2), "{back:#?}");
    house.start().await;
    house.until(|view| view.counters.delivered == 28).await;
    let counted = house.get().await.counters;
    assert_eq!((counted.read, counted.lost, house.store.len()), (35, 7, 28));
}

/// What can't be counted is said to be so.
#[tokio::test(start_paused = true)]
async fn what_can_not_be_counted_is_told() {
    let mut house = stopped("passed-unknown").await;
    house.feed.push("t/0", numbers(10, 30));
    house.feed.out_of_reach(true);
    let passed =
        view(house.act(Action::ResetCheckpoint { to: at("20"), sink: None, force: true, take_over: false }).await);
    assert_eq!((passed.counters.read, passed.counters.lost), (10, 0));
    let told = passed.warnings.iter().find(|told| told.code == "passed-over").unwrap();
    assert!(told.message.contains("t/0 continues at 20 instead of 10: the source can't count"), "{}", told.message);
}
