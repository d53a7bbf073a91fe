//! Updates of a running pipeline: what is done by which spec, crashes in between, and what else is asked meanwhile.
use crate::house::{House, question, view};
use dataflow_core::{
    id::CommandId,
    pipeline::{Event, Rejected, Status},
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    region::{Action, AskError, Message, Order, Query, Reply, ShardingEnvelope, UserCommand},
};
use dataflow_journal::{Journal, Memory};
use dataflow_testkit::memory::{Fault, store};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const LONG: Duration = Duration::from_secs(60);

fn update(spec: &Value, wait: Duration) -> Action {
    let spec = serde_json::from_value(spec.clone()).unwrap();
    Action::Update { spec, reset: false, retarget: true, force: false, wait }
}

/// The pipeline, without records that have `word`.
fn dropping(house: &House, word: &str) -> Value {
    let mut spec = house.spec();
    spec["transforms"] = json!([{"type": "drop", "word": word}]);
    spec
}

/// `{"n":0}` and so on; every third one with a word.
fn records(from: u64, to: u64) -> Vec<String> {
    let record =
        |n: u64| if n.is_multiple_of(3) { format!(r#"{{"n":{n},"w":"x"}}"#) } else { format!(r#"{{"n":{n}}}"#) };
    (from..to).map(record).collect()
}

/// What is written of these: records with the word only before `taken`.
fn written(records: &[String], taken: u64) -> Vec<String> {
    let kept = records.iter().zip(0..).filter(|(record, n)| *n < taken || !record.contains('w'));
    kept.map(|(record, _)| record.clone()).collect()
}

/// So many records come, of which the sink has all, and its last answer never comes: a stop takes 30 s, and the journal
/// does not know.
async fn hang(house: &mut House, records: u64) {
    house.feed.push("t/0", self::records(0, records / 2));
    house.until(|view| is_through(view, records as usize / 2)).await;
    house.store.fault_commits([Fault::HangAfter]);
    house.feed.push("t/0", self::records(records / 2, records));
    house.until(|view| view.in_flight > 0).await;
}

async fn history(house: &mut House) -> Vec<Event> {
    let asked = Query::History { order: Order::Rising, after: None, limit: 1_000 };
    let Reply::History(page) = house.ask(question(asked)).await.unwrap() else { panic!() };
    page.events.into_iter().map(|event| event.event).collect()
}

/// Where the last update took effect in a partition.
async fn took_effect(house: &mut House, partition: &str) -> Option<u64> {
    let history = history(house).await;
    let positions = history.iter().rev().find_map(|event| match event {
        Event::PipelineUpdated { positions, .. } => Some(positions),
        _ => None,
    })?;
    Some(positions.as_ref().unwrap()[partition].as_offset().unwrap())
}

fn is_through(view: &PipelineSnapshot, records: usize) -> bool {
    view.counters.read == records as u64 && view.in_flight == 0
}

fn drops(view: &PipelineSnapshot) -> bool {
    !view.spec.transforms.is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_running_pipeline_drains_changes_and_goes_on() {
    let mut house = House::new("update-flow").await;
    house.feed.push("t/0", records(0, 25));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| is_through(view, 25)).await;
    let changed = view(house.act(update(&dropping(&house, "x"), LONG)).await);
    assert_eq!((changed.status, changed.stopping, drops(&changed)), (Status::Running, false, true));
    house.feed.push("t/0", records(25, 60));
    house.until(|view| is_through(view, 60)).await;
    assert_eq!(house.store.data(), written(&records(0, 60), 25));
    assert_eq!(took_effect(&mut house, "t/0").await, Some(25));
    let events: Vec<_> = history(&mut house).await.iter().map(Event::name).collect();
    let asked = ["StopRequested", "PipelineStopped", "PipelineUpdated", "PipelineStarted"];
    assert_eq!(events[events.len() - 4..], asked);
}

#[tokio::test(start_paused = true)]
async fn each_partition_of_each_lane_has_a_place_of_its_own() {
    let mut house = House::on("update-lanes", Journal::new(Arc::new(Memory::new())), 3, 7).await;
    let pushed = |partition: u64| 11 + 10 * partition;
    for partition in 0..5 {
        house.feed.push(&format!("t/{partition}"), records(0, pushed(partition)));
    }
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| is_through(view, 155)).await;
    view(house.act(update(&dropping(&house, "x"), LONG)).await);
    for partition in 0..5 {
        assert_eq!(took_effect(&mut house, &format!("t/{partition}")).await, Some(pushed(partition)));
        house.feed.push(&format!("t/{partition}"), records(pushed(partition), 90));
    }
    house.until(|view| is_through(view, 450)).await;
    let mut expected: Vec<_> = (0..5).flat_map(|partition| written(&records(0, 90), pushed(partition))).collect();
    let mut found = house.store.data();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// The node dies at any moment after the update was asked for.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_strands_nothing() {
    for delay in (0..60).chain([500, 1_500, 29_999, 30_001, 31_000]) {
        let mut house = House::new(&format!("update-crash-{delay}")).await;
        house.create(house.spec()).await;
        house.start().await;
        hang(&mut house, 20).await;
        if delay % 2 == 1 {
            house.feed.push("t/0", records(20, 40));
        }
        let spec = dropping(&house, "x");
        let id = CommandId::try_from("the-update").unwrap();
        let asked = tokio::time::timeout(
            Duration::from_millis(delay),
            house.act_as(id.clone(), update(&spec, Duration::from_millis(delay / 2))),
        );
        let answered = asked.await.is_ok();
        house.crash().await;
        house.build().await;
        if answered {
            house.until(|view| drops(view) && !view.stopping).await;
        }
        // Who has got no answer asks again.
        let changed = view(house.act_as(id, update(&spec, LONG)).await);
        assert_eq!((changed.status, changed.stopping, drops(&changed)), (Status::Running, false, true), "{delay}");
        house.feed.push("t/0", records(if delay % 2 == 1 { 40 } else { 20 }, 60));
        house.until(|view| is_through(view, 60)).await;
        let at = took_effect(&mut house, "t/0").await.unwrap();
        assert_eq!(house.store.data(), written(&records(0, 60), at), "{delay}: it took effect at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_target_gets_what_comes_after_what_the_one_before_has() {
    let mut house = House::new("update-target").await;
    let other = store("update-target-other");
    house.create(house.spec()).await;
    house.start().await;
    hang(&mut house, 20).await;
    let mut spec = house.spec();
    spec["sink"]["store"] = json!("update-target-other");
    let unasked = Action::Update {
        spec: serde_json::from_value(spec.clone()).unwrap(),
        reset: false,
        retarget: false,
        force: false,
        wait: LONG,
    };
    let refused = house.act(unasked).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::RetargetNeeded { .. }))), "{refused:?}");
    assert!(!house.get().await.stopping, "it is asked before anything is stopped");
    let meanwhile = view(house.act(update(&spec, Duration::ZERO)).await);
    assert!(meanwhile.stopping && meanwhile.updating && meanwhile.status == Status::Running, "{meanwhile:#?}");
    house.crash().await;
    house.build().await;
    house.feed.push("t/0", records(20, 60));
    house.until(|view| is_through(view, 60)).await;
    assert_eq!((house.store.data(), other.data()), (records(0, 20), records(20, 60)));
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_settled_is_refused_and_the_pipeline_goes_on_as_it_was() {
    let mut house = House::new("update-refused").await;
    house.feed.push("t/0", records(0, 20));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| is_through(view, 20)).await;
    let mut spec = house.spec();
    spec["sink"]["store"] = json!("update-refused-other");
    house.store.fault_opens([Fault::FailBefore]);
    let id = CommandId::try_from("the-update").unwrap();
    let refused = house.act_as(id.clone(), update(&spec, LONG)).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Unsettled { .. }))), "{refused:?}");
    house.feed.push("t/0", records(20, 30));
    let as_it_was = house.until(|view| is_through(view, 30)).await;
    assert_eq!(as_it_was.spec.sink.config["store"], "update-refused");
    assert_eq!(as_it_was.warnings[0].code, "update-refused", "{:?}", as_it_was.warnings);
    let refused = |event: &Event| matches!(event, Event::UpdateRefused { code, message } if code == "unsettled" && message.len() > 20);
    assert!(history(&mut house).await.iter().any(refused));
    // Asked again under the same id, it is decided afresh.
    let changed = view(house.act_as(id, update(&spec, LONG)).await);
    assert_eq!((changed.status, &changed.spec.sink.config["store"]), (Status::Running, &json!("update-refused-other")));
    house.feed.push("t/0", records(30, 40));
    house.until(|view| is_through(view, 40)).await;
    assert_eq!((house.store.data(), store("update-refused-other").data()), (records(0, 30), records(30, 40)));
}

/// What was refused when the node came back is no answer to who asks again.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_before_is_not_the_answer_of_the_next_request() {
    let mut house = House::new("update-refused-before").await;
    house.create(house.spec()).await;
    house.start().await;
    hang(&mut house, 20).await;
    let mut spec = house.spec();
    spec["sink"]["store"] = json!("update-refused-before-other");
    let id = CommandId::try_from("the-update").unwrap();
    assert!(view(house.act_as(id.clone(), update(&spec, Duration::ZERO)).await).updating);
    house.crash().await;
    house.store.fault_opens([Fault::FailBefore]);
    house.build().await;
    house.until(|view| view.warnings.iter().any(|warning| warning.code == "update-refused")).await;
    house.until(|view| is_through(view, 20)).await;
    let changed = view(house.act_as(id, update(&spec, LONG)).await);
    assert_eq!((changed.status, &changed.spec.sink.config["store"]), (Status::Running, &spec["sink"]["store"]));
}

#[tokio::test(start_paused = true)]
async fn the_last_word_counts_while_an_update_is_under_way() {
    let mut house = House::new("update-words").await;
    house.create(house.spec()).await;
    house.start().await;
    let hang = async |house: &mut House, from: u64| {
        house.store.fault_commits([Fault::HangAfter]);
        house.feed.push("t/0", records(from, from + 5));
        house.until(|view| view.in_flight > 0).await;
    };
    hang(&mut house, 0).await;
    let (first, last) = (dropping(&house, "first"), dropping(&house, "last"));
    assert!(view(house.act(update(&first, Duration::ZERO)).await).updating);
    assert!(view(house.act(update(&last, Duration::ZERO)).await).updating);
    for turned_down in [Action::Start { sink: None }, Action::Delete { discard: true }] {
        let turned_down = house.act(turned_down).await;
        assert!(matches!(turned_down, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "{turned_down:?}");
    }
    let words =
        |view: &PipelineSnapshot| view.spec.transforms.iter().map(|t| t.config["word"].clone()).collect::<Vec<_>>();
    let changed = house.until(|view| !view.stopping).await;
    assert_eq!((words(&changed), changed.status), (vec![json!("last")], Status::Running));
    // A stop keeps the update.
    house.until(|view| is_through(view, 5)).await;
    hang(&mut house, 5).await;
    assert!(view(house.act(update(&first, Duration::ZERO)).await).updating);
    let stopped = house.stop().await;
    assert_eq!((words(&stopped), stopped.status), (vec![json!("first")], Status::Stopped));
    // To what it is: it only starts again.
    house.start().await;
    house.until(|view| is_through(view, 10)).await;
    hang(&mut house, 10).await;
    assert!(view(house.act(update(&last, Duration::ZERO)).await).updating);
    let taken_back = view(house.act(update(&first, Duration::ZERO)).await);
    assert!(taken_back.stopping && !taken_back.updating);
    let as_it_was = house.until(|view| is_through(view, 15)).await;
    assert_eq!(words(&as_it_was), [json!("first")]);
    assert_eq!(house.store.data(), records(0, 15));
}

/// Who waits for an update that another one replaces, or that is taken back, gets no success; sent again, it is made.
#[tokio::test(start_paused = true)]
async fn an_update_that_another_one_replaces_is_answered_as_such() {
    for back in [false, true] {
        let mut house = House::new(&format!("update-replaced-{back}")).await;
        house.create(house.spec()).await;
        house.start().await;
        hang(&mut house, 20).await;
        let (first, last) = (dropping(&house, "first"), if back { house.spec() } else { dropping(&house, "last") });
        let id = CommandId::try_from("the-first").unwrap();
        let action = update(&first, LONG);
        let actor = "test".try_into().unwrap();
        let (reason, trace, expected_version) = (None, None, None);
        let command = UserCommand { id: id.clone(), actor, reason, trace, expected_version, action };
        let envelope = ShardingEnvelope { pipeline: "p".try_into().unwrap(), message: Message::Command(command) };
        let region = house.region();
        let (answer, ()) = tokio::join!(region.ask(envelope), async {
            house.until(|view| view.updating).await;
            view(house.act(update(&last, Duration::ZERO)).await);
        });
        assert!(matches!(answer, Err(AskError::Rejected(Rejected::Replaced))), "back: {back}, {answer:?}");
        house.until(|view| !view.stopping && is_through(view, 20)).await;
        let made = view(house.act_as(id, update(&first, LONG)).await);
        assert_eq!(made.spec.transforms.len(), 1, "back: {back}");
        assert_eq!(made.spec.transforms[0].config["word"], "first", "back: {back}");
    }
}
