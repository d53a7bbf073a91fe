//! The requirements for every sink, by its kind, and for every source. Run [`sink`] from the tests of a sink; [`source`](source()) from those of a
//! source that ends, [`places`](places()) from those of any whose records can be read again.
mod deletes;
mod keyed;
mod nodes;
mod places;
mod source;
mod staged;

pub use places::places;
pub use source::source;

use crate::fixture::{Pair, context, fence, open_lane, output, token};
use async_trait::async_trait;
use dataflow_core::{
    branch::BranchId,
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::{Epoch, Generation},
    ledger::Counters,
    pipeline::event::LaneProgress,
    position::{Position, Positions},
    token::{Fence, Token},
    types::Type,
};
use dataflow_sdk::{
    Context, Error,
    batch::{Column, Demand, Output},
    sink::{CommitError, DeliveryMode, OpenLane, Opened, RejectedRow, Seal, Sealed, Sink, Writer},
};
use std::{collections::BTreeMap, future::Future};

/// A sink under test with its own target.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Creates a sink on the target as a node does: called for every opening. The target takes `id` (an integer) and
    /// `name` (text), and is empty or missing at first.
    fn sink(&self) -> Box<dyn Sink>;
    /// What the sink's config says that it can promise.
    fn delivery(&self) -> DeliveryMode;
    /// Returns (id, name) of every row visible to a reader of the target, in any order.
    async fn rows(&self) -> Vec<(i64, String)>;
    /// Whether a row replaces an earlier one with the same id.
    fn upserts(&self) -> bool {
        false
    }
    /// Whether rows can be deleted, by their id.
    fn deletes(&self) -> bool {
        self.upserts()
    }
    /// Whether several nodes can reach the target.
    fn is_shared(&self) -> bool {
        true
    }
    /// Removes all rows from the target, from outside; false if that is not possible.
    async fn clear(&self) -> bool {
        false
    }
    /// A name that the target rejects.
    fn refused_name(&self) -> Option<&'static str> {
        None
    }
}

/// Runs all checks for the subject's kind, each on a fresh subject.
///
/// # Panics
/// If a requirement is violated.
pub async fn sink<S: Subject, F: Future<Output = S>>(fresh: impl Fn() -> F) {
    rows_arrive(&fresh().await).await;
    empty_commits_count(&fresh().await).await;
    reopening_goes_on(&fresh().await).await;
    if fresh().await.delivery() == DeliveryMode::Transactional {
        zombies_are_fenced(&fresh().await).await;
        zombies_of_the_same_epoch_are_fenced(&fresh().await).await;
        tokens_come_back(&fresh().await).await;
        many_positions_come_back(&fresh().await).await;
        commits_are_applied_once(&fresh().await).await;
        lanes_are_apart(&fresh().await).await;
        branches_are_apart(&fresh().await).await;
        other_generations_are_told_of(&fresh().await).await;
        if fresh().await.is_shared() {
            nodes::what_is_gone_is_in_nobodys_way(&fresh().await).await;
        }
    }
    let keeps_progress = matches!(fresh().await.delivery(), DeliveryMode::Transactional | DeliveryMode::Staged);
    if keeps_progress && fresh().await.is_shared() {
        nodes::another_node_is_refused(&fresh().await).await;
        nodes::a_later_incarnation_is_told_of(&fresh().await).await;
        nodes::another_number_of_a_branch_is_no_way_around(&fresh().await).await;
        nodes::a_branch_that_was_never_added_is_told_of(&fresh().await).await;
    }
    if fresh().await.refused_name().is_some() {
        match fresh().await.delivery() {
            DeliveryMode::Keyed => keyed::what_is_not_refused_converges(&fresh().await).await,
            _ => refused_rows_are_found(&fresh().await).await,
        }
    }
    if fresh().await.upserts() {
        the_last_per_key_wins(&fresh().await).await;
    }
    if fresh().await.deletes() {
        deletes::rows_go(&fresh().await).await;
        deletes::they_come_to_the_same_however_they_are_cut(&fresh).await;
    }
    match fresh().await.delivery() {
        DeliveryMode::Keyed => {
            keyed::replay_converges(&fresh().await).await;
            keyed::what_comes_late_is_stale(&fresh().await).await;
        }
        DeliveryMode::Staged => {
            unsealed_rows_go_away(&fresh().await).await;
            staged::only_what_is_journalled_counts(&fresh().await).await;
            staged::a_handle_names_what_earlier_ones_did(&fresh().await).await;
            staged::it_seals_in_the_end(&fresh().await).await;
        }
        DeliveryMode::Transactional | DeliveryMode::Unfenced => {}
    }
}

/// An opened sink with its outputs in the demanded shape.
struct Run {
    cx: Context,
    fence: Fence,
    writer: Box<dyn Writer>,
    demand: Demand,
    found: Option<Token>,
    others: Vec<Token>,
    begins: BTreeMap<Generation, Positions>,
    handle: Option<serde_json::Value>,
}

const PIPELINE: &str = "conformance";

async fn open(subject: &dyn Subject, epoch: u64) -> Run {
    try_open(subject, &fence(PIPELINE, epoch), None).await.unwrap_or_else(|error| panic!("can't be opened: {error}"))
}

async fn try_open(subject: &dyn Subject, fence: &Fence, journalled: Option<LaneProgress>) -> Result<Run, Error> {
    open_as(subject, OpenLane { journalled, ..open_lane(fence) }).await
}

async fn open_as(subject: &dyn Subject, lane: OpenLane) -> Result<Run, Error> {
    let (cx, fence) = (context(PIPELINE), lane.fence.clone());
    let Opened { mut writer, token: found, others, begins, mut demand, handle, .. } =
        subject.sink().open(&cx, lane).await?;
    if demand == Demand::AllColumns {
        let columns = [("id", Type::Bigint), ("name", Type::Text)];
        let columns = columns.map(|(name, ty)| Column { name: name.into(), ty });
        demand = writer.define(&columns).await?;
    }
    Ok(Run { cx, fence, writer, demand, found, others, begins, handle })
}

impl Run {
    fn output(&self, rows: &[Pair<'_>]) -> Output {
        output(&self.demand, 0, rows)
    }
    async fn try_commit(&mut self, sequence: u64, rows: &[Pair<'_>]) -> Result<u64, CommitError> {
        let outputs = if rows.is_empty() { Vec::new() } else { vec![self.output(rows)] };
        let committed = self.writer.commit(&outputs.clone().into(), &token(&self.fence, sequence)).await?;
        Ok(committed.rows_written)
    }
    async fn commit(&mut self, sequence: u64, rows: &[Pair<'_>]) -> u64 {
        self.try_commit(sequence, rows).await.unwrap_or_else(|error| panic!("commit {sequence} failed: {error:?}"))
    }
    /// Seals a staged sink as a checkpoint does; returns the journal's entry.
    async fn seal(&mut self, sequence: u64) -> LaneProgress {
        let Some(progress) = self.ask_to_seal(Seal::All, sequence).await else {
            return progress(&self.fence, sequence, None); // not a staged sink
        };
        self.publish(&progress).await;
        progress
    }
    /// Asks a staged sink to seal; returns the journal's entry if it did.
    async fn ask_to_seal(&mut self, how_much: Seal, sequence: u64) -> Option<LaneProgress> {
        match self.writer.seal(how_much).await.unwrap_or_else(|error| panic!("can't be sealed: {error}")) {
            Sealed::Handle(handle) => Some(progress(&self.fence, sequence, Some(handle))),
            Sealed::NotYet => None,
        }
    }
    async fn publish(&mut self, progress: &LaneProgress) {
        let token = token(&self.fence, progress.sequence);
        if let Some(handle) = &progress.handle {
            self.writer.publish(handle, &token).await.unwrap_or_else(|error| panic!("can't be published: {error}"));
        }
    }
    async fn close(self) {
        self.writer.close().await;
    }
}

fn progress(fence: &Fence, sequence: u64, handle: Option<serde_json::Value>) -> LaneProgress {
    let Token { positions, counters, .. } = token(fence, sequence);
    LaneProgress {
        lane: fence.lane,
        sequence,
        positions: Positions::clone(&positions),
        counters,
        handle,
        ..LaneProgress::default()
    }
}

fn pair(id: i64, name: &str) -> Pair<'_> {
    (Some(id), Some(name))
}

async fn expect(subject: &dyn Subject, expected: &[(i64, &str)], why: &str) {
    let mut rows = subject.rows().await;
    rows.sort();
    let expected: Vec<(i64, String)> = expected.iter().map(|(id, name)| (*id, (*name).into())).collect();
    assert_eq!(rows, expected, "{why}");
}

async fn rows_arrive(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    assert!(run.found.is_none(), "a fresh target has no token");
    let written = run.commit(1, &[pair(1, "Ann"), pair(2, "B\"ob, \\ \u{e4}\u{1f600}\n")]).await;
    assert_eq!(written, 2);
    let outputs = [run.output(&[pair(3, "Cid")]), run.output(&[]), run.output(&[pair(4, "Dan")])];
    let committed = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 2)).await;
    assert_eq!(committed.map(|committed| committed.rows_written).map_err(|error| error.to_string()), Ok(2));
    run.seal(2).await;
    run.close().await;
    let expected = [(1, "Ann"), (2, "B\"ob, \\ \u{e4}\u{1f600}\n"), (3, "Cid"), (4, "Dan")];
    expect(subject, &expected, "the rows of all outputs arrive").await;
}

async fn empty_commits_count(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    assert_eq!(run.commit(1, &[]).await, 0);
    run.commit(2, &[pair(1, "Ann")]).await;
    assert_eq!(run.commit(3, &[]).await, 0);
    run.seal(3).await;
    run.close().await;
    expect(subject, &[(1, "Ann")], "commits without rows write nothing").await;
    if subject.delivery() == DeliveryMode::Transactional {
        let run = open(subject, 2).await;
        assert_eq!(run.found.map(|token| token.sequence), Some(3), "a commit without rows moves the token");
    }
}

async fn reopening_goes_on(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    let progress = run.seal(1).await;
    run.close().await;
    let mut run =
        try_open(subject, &fence(PIPELINE, 1), Some(progress)).await.unwrap_or_else(|error| panic!("{error}"));
    run.commit(2, &[pair(2, "Bob")]).await;
    run.seal(2).await;
    run.close().await;
    expect(subject, &[(1, "Ann"), (2, "Bob")], "the same epoch may open again and continue").await;
}

async fn zombies_are_fenced(subject: &dyn Subject) {
    let mut old = open(subject, 1).await;
    old.commit(1, &[pair(1, "Ann")]).await;
    let mut new = open(subject, 2).await;
    let error = old.try_commit(2, &[pair(2, "zombie")]).await;
    assert!(matches!(error, Err(CommitError::Failed(Error::Fenced(_)))), "an older epoch's commit: {error:?}");
    new.commit(2, &[pair(3, "Cid")]).await;
    let error = try_open(subject, &fence(PIPELINE, 1), None).await.err();
    assert!(matches!(error, Some(Error::Fenced(_))), "an older epoch's opening: {error:?}");
    expect(subject, &[(1, "Ann"), (3, "Cid")], "nothing of an older epoch takes effect").await;
}

async fn zombies_of_the_same_epoch_are_fenced(subject: &dyn Subject) {
    let of = |opening| Fence { opening, ..fence(PIPELINE, 3) };
    let opened = |opening| async move {
        try_open(subject, &of(opening), None).await.unwrap_or_else(|error| panic!("opening {opening}: {error}"))
    };
    let mut old = opened(8).await;
    old.commit(1, &[pair(1, "Ann")]).await;
    let mut new = opened(9).await;
    let error = old.try_commit(2, &[pair(2, "zombie")]).await;
    assert!(matches!(error, Err(CommitError::Failed(Error::Fenced(_)))), "an earlier opening's commit: {error:?}");
    new.commit(2, &[pair(3, "Cid")]).await;
    let error = try_open(subject, &of(8), None).await.err();
    assert!(matches!(error, Some(Error::Fenced(_))), "an earlier opening: {error:?}");
    new.close().await;
    // The counter of openings begins anew with the process, whose epoch is higher.
    let next = Fence { opening: 1, ..fence(PIPELINE, 4) };
    let mut next = try_open(subject, &next, None).await.unwrap_or_else(|error| panic!("the next epoch: {error}"));
    next.commit(3, &[pair(4, "Dan")]).await;
    expect(subject, &[(1, "Ann"), (3, "Cid"), (4, "Dan")], "nothing of an earlier opening takes effect").await;
}

async fn tokens_come_back(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    // With a key, the last of these wins: one row is written. The token must count it.
    let written = run.commit(2, &[pair(2, "Bob"), pair(2, "Bob")]).await;
    let expected = token(&run.fence, 2).with_rows(written);
    let (cx, asked) = (run.cx.clone(), run.fence.clone());
    let inspected = subject.sink().token(&cx, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    run.close().await;
    let run = open(subject, 5).await;
    for (found, how) in [(inspected, "inspected"), (run.found, "opened")] {
        let found = found.unwrap_or_else(|| panic!("{how}: the token is there"));
        assert_eq!(found.sequence, 2, "{how}");
        assert_eq!(found.positions, expected.positions, "{how}");
        assert_eq!(found.counters, expected.counters, "{how}");
        assert_eq!(found.chunks, expected.chunks, "{how}");
    }
}

/// A lane may have moved a few partitions, or thousands: a token has them all, however few the last commit has moved.
async fn many_positions_come_back(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    let mut positions = Positions::new();
    let name = |number: u64| match number % 10 {
        3 => format!("/{}{number}", "long/".repeat(800)),
        7 => format!("\u{e4} '\"\\\u{1f600}{{{number}}}"),
        _ => format!("topic/{number}"),
    };
    for sequence in 1..=45_u64 {
        // A few at first, then ever more of them, and many at once.
        let moved = if sequence % 40 == 0 { 150 } else { 5 };
        for number in (0..moved).map(|step| (sequence * 7 + step * 11) % (sequence * 4)) {
            let at = Position::offset(sequence);
            let at = if number % 3 == 0 { at } else { at.of(&format!("identity {sequence}")) };
            positions.insert(name(number).as_str().into(), at);
        }
        let next = Token { positions: positions.clone().into(), ..token(&run.fence, sequence) };
        let committed = run.writer.commit(&[].into(), &next).await;
        committed.unwrap_or_else(|error| panic!("commit {sequence}: {error:?}"));
        if sequence % 6 == 0 {
            let asked = subject.sink().token(&run.cx, &run.fence).await.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(asked.as_ref().map(|token| &*token.positions), Some(&positions), "asked after {sequence}");
        }
        if sequence % 15 == 0 {
            run.close().await;
            run = open(subject, 1 + sequence).await;
            assert_eq!(run.found.as_ref().map(|token| &*token.positions), Some(&positions), "opened after {sequence}");
        }
    }
    run.close().await;
    let next = Fence { generation: Generation::new(2, 7), ..fence(PIPELINE, 200) };
    let run = try_open(subject, &next, None).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        run.others.iter().map(|token| &*token.positions).collect::<Vec<_>>(),
        [&positions],
        "the next generation"
    );
    run.close().await;
    if subject.is_shared() {
        nodes::positions_are_taken_over(subject, &positions).await;
    }
}

async fn commits_are_applied_once(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    for (sequence, what) in [(1, "the same commit again"), (3, "a commit that skips one")] {
        let error = run.try_commit(sequence, &[pair(9, "no")]).await;
        assert!(matches!(error, Err(CommitError::Failed(Error::Fenced(_)))), "{what}: {error:?}");
        run.close().await;
        run = open(subject, 1).await;
    }
    expect(subject, &[(1, "Ann")], "only the next commit is applied").await;
    assert_eq!(
        run.found.map(|token| token.counters),
        Some(Counters { read: 10, delivered: 10, rows_written: 1, batches: 1, ..Counters::default() })
    );
}

async fn lanes_are_apart(subject: &dyn Subject) {
    let mut run = open(subject, 7).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    run.close().await;
    let first = fence(PIPELINE, 3);
    let other_incarnation =
        dataflow_core::id::Incarnation::try_from("2-second").unwrap_or_else(|error| panic!("{error}"));
    for other in [
        Fence { lane: 1, ..first.clone() },
        Fence { generation: Generation::new(2, 0), ..first.clone() },
        Fence { incarnation: other_incarnation, ..first.clone() },
    ] {
        let lane = OpenLane { ancestors: vec![first.incarnation.clone()], ..open_lane(&other) };
        let run = open_as(subject, lane).await.unwrap_or_else(|error| panic!("{other:?}: {error}"));
        assert!(run.found.is_none(), "{other:?} has a token of its own");
        run.close().await;
    }
}

async fn branches_are_apart(subject: &dyn Subject) {
    let mut run = open(subject, 7).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    let branch = BranchId::new(run.fence.branch.pipeline().clone(), 1);
    let other = Fence { branch, epoch: Epoch(9), ..run.fence.clone() };
    let mut beside = try_open(subject, &other, None).await.unwrap_or_else(|error| panic!("{other:?}: {error}"));
    assert_eq!((&beside.found, &beside.others), (&None, &Vec::new()), "another branch has a progress of its own");
    beside.commit(1, &[pair(2, "Ben")]).await;
    run.commit(2, &[pair(3, "Cid")]).await;
    run.close().await;
    beside.close().await;
    let run = open(subject, 8).await;
    assert_eq!(run.found.as_ref().map(|token| token.sequence), Some(2));
    expect(subject, &[(1, "Ann"), (2, "Ben"), (3, "Cid")], "branches write beside each other").await;
    run.close().await;
}

async fn other_generations_are_told_of(subject: &dyn Subject) {
    let mut first = open(subject, 7).await;
    first.commit(1, &[pair(1, "Ann")]).await;
    assert_eq!(first.others, []);
    first.close().await;
    let fence = fence(PIPELINE, 9);
    let of = |number, nonce, lane| Fence { generation: Generation::new(number, nonce), lane, ..fence.clone() };
    let first = Generation::FIRST;
    let (one, two, another_two) = (of(first.number, first.nonce, 0), of(2, 7, 0), of(2, 8, 0));
    for fence in [&two, &another_two, &of(4, 3, 0), &of(4, 3, 1)] {
        let mut run = try_open(subject, fence, None).await.unwrap_or_else(|error| panic!("{fence:?}: {error}"));
        assert_eq!(run.found, None, "{fence:?} has a token of its own");
        run.commit(1, &[]).await;
        run.close().await;
    }
    // Generation 5 commits nothing.
    let (four, four_too) = (of(4, 3, 0), of(4, 3, 1));
    for (opening, others) in [
        (&of(5, 1, 0), vec![&one, &two, &another_two, &four, &four_too]),
        (&two, vec![&one, &another_two, &four, &four_too]),
        (&one, vec![&two, &another_two, &four, &four_too]),
    ] {
        let run = try_open(subject, opening, None).await.unwrap_or_else(|error| panic!("{error}"));
        let told: Vec<_> = run.others.iter().map(|token| (token.fence.generation, token.fence.lane)).collect();
        assert_eq!(told, others.iter().map(|fence| (fence.generation, fence.lane)).collect::<Vec<_>>());
        assert!(run.others.iter().all(|other| other.positions == token(&fence, 1).positions));
        for fence in others {
            assert_eq!(run.begins.get(&fence.generation), Some(&open_lane(fence).begin), "{fence:?}");
        }
        run.close().await;
    }
    // An older copy of the journal may have fewer lanes, one of which was never opened before.
    for (lanes, others) in [(1, vec![four_too.lane]), (2, vec![])] {
        let run =
            open_as(subject, OpenLane { lanes, ..open_lane(&four) }).await.unwrap_or_else(|error| panic!("{error}"));
        let told = run.others.iter().filter(|token| token.fence.generation == four.generation);
        assert_eq!(told.map(|token| token.fence.lane).collect::<Vec<_>>(), others, "of {lanes}");
        run.close().await;
    }
    // An older copy of the journal may have planned again since.
    let later = OpenLane { begin: [("t/0".into(), Position::offset(77))].into(), ..open_lane(&one) };
    let run = open_as(subject, later).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run.begins.get(&one.generation), Some(&open_lane(&one).begin));
    run.close().await;
}

async fn refused_rows_are_found(subject: &dyn Subject) {
    let refused = subject.refused_name().unwrap_or_default();
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    let many: Vec<Pair<'_>> = (10..200).map(|id| pair(id, if id % 50 == 0 { refused } else { "x" })).collect();
    let outputs = [run.output(&[pair(2, "Bob"), pair(3, refused)]), run.output(&many)];
    let commit = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 2)).await;
    let Err(CommitError::Rejected(rows)) = commit else { panic!("rows that the target refuses: {commit:?}") };
    let mut places: Vec<(usize, usize)> = rows.iter().map(|RejectedRow { output, row, .. }| (*output, *row)).collect();
    places.sort_unstable();
    assert_eq!(places, [(0, 1), (1, 40), (1, 90), (1, 140)], "all refused rows are found, and no other");
    assert!(rows.iter().all(|row| row.cause.contains("name")), "the cause names the column: {}", rows[0].cause);
    expect(subject, &[(1, "Ann")], "a refused commit writes nothing").await;
    let rest = [outputs[0].retain(|row| row != 1)];
    let committed = run.writer.commit(&rest.clone().into(), &token(&run.fence, 2)).await;
    assert_eq!(committed.map(|committed| committed.rows_written).map_err(|error| error.to_string()), Ok(1));
    expect(subject, &[(1, "Ann"), (2, "Bob")], "without the refused rows it continues, with the same number").await;

    // The engine continues this way: the same outputs without the refused records, and a token that names their dead
    // letters.
    let outputs = [run.output(&[pair(4, "Cid"), pair(5, refused), pair(6, "Dan"), pair(6, refused)])];
    let commit = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 3)).await;
    let Err(CommitError::Rejected(rows)) = commit else { panic!("rows that the target refuses: {commit:?}") };
    let rest = [outputs[0].retain(|row| rows.iter().all(|refused| refused.row != row))];
    let mut named = token(&run.fence, 3);
    let id = ChunkId(format!("{PIPELINE}/i/1/letters").into());
    named.chunks.push(ChunkRef { id, kind: ChunkKind::DeadLetters, records: 2 });
    named.counters.dead += 2;
    let committed = run.writer.commit(&rest.clone().into(), &named).await;
    assert_eq!(committed.map(|committed| committed.rows_written).map_err(|error| error.to_string()), Ok(2));
    let expected = [(1, "Ann"), (2, "Bob"), (4, "Cid"), (6, "Dan")];
    expect(
        subject,
        &expected,
        "without the refused rows it continues, also with an earlier row of a refused one's key",
    )
    .await;
    let commit = run.try_commit(4, &[pair(7, "Bob"), pair(8, refused)]).await;
    assert!(matches!(commit, Err(CommitError::Rejected(_))), "{commit:?}");
    drop(run);
    let mut run = open(subject, 2).await;
    let stored = run.found.take().expect("there were commits");
    let what = |token: &Token| (token.sequence, token.chunks.clone(), token.counters.dead);
    assert_eq!(what(&stored), what(&named), "the token that was committed");
    run.commit(4, &[pair(9, "Ann")]).await;
    let expected = [(1, "Ann"), (2, "Bob"), (4, "Cid"), (6, "Dan"), (9, "Ann")];
    expect(subject, &expected, "nothing stays of a refused commit that was not continued").await;
}

async fn the_last_per_key_wins(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    let outputs = [run.output(&[pair(1, "a"), pair(2, "b"), pair(1, "c")]), run.output(&[pair(3, "d"), pair(2, "e")])];
    let committed = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 1)).await;
    let written = committed.map(|committed| committed.rows_written).map_err(|error| error.to_string());
    assert!(matches!(written, Ok(3..=5)), "a row is written for each key, or each record: {written:?}");
    expect(subject, &[(1, "c"), (2, "e"), (3, "d")], "the last record per key in a commit wins, over all outputs")
        .await;
    run.commit(2, &[pair(2, "f")]).await;
    expect(subject, &[(1, "c"), (2, "f"), (3, "d")], "a later commit replaces").await;
    let commit = run.try_commit(3, &[pair(4, "g"), (None, Some("h"))]).await;
    if subject.delivery() == DeliveryMode::Transactional {
        let Err(CommitError::Rejected(rows)) = commit else { panic!("a row without key: {commit:?}") };
        assert_eq!((rows.len(), rows[0].row), (1, 1), "the row without key is found");
        assert!(rows[0].cause.contains("id"), "the cause names the key column: {}", rows[0].cause);
    }
}

async fn unsealed_rows_go_away(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    let begun = LaneProgress { handle: run.handle.clone(), ..LaneProgress::default() };
    run.commit(1, &[pair(1, "lost")]).await;
    run.close().await;
    let reopen = |epoch, progress| async move {
        try_open(subject, &fence(PIPELINE, epoch), Some(progress)).await.unwrap_or_else(|error| panic!("{error}"))
    };
    let mut run = reopen(2, begun).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    let progress = run.seal(1).await;
    run.commit(2, &[pair(2, "lost, too")]).await;
    run.close().await;
    let mut run = reopen(3, progress).await;
    run.commit(2, &[pair(2, "Bob")]).await;
    run.seal(2).await;
    run.close().await;
    expect(subject, &[(1, "Ann"), (2, "Bob")], "unsealed commits are gone after opening again").await;
}
