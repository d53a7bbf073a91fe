//! A journal that is older than its sink, as after a restore from a backup; and a sink that is older than its journal.
use crate::{
    house::{House, numbers, question, view},
    ingest::push,
};
use dataflow_core::{
    pipeline::{Rejected, Status},
    token::Token,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    region::{Action, AskError, Query, Reply, ResetPoint},
};
use dataflow_journal::{Journal, Memory};
use dataflow_testkit::memory::Fault;
use serde_json::json;
use std::sync::Arc;

/// A running pipeline with an `http` source, and the journal below it.
pub(crate) async fn pushed_to(name: &str) -> (House, Memory) {
    let journal = Memory::new();
    let mut house = House::on(name, Journal::new(Arc::new(journal.clone())), 1, 1).await;
    let mut spec = house.spec();
    spec["source"] = json!({"type": "http"});
    house.create(spec).await;
    house.start().await;
    (house, journal)
}

/// The same, with ten records that were delivered, and a copy of its journal of then.
pub(crate) async fn backed_up(name: &str) -> (House, Memory) {
    let (mut house, journal) = pushed_to(name).await;
    house.push("a", 0, 10).await.unwrap();
    house.delivered(10).await;
    house.stop().await;
    let backup = journal.copy();
    house.start().await;
    (house, backup)
}

impl House {
    pub(crate) async fn push(&mut self, id: &str, from: u64, to: u64) -> Result<Reply, AskError> {
        let lines = numbers(from, to);
        self.act(push(id, &lines.iter().map(String::as_str).collect::<Vec<_>>(), None)).await
    }

    pub(crate) async fn delivered(&mut self, records: u64) -> PipelineSnapshot {
        self.until(|view| view.counters.delivered == records).await
    }

    /// Ends as by kill -9, and goes on with another journal.
    pub(crate) async fn restore(&mut self, journal: Memory) {
        self.crash().await;
        self.journal = Journal::new(Arc::new(journal));
        self.seed += 1; // a node never draws the same names twice
        self.build().await;
    }

    async fn choose(&mut self, to: ResetPoint) -> PipelineSnapshot {
        view(self.choose_as(to, false).await)
    }

    pub(crate) async fn choose_as(&mut self, to: ResetPoint, force: bool) -> Result<Reply, AskError> {
        self.act(Action::ResetCheckpoint { to, sink: None, force, take_over: false }).await
    }

    /// Refuses to go on here unless forced: the sink may have what would be written.
    pub(crate) async fn is_ahead(&mut self, to: ResetPoint) {
        let refused = self.choose_as(to, false).await;
        assert!(matches!(refused, Err(AskError::Rejected(Rejected::SinkAhead { .. }))), "{refused:?}");
    }

    /// Waits until the store has so many rows.
    pub(crate) async fn holds(&mut self, rows: usize) {
        let store = self.store.clone();
        self.until(|_| store.len() >= rows).await;
        assert_eq!(self.store.len(), rows);
    }

    /// Code and number of all letters that are listed.
    async fn letters(&mut self) -> Vec<String> {
        let listed = self
            .ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 100 }))
            .await
            .unwrap();
        let Reply::DeadLetters(page) = listed else { panic!("{listed:?}") };
        page.letters.iter().map(|letter| format!("{} {}", letter.number, letter.code)).collect()
    }

    pub(crate) async fn is_behind(&mut self) {
        let failed = self.until_status(Status::Failed).await;
        assert_eq!(failed.whole.error.unwrap().cause.code, "journal-behind");
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_are_refused_while_the_journal_is_behind_the_sink_and_delivered_after_the_choice() {
    let (mut house, journal) = pushed_to("restore-behind").await;
    house.push("a", 0, 10).await.unwrap();
    house.delivered(10).await;
    let backup = journal.copy();
    house.push("b", 10, 15).await.unwrap();
    house.delivered(15).await;

    house.restore(backup).await;
    house.is_behind().await;
    let refused = house.push("c", 100, 110).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "{refused:?}");
    let refused = house
        .act(Action::ResetCheckpoint { to: ResetPoint::SinkToken, sink: None, force: false, take_over: false })
        .await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Invalid { .. }))), "{refused:?}");
    assert_eq!(house.choose(ResetPoint::End).await.status, Status::Stopped);
    house.push("c", 100, 110).await.unwrap();
    house.start().await;
    house.push("d", 110, 115).await.unwrap();
    let store = house.store.clone();
    house.until(|_| store.len() >= 30).await;
    let all: Vec<_> = numbers(0, 15).into_iter().chain(numbers(100, 115)).collect();
    assert_eq!(house.store.data(), all);
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_before_the_sink_is_asked_is_told_from_what_the_sink_has() {
    for (name, choice, expected) in [
        ("journal", ResetPoint::Journal, vec![(0, 20), (10, 15), (100, 130)]),
        ("end", ResetPoint::End, vec![(0, 20), (100, 130)]),
    ] {
        let (mut house, journal) = pushed_to(&format!("restore-before-{name}")).await;
        house.push("a", 0, 10).await.unwrap();
        house.delivered(10).await;
        house.stop().await;
        house.push("b", 10, 15).await.unwrap();
        let backup = journal.copy();
        house.start().await;
        house.push("c", 15, 20).await.unwrap();
        house.delivered(20).await;

        // More is pushed than the sink has had, so that its number alone says nothing.
        house.restore(backup).await;
        assert_eq!(house.get().await.status, Status::Stopped);
        house.push("d", 100, 120).await.unwrap();
        house.start().await;
        house.is_behind().await;
        if choice == ResetPoint::Journal {
            house.is_ahead(choice.clone()).await;
        }
        view(house.choose_as(choice, true).await);
        house.start().await;
        // What the choice passed over is taken anew, and what it did not is known.
        house.push("d", 100, 120).await.unwrap();
        house.push("e", 120, 130).await.unwrap();
        let all: Vec<_> = expected.into_iter().flat_map(|(from, to)| numbers(from, to)).collect();
        house.holds(all.len()).await;
        assert_eq!(house.store.data(), all);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_pushes_again_after_a_restore_are_those_that_the_sink_has() {
    let (mut house, backup) = backed_up("restore-again").await;
    house.push("b", 10, 15).await.unwrap();
    house.delivered(15).await;

    house.restore(backup).await;
    house.push("b", 10, 15).await.unwrap();
    house.push("c", 15, 20).await.unwrap();
    house.start().await;
    house.delivered(20).await;
    assert_eq!(house.store.data(), numbers(0, 20));
}

/// What the sink has had since the backup was read, delivered and turned down, wherever the user goes on.
#[tokio::test(start_paused = true)]
async fn what_the_sink_has_had_since_a_backup_counts_wherever_it_goes_on() {
    for (name, choice) in [
        ("end", ResetPoint::End),
        ("journal", ResetPoint::Journal),
        ("positions", ResetPoint::Positions([("http".into(), "10".into())].into())),
    ] {
        let (mut house, journal) = pushed_to(&format!("restore-letters-{name}")).await;
        let lines = |from: u64| {
            let mut lines = numbers(from, from + 8);
            lines.extend(["die 1".to_owned(), "die 2".to_owned()]);
            lines
        };
        let batch = |id: &str, lines: &[String]| push(id, &lines.iter().map(String::as_str).collect::<Vec<_>>(), None);
        house.act(batch("a", &lines(0))).await.unwrap();
        house.until(|view| view.counters.dead == 2).await;
        house.stop().await;
        let backup = journal.copy();
        house.start().await;
        house.act(batch("b", &lines(8))).await.unwrap();
        house.until(|view| view.counters.dead == 4 && view.counters.delivered == 16).await;

        house.restore(backup).await;
        house.start().await;
        house.is_behind().await;
        let ledger = |view: &PipelineSnapshot| {
            let counters = &view.counters;
            (counters.read, counters.delivered, counters.dead, counters.lost)
        };
        assert_eq!(ledger(&house.choose(choice).await), (20, 16, 4, 0), "{name}");
        house.start().await;
        house.act(batch("c", &lines(100))).await.unwrap();
        house.until(|view| ledger(view) == (30, 24, 6, 0)).await;
        house.stop().await;
        let codes = ["expression", "expression", "letter-missing", "letter-missing", "expression", "expression"];
        let listed = codes.iter().zip(1..).map(|(code, number)| format!("{number} {code}"));
        assert_eq!(house.letters().await, listed.collect::<Vec<_>>(), "{name}");
        assert_eq!(house.store.data(), [numbers(0, 16), numbers(100, 108)].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_restored_target_has_lost_and_the_inbox_no_longer_has_is_counted_as_lost() {
    let (mut house, _) = pushed_to("restore-older-target").await;
    house.push("a", 0, 5).await.unwrap();
    house.delivered(5).await;
    house.stop().await;
    let token = house.store.tokens().pop().unwrap();
    house.start().await;
    house.push("b", 5, 10).await.unwrap();
    house.delivered(10).await;
    house.stop().await;
    house.store.set_token(token);
    house.start().await;
    let failed = house.until_status(Status::Failed).await;
    assert_eq!(failed.whole.error.unwrap().cause.code, "token-behind");
    let chosen = house.choose(ResetPoint::SinkToken).await.counters;
    assert_eq!((chosen.read, chosen.delivered, chosen.lost), (10, 5, 5));
    house.start().await;
    house.push("c", 10, 12).await.unwrap();
    house.delivered(7).await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_an_older_journal_does_not_have_are_named() {
    let journal = Memory::new();
    let mut house = House::on("restore-older-letters", Journal::new(Arc::new(journal.clone())), 1, 1).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(5).await;
    let backup = journal.copy();
    house.feed.push("t/0", ["die 1".to_owned(), "{\"n\":5}".to_owned(), "die 2".to_owned()]);
    house.until(|view| view.counters.dead == 2).await;

    house.restore(backup).await;
    house.until(|view| view.counters.dead == 2).await;
    let listed =
        house.ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 10 })).await.unwrap();
    let Reply::DeadLetters(page) = listed else { panic!("{listed:?}") };
    assert_eq!(page.letters.iter().map(|letter| letter.code.as_str()).collect::<Vec<_>>(), ["letter-missing"; 2]);
    assert!(page.letters[0].cause.contains("older than the sink"), "{}", page.letters[0].cause);
    assert_eq!(house.store.data(), numbers(0, 6));
}

/// A copy of a journal from before anything was read; then so many generations in each of which these records come.
async fn with_generations_since(name: &str, generations: u64, records: &[&str]) -> House {
    let journal = Memory::new();
    let mut house = House::on(name, Journal::new(Arc::new(journal.clone())), 1, 1).await;
    house.create(house.spec()).await;
    house.start().await;
    house.stop().await;
    let backup = journal.copy();
    for generation in 0..generations {
        house.choose(ResetPoint::Journal).await;
        house.start().await;
        for record in records {
            house.feed.push("t/0", [*record]);
            let read = house.feed.len() as u64;
            house.until(|view| view.counters.read == read && view.in_flight == 0).await;
        }
        house.stop().await;
        assert_eq!(house.get().await.generation, generation + 2);
    }
    house.restore(backup).await;
    house.start().await;
    house
}

/// Records 0 to 10 delivered, and a copy of the journal; then a second generation from the beginning, and 5 records more.
async fn with_a_generation_since(name: &str) -> House {
    let journal = Memory::new();
    let mut house = House::on(name, Journal::new(Arc::new(journal.clone())), 1, 1).await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(10).await;
    house.stop().await;
    let backup = journal.copy();
    house.choose(ResetPoint::Journal).await;
    house.feed.push("t/0", numbers(10, 15));
    house.start().await;
    house.delivered(15).await;
    house.feed.push("t/0", numbers(15, 20));
    house.delivered(20).await;
    house.restore(backup).await;
    house.start().await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_journal_without_the_generation_that_the_sink_is_at_writes_nothing() {
    let mut house = with_a_generation_since("restore-generation").await;
    house.is_behind().await;
    assert_eq!(house.store.data(), numbers(0, 20));
    // Not even after a restart.
    house.start().await;
    house.is_behind().await;
    let mut spec = house.spec();
    spec["lanes"] = 2.into();
    let update = Action::Update {
        spec: Box::new(serde_json::from_value(spec).unwrap()),
        reset: false,
        retarget: true,
        force: false,
        wait: std::time::Duration::from_secs(60),
    };
    let refused = house.act(update).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Unsettled { .. }))), "{refused:?}");
    assert_eq!(house.store.data(), numbers(0, 20));

    let chosen = house.choose(ResetPoint::SinkToken).await;
    assert_eq!((chosen.generation, chosen.counters.delivered), (3, 20));
    house.feed.push("t/0", numbers(20, 25));
    house.start().await;
    house.delivered(25).await;
    assert_eq!(house.store.data(), numbers(0, 25));
}

/// Copies of one journal start generations of the same numbers, which begin elsewhere.
#[tokio::test(start_paused = true)]
async fn a_generation_of_another_history_is_not_taken_for_an_own_one() {
    for (number, forced) in [(1, false), (2, false), (3, false), (1, true), (2, true)] {
        let journal = Memory::new();
        let mut house =
            House::on(&format!("restore-history-{number}-{forced}"), Journal::new(Arc::new(journal.clone())), 1, 1)
                .await;
        house.create(house.spec()).await;
        if forced {
            house.start().await;
            house.stop().await;
        }
        let backup = journal.copy();
        house.feed.push("t/0", numbers(0, 10));
        house.choose(ResetPoint::End).await;
        house.start().await;
        house.feed.push("t/0", numbers(10, 15));
        house.delivered(5).await;
        house.restore(backup).await;
        for _ in 0..number {
            house.store.fault_opens(forced.then_some(Fault::FailBefore));
            let reset =
                Action::ResetCheckpoint { to: ResetPoint::Beginning, sink: None, force: forced, take_over: false };
            view(house.act(reset).await);
        }
        house.start().await;
        house.is_behind().await;
        assert_eq!(house.store.data(), numbers(10, 15));
        let chosen = house.choose(ResetPoint::SinkToken).await;
        assert_eq!(chosen.counters.delivered, 5);
        house.start().await;
        house.feed.push("t/0", numbers(15, 17));
        house.delivered(7).await;
        assert_eq!(house.store.data(), numbers(10, 17));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_chosen_of_an_older_journal_is_not_taken_for_the_generation_that_it_lacks() {
    let mut house = with_a_generation_since("restore-generation-journal").await;
    house.is_behind().await;
    let to = |force| Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force, take_over: false };
    let ahead = house.act(to(false)).await;
    assert!(matches!(ahead, Err(AskError::Rejected(Rejected::SinkAhead { .. }))), "{ahead:?}");
    view(house.act(to(true)).await);
    house.start().await;
    // The ledger counts what the journal has lost of it, too.
    house.delivered(30).await;
    let all: Vec<_> = numbers(0, 20).into_iter().chain(numbers(10, 20)).collect();
    assert_eq!(house.store.data(), all);
}

#[tokio::test(start_paused = true)]
async fn to_go_on_at_the_journal_where_the_sink_is_known_to_be_ahead_must_be_forced() {
    let journal = Memory::new();
    let mut house = House::on("restore-ahead", Journal::new(Arc::new(journal.clone())), 1, 1).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(5).await;
    house.stop().await;
    let backup = journal.copy();
    house.feed.push("t/0", numbers(5, 10));
    house.start().await;
    house.delivered(10).await;
    house.restore(backup).await;

    let to = |force| Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force, take_over: false };
    match house.act(to(false)).await {
        Err(AskError::Rejected(ahead @ Rejected::SinkAhead { .. })) => {
            assert!(ahead.to_string().contains("5 record(s) of t/0 from 5 to 10"), "{ahead}");
        }
        other => panic!("{other:?}"),
    }
    view(house.act(to(true)).await);
    house.start().await;
    house.until(|view| view.counters.delivered >= 10).await;
    let all: Vec<_> = numbers(0, 10).into_iter().chain(numbers(5, 10)).collect();
    assert_eq!(house.store.data(), all);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_a_target_that_is_gone_is_counted_as_lost() {
    for (number, to) in [ResetPoint::Journal, ResetPoint::End].into_iter().enumerate() {
        let mut house = House::new(&format!("restore-gone-{number}")).await;
        house.feed.push("t/0", numbers(0, 10));
        house.create(house.spec()).await;
        house.start().await;
        house.delivered(10).await;
        house.stop().await;
        house.store.forget_tokens();
        house.start().await;
        let failed = house.until_status(Status::Failed).await;
        assert_eq!(failed.whole.error.unwrap().cause.code, "token-missing");
        let chosen = house.choose(to).await.counters;
        assert_eq!((chosen.read, chosen.delivered, chosen.lost), (10, 0, 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_update_is_not_taken_for_the_generation_that_the_journal_lacks() {
    let mut house = with_a_generation_since("restore-forced").await;
    house.is_behind().await;
    let mut spec = house.spec();
    spec["lanes"] = 2.into();
    let update = Action::Update {
        spec: Box::new(serde_json::from_value(spec).unwrap()),
        reset: false,
        retarget: true,
        force: true,
        wait: std::time::Duration::from_secs(60),
    };
    assert_eq!(view(house.act(update).await).generation, 3);
    house.start().await;
    // The ledger counts what the journal has lost of it, too.
    house.delivered(30).await;
    let all: Vec<_> = numbers(0, 20).into_iter().chain(numbers(10, 20)).collect();
    assert_eq!(house.store.data(), all);
}

/// What is neither in the target nor written again is lost; nothing else is.
#[tokio::test(start_paused = true)]
async fn what_a_target_that_is_gone_does_not_get_again_is_counted_as_lost() {
    for from in [0, 4, 10] {
        let mut house = House::new(&format!("restore-gone-from-{from}")).await;
        house.feed.push("t/0", numbers(0, 10));
        house.create(house.spec()).await;
        house.start().await;
        house.delivered(10).await;
        house.stop().await;
        house.store.empty();
        let to = ResetPoint::Positions([("t/0".to_owned(), from.to_string())].into());
        assert_eq!(house.choose(to).await.counters.lost, from);
        house.start().await;
        house.holds(10 - from as usize).await;
    }
    // Records that were pushed and delivered are not pending any more.
    let (mut house, _) = pushed_to("restore-gone-pushed").await;
    house.push("a", 0, 10).await.unwrap();
    house.delivered(10).await;
    house.stop().await;
    house.store.empty();
    assert_eq!(house.choose(ResetPoint::Beginning).await.counters.lost, 10);
}

#[tokio::test(start_paused = true)]
async fn letter_n_is_the_nth_also_where_an_older_journal_does_not_have_all() {
    let journal = Memory::new();
    let mut house = House::on("restore-letters", Journal::new(Arc::new(journal.clone())), 1, 1).await;
    house.create(house.spec()).await;
    let mut backup = None;
    for n in 0..3 {
        house.feed.push("t/0", [format!("die {n}")]);
        house.start().await;
        house.until(|view| view.counters.dead == n + 1).await;
        // The token that comes next names only letters since this checkpoint.
        house.stop().await;
        backup.get_or_insert_with(|| journal.copy());
    }
    house.restore(backup.unwrap()).await;
    house.start().await;
    house.until(|view| view.counters.dead == 3).await;
    assert_eq!(house.letters().await, ["1 expression", "2 letter-missing", "3 letter-missing"]);
    house.feed.push("t/0", ["die 3"]);
    house.until(|view| view.counters.dead == 4).await;
    house.stop().await;
    assert_eq!(house.letters().await[3], "4 expression");
}

#[tokio::test(start_paused = true)]
async fn letters_keep_their_numbers_where_the_sink_is_adopted_by_choice() {
    let mut house = with_generations_since("restore-letters-chosen", 3, &["die 1", "die 2"]).await;
    house.is_behind().await;
    let chosen = house.choose(ResetPoint::SinkToken).await;
    assert_eq!(chosen.counters.dead, 6);
    let expected: Vec<_> = (1..=6).map(|number| format!("{number} letter-missing")).collect();
    assert_eq!(house.letters().await, expected);
}

#[tokio::test(start_paused = true)]
async fn pushes_are_refused_until_the_sink_is_known_again_whatever_is_started_or_stopped() {
    let (mut house, journal) = pushed_to("restore-undecided").await;
    house.push("a", 0, 10).await.unwrap();
    house.delivered(10).await;
    let backup = journal.copy();
    house.push("b", 10, 15).await.unwrap();
    house.delivered(15).await;
    house.restore(backup).await;
    house.is_behind().await;

    house.store.fault_opens([Fault::Hang]);
    house.start().await;
    let refused = house.push("c", 100, 110).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "{refused:?}");
    assert_eq!(house.stop().await.status, Status::Stopped);
    let refused = house.push("c", 100, 110).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::NotAllowed { .. }))), "{refused:?}");

    house.choose(ResetPoint::End).await;
    house.push("c", 100, 110).await.unwrap();
    house.start().await;
    house.holds(25).await;
}

/// The target is as old as the journal again: whoever starts the pipeline may push at once.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_answered_takes_pushes() {
    let (mut house, journal) = pushed_to("restore-both").await;
    house.push("a", 0, 10).await.unwrap();
    house.delivered(10).await;
    let (backup, tokens) = (journal.copy(), house.store.tokens());
    house.push("b", 10, 15).await.unwrap();
    house.delivered(15).await;
    house.restore(backup).await;
    house.is_behind().await;
    house.store.empty();
    house.store.forget_tokens();
    tokens.into_iter().for_each(|token| house.store.set_token(token));
    house.start().await;
    house.push("c", 10, 20).await.unwrap();
    house.holds(10).await;
}

/// Of several generations that the journal lacks, each has moved other partitions, or none.
#[tokio::test(start_paused = true)]
async fn the_sink_is_where_all_generations_have_left_it_that_the_journal_lacks() {
    let journal = Memory::new();
    let mut house = House::on("restore-generations", Journal::new(Arc::new(journal.clone())), 1, 1).await;
    for partition in ["t/0", "t/1", "t/2"] {
        house.feed.push(partition, numbers(0, 5));
    }
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(15).await;
    house.stop().await;
    let backup = journal.copy();
    for partition in ["t/0", "t/1"] {
        house.choose(ResetPoint::Journal).await;
        house.feed.push(partition, numbers(5, 10));
        let rows = house.store.len() + 5;
        house.start().await;
        house.holds(rows).await;
        house.stop().await;
    }
    house.restore(backup).await;
    house.start().await;
    house.is_behind().await;
    let chosen = house.choose(ResetPoint::SinkToken).await;
    assert_eq!((chosen.generation, chosen.counters.delivered), (4, 25));
    house.start().await;
    for partition in ["t/0", "t/1", "t/2"] {
        house.feed.push(partition, numbers(20, 22));
    }
    house.delivered(31).await;
    house.holds(31).await;
}

/// A generation that the journal lacks began elsewhere with all partitions, also with one that it has not moved.
#[tokio::test(start_paused = true)]
async fn a_partition_that_a_missing_generation_has_not_moved_is_where_that_began() {
    let journal = Memory::new();
    let mut house = House::on("restore-idle", Journal::new(Arc::new(journal.clone())), 1, 1).await;
    for partition in ["t/0", "t/1"] {
        house.feed.push(partition, numbers(0, 5));
    }
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(10).await;
    house.stop().await;
    let backup = journal.copy();
    for partition in ["t/0", "t/1"] {
        house.feed.push(partition, numbers(5, 10));
    }
    house.choose(ResetPoint::End).await;
    house.start().await;
    house.feed.push("t/0", numbers(10, 15));
    house.delivered(15).await;
    house.restore(backup).await;
    house.start().await;
    house.is_behind().await;
    house.choose(ResetPoint::SinkToken).await;
    house.start().await;
    house.feed.push("t/1", numbers(10, 15));
    house.delivered(20).await;
    assert_eq!(house.store.data()[15..], numbers(10, 15));
}

/// Delivers 5 records, 5 more, and, if `since`, 5 after a change that starts a generation. Then the target keeps `kept`
/// of its tokens, and the pipeline is started.
async fn with_a_target_that_lost(name: &str, since: bool, kept: fn(&Token) -> bool) -> House {
    let mut house = House::new(name).await;
    house.feed.push("t/0", numbers(0, 5));
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(5).await;
    house.stop().await;
    let mut tokens = house.store.tokens();
    house.feed.push("t/0", numbers(5, 10));
    house.start().await;
    house.delivered(10).await;
    house.stop().await;
    tokens.extend(house.store.tokens());
    let mut spec = house.spec();
    spec["lanes"] = 2.into();
    let update = Action::Update {
        spec: Box::new(serde_json::from_value(spec).unwrap()),
        reset: false,
        retarget: true,
        force: false,
        wait: std::time::Duration::from_secs(60),
    };
    assert_eq!(view(house.act(update).await).generation, 2);
    if since {
        house.feed.push("t/0", numbers(10, 15));
        house.start().await;
        house.delivered(15).await;
        house.stop().await;
        tokens.extend(house.store.tokens());
    }
    house.store.empty();
    tokens.into_iter().filter(kept).for_each(|token| house.store.set_token(token));
    house.start().await;
    house
}

/// What a target must hold does not begin with a generation.
#[tokio::test(start_paused = true)]
async fn what_earlier_generations_left_in_a_target_must_still_be_there() {
    let none: fn(&Token) -> bool = |_| false;
    let older: fn(&Token) -> bool = |token| token.counters.delivered == 5 && token.fence.generation.number == 1;
    let earlier: fn(&Token) -> bool = |token| token.fence.generation.number == 1;
    let at = |at: &str| ResetPoint::Positions([("t/0".to_owned(), at.to_owned())].into());
    for (number, (since, kept, code, to, lost, again)) in [
        (false, none, "token-missing", ResetPoint::Beginning, 0, 10),
        (false, none, "token-missing", ResetPoint::Journal, 10, 0),
        (false, none, "token-missing", ResetPoint::End, 10, 0),
        (false, none, "token-missing", at("4"), 4, 6),
        (false, older, "token-behind", ResetPoint::Journal, 5, 0),
        (true, none, "token-missing", ResetPoint::Beginning, 0, 15),
        (true, none, "token-missing", ResetPoint::Journal, 15, 0),
        (true, none, "token-missing", at("12"), 12, 3),
        (true, none, "token-missing", at("10"), 10, 5),
        (true, none, "token-missing", at("4"), 4, 11),
        (true, older, "token-missing", ResetPoint::Journal, 10, 0),
        (true, earlier, "token-missing", ResetPoint::Journal, 5, 0),
        (true, earlier, "token-missing", at("10"), 0, 5),
    ]
    .into_iter()
    .enumerate()
    {
        let mut house = with_a_target_that_lost(&format!("restore-left-{number}"), since, kept).await;
        let failed = house.until_status(Status::Failed).await;
        assert_eq!(failed.whole.error.unwrap().cause.code, code, "{number}");
        assert_eq!(house.store.len(), 0);
        let chosen = house.choose(to).await;
        assert_eq!(chosen.counters.lost, lost, "{number}");
        // It was decided: nothing of it is required any more.
        house.start().await;
        house.feed.push("t/0", ["{}"]);
        house.holds(again + 1).await;
        house.stop().await;
        house.choose(ResetPoint::Journal).await;
        house.start().await;
        house.feed.push("t/0", ["{}"]);
        house.holds(again + 2).await;
        assert_eq!(house.get().await.counters.lost, lost, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_holds_what_earlier_generations_left_is_gone_on_with() {
    let mut house = House::new("restore-left-held").await;
    house.feed.push("t/0", numbers(0, 10));
    house.create(house.spec()).await;
    house.start().await;
    house.delivered(10).await;
    let mut rows = 10;
    for force in [false, true, false] {
        house.stop().await;
        if force {
            house.store.fault_opens([Fault::FailBefore]);
        }
        view(house.act(Action::ResetCheckpoint { to: ResetPoint::End, sink: None, force, take_over: false }).await);
        view(
            house
                .act(Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: false, take_over: false })
                .await,
        );
        house.start().await;
        house.feed.push("t/0", ["{}"]);
        rows += 1;
        house.holds(rows).await;
    }
    // Another target need not hold anything.
    house.stop().await;
    let mut spec = house.spec();
    spec["sink"]["store"] = "restore-left-another".into();
    let update = Action::Update {
        spec: Box::new(serde_json::from_value(spec).unwrap()),
        reset: false,
        retarget: true,
        force: false,
        wait: std::time::Duration::from_secs(60),
    };
    view(house.act(update).await);
    house.start().await;
    house.feed.push("t/0", numbers(10, 13));
    house.delivered(16).await;
    assert_eq!(dataflow_testkit::memory::store("restore-left-another").data(), numbers(10, 13));
}
