use dataflow_core::{
    id::{Epoch, RunId},
    pipeline::{
        Branch, Command, CommandKind, Effect, Event, Status,
        event::{Cause, LaneOpened, LaneProgress, Lost, Planned, Recovery},
        testing::*,
    },
    position::{Position, Positions},
    spec::{PipelineSpec, RestartPolicy},
    types::Type,
    warned::Warned,
};

fn running() -> Given {
    given([created(), started(), opened(10, 0)])
}

fn report(lanes: Vec<LaneProgress>) -> CommandKind {
    CommandKind::ReportProgress { run: RunId(10), lanes, reserved_versions: None }
}

fn of_lane(number: u32, sequence: u64) -> LaneProgress {
    LaneProgress { lane: number, positions: [].into(), ..lane(sequence) }
}

fn dead(sequence: u64, chunks: &[&str]) -> LaneProgress {
    LaneProgress { chunks: chunks.iter().map(|name| dead_letters(name, 10)).collect(), ..lane(sequence) }
}

#[test]
fn a_run_is_opened_only_if_it_is_newer() {
    running().when(report_opened(11, 0)).then([opened(11, 0)]);
    running().when(report_opened(10, 0)).then_rejected("stale-run");
    running().when(report_opened(9, 0)).then_rejected("stale-run");
}

#[test]
fn a_run_never_goes_on_behind_the_journal() {
    running().and(processed(10, 3)).when(report_opened(11, 2)).then_rejected("stale-run");
}

#[test]
fn a_token_that_is_ahead_is_adopted_with_its_dead_letters() {
    let running = running().and(Event::BatchProcessed {
        run: RunId(10),
        lanes: vec![dead(2, &["1", "2"])],
        reserved_versions: None,
    });
    // Its writer did not know yet that the journal had chunk 2.
    let adopted = LaneOpened { decision: Recovery::TokenAdopted, ..lane_opened(dead(4, &["2", "3", "4"])) };
    let request =
        CommandKind::ReportOpened { run: RunId(11), epoch: Epoch(8), lanes: vec![adopted], reserved_versions: None };
    let after = running.when(request).after();
    let pipeline = after.state.branch(0).unwrap();
    assert_eq!(pipeline.progress.by_lane[&0], lane(4));
    assert_eq!(pipeline.progress.dead_letters, ["1", "2", "3", "4"].map(|name| dead_letters(name, 10)));
    let last = pipeline.last_run.as_ref().unwrap();
    assert_eq!((last.run, last.epoch, last.at), (RunId(11), Epoch(8), NOW));
    assert_eq!(last.lanes[0].decision, Recovery::TokenAdopted);
}

#[test]
fn progress_is_absolute_and_by_lane() {
    let first = running().when(report(vec![lane(1), of_lane(1, 1)])).after();
    let second = first.when(report(vec![of_lane(1, 5)])).then([Event::BatchProcessed {
        run: RunId(10),
        lanes: vec![lane(1), of_lane(1, 5)],
        reserved_versions: None,
    }]);
    let progress = second.after().state.branch(0).unwrap().progress.clone();
    assert_eq!((progress.by_lane[&0].sequence, progress.by_lane[&1].sequence), (1, 5));
    assert_eq!(progress.counters().read, 600);
    assert!(progress.counters().balances());
    assert_eq!(progress.at, Some(NOW));
}

#[test]
fn of_many_positions_only_those_are_said_that_have_changed() {
    let at = |number: u64, moved: u64| {
        let position = |n: u64| {
            (format!("f{n}").as_str().into(), Position::offset(if n.is_multiple_of(1_000) { moved } else { n }))
        };
        (0..number).map(position).collect::<Positions>()
    };
    let lane_at = |number, sequence, positions| LaneProgress { positions, ..of_lane(number, sequence) };
    let said = |given: &Given, reported| {
        let then = given.clone().when(report(reported));
        let decision = then.decision().clone();
        let Event::BatchProcessed { lanes, .. } = &decision.events[0].event else { panic!("{decision:?}") };
        (lanes.iter().map(|lane| lane.positions.len()).collect::<Vec<_>>(), then.after())
    };
    let opened = Event::RunOpened { run: RunId(10), epoch: Epoch(7), lanes: vec![], reserved_versions: None };
    let (lengths, few) =
        said(&given([created(), started(), opened]), vec![lane_at(0, 1, at(200, 0)), lane_at(1, 1, at(50, 0))]);
    assert_eq!(lengths, [200, 50]);
    let (lengths, few) = said(&few, vec![lane_at(0, 2, at(200, 7))]);
    assert_eq!(lengths, [200, 50], "all, as long as they are few");
    let (lengths, many) = said(&few, vec![lane_at(0, 3, at(5_000, 7))]);
    assert_eq!(lengths, [4_800, 0]);
    let (lengths, many) = said(&many, vec![lane_at(0, 4, at(5_000, 8)), lane_at(1, 2, at(50, 9))]);
    assert_eq!(lengths, [5, 1]);
    let progress = &many.state.branch(0).unwrap().progress;
    assert!(progress.by_lane[&0].positions == at(5_000, 8) && progress.by_lane[&1].positions == at(50, 9));
    many.clone().when(report(vec![lane_at(0, 4, at(5_000, 8))])).then_nothing();
    // A run that opens says all of them, and takes the place of what was known.
    let opened = LaneOpened { progress: lane_at(0, 4, at(4_000, 9)), ..lane_opened(lane(4)) };
    let again =
        many.and(Event::RunOpened { run: RunId(11), epoch: Epoch(8), lanes: vec![opened], reserved_versions: None });
    assert!(again.state.branch(0).unwrap().progress.by_lane[&0].positions == at(4_000, 9));
}

#[test]
fn progress_is_no_change_of_the_pipeline() {
    let before = running();
    let version = before.state.pipeline().unwrap().version;
    let after = before.when(report_progress(10, 1)).after();
    assert_eq!(after.state.pipeline().unwrap().version, version);
}

#[test]
fn what_is_known_is_no_progress() {
    let running = running().and(processed(10, 3));
    running.clone().when(report_progress(10, 3)).then_nothing();
    running.clone().when(report(vec![lane(3), of_lane(1, 1)])).then([Event::BatchProcessed {
        run: RunId(10),
        lanes: vec![lane(3), of_lane(1, 1)],
        reserved_versions: None,
    }]);
    running.when(report_progress(10, 2)).then_rejected("stale-run");
}

#[test]
fn a_handle_that_moved_is_progress_without_a_commit() {
    let published = LaneProgress { handle: Some(serde_json::json!({"committed": 10})), ..lane(3) };
    let after = running().and(processed(10, 3)).when(report(vec![published.clone()])).after();
    assert_eq!(after.state.branch(0).unwrap().progress.by_lane[&0], published);
}

#[test]
fn progress_ends_a_row_of_failed_attempts() {
    let retried = running().and(failed_for_now()).and(Event::PipelineStarted { lanes: 1, attempt: 4 });
    let attempt = |given: &Given| given.state.branch(0).and_then(Branch::running).unwrap().attempt;
    let opened = retried.and(opened(11, 0));
    assert_eq!(attempt(&opened), 4);
    assert_eq!(attempt(&opened.when(report_progress(11, 1)).after()), 0);
}

#[test]
fn only_the_open_run_reports() {
    for request in [report_progress(9, 5), report_progress(11, 5), report_completed(9), report_completed(11)] {
        running().when(request).then_rejected("stale-run");
    }
    given([created(), started()]).when(report_progress(10, 1)).then_rejected("stale-run");
    running().and(failed()).when(report_progress(10, 1)).then_rejected("stale-run");
    running().when(report_failed(9, true)).then_rejected("stale-run");
}

#[test]
fn types_only_widen() {
    let learn = |ty| CommandKind::ReportSchema { run: RunId(10), learned: learned(ty) };
    let known =
        running().when(learn(Type::Bigint)).then([Event::SchemaChanged { learned: learned(Type::Bigint) }]).after();
    known.clone().when(learn(Type::Integer)).then_nothing();
    known.when(learn(Type::Double)).then([Event::SchemaChanged { learned: learned(Type::Double) }]);
}

#[test]
fn lost_records_are_named_once() {
    let lose = |lost| CommandKind::ReportLost { run: RunId(10), lost };
    let named = running().when(lose(ten_lost())).then([Event::RecordsLost(ten_lost())]).after();
    // A run that ends before a checkpoint is behind them is followed by one that finds the same, or more.
    named.clone().when(lose(ten_lost())).then_nothing();
    let more = Lost { records: 12, ..ten_lost() };
    named.clone().when(lose(more.clone())).then([Event::RecordsLost(more)]);
    // Behind a checkpoint it is another loss.
    named.and(processed(10, 1)).when(lose(ten_lost())).then([Event::RecordsLost(ten_lost())]);
}

#[test]
fn a_run_stops_only_if_it_was_told_to() {
    running().when(report_stopped(10)).then_rejected("stale-run");
    let stopping = running().and(stop_requested());
    let unsettled = CommandKind::ReportStopped { run: RunId(10), unsettled: Some(cause(true)), prepared: [].into() };
    stopping.clone().when(unsettled).then([Event::PipelineStopped { unsettled: Some(cause(true)) }]);
    // It may have been told so before it was open.
    stopping.when(report_stopped(11)).then([stopped()]);
    given([created(), started(), stop_requested()]).when(report_stopped(1)).then([stopped()]);
}

#[test]
fn a_failure_is_tried_again_as_the_policy_says() {
    let later = NOW.plus_millis(1_000);
    let failed = |restart_at, retryable| [Event::PipelineFailed { cause: cause(retryable), restart_at }];
    running().when(report_failed(10, true)).then(failed(Some(later), true)).then_effects([Effect::RestartAt(later)]);
    running().when(report_failed(10, false)).then(failed(None, false)).then_effects([]);
    running().when(report_failed(11, true)).then_effects([Effect::RestartAt(later)]);
    let no_more =
        CommandKind::ReportFailed { run: RunId(10), cause: cause(true), restart_in: None, prepared: [].into() };
    running().when(no_more).then(failed(None, true)).then_effects([]);

    let never = RestartPolicy { max_attempts: Some(0), ..RestartPolicy::default() };
    let spec = PipelineSpec { restart: never, ..spec() };
    let created = created_as(spec);
    given([created, started(), opened(10, 0)]).when(report_failed(10, true)).then(failed(None, true));
}

#[test]
fn a_failure_keeps_its_cause_and_time() {
    let after = running().when(report_failed(10, false)).after();
    let Some(failed) = after.state.branch(0).and_then(Branch::failed).cloned() else { panic!("not failed") };
    assert_eq!((failed.cause, failed.at, failed.attempt), (cause(false), NOW, 0));
}

#[test]
fn a_failure_while_stopping_ends_the_stop() {
    let unsettled = |retryable| Event::PipelineStopped { unsettled: Some(cause(retryable)) };
    running().and(stop_requested()).when(report_failed(10, true)).then([unsettled(true)]).then_effects([]);
    let restarted = running().and(restart_requested()).when(report_failed(10, false));
    restarted.then([unsettled(false), started()]).then_effects([Effect::StartRun]);
}

#[test]
fn a_bounded_source_ends() {
    let after = running().when(report_completed(10)).then([Event::PipelineCompleted]).then_effects([]).after();
    assert_eq!(after.state.status(), Status::Completed);
    running().and(stop_requested()).when(report_completed(10)).then([Event::PipelineCompleted]);
    let restarted = running().and(restart_requested()).when(report_completed(10));
    restarted.then([Event::PipelineCompleted, started()]).then_effects([Effect::StartRun]);
}

#[test]
fn reports_take_no_command_id() {
    // Their ids are of no account: the same one twice is two reports.
    let named = |request| Command::from(request).named("given-1");
    running().when(named(report_progress(10, 1))).then([processed(10, 1)]);
}

#[test]
fn what_the_journal_does_not_know_of_the_sink_is_told_also_while_it_stops() {
    let behind = Cause { code: Cause::JOURNAL_BEHIND.into(), ..cause(false) };
    let report =
        || CommandKind::ReportFailed { run: RunId(11), cause: behind.clone(), restart_in: None, prepared: [].into() };
    let failed = || Event::PipelineFailed { cause: behind.clone(), restart_at: None };
    for request in [stop_requested(), restart_requested()] {
        let stopping = given([created(), started(), request]);
        let failed = stopping.when(report()).then([failed()]).then_effects([]).after();
        assert!(failed.state.pipeline().unwrap().undecided().next().is_some());
        // Until a run knows better, or a generation starts.
        let started = failed.and(started());
        started.clone().when(ingest("a", 1)).then_rejected("not-allowed");
        started.clone().and(stop_requested()).and(stopped()).when(ingest("a", 1)).then_rejected("not-allowed");
        started.and(opened(12, 0)).when(ingest("a", 1)).then([received("a", 0, 1)]);
    }
}

#[test]
fn a_lane_that_has_not_moved_is_said_again_without_what_is_said_once() {
    let handle = Some(serde_json::json!({"committed": 10}));
    let warnings = [Warned { code: "w".into(), subject: "s".into(), message: "m".into(), records: 1 }];
    let first = LaneProgress { handle: handle.clone(), warnings: warnings.into_iter().collect(), ..dead(1, &["1"]) };
    let known = running().when(report(vec![first, of_lane(1, 1)])).after();
    let still = LaneProgress { handle: handle.clone(), ..lane(1) };
    known.clone().when(report(vec![of_lane(1, 2)])).then([Event::BatchProcessed {
        run: RunId(10),
        lanes: vec![still, of_lane(1, 2)],
        reserved_versions: None,
    }]);
    // One that has moved says again what its sink has to find, too.
    let moved = LaneProgress { handle, ..lane(2) };
    known.when(report(vec![lane(2)])).then([Event::BatchProcessed {
        run: RunId(10),
        lanes: vec![moved, of_lane(1, 1)],
        reserved_versions: None,
    }]);
}

#[test]
fn versions_are_reserved_before_they_are_written_and_never_twice() {
    let progress = |lanes, reserved_versions| CommandKind::ReportProgress {
        run: RunId(10),
        lanes,
        reserved_versions: Some(reserved_versions),
    };
    let known = |given: &Given| given.state.branch(0).unwrap().reserved_versions;
    let opened = given([created(), started()]).and(Event::RunOpened {
        run: RunId(10),
        epoch: Epoch(7),
        lanes: vec![lane_opened(lane(0))],
        reserved_versions: Some(1_000),
    });
    assert_eq!(known(&opened), 1_000);
    opened.clone().when(progress(Vec::new(), 1_000)).then_nothing();
    let more = opened.when(progress(Vec::new(), 2_000)).after();
    assert_eq!(known(&more), 2_000);
    let moved = more.when(progress(vec![lane(1)], 1_500)).after();
    assert_eq!(known(&moved), 2_000, "they never fall");
    // Whatever comes next, a run begins after them.
    let stopped = moved.and(stop_requested()).and(stopped());
    let again = stopped.clone().and(started()).and(Event::RunOpened {
        run: RunId(11),
        epoch: Epoch(8),
        lanes: vec![lane_opened(lane(1))],
        reserved_versions: None,
    });
    assert_eq!(known(&again), 2_000);
    let anew = stopped.and(Event::PipelineDeleted).and(created());
    assert_eq!(known(&anew), 2_000, "a pipeline that was deleted and made again may write to the same target");
}

#[test]
fn a_partition_is_planned_once_in_the_lane_that_has_moved_it_or_has_the_fewest() {
    let found = |partitions: &[(&str, u64)]| CommandKind::ReportPartitions {
        run: RunId(10),
        found: partitions.iter().map(|(name, begin)| ((*name).into(), Position::offset(*begin))).collect(),
        lanes: None,
    };
    let planned = |partitions: &[(&str, u32, u64)]| {
        let planned = partitions.iter().map(|(name, lane, begin)| Planned {
            partition: (*name).into(),
            lane: *lane,
            begin: Position::offset(*begin),
        });
        Event::PartitionsPlanned { run: RunId(10), planned: planned.collect(), lanes: None }
    };
    let two_lanes = Event::PipelineStarted { lanes: 2, attempt: 0 };
    let moved = LaneProgress { lane: 1, positions: [("b".into(), Position::offset(40))].into(), ..lane(0) };
    let opened = Event::RunOpened {
        run: RunId(10),
        epoch: Epoch(7),
        lanes: vec![lane_opened(LaneProgress { positions: [].into(), ..lane(0) }), lane_opened(moved)],
        reserved_versions: None,
    };
    let first = given([created(), two_lanes, opened])
        .when(found(&[("a", 5), ("b", 7), ("c", 0), ("d", 0)]))
        .then([planned(&[("a", 0, 5), ("b", 1, 7), ("c", 0, 0), ("d", 1, 0)])])
        .after();
    first.clone().when(found(&[("c", 3), ("a", 9)])).then_nothing();
    let grown = first.when(found(&[("d", 1), ("e", 2)])).then([planned(&[("e", 0, 2)])]).after();
    let progress = &grown.state.branch(0).unwrap().progress;
    let at = |name| progress.position(name).and_then(Position::as_offset);
    assert_eq!(["a", "b", "c", "e"].map(at), [Some(5), Some(40), Some(0), Some(2)]);
    // Before a run is open, it plans which lanes there are by then; a lane of which the sink knows more keeps what it has moved.
    let started = |lanes| Event::PipelineStarted { lanes, attempt: 0 };
    let early = given([created(), started(3)]).when(found(&[("a", 5), ("b", 7), ("c", 0)]));
    let early = early.then([planned(&[("a", 0, 5), ("b", 1, 7), ("c", 2, 0)])]).after();
    // What the sink says of where the generation began holds, as long as no lane is open.
    let again = early.clone().when(found(&[("a", 2), ("b", 7)])).then([planned(&[("a", 0, 2)])]).after();
    assert_eq!(again.state.branch(0).unwrap().progress.position("a").and_then(Position::as_offset), Some(2));
    let fewer = early.and(stop_requested()).and(stopped()).and(started(2));
    let moved = LaneProgress { lane: 1, positions: [("a".into(), Position::offset(40))].into(), ..lane(1) };
    let open = |moved| Event::RunOpened {
        run: RunId(10),
        epoch: Epoch(7),
        lanes: vec![lane_opened(moved)],
        reserved_versions: None,
    };
    let lanes = |given: &Given| given.state.branch(0).unwrap().progress.plan.values().copied().collect::<Vec<_>>();
    assert_eq!(lanes(&fewer), [0, 1, 0]);
    assert_eq!(lanes(&fewer.and(open(moved))), [1, 1, 0]);
    // Of an older run, nothing is planned.
    grown
        .clone()
        .when(CommandKind::ReportPartitions { run: RunId(9), found: vec![], lanes: None })
        .then_rejected("stale-run");
}
