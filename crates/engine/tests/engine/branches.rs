//! Several sinks: each branch for itself, whatever becomes of the others.
use crate::{
    house::{House, numbers, question, view},
    ingest::push,
};
use dataflow_core::pipeline::Status;
use dataflow_engine::{
    answers::{BranchSnapshot, PipelineSnapshot},
    region::{Action, Message, Query, Reply, ResetPoint, UserQuery},
};
use dataflow_testkit::memory::{Fault, Row, Store, store};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const SINKS: [(&str, &str); 3] = [("a", "memory"), ("b", "memoryKeyed"), ("c", "memoryStaged")];

fn spec(house: &House, name: &str, sinks: &[(&str, &str)]) -> Value {
    let mut spec = house.spec();
    spec.as_object_mut().unwrap().remove("sink");
    let sink = |(sink, kind): &(&str, &str)| json!({"name": sink, "type": kind, "store": format!("{name}-{sink}")});
    spec["sinks"] = sinks.iter().map(sink).collect();
    spec["checkpointInterval"] = json!("500ms");
    spec
}

fn target(name: &str, sink: &str) -> Arc<Store> {
    store(&format!("{name}-{sink}"))
}

/// Every row is there once.
fn assert_written(name: &str, sink: &str, expected: &[String], what: &str) {
    let mut rows: Vec<Row> = target(name, sink).rows();
    let number = |id: &str| id.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
    rows.sort_by_key(|row| number(&row.id));
    assert_eq!(rows.into_iter().map(|row| row.data).collect::<Vec<_>>(), expected, "{what}: sink {sink}");
}

fn branch<'a>(view: &'a PipelineSnapshot, sink: &str) -> &'a BranchSnapshot {
    view.sinks.iter().find(|branch| branch.sink.as_ref().is_some_and(|name| name.as_str() == sink)).unwrap()
}

fn of_sink(sink: &str, query: Query) -> Message {
    let Message::Query(asked) = question(query) else { unreachable!() };
    Message::Query(UserQuery { sink: Some(sink.try_into().unwrap()), ..asked })
}

fn change(spec: Value) -> Action {
    change_within(spec, Duration::from_secs(60))
}

fn change_within(spec: Value, wait: Duration) -> Action {
    Action::Update { spec: serde_json::from_value(spec).unwrap(), reset: false, retarget: false, force: false, wait }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_holds_up_no_other() {
    for (down, fault) in SINKS.iter().flat_map(|(down, _)| [(*down, Fault::FailBefore), (*down, Fault::Hang)]) {
        let name = format!("branches-down-{down}-{fault:?}");
        let mut house = House::new(&name).await;
        house.create(spec(&house, &name, &SINKS)).await;
        house.feed.push("t/0", numbers(0, 20));
        house.start().await;
        house.until(|view| view.counters.delivered == 60).await;
        target(&name, down).fault_lane(0, fault.clone());
        // Ten minutes of it.
        for step in 0..30 {
            house.feed.push("t/0", numbers(20 + 10 * step, 30 + 10 * step));
            let others = |view: &PipelineSnapshot| {
                let mut others = view.sinks.iter().filter(|branch| branch.sink.as_ref().unwrap().as_str() != down);
                others.all(|branch| branch.counters.delivered == 30 + 10 * step && branch.error.is_none())
            };
            house.until(others).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let shown = house.get().await;
        assert_eq!(branch(&shown, down).counters.delivered, 20, "{name}");
        let error = shown.whole.error.unwrap();
        assert_eq!(error.sink.as_ref().map(|sink| sink.as_str()), Some(down), "{name}");
        if fault == Fault::Hang {
            // A node that goes down finds out.
            house.crash().await;
            target(&name, down).fault_lane(0, Fault::None);
            house.build().await;
        }
        target(&name, down).fault_lane(0, Fault::None);
        house.until(|view| view.sinks.iter().all(|branch| branch.counters.delivered == 320)).await;
        house.stop().await;
        for (sink, _) in SINKS {
            assert_written(&name, sink, &numbers(0, 320), &name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_exact_whenever_the_node_dies() {
    let name = "branches-crashes";
    let mut house = House::new(name).await;
    let when = |mut spec: Value| {
        spec["sinks"][1]["when"] = json!("5}"); // has these filtered
        spec
    };
    house.create(when(spec(&house, name, &SINKS))).await;
    house.start().await;
    for round in 0..40_u64 {
        house.feed.push("t/0", numbers(10 * round, 10 * round + 10));
        if round % 5 == 0 {
            target(name, SINKS[(round / 5 % 3) as usize].0).fault_commits([Fault::FailAfter]);
        }
        tokio::time::sleep(Duration::from_millis(round * 37 % 900)).await;
        house.crash().await;
        house.build().await;
    }
    let all = |view: &PipelineSnapshot| {
        view.sinks.iter().all(|branch| branch.counters.delivered + branch.counters.filtered == 400)
    };
    let shown = house.until(all).await;
    assert_eq!(["a", "b", "c"].map(|sink| branch(&shown, sink).counters.filtered), [0, 40, 0]);
    house.stop().await;
    let but_fives: Vec<_> = numbers(0, 400).into_iter().filter(|row| !row.ends_with("5}")).collect();
    assert_written(name, "a", &numbers(0, 400), name);
    assert_written(name, "b", &but_fives, name);
    assert_written(name, "c", &numbers(0, 400), name);
}

/// The letters of a branch that only its sink's token names yet, while another branch has opened in the new epoch.
#[tokio::test(start_paused = true)]
async fn dead_letters_of_a_branch_that_opens_late_are_kept() {
    let name = "branches-letters";
    let mut house = House::new(name).await;
    let two = [("a", "memory"), ("b", "memory")];
    let mut spec = spec(&house, name, &two);
    spec["checkpointInterval"] = json!("1h");
    house.create(spec).await;
    house.start().await;
    house.feed.push("t/0", ["{\"n\":0}", "{\"die\":1}", "{\"n\":2}"].map(str::to_owned));
    house.until(|view| view.counters.dead == 2).await;
    house.crash().await;
    target(name, "b").fault_opens(vec![Fault::FailBefore; 5]);
    house.build().await;
    house.until(|view| branch(view, "a").counters.dead == 1 && branch(view, "b").error.is_some()).await;
    house.until(|view| branch(view, "b").counters.dead == 1 && branch(view, "b").error.is_none()).await;
    for (sink, _) in two {
        let found =
            house.ask(of_sink(sink, Query::DeadLetters { bytes: true, after: Default::default(), limit: 10 })).await;
        let Ok(Reply::DeadLetters(found)) = found else { panic!("{sink}: {found:?}") };
        assert_eq!(found.letters.len(), 1, "{sink}");
        assert_eq!(found.letters[0].original.as_deref(), Some(&b"{\"die\":1}"[..]), "{sink}");
    }
    let unnamed = house.ask(question(Query::DeadLetter(1))).await.unwrap_err().to_string();
    assert!(unnamed.contains("problem"), "{unnamed}");
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_for_good_is_started_alone() {
    let name = "branches-failed";
    let mut house = House::new(name).await;
    let two = [("a", "memory"), ("b", "memory")];
    house.create(spec(&house, name, &two)).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 20).await;
    target(name, "b").fault_commits([Fault::Fatal]);
    house.feed.push("t/0", numbers(10, 20));
    let failed = house.until(|view| view.status == Status::Failed && branch(view, "a").counters.delivered == 20).await;
    assert_eq!((branch(&failed, "a").status, branch(&failed, "b").status), (Status::Running, Status::Failed));
    let opens = target(name, "a").opens();
    house.start().await;
    house.until(|view| view.counters.delivered == 40 && view.status == Status::Running).await;
    assert_eq!(target(name, "a").opens(), opens, "the other one went on");
    house.stop().await;
    for (sink, _) in two {
        assert_written(name, sink, &numbers(0, 20), name);
    }
    // Only that branch is read again.
    let reset = Action::ResetCheckpoint {
        to: ResetPoint::Beginning,
        sink: Some("a".try_into().unwrap()),
        force: true,
        take_over: false,
    };
    let reset = view(house.act(reset).await);
    assert_eq!((branch(&reset, "a").generation, branch(&reset, "b").generation), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_update_adds_removes_and_renames() {
    let name = "branches-updated";
    let mut house = House::new(name).await;
    let one = json!({"type": "memory", "store": format!("{name}-a")});
    let mut alone = house.spec();
    alone["sink"] = one;
    alone["checkpointInterval"] = json!("500ms");
    house.create(alone).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 10).await;

    // The only sink becomes one of two, and is not even opened again.
    let opens = target(name, "a").opens();
    let two = spec(&house, name, &[("b", "memoryKeyed"), ("a", "memory")]);
    view(house.act(change(two.clone())).await);
    house.feed.push("t/0", numbers(10, 20));
    house.until(|view| view.sinks.len() == 2 && view.sinks.iter().all(|branch| branch.counters.delivered == 20)).await;
    assert_eq!(target(name, "a").opens(), opens);

    // Renamed, it goes on; so does the one that is left.
    let mut renamed = two.clone();
    renamed["sinks"][0]["name"] = json!("z");
    view(house.act(change(renamed)).await);
    let mut left = spec(&house, name, &[("a", "memory")]);
    left["description"] = json!("without z");
    let left = view(house.act(change(left)).await);
    assert_eq!(left.sinks.len(), 1);
    house.feed.push("t/0", numbers(20, 30));
    house.until(|view| branch(view, "a").counters.delivered == 30).await;
    assert_eq!(target(name, "b").rows().len(), 20, "it is gone");

    // It comes back where it was.
    let mut back = two;
    back["sinks"][0]["name"] = json!("z");
    view(house.act(change(back)).await);
    house.until(|view| view.sinks.len() == 2 && view.sinks.iter().all(|branch| branch.counters.delivered == 30)).await;
    house.stop().await;
    for sink in ["a", "b"] {
        assert_written(name, sink, &numbers(0, 30), name);
    }
    // Another name for what was written before, and other settings with it: that would be written again.
    let mut doubled = spec(&house, name, &[("a", "memory"), ("y", "memory")]);
    doubled["sinks"][1]["store"] = json!(format!("{name}-a"));
    let refused = house.act(change(doubled)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("conflict"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_pushed_is_kept_for_the_one_that_is_down() {
    let name = "branches-pushed";
    let mut house = House::new(name).await;
    let two = [("a", "memory"), ("b", "memory")];
    let mut spec = spec(&house, name, &two);
    spec["source"] = json!({"type": "http"});
    house.create(spec).await;
    house.start().await;
    house.act(push("one", &["{\"n\":0}"], None)).await.unwrap();
    house.until(|view| view.counters.delivered == 2).await;
    target(name, "b").fault_lane(0, Fault::FailBefore);
    for n in 1..5 {
        house.act(push(&format!("batch {n}"), &[&format!("{{\"n\":{n}}}")], None)).await.unwrap();
        house.until(|view| branch(view, "a").counters.delivered == n + 1).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    house.crash().await;
    house.build().await;
    house.until(|view| branch(view, "b").error.is_some()).await;
    target(name, "b").fault_lane(0, Fault::None);
    house.until(|view| view.sinks.iter().all(|branch| branch.counters.delivered == 5)).await;
    house.stop().await;
    for (sink, _) in two {
        assert_written(name, sink, &numbers(0, 5), name);
    }
}

/// One that was started while another one stops for an update of both: after a crash, the end of the first has the second one
/// changed and started, once.
#[tokio::test(start_paused = true)]
async fn what_an_update_has_started_is_not_started_again() {
    let name = "branches-resumed";
    let mut house = House::new(name).await;
    let two = [("a", "memory"), ("b", "memory")];
    let mut spec = spec(&house, name, &two);
    house.create(spec.clone()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 20).await;
    house.act(Action::Stop { sink: Some("b".try_into().unwrap()), wait: Duration::from_secs(60) }).await.unwrap();
    target(name, "a").fault_commits([Fault::HangAfter]);
    house.feed.push("t/0", numbers(10, 20));
    house.until(|view| branch(view, "a").in_flight > 0).await;
    spec["transforms"] = json!([{"type": "drop", "word": "nothing"}]);
    assert!(view(house.act(change_within(spec, Duration::ZERO)).await).updating);
    house.act(Action::Start { sink: Some("b".try_into().unwrap()) }).await.unwrap();
    house.until(|view| branch(view, "b").counters.delivered == 20).await;
    house.crash().await;
    house.build().await;
    house.feed.push("t/0", numbers(20, 30));
    house.until(|view| !view.stopping && view.counters.delivered == 60).await;
    assert_eq!(house.get().await.spec.transforms.len(), 1);
    house.stop().await;
    for (sink, _) in two {
        assert_written(name, sink, &numbers(0, 30), name);
    }
}

/// Each branch's event has the whole spec: together they are more than one append takes.
#[tokio::test(start_paused = true)]
async fn an_update_of_many_sinks_with_a_long_spec_is_taken_in() {
    let name = "branches-long";
    let mut house = House::new(name).await;
    let names: Vec<_> = (0..16).map(|n| format!("s{n}")).collect();
    let sinks: Vec<_> = names.iter().map(|sink| (sink.as_str(), "memory")).collect();
    let mut long = spec(&house, name, &sinks);
    long["transforms"] = json!([{"type": "drop", "word": "w".repeat(30_000)}]);
    house.create(long.clone()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 160).await;
    for running in [true, false] {
        if !running {
            house.stop().await;
        }
        long["batch"]["maxRecords"] = if running { 7.into() } else { 9.into() };
        let shown = view(house.act(change(long.clone())).await);
        assert_eq!(shown.status, if running { Status::Running } else { Status::Stopped });
    }
    house.crash().await;
    house.build().await;
    house.start().await;
    house.feed.push("t/0", numbers(10, 20));
    house.until(|view| view.counters.delivered == 320).await;
    house.stop().await;
    for sink in &names {
        assert_written(name, sink, &numbers(0, 20), name);
    }
}
