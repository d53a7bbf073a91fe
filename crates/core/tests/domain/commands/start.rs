use dataflow_core::{
    id::RunId,
    limits::MAX_LANES,
    pipeline::{Command, CommandKind, Effect, Event, Phase, testing::*},
    spec::PipelineSpec,
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
    let of_lanes = |lanes| CommandKind::ReportPartitions { run: RunId(10), found: vec![], lanes: Some(lanes) };
    let chosen = |lanes| Event::PartitionsPlanned { run: RunId(10), planned: vec![], lanes: Some(lanes) };
    let first = given([created()]).when(start()).then([started()]).after();
    let three = first.clone().when(of_lanes(3)).then([chosen(3)]).after();
    three.clone().when(of_lanes(3)).then_nothing();
    first.clone().when(of_lanes(1)).then_nothing();
    first.clone().when(of_lanes(0)).then_nothing();
    first.when(of_lanes(1_000)).then([chosen(MAX_LANES)]);
    // Until a run was opened, nothing depends on them, and a source may have grown.
    three.clone().when(of_lanes(4)).then([chosen(4)]);
    let started_with = |lanes| Event::PipelineStarted { lanes, attempt: 0 };
    let again = three.clone().and(stop_requested()).and(stopped()).when(start()).then([started_with(3)]).after();
    again.when(of_lanes(2)).then([chosen(2)]);
    let open = three.and(opened(10, 0));
    open.clone().when(of_lanes(4)).then_nothing();
    open.and(stop_requested()).and(stopped()).when(start()).then([started_with(3)]);
    let named = created_as(PipelineSpec { lanes: Some(4), ..spec() });
    given([named]).when(start()).then([started_with(4)]);
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
    assert!(
        matches!(retried.state.branch(0).map(|branch| &branch.phase), Some(Phase::Running(running)) if running.attempt == 1)
    );
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
