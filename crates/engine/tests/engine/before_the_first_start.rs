//! A journal of before a pipeline's first start, beside a sink that knows of that start.
use crate::house::{House, numbers, view};
use dataflow_core::pipeline::{Rejected, Status};
use dataflow_engine::region::{Action, AskError, ResetPoint};
use dataflow_journal::{Journal, Memory};
use std::{sync::Arc, time::Duration};

const PARTITIONS: [&str; 3] = ["t/0", "t/1", "t/2"];

/// A pipeline of which three lanes have delivered 15 records, with the journal of before its start, and so many lanes now.
async fn restored(name: &str, lanes: u32) -> House {
    let journal = Memory::new();
    let mut house = House::on(name, Journal::new(Arc::new(journal.clone())), 3, 1).await;
    house.feed_all(0, 5);
    house.create(house.spec()).await;
    let backup = journal.copy();
    house.start().await;
    house.until(|view| view.counters.delivered == 15).await;
    assert_eq!(house.store.tokens().len(), 3);
    house.crash().await;
    house.journal = Journal::new(Arc::new(backup));
    house.seed += 1;
    house.lanes = lanes;
    house.build().await;
    house
}

impl House {
    fn feed_all(&self, from: u64, to: u64) {
        PARTITIONS.iter().for_each(|partition| self.feed.push(partition, numbers(from, to)));
    }

    async fn reset(&mut self, to: ResetPoint, force: bool) -> Result<(), AskError> {
        self.act(Action::ResetCheckpoint { to, sink: None, force, take_over: false }).await.map(drop)
    }

    /// Starts it, and has each record once.
    async fn goes_on_exactly(&mut self, case: &str) {
        self.start().await;
        self.feed_all(5, 7);
        self.until(|view| view.counters.delivered >= 21).await;
        self.stop().await;
        let mut rows = self.store.data();
        rows.sort();
        let mut expected: Vec<_> = PARTITIONS.iter().flat_map(|_| numbers(0, 7)).collect();
        expected.sort();
        assert_eq!(rows, expected, "{case}");
    }

    async fn is_refused(&mut self, case: &str) {
        self.start().await;
        let failed = self.until(|view| view.status == Status::Failed || view.counters.delivered >= 15).await;
        let code = failed.error.as_ref().map(|error| error.cause.code.as_str());
        assert_eq!((code, self.store.len()), (Some("journal-behind"), 15), "{case}: {failed:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_lanes_or_more_go_on_after_the_sink() {
    for lanes in [3, 4] {
        let mut house = restored(&format!("before-{lanes}-lanes"), lanes).await;
        house.feed.push("t/3", numbers(100, 101));
        house.start().await;
        house.until(|view| view.counters.delivered == 16).await;
        assert_eq!(house.store.len(), 16, "{lanes} lanes");
    }
}

/// The sink has tokens of lanes that the pipeline has not any more.
#[tokio::test(start_paused = true)]
async fn fewer_lanes_leave_no_token_unseen() {
    for lanes in [1, 2] {
        let mut house = restored(&format!("before-fewer-{lanes}"), lanes).await;
        house.is_refused("fewer lanes").await;
        house.is_refused("once more").await;
        for to in [ResetPoint::Beginning, ResetPoint::Journal] {
            let refused = house.reset(to, false).await;
            assert!(
                matches!(&refused, Err(AskError::Rejected(Rejected::SinkAhead { places, .. })) if places.len() == 3),
                "{refused:?}"
            );
        }
        house.reset(ResetPoint::SinkToken, false).await.unwrap();
        assert_eq!(house.get().await.counters.delivered, 15);
        house.goes_on_exactly("fewer lanes").await;
    }
}

/// What is changed before the first start says nothing of what the sink has.
#[tokio::test(start_paused = true)]
async fn a_change_before_the_first_start_makes_no_lost_one_unseen() {
    let at = |at: &str| ResetPoint::Positions([("t/0".to_owned(), at.to_owned())].into());
    let changes = [
        ("beginning", ResetPoint::Beginning),
        ("journal", ResetPoint::Journal),
        ("end", ResetPoint::End),
        ("at", at("2")),
    ];
    for (name, to) in changes {
        for lanes in [1, 3] {
            let mut house = restored(&format!("before-{name}-{lanes}"), lanes).await;
            for _ in 0..2 {
                house.reset(to.clone(), false).await.unwrap();
            }
            house.is_refused(name).await;
            house.reset(ResetPoint::SinkToken, false).await.unwrap();
            house.goes_on_exactly(name).await;
        }
    }
    for (number, lanes, target) in [(1, 1, false), (2, 3, false), (3, 3, true)] {
        let mut house = restored(&format!("before-update-{number}"), 3).await;
        let update = async |house: &mut House, store: &str| {
            let mut spec = house.spec();
            spec["lanes"] = lanes.into();
            spec["sink"]["store"] = store.into();
            let spec = Box::new(serde_json::from_value(spec).unwrap());
            let wait = Duration::from_secs(60);
            view(house.act(Action::Update { spec, reset: false, retarget: true, force: false, wait }).await);
        };
        let own = format!("before-update-{number}");
        if target {
            // There and back.
            update(&mut house, "before-update-elsewhere").await;
        }
        update(&mut house, &own).await;
        house.is_refused("an update").await;
        house.reset(ResetPoint::SinkToken, false).await.unwrap();
        house.goes_on_exactly("an update").await;
    }
}

/// Whoever goes on after the sink's token needs no failure first.
#[tokio::test(start_paused = true)]
async fn the_sinks_token_can_be_chosen_before_the_first_start() {
    for lanes in [1, 3] {
        let mut house = restored(&format!("before-chosen-{lanes}"), lanes).await;
        house.reset(ResetPoint::SinkToken, false).await.unwrap();
        assert_eq!(house.get().await.counters.delivered, 15);
        house.goes_on_exactly("chosen at once").await;
    }
}
