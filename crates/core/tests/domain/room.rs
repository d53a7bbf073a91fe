//! What is journalled has room for what comes: state of a lane's transforms in chunks, and batches pushed to a source by name.
use dataflow_core::{
    chunk::{ChunkKind, ChunkRef},
    id::{RunId, SourceName},
    pipeline::{Event, event::LaneProgress, inbox::Inbox, testing::*},
    position::Position,
};

fn state(name: &str) -> ChunkRef {
    ChunkRef { id: chunk(name), kind: ChunkKind::State, records: 3 }
}

fn delta(name: &str) -> ChunkRef {
    ChunkRef { id: chunk(name), kind: ChunkKind::StateDelta, records: 1 }
}

fn processed_with(sequence: u64, chunks: &[ChunkRef]) -> Event {
    let lane = LaneProgress { chunks: chunks.to_vec(), ..lane(sequence) };
    Event::BatchProcessed { run: RunId(10), lanes: vec![lane], reserved_versions: None }
}

/// The whole of it takes the place of what came before; a chunk that is named again, by a token that was adopted, counts once.
#[test]
fn the_state_of_a_lane_is_the_last_whole_one_and_what_has_changed_since() {
    let mut now = given([created(), started(), opened(10, 0)]);
    let dead = dead_letters("letters", 2);
    for (sequence, named, expected) in [
        (1, vec![delta("1")], vec![delta("1")]),
        (2, vec![dead, delta("1"), delta("2")], vec![delta("1"), delta("2")]),
        (3, vec![delta("2"), state("3"), delta("4")], vec![state("3"), delta("4")]),
        (4, vec![state("3"), delta("4"), delta("5")], vec![state("3"), delta("4"), delta("5")]),
        (5, vec![], vec![state("3"), delta("4"), delta("5")]),
    ] {
        now = now.and(processed_with(sequence, &named));
        assert_eq!(now.state.branch(0).unwrap().progress.by_lane[&0].chunks, expected, "after commit {sequence}");
    }
    let progress = &now.state.branch(0).unwrap().progress;
    assert_eq!(progress.dead_letters, [dead_letters("letters", 2)]);
    // It is not said again with each checkpoint.
    let then = now.clone().when(report_progress(10, 6));
    let [event] = &then.decision().events[..] else { panic!() };
    let Event::BatchProcessed { lanes, .. } = &event.event else { panic!("{event:?}") };
    assert!(lanes[0].chunks.is_empty());
}

fn pushed_to(source: &SourceName, name: &str, from: u64, to: u64) -> Event {
    let mut event = received(name, from, to);
    if let Event::BatchReceived { source: of, .. } = &mut event {
        *of = Some(source.clone());
    }
    event
}

/// Each source counts its own records, and lets go of those that all branches have read.
#[test]
fn batches_of_sources_with_names_are_kept_apart() {
    let [clicks, orders] = ["clicks", "orders"].map(|name| SourceName::try_from(name).unwrap());
    let past =
        [created(), pushed_to(&clicks, "a", 0, 10), pushed_to(&orders, "a", 0, 5), pushed_to(&clicks, "b", 10, 20)];
    let now = given(past).and(started()).and(opened(10, 0));
    assert_eq!(now.state.pipeline().unwrap().undelivered(), 25);
    let mut lane = lane(1);
    lane.positions = [(Inbox::partition(Some(&clicks)), Position::offset(10))].into();
    let processed = Event::BatchProcessed { run: RunId(10), lanes: vec![lane], reserved_versions: None };
    let now = now.and(processed);
    let pipeline = now.state.pipeline().unwrap();
    let waiting = |source: Option<&SourceName>| {
        let (_, inbox) = pipeline.inboxes().find(|(own, _)| *own == source).unwrap();
        (inbox.received, inbox.pending.len())
    };
    assert_eq!([waiting(None), waiting(Some(&clicks)), waiting(Some(&orders))], [(0, 0), (20, 1), (5, 1)]);
    assert_eq!(pipeline.undelivered(), 15);
    assert_eq!(&*Inbox::partition(Some(&clicks)).0, "clicks:http");
}
