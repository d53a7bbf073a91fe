//! Batches that are pushed again after a restore, in their order or not.
use crate::{
    house::{House, numbers, view},
    ingest::pushed,
    restores::backed_up,
};
use dataflow_core::pipeline::{Rejected, Status};
use dataflow_engine::region::{Action, AskError, ResetPoint};
use dataflow_testkit::memory::Fault;
use std::time::Duration;

impl House {
    /// Pushes five records again.
    async fn replay(&mut self, id: &str, from: u64) {
        let lines = numbers(from, from + 5);
        self.act(pushed(id, &lines.iter().map(String::as_str).collect::<Vec<_>>(), None, true)).await.unwrap();
    }
}

/// Batches that came again in another order: which of them the sink has can't be told, so none is written again unasked.
#[tokio::test(start_paused = true)]
async fn what_the_sink_may_have_is_not_written_again_unasked() {
    let at = |record: &str| ResetPoint::Positions([("http".into(), record.into())].into());
    for (name, choice, rows) in [
        ("journal", ResetPoint::Journal, vec![(0, 20), (15, 20), (10, 15)]),
        ("beginning", ResetPoint::Beginning, vec![(0, 20), (15, 20), (10, 15)]),
        ("position", at("15"), vec![(0, 20), (10, 15)]),
    ] {
        let (mut house, backup) = backed_up(&format!("restore-order-{name}")).await;
        house.push("b", 10, 15).await.unwrap();
        house.push("c", 15, 20).await.unwrap();
        house.delivered(20).await;

        house.restore(backup).await;
        house.start().await;
        house.is_behind().await;
        for (id, from) in [("c", 15), ("b", 10)] {
            house.replay(id, from).await;
        }
        house.is_ahead(choice.clone()).await;
        house.start().await;
        house.is_behind().await;
        house.is_ahead(choice.clone()).await;
        view(house.choose_as(choice, true).await);
        house.start().await;
        let all: Vec<_> = rows.into_iter().flat_map(|(from, to)| numbers(from, to)).collect();
        house.holds(all.len()).await;
        assert_eq!(house.store.data(), all, "{name}");
    }
}

/// A start that is under way goes by all that has come by the time it is decided, whether it began before or after.
#[tokio::test(start_paused = true)]
async fn what_comes_again_while_the_sink_is_opened_counts() {
    let (mut house, backup) = backed_up("restore-meanwhile").await;
    house.push("b", 10, 15).await.unwrap();
    house.push("c", 15, 20).await.unwrap();
    house.delivered(20).await;

    house.restore(backup).await;
    house.store.fault_opens([Fault::Slow(Duration::from_secs(10))]);
    house.start().await;
    for (id, from) in [("b", 10), ("c", 15), ("d", 20)] {
        house.replay(id, from).await;
    }
    let again = house.act(Action::Start { sink: None }).await;
    assert!(matches!(again, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "it is starting: {again:?}");
    house.until(|view| view.counters.delivered == 25 || view.status == Status::Failed).await;
    assert_eq!(house.get().await.status, Status::Running);
    assert_eq!(house.store.data(), numbers(0, 25));
}

/// What is new while the sink is opened is not what the journal lacks: it fails, and says so.
#[tokio::test(start_paused = true)]
async fn what_is_new_while_the_sink_is_opened_does_not_keep_it_from_failing() {
    let (mut house, backup) = backed_up("restore-news").await;
    house.push("b", 10, 20).await.unwrap();
    house.delivered(20).await;

    house.restore(backup).await;
    house.store.fault_opens((0..50).map(|_| Fault::Slow(Duration::from_secs(10))));
    house.start().await;
    for id in 0..20 {
        if house.push(&format!("new-{id}"), 100 + id, 101 + id).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    house.is_behind().await;
    assert_eq!(house.store.data(), numbers(0, 20));
    let refused = house.push("new", 200, 201).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "{refused:?}");
}
