use super::recover;
use crate::dead_letters::chunk_id;
use dataflow_core::{
    chunk::{ChunkKind, ChunkRef},
    ledger::Counters,
    pipeline::{
        event::{LaneProgress, Recovery},
        inbox::Inbox,
        state::Progress,
    },
    position::Position,
    token::Token,
    warned::Warnings,
};
use dataflow_sdk::sink::DeliveryMode;
use dataflow_testkit::fixture::fence;
use std::sync::Arc;

/// What the journal has counted may be joined with other letters by the time a token that still names it is adopted.
#[test]
fn letters_of_commits_that_the_journal_has_are_not_counted_again() {
    let fence = fence("p", 3);
    let chunk = |commit| ChunkRef { id: chunk_id(&fence, commit, 2), kind: ChunkKind::DeadLetters, records: 2 };
    let token = Token {
        fence: fence.clone(),
        sequence: 9,
        positions: Default::default(),
        counters: Counters { read: 8, dead: 8, ..Counters::default() },
        chunks: vec![chunk(5), chunk(7), chunk(8), chunk(9)],
        warnings: Default::default(),
        version: 0,
    };
    let counters = Counters { read: 4, dead: 4, ..Counters::default() };
    let journalled = LaneProgress { sequence: 7, counters, ..LaneProgress::default() };
    let progress = Progress { by_lane: [(0, journalled)].into(), ..Progress::default() };
    let Ok(opened) = recover(0, DeliveryMode::Transactional, &progress, Some(token), &[], None) else {
        panic!("it fits")
    };
    assert_eq!((opened.decision, opened.progress.chunks), (Recovery::TokenAdopted, vec![chunk(8), chunk(9)]));
}

/// A table or file may be called as the inbox is. Nothing was pushed to it.
#[test]
fn only_what_is_pushed_to_has_an_inbox() {
    let token = |at: &str| Token {
        fence: fence("p", 3),
        sequence: 9,
        positions: Arc::new([(Inbox::PARTITION.into(), Position { at: at.into(), identity: None })].into()),
        counters: Counters::default(),
        chunks: Vec::new(),
        warnings: Warnings::default(),
        version: 0,
    };
    let decided = |at: &str, pushed: Option<&Inbox>| {
        let progress = Progress::default();
        recover(0, DeliveryMode::Transactional, &progress, Some(token(at)), &[], pushed)
            .map(|opened| opened.decision)
            .ok()
    };
    for at in ["[5,42]", "7"] {
        assert_eq!(decided(at, None), Some(Recovery::TokenAdopted), "{at}");
        assert_eq!(decided(at, Some(&Inbox::default())), None, "{at}: what was never received");
    }
}
