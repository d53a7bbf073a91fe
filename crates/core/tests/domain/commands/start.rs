use dataflow_core::{
    limits::MAX_LANES,
    pipeline::{Command, CommandKind, Effect, Event, State, testing::*},
};

#[test]
fn what_does_not_run_is_started() {
    let ran = given([created(), started(), opened(10, 2)]);
    for past in [
        ran.clone().and(stop_requested()).and(stopped()),
        ran.clone().and(failed()),
        ran.clone().and(failed_for_now()),
        ran.and(Event::PipelineCompleted),
    ] {
        past.when(start()).then([started()]).then_effects([Effect::StartRun]);
    }
}

#[test]
fn lanes_are_fixed_once_a_run_was_opened_in_a_generation() {
    let three = Event::PipelineStarted { lanes: 3, attempt: 0 };
    given([created()]).when(start()).then([three.clone()]);
    // The builders' pipeline was started with one; until a run was opened, nothing depends on it.
    given([created(), started(), stop_requested(), stopped()]).when(start()).then([three.clone()]).after();
    given([created(), started(), failed_for_now()]).when(start()).then([three]);
    given([created(), started(), opened(10, 0), stop_requested(), stopped()]).when(start()).then([started()]);
    given([created()]).when(CommandKind::Start { lanes: 0 }).then([started()]);
    let most = Event::PipelineStarted { lanes: MAX_LANES, attempt: 0 };
    given([created()]).when(CommandKind::Start { lanes: 1_000 }).then([most]);
}

#[test]
fn a_running_one_is_not_started_again() {
    given([created(), started()]).when(start()).then_rejected("not-allowed");
    given([created(), started(), stop_requested()]).when(start()).then_rejected("not-allowed");
}

#[test]
fn the_policy_counts_its_attempts_and_a_user_begins_anew() {
    let failed = given([created(), started(), opened(10, 0), failed_for_now()]);
    let retried = failed.when(Command::from(start()).by_system()).after();
    assert!(matches!(&retried.state, State::Running(running) if running.attempt == 1));
    let failed = retried.and(failed_for_now());
    failed.clone().when(Command::from(start()).by_system()).then([Event::PipelineStarted { lanes: 1, attempt: 2 }]);
    failed.when(start()).then([started()]);
}

#[test]
fn a_timer_that_is_late_starts_nothing() {
    let stale = || Command::from(start()).by_system();
    let failed = given([created(), started(), opened(10, 0), failed_for_now()]);
    failed.clone().when(stop()).after().when(stale()).then_rejected("not-allowed");
    failed.clone().when(start()).after().when(stale()).then_rejected("not-allowed");
    failed.clone().when(update(refiltered(), 0)).after().when(stale()).then_rejected("not-allowed");
    // The clock of the wall may have been set back since: it doesn't say when it is time.
    let early = stale().at(NOW.plus_millis(-86_400_000));
    failed.when(early).then_effects([Effect::StartRun]);
}

#[test]
fn only_at_the_version_that_was_seen() {
    given([created()]).when(Command::from(start()).only_at_version(1)).then_effects([Effect::StartRun]);
    given([created()]).when(Command::from(start()).only_at_version(2)).then_rejected("version-mismatch");
}
