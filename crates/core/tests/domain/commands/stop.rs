use dataflow_core::pipeline::{Effect, Event, Phase, Status, testing::*};

fn running() -> Given {
    given([created(), started(), opened(10, 0)])
}

#[test]
fn a_running_one_settles_first() {
    let stopping = running().when(stop()).then([stop_requested()]).then_effects([Effect::StopRun]).after();
    assert_eq!(stopping.state.status(), Status::Running);
    stopping.when(report_stopped(10)).then([stopped()]).then_effects([]);
}

#[test]
fn asked_again_it_changes_nothing() {
    running().and(stop_requested()).when(stop()).then_nothing();
    running().and(restart_requested()).when(restart()).then_nothing();
}

#[test]
fn the_last_word_counts() {
    running().and(restart_requested()).when(stop()).then([stop_requested()]).then_effects([]);
    running().and(stop_requested()).when(restart()).then([restart_requested()]).then_effects([]);
}

#[test]
fn a_restart_stops_and_starts() {
    let restarting = running().when(restart()).then([restart_requested()]).then_effects([Effect::StopRun]).after();
    let restarted =
        restarting.when(report_stopped(10)).then([stopped(), started()]).then_effects([Effect::StartRun]).after();
    assert!(
        matches!(restarted.state.branch(0).map(|branch| &branch.phase), Some(Phase::Running(running)) if running.run.is_none() && running.stopping.is_none())
    );
    // What the former run still has to say does not concern the next one.
    restarted.clone().when(report_stopped(10)).then_rejected("stale-run");
    restarted.clone().when(report_progress(10, 1)).then_rejected("stale-run");
    restarted.when(report_failed(10, true)).then_rejected("stale-run");
}

#[test]
fn a_restart_of_what_does_not_run_is_a_start() {
    given([created()]).when(restart()).then_effects([Effect::StartRun]);
    running().and(failed()).when(restart()).then([started()]);
}

#[test]
fn a_failed_one_is_not_tried_again() {
    let stopped_at_once = running().and(failed_for_now()).when(stop()).then([stopped()]).then_effects([]).after();
    assert_eq!(stopped_at_once.state.status(), Status::Stopped);
}

#[test]
fn what_does_not_run_cannot_be_stopped() {
    for past in [given([created()]), running().and(failed()), running().and(Event::PipelineCompleted)] {
        past.when(stop()).then_rejected("not-allowed");
    }
}
