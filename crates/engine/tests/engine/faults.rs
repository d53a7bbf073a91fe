//! What goes wrong: servers away, lost answers, crashes, tokens that contradict the journal.
use crate::house::{House, numbers, question};
use dataflow_core::{
    chunk::Scope,
    id::{Actor, PipelineId, Seq},
    pipeline::{Status, event::Recovery},
    shard::ShardId,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    client::PipelineClient,
    region::{Action, AskError, Order, Query, Reply, ResetPoint},
};
use dataflow_journal::{
    Journal, Memory,
    fault::{self as journal, Chances, Faulty},
};
use dataflow_sdk::Error;
use dataflow_testkit::memory::Fault;
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_shown_meanwhile() {
    let mut house = House::new("transient").await;
    house.feed.push("t/0", numbers(0, 25));
    house.feed.fault_reads([None, Some(Error::transient("unreachable", "the broker is away"))]);
    house.store.fault_commits([Fault::FailBefore, Fault::None, Fault::FailAfter, Fault::FailAfter]);
    house.store.fault_opens([Fault::FailBefore, Fault::FailBefore]);
    house.create(house.spec()).await;
    house.start().await;
    let trouble = house.until(|view| view.error.is_some()).await;
    assert_eq!(trouble.status, Status::Running);
    assert!(trouble.whole.error.unwrap().retry_at.is_some());
    let view = house.until(|view| view.counters.delivered == 25).await;
    assert!(view.error.is_none());
    assert_eq!(house.store.data(), numbers(0, 25));
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_good_fails_the_pipeline_and_waits_for_a_user() {
    let mut house = House::new("fatal").await;
    house.feed.push("t/0", numbers(0, 5));
    house.store.fault_commits([Fault::Fatal]);
    house.create(house.spec()).await;
    house.start().await;
    let failed = house.until_status(Status::Failed).await;
    let error = failed.whole.error.unwrap();
    assert_eq!((error.cause.code.as_str(), error.cause.stage.as_str(), error.retry_at), ("broken", "sink", None));
    house.start().await;
    house.until(|view| view.counters.delivered == 5).await;
    assert_eq!(house.store.data(), numbers(0, 5));
}

#[tokio::test(start_paused = true)]
async fn the_restart_policy_starts_a_failed_pipeline_again() {
    let mut house = House::new("policy").await;
    house.feed.push("t/0", numbers(0, 5));
    let missing = || Some(Error::fatal("file-missing", "the file is not there"));
    house.feed.fault_opens([missing(), missing(), missing()]);
    house.create(house.spec()).await;
    house.start().await;
    let failed = house.until_status(Status::Failed).await;
    assert!(failed.whole.error.unwrap().retry_at.is_some());
    house.until(|view| view.counters.delivered == 5).await;
}

/// What failed was the old spec.
#[tokio::test(start_paused = true)]
async fn an_update_of_what_waits_for_its_restart_is_tried_at_once() {
    let mut house = House::new("corrected").await;
    house.feed.push("t/0", numbers(0, 5));
    house.feed.fault_opens([Some(Error::fatal("file-missing", "the file is not there"))]);
    let mut spec = house.spec();
    spec["restart"] = json!({"initial": "10h", "max": "10h"});
    house.create(spec.clone()).await;
    house.start().await;
    assert!(house.until_status(Status::Failed).await.whole.error.unwrap().retry_at.is_some());
    spec["transforms"] = json!([{"type": "drop", "word": "4"}]);
    let wanted = serde_json::from_value(spec).unwrap();
    let wait = Duration::from_secs(60);
    crate::house::view(
        house.act(Action::Update { spec: wanted, reset: false, retarget: false, force: false, wait }).await,
    );
    let well = house.until(|view| view.counters.read == 5 && view.in_flight == 0).await;
    assert_eq!((well.status, well.error.is_none()), (Status::Running, true), "{:?}", well.error);
    assert_eq!(house.store.data(), numbers(0, 4));
}

/// Trying again is not being well.
#[tokio::test(start_paused = true)]
async fn what_failed_is_shown_until_the_run_after_it_has_opened() {
    let mut house = House::new("trying-again").await;
    house.feed.push("t/0", numbers(0, 5));
    house.feed.fault_opens([Some(Error::fatal("login-failed", "the login is refused").fix("check the password"))]);
    house.store.fault_opens([Fault::None, Fault::Slow(Duration::from_secs(5))]);
    house.create(house.spec()).await;
    house.start().await;
    house.until_status(Status::Failed).await;
    let again = house.until_status(Status::Running).await;
    let error = again.whole.error.unwrap();
    assert_eq!((error.cause.code.as_str(), error.cause.fix.as_deref()), ("login-failed", Some("check the password")));
    let well = house.until(|view| view.counters.delivered == 5).await;
    assert!(well.error.is_none(), "{:?}", well.error);
}

/// A wall clock that is set back a day has nobody wait for a day.
#[tokio::test(start_paused = true)]
async fn waits_are_as_long_as_they_were_whatever_the_clock_is_set_to() {
    let mut house = House::new("set-back").await;
    house.feed.push("t/0", numbers(0, 5));
    let missing = || Some(Error::fatal("file-missing", "the file is not there"));
    house.feed.fault_opens([missing(), missing()]);
    house.store.fault_opens([Fault::None, Fault::None, Fault::FailBefore, Fault::FailBefore]);
    house.create(house.spec()).await;
    house.start().await;
    house.until_status(Status::Failed).await;
    let set_back = async |house: &mut House, status: Status| {
        let day = |view: PipelineSnapshot| view.whole.error.unwrap().retry_at.unwrap().seconds() / 86_400;
        let before = day(house.until(|view| view.status == status && view.error.is_some()).await);
        house.set_back.fetch_add(86_400_000, Ordering::SeqCst);
        let after = day(house.get().await);
        assert!(after < before, "{status:?}: shown for {after}, as before for {before}");
    };
    set_back(&mut house, Status::Failed).await;
    set_back(&mut house, Status::Running).await;
    house.until(|view| view.counters.delivered == 5).await;
}

/// What was committed counts, also where the run failed before its next checkpoint.
#[tokio::test(start_paused = true)]
async fn a_failed_pipeline_shows_what_it_has_done() {
    let mut house = House::new("failed-counts").await;
    let mut spec = house.spec();
    spec["checkpointInterval"] = json!("1h");
    house.feed.push("t/0", numbers(0, 9));
    house.feed.push("t/0", [r#"{"a":"die"}"#]);
    house.create(spec).await;
    house.start().await;
    house.until(|view| view.counters.read == 10 && view.in_flight == 0).await;
    house.store.fault_commits([Fault::Fatal]);
    house.feed.push("t/0", numbers(9, 12));
    let shown = |view: &PipelineSnapshot| (view.counters.read, view.counters.delivered, view.counters.dead);
    let failed = house.until_status(Status::Failed).await;
    assert_eq!(shown(&failed), (10, 9, 1), "{failed:#?}");
    house.crash().await;
    house.build().await;
    assert_eq!(shown(&house.get().await), (10, 9, 1));
    house.start().await;
    let view = house.until(|view| view.counters.delivered == 12).await;
    assert_eq!(shown(&view), (13, 12, 1));
    assert_eq!(house.store.data(), numbers(0, 12));
}

/// The node's journal says that nobody has taken over, and the sink has seen a higher epoch: it would wait for ever.
#[tokio::test(start_paused = true)]
async fn an_older_journal_is_told_that_it_is_fenced() {
    let mut house = House::new("older").await;
    house.feed.push("t/0", numbers(0, 5));
    house.build().await;
    house.build().await;
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 5).await;
    house.crash().await;

    let mut older = House::new("older").await;
    older.create(older.spec()).await;
    older.start().await;
    let error = older.until_status(Status::Failed).await.whole.error.unwrap();
    assert_eq!((error.cause.code.as_str(), error.cause.stage.as_str(), error.retry_at), ("fenced", "sink", None));
    assert!(error.cause.fix.unwrap().contains("dataflow restore"));
    assert_eq!(older.store.data(), numbers(0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_restart_policy_survives_the_node() {
    let mut house = House::new("policy-node").await;
    house.feed.push("t/0", numbers(0, 5));
    house.feed.fault_opens([Some(Error::fatal("file-missing", "the file is not there"))]);
    house.create(house.spec()).await;
    house.start().await;
    house.until_status(Status::Failed).await;
    house.crash().await;
    house.build().await;
    house.until(|view| view.counters.delivered == 5).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_sinks_token_is_adopted_where_it_is_ahead() {
    let mut house = House::new("adopt").await;
    let mut spec = house.spec();
    spec["checkpointInterval"] = json!("1h");
    house.feed.push("t/0", numbers(0, 10));
    house.feed.push("t/0", [r#"{"a":"die"}"#, r#"{"a":"skip"}"#]);
    house.create(spec).await;
    house.start().await;
    let before = house.until(|view| view.counters.read == 12 && view.in_flight == 0).await;
    let begun = before.positions.values().all(|at| &*at.at == "0");
    assert!(begun && before.checkpoint_at.is_none(), "no commit is journalled yet");
    house.crash().await;
    house.build().await;
    let after = house.until(|view| view.positions.values().any(|at| &*at.at == "12")).await;
    let ledger = |view: &dataflow_engine::answers::PipelineSnapshot| {
        let m = view.counters;
        (m.read, m.delivered, m.filtered, m.dead)
    };
    assert_eq!(ledger(&after), (12, 10, 1, 1));
    let Reply::Recovery(recovery) = house.ask(question(Query::Recovery)).await.unwrap() else { panic!() };
    assert_eq!(recovery.run.unwrap().lanes[0].decision, Recovery::TokenAdopted);
    let Reply::DeadLetters(page) =
        house.ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 10 })).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(page.letters.len(), 1, "the token named its chunk");
    house.feed.push("t/0", numbers(10, 20));
    house.until(|view| view.counters.delivered == 20).await;
    assert_eq!(house.store.data(), numbers(0, 20));
}

#[tokio::test(start_paused = true)]
async fn crashes_at_any_moment_lose_and_double_nothing() {
    for pause in 0..40 {
        let mut house = House::new(&format!("crash-{pause}")).await;
        house.feed.push("t/0", numbers(0, 200));
        house.store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
        house.create(house.spec()).await;
        house.start().await;
        for _ in 0..3 {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            house.crash().await;
            house.build().await;
        }
        house.until(|view| view.counters.delivered == 200).await;
        assert_eq!(house.store.data(), numbers(0, 200), "pause {pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyed_sink_converges_however_the_replay_is_cut() {
    let mut house = House::new("keyed").await;
    let mut spec = house.spec();
    spec["sink"]["type"] = json!("memoryKeyed");
    spec["checkpointInterval"] = json!("1h");
    let record = |n: u64| dataflow_testkit::memory::feed::Fed {
        key: Some(format!("k{}", n % 7)),
        data: Some(format!("{{\"n\":{n}}}")),
        timestamp: 0,
    };
    house.feed.push_records("t/0", (0..13).map(record));
    house.create(spec).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 13).await;
    house.crash().await;
    // More has come meanwhile: the replay is cut otherwise, and its commits carry other records.
    house.feed.push_records("t/0", (13..40).map(record));
    house.build().await;
    house.until(|view| view.counters.delivered == 40).await;
    let mut rows = house.store.data();
    rows.sort();
    assert_eq!(rows, (33..40).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_mid_flow_goes_on_from_the_last_checkpoint_not_from_the_last_opening() {
    for sink in ["memory", "memoryKeyed"] {
        let mut house = House::new(&format!("mid-flow-{sink}")).await;
        let mut spec = house.spec();
        spec["sink"]["type"] = json!(sink);
        house.feed.push("t/0", numbers(0, 25));
        house.create(spec).await;
        house.start().await;
        house.until(|view| view.positions.values().any(|at| &*at.at == "25")).await;
        house.feed.fault_reads([Some(Error::transient("unreachable", "the broker is away"))]);
        house.feed.push("t/0", numbers(25, 40));
        let view = house.until(|view| view.positions.values().any(|at| &*at.at == "40")).await;
        assert_eq!((view.counters.delivered, view.counters.rows_written), (40, 40), "{sink}");
        let Reply::Recovery(recovery) = house.ask(question(Query::Recovery)).await.unwrap() else { panic!() };
        let lane = &recovery.run.unwrap().lanes[0];
        assert_eq!(&*lane.progress.positions.values().next().unwrap().at, "25", "{sink}: {lane:?}");
        assert_ne!(lane.decision, Recovery::TokenAdopted, "{sink}: the journal had it all");
        assert_eq!(house.store.len(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_written_are_counted_also_where_the_answer_to_their_commit_was_lost() {
    let mut house = House::new("rows-written").await;
    house.feed.push("t/0", numbers(0, 25));
    house.store.fault_commits([Fault::FailAfter]);
    house.create(house.spec()).await;
    house.start().await;
    let view = house.until(|view| view.counters.delivered == 25).await;
    assert_eq!(view.counters.rows_written, 25);
}

#[tokio::test(start_paused = true)]
async fn a_long_checkpoint_interval_does_not_hold_up_commits() {
    let mut house = House::new("long-interval").await;
    let mut spec = house.spec();
    spec["checkpointInterval"] = json!("1h");
    house.feed.push("t/0", numbers(0, 5));
    house.create(spec).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 5).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    for more in [10, 15] {
        house.feed.push("t/0", numbers(more - 5, more));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(house.get().await.counters.delivered, more);
    }
    assert!(!house.get().await.positions.is_empty(), "30 s behind, the journal was brought up to date");
}

#[tokio::test(start_paused = true)]
async fn a_token_behind_the_journal_is_never_guessed_about() {
    let mut house = House::new("behind").await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10).await;
    let old = house.store.tokens().pop().unwrap();
    house.feed.push("t/0", numbers(10, 30));
    house.until(|view| view.counters.delivered == 30).await;
    house.stop().await;
    house.store.set_token(old);
    house.start().await;
    let failed = house.until_status(Status::Failed).await;
    let error = failed.whole.error.unwrap();
    assert_eq!((error.cause.code.as_str(), error.retry_at), ("token-behind", None));
    assert!(
        error.cause.message.contains("t/0: 10") && error.cause.message.contains("t/0: 30"),
        "{}",
        error.cause.message
    );
    let reset = Action::ResetCheckpoint { to: ResetPoint::SinkToken, sink: None, force: false, take_over: false };
    let view = crate::house::view(house.act(reset).await);
    assert_eq!(view.positions.values().next().unwrap().to_string(), "10");
    house.start().await;
    house.until(|view| view.counters.delivered == 30).await;
    assert_eq!(house.store.len(), 50, "what the target had lost by the restore was written again");
}

#[tokio::test(start_paused = true)]
async fn what_a_target_has_lost_and_a_user_leaves_lost_is_on_the_ledger() {
    let back = |at: &str| ResetPoint::Positions([("t/0".to_owned(), at.to_owned())].into());
    let choices = [
        ("journal", ResetPoint::Journal, "31", 19, 0),
        ("end", ResetPoint::End, "36", 19, 5),
        ("beginning", ResetPoint::Beginning, "0", 0, 0),
        ("a position", back("33"), "33", 19, 2),
        ("an earlier position", back("7"), "7", 0, 0),
    ];
    for (name, to, at, lost, passed) in choices {
        let mut house = House::new(&format!("left-{}", name.replace(' ', "-"))).await;
        house.feed.push("t/0", numbers(0, 10));
        house.create(house.spec()).await;
        house.start().await;
        house.until(|view| view.counters.delivered == 10).await;
        let old = house.store.tokens().pop().unwrap();
        // A dead letter, a filtered record and others, which the target forgets.
        house.feed.push("t/0", [r#"{"a":"die"}"#, r#"{"a":"skip"}"#]);
        house.feed.push("t/0", numbers(10, 29));
        house.until(|view| view.counters.read == 31).await;
        house.stop().await;
        house.store.set_token(old);
        house.start().await;
        house.until_status(Status::Failed).await;
        house.feed.push("t/0", numbers(29, 34));
        // The target still has the first ten, and would have them twice.
        let force = ["beginning", "an earlier position"].contains(&name);
        let view =
            crate::house::view(house.act(Action::ResetCheckpoint { to, sink: None, force, take_over: false }).await);
        let counters = view.counters;
        assert_eq!(view.positions.values().next().map_or("", |first| &*first.at), at, "{name}");
        assert_eq!((counters.lost, counters.delivered), (lost + passed, 29 - lost), "{name}");
        assert_eq!((counters.read, counters.dead, counters.filtered), (31 + passed, 1, 1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_behind_the_sinks_token_is_counted_as_often_as_it_is_listed() {
    let mut house = House::new("behind-dead").await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10).await;
    let old = house.store.tokens().pop().unwrap();
    house.feed.push("t/0", [r#"{"a":"die"}"#]);
    house.until(|view| view.counters.dead == 1).await;
    house.stop().await;
    house.store.set_token(old);
    house.start().await;
    house.until_status(Status::Failed).await;
    crate::house::view(
        house
            .act(Action::ResetCheckpoint { to: ResetPoint::SinkToken, sink: None, force: false, take_over: false })
            .await,
    );
    house.start().await;
    house.feed.push("t/0", numbers(10, 12));
    house.until(|view| view.counters.delivered == 12).await;
    let counters = house.stop().await.counters;
    let query = Query::DeadLetters { bytes: false, after: Default::default(), limit: 100 };
    let Reply::DeadLetters(page) = house.ask(question(query)).await.unwrap() else { panic!() };
    assert_eq!((counters.dead, page.letters.len()), (2, 2));
    assert_eq!(counters.read, 14);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_gone_is_never_guessed_about() {
    let mut house = House::new("gone").await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.counters.delivered == 10).await;
    house.stop().await;
    house.store.forget_tokens();
    house.start().await;
    let failed = house.until_status(Status::Failed).await;
    assert_eq!(failed.whole.error.unwrap().cause.code, "token-missing");
    let reset = Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: false, take_over: false };
    crate::house::view(house.act(reset).await);
    house.start().await;
    house.feed.push("t/0", numbers(10, 12));
    house.until(|view| (view.counters.delivered, view.counters.lost) == (2, 10)).await;
    assert_eq!(house.store.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_answers_unknown_changes_nothing_in_the_result() {
    for seed in 0..20 {
        let chances = Chances { slow: 100, before: 100, after: 100, late: 50 };
        let journal = Arc::new(Faulty::seeded(Memory::new(), seed, chances));
        let name = format!("unknown-{seed}");
        // Claiming may fail, too: the node is then built again, as a supervisor would.
        let mut house = House::patient(&name, Journal::new(journal)).await;
        house.feed.push("t/0", numbers(0, 100));
        while house.try_create().await.is_err() {}
        while house.get_status().await != Some(Status::Running) {
            house.act(Action::Start { sink: None }).await.ok();
        }
        house.until_delivered(100).await;
        assert_eq!(house.store.data(), numbers(0, 100), "seed {seed}");
    }
}

/// When it opens as well as when it commits.
#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_answer_is_shown_until_it_does() {
    let mut house = House::new("silent").await;
    house.feed.push("t/0", numbers(0, 5));
    house.store.fault_opens([Fault::Slow(Duration::from_secs(45))]);
    house.store.fault_commits([Fault::Slow(Duration::from_secs(45))]);
    house.create(house.spec()).await;
    house.start().await;
    for doing in ["opening it", "a commit"] {
        let view =
            house.until(|view| view.error.as_ref().is_some_and(|error| error.cause.message.contains(doing))).await;
        let error = view.error.clone().unwrap();
        assert_eq!(
            (view.status, error.cause.code.as_str(), error.cause.stage.as_str()),
            (Status::Running, "no-answer", "sink")
        );
        assert!(error.cause.message.contains("for 10 s"), "{}", error.cause.message);
        house.until(|view| view.error.as_ref().is_some_and(|error| error.cause.message.contains("for 40 s"))).await;
        house.until(|view| view.error.is_none()).await;
    }
    house.until_delivered(5).await;
    assert_eq!(house.store.data(), numbers(0, 5));
}

/// Whoever asks says how long the answer is worth waiting for, wherever the pipeline lives.
#[tokio::test(start_paused = true)]
async fn a_question_waits_no_longer_than_who_asks() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = House::on("late-answer", Journal::new(journal.clone()), 1, 1).await;
    house.create(house.spec()).await;
    let id = PipelineId::try_from("p").unwrap();
    let client = PipelineClient::new(house.region(), id, Actor::system()).within(Duration::from_secs(2));
    assert_eq!(client.history(Order::Rising, None, 9).await.unwrap().events.len(), 1);
    journal.script([journal::Fault::Slow(Duration::from_secs(45))]);
    let (begun, answer) = (Instant::now(), client.history(Order::Rising, None, 9).await);
    assert!(matches!(answer, Err(AskError::Unavailable(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// What is locked by somebody else, or on a disk that is full.
#[tokio::test(start_paused = true)]
async fn while_the_journal_does_not_answer_the_pipeline_can_be_looked_at_and_says_so() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = House::on("silent-journal", Journal::new(journal.clone()), 1, 1).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.positions.values().any(|at| &*at.at == "5")).await;
    journal.script([journal::Fault::Slow(Duration::from_secs(45))]);
    house.feed.push("t/0", numbers(5, 10));
    let view = house.until(|view| view.error.is_some()).await;
    let error = view.error.clone().unwrap();
    assert_eq!(
        (view.status, error.cause.code.as_str(), error.cause.stage.as_str()),
        (Status::Running, "no-answer", "journal")
    );
    // The entity may be waiting for it, too; who asks doesn't wait for the entity.
    for query in [
        Query::History { order: Order::Rising, after: None, limit: 9 },
        Query::DeadLetters { bytes: false, after: Default::default(), limit: 9 },
        Query::Claims,
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(1), house.ask(question(query.clone()))).await;
        assert!(matches!(answer, Ok(Ok(_))), "{query:?}: {answer:?}");
    }
    house.until(|view| view.error.is_none()).await;
    house.until(|view| view.positions.values().any(|at| &*at.at == "10")).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_holds_back_the_source_at_the_limit_of_bytes_in_flight() {
    let mut house = House::new("backpressure").await;
    let mut spec = house.spec();
    spec["maxInFlightBytes"] = json!(2_000);
    house.store.fault_commits([Fault::Hang]);
    house.feed.push("t/0", numbers(0, 10_000));
    house.create(spec).await;
    house.start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let view = house.get().await;
    assert!(view.in_flight > 0 && view.in_flight < 100, "{view:?}");
}

/// What waited for a slow commit is committed together, but no more than 8 MiB of it.
#[tokio::test(start_paused = true)]
async fn a_commit_of_several_batches_is_bounded_in_bytes() {
    for (name, length, commits) in [("small-batches", 3, 2..6), ("large-batches", 3 << 20, 6..13)] {
        let mut house = House::new(name).await;
        let mut spec = house.spec();
        spec["batch"]["maxRecords"] = json!(1);
        house.store.fault_commits([Fault::Slow(Duration::from_secs(60))]);
        house.feed.push("t/0", (0..12).map(|_| "x".repeat(length)));
        house.create(spec).await;
        house.start().await;
        house.until(|view| view.counters.delivered == 12).await;
        assert!(commits.contains(&house.store.commits()), "{name}: {}", house.store.commits());
    }
}

/// Another node on the same journal: it takes over all that the first one has.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_replaced_lets_go_even_if_it_has_nothing_to_write() {
    let mut house = House::new("replaced").await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.positions.values().any(|at| &*at.at == "10")).await;
    let mut next = House::on("replaced", house.journal.clone(), 1, 2).await;
    let mut refusal = None;
    for _ in 0..1_000 {
        refusal = house.ask(question(Query::State)).await.err();
        if refusal.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refusal.is_some_and(|error| error.to_string().contains("another node")), "it goes on as if it were alone");
    assert_eq!(house.owned().await, 0);
    next.feed.push("t/0", numbers(10, 20));
    next.until(|view| view.counters.delivered == 20).await;
    assert_eq!((next.store.data(), next.owned().await), (numbers(0, 20), 256));
}

/// A full disk, for instance: waiting for it would end in the supervisor's SIGKILL.
#[tokio::test(start_paused = true)]
async fn a_journal_that_can_not_be_written_does_not_hold_up_the_end_of_the_node() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = House::on("full-disk", Journal::new(journal.clone()), 1, 1).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.until(|view| view.positions.values().any(|at| &*at.at == "5")).await;
    journal.script(std::iter::repeat_n(journal::Fault::Before, 1_000_000));
    house.feed.push("t/0", numbers(5, 10));
    house.until(|view| view.error.is_some()).await;
    let begun = tokio::time::Instant::now();
    assert!(!house.shutdown_within(Duration::from_secs(45)).await);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");

    journal.script([]);
    house.crash().await;
    house.build().await;
    house.until_delivered(10).await;
    assert_eq!(house.store.data(), numbers(0, 10));
}

/// However many of its parts take long, a shutdown takes no longer than it was given.
#[tokio::test(start_paused = true)]
async fn a_shutdown_has_one_deadline() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = House::on("slow-disk", Journal::new(journal.clone()), 1, 1).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.until_delivered(5).await;
    journal.script(std::iter::repeat_n(journal::Fault::Slow(Duration::from_secs(3_600)), 1_000));
    house.feed.push("t/0", numbers(5, 10));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = tokio::time::Instant::now();
    assert!(!house.shutdown_within(Duration::from_secs(45)).await);
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
}

/// As where something else is stored in the place of what it would store.
#[tokio::test(start_paused = true)]
async fn a_command_that_the_journal_refuses_fails_alone() {
    let mut house = House::new("refused-alone").await;
    house.create(house.spec()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 5));
    house.until(|view| view.counters.delivered == 5).await;
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let head = house.journal.head(shard).await.unwrap();
    for seq in head.next_seq.0..head.next_seq.0 + 10 {
        let chunk = Scope::Lifecycle(shard).event(Seq(seq), head.epoch);
        house.journal.put_chunk(&chunk, "something else".into()).await.unwrap();
    }
    let opens = house.store.opens();
    let mut long = house.spec();
    long["transforms"] = json!([{"type": "drop", "word": "w".repeat(100_000)}]);
    let (spec, wait) = (serde_json::from_value(long).unwrap(), Duration::from_secs(60));
    let refused = house.act(Action::Update { spec, reset: false, retarget: false, force: false, wait }).await;
    assert!(matches!(&refused, Err(AskError::Internal(why)) if why.contains("can't be journalled")), "{refused:?}");
    house.feed.push("t/0", numbers(5, 10));
    house.until(|view| view.counters.delivered == 10).await;
    assert_eq!(house.store.opens(), opens, "the run goes on");
    house.stop().await;
    assert_eq!(house.store.data(), numbers(0, 10));
}
