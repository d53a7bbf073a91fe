use dataflow_core::{
    id::{Incarnation, RunId},
    pipeline::{Command, CommandKind, Event, Rejected, State, Status, event::LaneProgress, testing::*},
};

#[test]
fn what_does_not_run_can_be_deleted() {
    for end in [stopped(), Event::PipelineCompleted, failed(), failed_for_now()] {
        let mut past = given([created(), started(), opened(10, 0)]);
        if end == stopped() {
            past = past.and(stop_requested());
        }
        let after = past
            .and(end)
            .when(CommandKind::Delete { discard: false })
            .then([Event::PipelineDeleted])
            .then_effects([])
            .after();
        assert_eq!(after.state.status(), Status::Absent);
    }
}

#[test]
fn what_runs_must_be_stopped_first() {
    given([created(), started()]).when(CommandKind::Delete { discard: false }).then_rejected("not-allowed");
    given([created(), started(), stop_requested()])
        .when(CommandKind::Delete { discard: false })
        .then_rejected("not-allowed");
}

#[test]
fn it_counts_as_a_change() {
    let after =
        given([created()]).when(Command::from(CommandKind::Delete { discard: false }).only_at_version(1)).after();
    let State::Deleted(deleted) = after.state else { panic!("not deleted") };
    assert_eq!((deleted.version, deleted.at), (2, NOW));
}

/// What was acknowledged is not lost without a word: pushed records are delivered, or given up.
#[test]
fn what_waits_to_be_delivered_is_given_up_only_where_that_is_asked_for() {
    let waits = given([created(), received("a", 0, 60), received("b", 60, 101)]);
    let refused = waits.clone().when(CommandKind::Delete { discard: false }).then_rejected("undelivered");
    assert_eq!(refused, Rejected::Undelivered { records: 101, dead_letters: 0 });
    waits.when(CommandKind::Delete { discard: true }).then([Event::PipelineDeleted]);
}

/// Dead letters are records that are delivered nowhere: they go with the pipeline only where that is asked for.
#[test]
fn dead_letters_are_given_up_only_where_that_is_asked_for() {
    let dead = LaneProgress { chunks: vec![dead_letters("1", 20), dead_letters("2", 3)], ..lane(1) };
    let processed = Event::BatchProcessed { run: RunId(10), lanes: vec![dead], reserved_versions: None };
    let past = given([created(), started(), opened(10, 0), processed, Event::PipelineCompleted]);
    let refused = past.clone().when(CommandKind::Delete { discard: false }).then_rejected("undelivered");
    assert_eq!(refused, Rejected::Undelivered { records: 0, dead_letters: 23 });
    assert_eq!(refused.to_string(), "deleting it would lose 23 dead letter(s)");
    past.when(CommandKind::Delete { discard: true }).then([Event::PipelineDeleted]);
}

/// What they have left at a target is nobody's any more, unlike what a pipeline of the same id has that this journal never had.
#[test]
fn those_before_one_of_the_same_id_are_known() {
    let name = |number: u64| Incarnation::try_from(format!("{number}-x")).unwrap();
    let again = |past: Given, number| {
        let created = Event::PipelineCreated { spec: Box::new(spec()), incarnation: name(number), pushes: None };
        past.and(Event::PipelineDeleted).and(created)
    };
    let past = (1..=3).fold(given([created()]), again);
    let known = |given: &Given| given.state.pipeline().unwrap().view(0).unwrap().ancestors;
    assert_eq!(known(&past), [name(2), name(1), incarnation()]);
    let past = (4..=200).fold(past, again);
    assert_eq!(known(&past), (100..=199).rev().map(name).collect::<Vec<_>>(), "the last hundred");
}
