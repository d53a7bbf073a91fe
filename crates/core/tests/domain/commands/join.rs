use dataflow_core::{
    chunk::ChunkRef,
    id::RunId,
    limits::{JOINED_LETTERS, NAMED_CHUNKS},
    pipeline::{CommandKind, Event, event::LaneProgress, testing::*},
};

fn with(chunks: impl IntoIterator<Item = ChunkRef>) -> Given {
    let lane = LaneProgress { chunks: chunks.into_iter().collect(), ..lane(1) };
    given([
        created(),
        started(),
        opened(10, 0),
        Event::BatchProcessed { run: RunId(10), lanes: vec![lane], reserved_versions: None },
    ])
}

fn join(first: u64, count: u64, records: u64) -> CommandKind {
    CommandKind::JoinDeadLetters { first, count, into: dead_letters("joined", records) }
}

#[test]
fn neighbours_are_joined_and_nothing_gets_lost() {
    let four = with(["1", "2", "3", "4"].map(|name| dead_letters(name, 10)));
    let after = four.clone().when(join(1, 2, 20)).after();
    let left = [("1", 10), ("joined", 20), ("4", 10)].map(|(name, records)| dead_letters(name, records));
    assert_eq!(after.state.branch(0).unwrap().progress.dead_letters, left);
    for wrong in [join(1, 2, 19), join(3, 2, 20), join(0, 1, 10), join(4, 2, 0), join(u64::MAX, 2, 20)] {
        four.clone().when(wrong).then_rejected("invalid");
    }
}

#[test]
fn a_join_is_no_change_for_users() {
    let two = with(["1", "2"].map(|name| dead_letters(name, 10)));
    let version = two.state.pipeline().unwrap().version;
    let after = two.when(join(0, 2, 20)).after();
    assert_eq!(after.state.pipeline().unwrap().version, version);
}

#[test]
fn small_neighbours_are_joined_up_to_a_thousand_letters_and_the_newest_stay() {
    let progress = |sizes: &[u64], newest: usize| {
        let names = (0..).map(|n| format!("{n}"));
        let sizes = sizes.iter().copied().chain(std::iter::repeat_n(1, newest));
        with(names.zip(sizes).map(|(name, records)| dead_letters(&name, records)))
            .state
            .branch(0)
            .unwrap()
            .progress
            .clone()
    };
    let newest = NAMED_CHUNKS;
    assert_eq!(JOINED_LETTERS, 1_000);
    assert_eq!(progress(&[400, 300, 200, 200], newest).to_join(0), Some(0..3));
    assert_eq!(progress(&[400, 300, 200, 200], newest - 1).to_join(0), None);
    assert_eq!(progress(&[400, 300, 200], newest).to_join(0), None, "there may be more to come");
    assert_eq!(progress(&[1_000, 5_000, 700, 200, 800], newest).to_join(0), Some(2..4));
    assert_eq!(progress(&[400, 300, 200, 900, 50, 51], newest).to_join(3), Some(3..5));
    assert_eq!(progress(&[600, 600, 600], newest).to_join(0), None);
    assert_eq!(progress(&[], 10).to_join(5), None);
}
