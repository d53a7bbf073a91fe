//! Pipelines that have seen a lot: their snapshots stay short, and they answer as exactly as before.
use crate::{
    house::{House, numbers, question, view},
    ingest::push,
};
use dataflow_core::{
    id::{CommandId, PipelineId},
    pipeline::{Rejected, Status},
    shard::ShardId,
    spec::PipelineSpec,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    region::{Action, AskError, Query, Reply},
};
use dataflow_journal::{
    Journal, MAX_SNAPSHOT, Memory,
    fault::{Chances, Faulty},
    store::{Log, Snapshots},
};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

fn shard() -> ShardId {
    ShardId::of(&PipelineId::try_from("p").unwrap())
}

/// A node on a journal in memory, and that journal.
async fn house(name: &str) -> (House, Memory) {
    let memory = Memory::new();
    (House::on(name, Journal::new(Arc::new(memory.clone())), 1, 1).await, memory)
}

/// Takes a snapshot by going down in good order, or goes down without a word; and comes up again.
async fn again(house: &mut House, memory: &Memory, crash: bool) {
    if crash {
        house.crash().await;
    } else {
        assert!(house.shutdown().await);
    }
    let (rows, _) = memory.snapshots(shard()).await.unwrap();
    assert!(rows.iter().all(|row| row.state.len() <= MAX_SNAPSHOT));
    let whole = house.journal.snapshots(shard()).await.unwrap().0;
    assert!(whole.iter().any(|snapshot| snapshot.state.len() > MAX_SNAPSHOT), "this test is about long ones");
    house.build().await;
}

fn update(spec: &serde_json::Value) -> Action {
    let spec: PipelineSpec = serde_json::from_value(spec.clone()).unwrap();
    Action::Update { spec: Box::new(spec), reset: false, retarget: false, force: false, wait: Duration::from_secs(60) }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_files_and_dead_letters_and_a_long_spec_are_a_short_snapshot() {
    const FILES: u64 = 5_000;
    const LETTERS: u64 = 100_000;
    let (mut house, memory) = house("large").await;
    let mut spec = house.spec();
    spec["batch"]["maxRecords"] = 200.into();
    let mut text = |commands: u64| {
        let label = |n| (format!("label-{n}"), json!("l".repeat(200)));
        spec["labels"] = (0..60).map(label).collect::<serde_json::Map<_, _>>().into();
        spec["description"] = json!(format!("after {commands} commands"));
        spec.clone()
    };
    house.create(text(0)).await;
    for number in 1..=1_200 {
        house.act(update(&text(number))).await.unwrap();
    }
    for file in 0..FILES {
        house.feed.push(&format!("folder/of/files/{file:04}.jsonl"), numbers(file, file + 1));
    }
    house.start().await;
    house.until(|view| view.counters.delivered == FILES).await;
    house.feed.push("letters", (0..LETTERS).map(|n| format!("{{\"die\":{n}}}")));
    house.until(|view| view.counters.dead == LETTERS).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // beyond a checkpoint
    let progress = async || {
        let head = memory.head(shard()).await.unwrap().next_seq;
        let page = memory.read(shard(), dataflow_core::id::Seq(head.0 - 1), 1).await.unwrap();
        page.rows[0].body.clone()
    };
    house.feed.push("folder/of/files/0017.jsonl", numbers(0, 3));
    house.until(|view| view.counters.delivered == FILES + 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let body = progress().await;
    assert!(body.contains("batchProcessed") && body.contains("0017.jsonl") && body.len() < 2_000, "{body}");
    // A spec that is longer than any row, on top of it.
    let mut long = text(1_201);
    long["transforms"] = (0..8).map(|n| json!({"type": "map", "word": n.to_string().repeat(60_000)})).collect();
    view(house.act(update(&long)).await);
    house.until_status(Status::Running).await;

    for crash in [false, true, true, false] {
        again(&mut house, &memory, crash).await;
        let counters = |view: &PipelineSnapshot| (view.counters.delivered, view.counters.dead);
        let now = house.until(|view| view.status == Status::Running && counters(view) == (FILES + 3, LETTERS)).await;
        assert_eq!(now.spec.transforms.len(), 8);
        let Reply::Claims(claims) = house.ask(question(Query::Claims)).await.unwrap() else { panic!() };
        let positions = &claims.by_lane[0].positions;
        assert_eq!(positions.len() as u64, FILES + 1);
        assert_eq!(&*positions["folder/of/files/0017.jsonl"].at, "4");
        assert_eq!(&*positions["folder/of/files/4999.jsonl"].at, "1");
        // Each letter is there once, page by page.
        let mut after = 0;
        while after < LETTERS {
            let Reply::DeadLetters(page) = house
                .ask(question(Query::DeadLetters { bytes: false, after: after.into(), limit: 1_000 }))
                .await
                .unwrap()
            else {
                panic!()
            };
            for letter in &page.letters {
                after += 1;
                assert_eq!((letter.number, letter.position.as_str()), (after, &*(after - 1).to_string()));
            }
        }
        // A command that was carried out is known, and one that was forgotten is not.
        let known = CommandId::try_from("c1000").unwrap();
        let reused = house.act_as(known, Action::Restart { sink: None, wait: Duration::ZERO }).await;
        assert!(matches!(reused, Err(AskError::Rejected(Rejected::KeyReused))), "{reused:?}");
        house.feed.push("folder/of/files/0000.jsonl", [r#"{"skip":1}"#]);
    }
    let data = house.store.data();
    assert_eq!((data.len() as u64, data.iter().collect::<BTreeSet<_>>().len() as u64), (FILES + 3, FILES));
}

#[tokio::test(start_paused = true)]
async fn thousands_of_pushed_batches_are_a_short_snapshot_and_each_is_known() {
    const BATCHES: u64 = 10_000;
    let (mut house, memory) = house("large-pushed").await;
    let mut spec = house.spec();
    spec["source"] = json!({"type": "http"});
    house.create(spec).await;
    let id = |number: u64| format!("batch-{number}-{}", "i".repeat(150));
    let line = |number: u64| format!("{{\"n\":{number}}}");
    let places = |number: u64, received: Result<Reply, AskError>| match received {
        Ok(Reply::Received(received)) => assert_eq!(received.to, number + 1),
        other => panic!("{other:?}"),
    };
    for number in 0..BATCHES {
        if number == BATCHES / 2 {
            house.start().await; // until here all wait
        }
        let received = house.act(push(&id(number), &[&line(number)], None)).await;
        places(number, received);
    }
    house.until(|view| view.counters.delivered == BATCHES).await;
    for crash in [true, false, true] {
        again(&mut house, &memory, crash).await;
        for number in (0..BATCHES).step_by(97) {
            let repeated = house.act(push(&id(number), &[&line(number)], None)).await;
            places(number, repeated);
            let other = house.act(push(&id(number), &["{}"], None)).await;
            assert!(matches!(other, Err(AskError::Rejected(Rejected::BatchIdReused))), "{other:?}");
        }
    }
    house.until(|view| view.counters.delivered == BATCHES).await;
    assert_eq!(house.store.data(), numbers(0, BATCHES));
}

/// What fails may be the segments, the snapshot that names them, or the removal of those before.
#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_and_crashes_change_nothing_in_a_long_state() {
    for seed in 0..5 {
        let memory = Memory::new();
        let chances = Chances { slow: 20, before: 60, after: 60, late: 20 };
        let journal = Journal::new(Arc::new(Faulty::seeded(memory.clone(), seed, chances)));
        let mut house = House::patient(&format!("large-unknown-{seed}"), journal).await;
        for file in 0..600 {
            house.feed.push(&format!("{}/{file}", "folder".repeat(20)), numbers(file, file + 1));
        }
        while house.try_create().await.is_err() {}
        while house.get_status().await != Some(Status::Running) {
            house.act(Action::Start { sink: None }).await.ok();
        }
        house.until_delivered(600).await;
        for round in 0..6 {
            // Quiet for so long that a snapshot is tried.
            tokio::time::sleep(Duration::from_secs(70 + round)).await;
            house.crash().await;
            while !house.try_build().await {}
            house.feed.push(&format!("{}/{round}", "folder".repeat(20)), numbers(600 + round, 601 + round));
            house.until_delivered(601 + round).await;
        }
        let mut data = house.store.data();
        data.sort_by_key(|line| (line.len(), line.clone()));
        assert_eq!(data, numbers(0, 606), "seed {seed}");
        let (rows, _) = memory.snapshots(shard()).await.unwrap();
        assert!(rows.iter().all(|row| row.state.starts_with(br#"{"segments""#)), "this test is about long ones");
    }
}
