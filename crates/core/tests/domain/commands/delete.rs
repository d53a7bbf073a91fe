use dataflow_core::pipeline::{Command, Fact, Request, State, Status, testing::*};

#[test]
fn what_does_not_run_can_be_deleted() {
    for end in [stopped(), Fact::PipelineCompleted, failed(), failed_for_now()] {
        let mut past = given([created(), started(), opened(10, 0)]);
        if end == stopped() {
            past = past.and(stop_requested());
        }
        let after = past.and(end).when(Request::Delete).then([Fact::PipelineDeleted]).then_effects([]).after();
        assert_eq!(after.state.status(), Status::Absent);
    }
}

#[test]
fn what_runs_must_be_stopped_first() {
    given([created(), started()]).when(Request::Delete).then_rejected("not-allowed");
    given([created(), started(), stop_requested()]).when(Request::Delete).then_rejected("not-allowed");
}

#[test]
fn it_counts_as_a_change() {
    let after = given([created()]).when(Command::from(Request::Delete).only_at_version(1)).after();
    let State::Deleted(deleted) = after.state else { panic!("not deleted") };
    assert_eq!((deleted.version, deleted.at), (2, NOW));
}
