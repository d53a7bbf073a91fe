//! Create, start, flow, stop, go on; restarts of the node.
use crate::house::{House, numbers, question};
use dataflow_core::{
    chunk::ChunkId,
    pipeline::{Event, Status},
};
use dataflow_engine::region::{Action, AskError, Order, Query, Reply};
use dataflow_journal::Journal;
use dataflow_testkit::memory::Fault;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn records_flow_and_a_stop_and_start_goes_on_where_it_was() {
    let mut house = House::new("flow").await;
    house.feed.push("t/0", numbers(0, 25));
    let created = house.create(house.spec()).await;
    assert_eq!((created.status, created.version), (Status::Configured, 1));
    assert_eq!(house.start().await.status, Status::Running);
    house.until(|view| view.counters.delivered == 25).await;
    let stopped = house.stop().await;
    assert_eq!(stopped.status, Status::Stopped);
    assert_eq!(stopped.positions.values().next().unwrap().to_string(), "25");
    house.feed.push("t/0", numbers(25, 40));
    house.start().await;
    house.until(|view| view.counters.delivered == 40).await;
    assert_eq!(house.store.data(), numbers(0, 40));
}

#[tokio::test(start_paused = true)]
async fn filtered_and_dead_records_are_on_the_ledger_and_dead_letters_can_be_read() {
    let mut house = House::new("fates").await;
    house.feed.push("t/0", [r#"{"a":1}"#, r#"{"a":"skip"}"#, r#"{"a":"die"}"#, r#"{"a":2}"#]);
    house.store.reject(|_, data| data.contains('2').then(|| "no twos".to_owned()));
    house.create(house.spec()).await;
    house.start().await;
    let view = house.until(|view| view.counters.read == 4 && view.in_flight == 0).await;
    let counters = view.counters;
    assert_eq!((counters.delivered, counters.filtered, counters.dead), (1, 1, 2));
    house.stop().await;
    let chunks = house.chunks().await;
    assert_eq!(chunks.len(), 1, "the chunk of the attempt that the sink rejected is gone: {chunks:?}");
    let Reply::DeadLetters(page) =
        house.ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 10 })).await.unwrap()
    else {
        panic!()
    };
    let stages: Vec<_> =
        page.letters.iter().map(|letter| (letter.number, letter.stage.as_str(), letter.code.as_str())).collect();
    assert_eq!(stages, [(1, "transforms[0]", "expression"), (2, "sink", "rejected")]);
    let Reply::DeadLetter(letter) = house.ask(question(Query::DeadLetter(2))).await.unwrap() else { panic!() };
    assert_eq!(letter.original.as_deref(), Some(br#"{"a":2}"#.as_slice()));
    assert_eq!((letter.partition.as_str(), letter.position.as_str(), letter.cause.as_str()), ("t/0", "3", "no twos"));
}

/// What an earlier owner has left goes once a run has adopted all tokens; what this build does not know is another's business.
#[tokio::test(start_paused = true)]
async fn chunks_that_nothing_names_go_and_those_of_unknown_kinds_stay() {
    let mut house = House::new("chunks").await;
    house.create(house.spec()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 5));
    house.until(|view| view.counters.delivered == 5).await;
    let incarnation = house.store.tokens().pop().unwrap().fence.incarnation;
    let put = async |epoch: u64, content: &str| {
        let id = ChunkId(format!("p/{incarnation}/{epoch}/{content}").into());
        house.journal.put_chunk(&id, "left".into()).await.unwrap();
        id
    };
    let left = [
        put(1, "letters.0.1.0.9.1").await,
        put(1, "pushed.5f3a").await,
        put(1, "joined.0.0.5").await,
        put(1, "state.0.1.0.9").await,
        put(1, "delta.0.1.0.9").await,
    ];
    let stays = [put(1, "state.0.7").await, put(1, "x").await, put(99, "letters.0.1.0.9.1").await];
    assert_eq!(house.chunks().await.len(), left.len() + stays.len());
    house.crash().await;
    house.build().await;
    house.feed.push("t/0", numbers(5, 10));
    house.until(|view| view.counters.delivered == 10).await;
    let mut expected = stays.to_vec();
    expected.sort();
    assert_eq!(house.chunks().await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_at_once_goes_on_in_parts() {
    let mut house = House::new("parts").await;
    let line = |n: usize| format!(r#"{{"a":{n},"b":"{}"}}"#, if n % 7 == 3 { "large" } else { "" });
    let lines: Vec<String> = (0..50).map(line).collect();
    house.feed.push("t/0", lines.clone());
    house.feed.push("t/0", [r#"{"a":"die"}"#, r#"{"a":"skip, large"}"#]);
    house.store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
    house.create(house.spec()).await;
    house.start().await;
    let view = house.until(|view| view.counters.read == 52 && view.in_flight == 0).await;
    let counters = view.counters;
    assert_eq!((counters.delivered, counters.filtered, counters.dead), (50, 1, 1));
    assert_eq!(house.store.data(), lines);
    assert_eq!(house.stop().await.positions.values().next().unwrap().to_string(), "52");
}

#[tokio::test(start_paused = true)]
async fn a_bounded_source_completes_and_may_be_started_again_when_there_is_more() {
    let mut house = House::new("bounded").await;
    house.feed.push("t/0", numbers(0, 5));
    house.feed.end();
    house.create(house.spec()).await;
    house.start().await;
    let done = house.until_status(Status::Completed).await;
    assert_eq!(done.counters.delivered, 5);
    house.feed.push("t/0", numbers(5, 8));
    house.start().await;
    house.until(|view| view.status == Status::Completed && view.counters.delivered == 8).await;
    assert_eq!(house.store.data(), numbers(0, 8));
}

#[tokio::test(start_paused = true)]
async fn running_pipelines_go_on_after_the_node_was_shut_down_and_stopped_ones_stay_stopped() {
    let mut house = House::new("restart").await;
    house.feed.push("t/0", numbers(0, 25));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 25).await;
    assert!(house.shutdown().await);
    house.feed.push("t/0", numbers(25, 30));
    house.build().await;
    house.until(|view| view.counters.delivered == 30).await;
    house.stop().await;
    assert!(house.shutdown().await);
    house.build().await;
    assert_eq!(house.get().await.status, Status::Stopped);
    assert_eq!(house.store.data(), numbers(0, 30));
}

#[tokio::test(start_paused = true)]
async fn a_command_repeated_by_its_id_changes_nothing() {
    let mut house = House::new("repeat").await;
    house.create(house.spec()).await;
    let id = dataflow_core::id::CommandId::try_from("once").unwrap();
    let first = crate::house::view(house.act_as(id.clone(), Action::Start { sink: None }).await);
    let second = crate::house::view(house.act_as(id, Action::Start { sink: None }).await);
    assert_eq!(first.version, second.version);
    assert!(matches!(house.act(Action::Start { sink: None }).await, Err(AskError::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_long_answers_that_it_is_stopping() {
    use dataflow_testkit::memory::Fault;
    let mut house = House::new("slow-stop").await;
    house.create(house.spec()).await;
    house.start().await;
    house.store.fault_commits([Fault::HangAfter]);
    house.feed.push("t/0", numbers(0, 3));
    house.until(|view| view.in_flight == 3).await;
    let view = crate::house::view(house.act(Action::Stop { sink: None, wait: Duration::from_secs(1) }).await);
    assert!(view.stopping && view.status == Status::Running);
    // After stopTimeout the run is dropped; the next open adopts what the sink has.
    let view = house.until_status(Status::Stopped).await;
    assert_eq!(view.counters.delivered, 0);
    house.start().await;
    house.until(|view| view.counters.delivered == 3).await;
    assert_eq!(house.store.data(), numbers(0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_made_again_under_its_id_never_trips_over_the_past() {
    let mut house = House::new("again").await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 5).await;
    assert!(
        matches!(house.act(Action::Delete { discard: false }).await, Err(AskError::Rejected(_))),
        "not while it runs"
    );
    house.stop().await;
    assert!(matches!(house.act(Action::Delete { discard: false }).await, Ok(Reply::Deleted(()))));
    let last = house.store.tokens().pop().unwrap().fence.incarnation;
    let left = dataflow_core::chunk::ChunkId(format!("p/{last}/1/letters.0.0.0.1.1").as_str().into());
    house.journal.put_chunk(&left, "what a crash left behind".into()).await.unwrap();
    // Of another node that has made the pipeline again already, which this one is too late to know.
    let next = dataflow_core::chunk::ChunkId("p/next/1/letters.0.0.0.1.1".into());
    house.journal.put_chunk(&next, "pushed".into()).await.unwrap();
    let view = house.create(house.spec()).await;
    assert!(house.journal.chunk(&left).await.unwrap().is_none() && house.journal.chunk(&next).await.unwrap().is_some());
    assert_eq!(view.counters.read, 0);
    house.start().await;
    house.until(|view| view.counters.delivered == 5).await;
    assert_eq!(house.store.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn lanes_share_the_partitions_and_each_keeps_its_own_order() {
    let journal = Journal::new(std::sync::Arc::new(dataflow_journal::Memory::new()));
    let mut house = House::on("lanes", journal, 3, 7).await;
    for partition in 0..5 {
        house.feed.push(&format!("t/{partition}"), numbers(partition * 100, partition * 100 + 37));
    }
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 5 * 37).await;
    house.crash().await;
    house.build().await;
    let view = house.until(|view| view.counters.delivered == 5 * 37 && view.positions.len() == 5).await;
    assert!(view.positions.values().all(|position| &*position.at == "37"));
    let mut rows = house.store.data();
    rows.sort();
    rows.dedup();
    assert_eq!((rows.len(), house.store.len()), (5 * 37, 5 * 37));
}

/// What a stop leaves unsettled is told with its reason, whatever that is.
#[tokio::test(start_paused = true)]
async fn a_stop_that_does_not_settle_says_why() {
    let slow = Fault::Slow(Duration::from_secs(2));
    for (name, faults, code) in [
        ("fatal", vec![slow.clone(), Fault::Fatal], "broken"),
        ("passing", vec![slow.clone(), Fault::FailBefore], "unreachable"),
        ("overdue", vec![slow, Fault::Hang], "overdue"),
    ] {
        let mut house = House::new(&format!("unsettled-{name}")).await;
        house.store.fault_commits(faults);
        house.create(house.spec()).await;
        house.start().await;
        house.feed.push("t/0", numbers(0, 10));
        house.until(|view| view.in_flight == 10).await;
        house.feed.push("t/0", numbers(10, 20));
        house.until(|view| view.in_flight == 20).await;
        house.stop().await;
        let asked = Query::History { order: Order::Rising, after: None, limit: 1_000 };
        let Ok(Reply::History(history)) = house.ask(question(asked)).await else { panic!() };
        let stopped = history.events.into_iter().find_map(|event| match event.event {
            Event::PipelineStopped { unsettled } => Some(unsettled),
            _ => None,
        });
        let cause = stopped.unwrap().expect("it is not settled");
        assert_eq!((cause.code.as_str(), cause.stage.as_str()), (code, "sink"), "{name}: {}", cause.message);
    }
}
