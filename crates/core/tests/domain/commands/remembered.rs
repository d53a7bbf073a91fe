use dataflow_core::{
    limits::{REMEMBERED_COMMANDS, REMEMBERED_COMMANDS_MS},
    pipeline::{Command, CommandKind, Event, testing::*},
};

#[test]
fn a_command_repeated_by_its_id_changes_nothing() {
    let running = given([]).when(Command::from(create()).named("a")).after();
    let running = running.when(Command::from(start()).named("b")).after();
    for (id, request) in [("a", create()), ("b", start())] {
        running.clone().when(Command::from(request).named(id).only_at_version(99)).then_nothing();
    }
}

#[test]
fn another_request_under_its_id_is_turned_down() {
    let running = given([]).when(Command::from(create()).named("a")).after();
    let running = running.when(Command::from(start()).named("b")).after();
    let renamed =
        CommandKind::Create { pushes: pushes(&described()), spec: Box::new(described()), incarnation: incarnation() };
    let commands = [
        ("a", renamed),
        ("a", start()),
        ("a", stop()),
        ("b", CommandKind::Delete { discard: false }),
        ("b", update(described(), 0)),
    ];
    for (id, request) in commands {
        running.clone().when(Command::from(request).named(id)).then_rejected("idempotency-key-reused");
    }
    // A request that was turned down leaves its id free.
    running.clone().when(Command::from(start()).named("c")).then_rejected("not-allowed");
    running.when(Command::from(stop()).named("c")).then([stop_requested()]);
}

#[test]
fn it_is_known_even_after_a_deletion() {
    let deleted = given([created()]).when(Command::from(CommandKind::Delete { discard: false }).named("d")).after();
    deleted.clone().when(Command::from(CommandKind::Delete { discard: false }).named("d")).then_nothing();
    deleted.when(Command::from(CommandKind::Delete { discard: false }).named("e")).then_rejected("not-found");
}

#[test]
fn what_runs_and_the_policy_do_is_not_remembered() {
    let failed = given([created(), started(), opened(10, 0), failed_for_now()]);
    let after = failed.when(Command::from(start()).by_system().named("policy")).after();
    let after = after.when(Command::from(report_opened(11, 0)).named("r")).after();
    assert!(after.state.carried_out(&command_id("policy")).is_none());
    assert!(after.state.carried_out(&command_id("r")).is_none());
}

#[test]
fn a_stop_that_cancels_a_restart_is_remembered() {
    let failed = given([created(), started(), opened(10, 0), failed_for_now()]);
    failed.when(Command::from(stop()).named("s")).after().when(Command::from(stop()).named("s")).then_nothing();
}

#[test]
fn a_command_that_was_turned_down_may_be_sent_again() {
    let running = given([created(), started(), opened(10, 0)]);
    running.clone().when(Command::from(CommandKind::Delete { discard: false }).named("d")).then_rejected("not-allowed");
    let stopped = running.and(stop_requested()).and(stopped());
    stopped.when(Command::from(CommandKind::Delete { discard: false }).named("d")).then([Event::PipelineDeleted]);
}

#[test]
fn only_so_many_and_only_for_so_long() {
    let described = |n: usize| updated(dataflow_core::spec::PipelineSpec { description: n.to_string(), ..spec() });
    let many = (0..REMEMBERED_COMMANDS).fold(given([created()]), |given, n| given.and(described(n)));
    let pipeline = many.state.pipeline().unwrap();
    assert_eq!(pipeline.commands.len(), REMEMBERED_COMMANDS);
    assert!(many.state.carried_out(&command_id("given-1")).is_none());
    assert!(many.state.carried_out(&command_id("given-2")).is_some());

    let next_day = pipeline.updated_at.plus_millis(REMEMBERED_COMMANDS_MS);
    let later = many.when(Command::from(start()).at(next_day)).after();
    assert_eq!(later.state.pipeline().unwrap().commands.len(), 2);
}
