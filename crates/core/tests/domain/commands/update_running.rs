use dataflow_core::{
    id::{Generation, RunId},
    pipeline::{
        Command, CommandKind, Effect, Event, Rejected, Status, command::Settlement, event::Cause, state::Then,
        testing::*,
    },
    spec::PipelineSpec,
};

fn running() -> Given {
    given([created(), started(), opened(10, 0), processed(10, 3)])
}

/// Asked under the id `change`.
fn asked(given: Given, spec: PipelineSpec) -> Given {
    given.when(Command::from(update_running(spec)).named("change")).after()
}

/// While it runs, nothing is settled.
fn update_running(spec: PipelineSpec) -> CommandKind {
    update_with(spec, Settlement::Settled { lanes: Vec::new(), met: Vec::new(), lost: None })
}

fn pending(given: &Given) -> Option<&PipelineSpec> {
    given.state.pipeline().unwrap().pending().map(|update| &*update.wanted.spec)
}

fn spec_of(given: &Given) -> &PipelineSpec {
    &given.state.pipeline().unwrap().spec
}

#[test]
fn it_stops_for_the_update_and_goes_on_as_the_new_one_in_one_step() {
    let reason = "too many small orders".try_into().ok();
    let command = Command { reason, ..Command::from(update_running(refiltered())).named("change") };
    let hash = command.hash.unwrap();
    let then = running().when(command.clone());
    let Event::StopRequested { then: Then { update: Some(update), start: true } } = &then.decision().events[0].event
    else {
        panic!("{:?}", then.decision().events)
    };
    assert_eq!((&*update.wanted.spec, update.by.hash), (&refiltered(), Some(hash)));
    let updating = then.then_effects([Effect::StopRun]).after();
    assert_eq!((updating.state.status(), spec_of(&updating)), (Status::Running, &spec()));

    let then = updating.when(report_stopped(10));
    let then = then.then([stopped(), updated_at(refiltered(), 300), started()]).then_effects([Effect::StartRun]);
    let changed = &then.decision().events[1];
    assert_eq!(
        (&changed.actor, &changed.reason, &changed.command, changed.hash),
        (&user(), &command.reason, &command.id, Some(hash)),
        "who has asked has changed it, not the run that ended"
    );
    let after = then.after();
    assert_eq!((after.state.status(), spec_of(&after)), (Status::Running, &refiltered()));
    // What is asked again under its id is known.
    after.when(command).then_nothing();
}

#[test]
fn what_the_sink_has_beyond_the_journal_was_done_by_the_spec_before() {
    // The run was dropped after one more commit, or went down with the node.
    let unsettled = |settlement| {
        let prepared = [(0, prepared(&refiltered(), settlement))].into();
        CommandKind::ReportStopped { run: RunId(10), unsettled: Some(cause(true)), prepared }
    };
    let updating = asked(running(), refiltered());
    let not_settled = Event::PipelineStopped { unsettled: Some(cause(true)) };
    let then = |settlement| updating.clone().when(unsettled(settlement));
    then(settled(4)).then([not_settled.clone(), updated_at(refiltered(), 400), started()]);
    // Where the sink can't be asked it goes on all the same; only where that takes effect is not known.
    let unreachable = Settlement::Unsettled { reason: "no route to host".into(), forced: false };
    then(unreachable).then([not_settled.clone(), updated(refiltered()), started()]);
    // Nor is it known of one that does not run.
    let past = running().and(stop_requested()).and(not_settled);
    let not_asked = update_with(refiltered(), Settlement::NotNeeded);
    past.clone().when(not_asked.clone()).then([updated(refiltered())]);
    past.when(update(refiltered(), 4)).then([updated_at(refiltered(), 400)]);
    running().and(failed()).when(not_asked).then([updated(refiltered())]);
}

#[test]
fn another_target_is_a_new_generation_with_lanes_of_its_own() {
    let redirected = || PipelineSpec { lanes: Some(3), ..redirected() };
    let report = report_stopped_for(10, prepared(&redirected(), settled(4)));
    let after = asked(running(), redirected()).when(report).then_effects([Effect::StartRun]).after();
    let progress = &after.state.branch(0).unwrap().progress;
    assert_eq!((progress.generation, progress.lanes), (Generation::new(2, NONCE), Some(3)));
    assert_eq!((progress.earlier, after.state.status()), (counters(400), Status::Running));
}

#[test]
fn what_can_be_known_before_is_asked_before_it_is_stopped() {
    let unasked = |request| running().when(request);
    unasked(update_target_unasked()).then_rejected("retarget-needed");
    unasked(update_source(false)).then_rejected("reset-needed");
    unasked(update_unsettled(redirected(), false)).then_rejected("unsettled");
    unasked(update_unsettled(redirected(), true)).then_effects([Effect::StopRun]);
    unasked(update_running(PipelineSpec { lanes: Some(0), ..spec() })).then_rejected("invalid");
    let at_another_version = Command::from(update_running(refiltered())).only_at_version(1);
    running().when(at_another_version).then_rejected("version-mismatch");
}

#[test]
fn one_that_turns_out_impossible_is_refused_and_it_goes_on_as_it_was() {
    let unreachable = Settlement::Unsettled { reason: "no route to host".into(), forced: false };
    let report = report_stopped_for(10, prepared(&redirected(), unreachable));
    let refused = Event::UpdateRefused {
        code: "unsettled".into(),
        message: "the sink could not be checked: no route to host".into(),
    };
    let then = asked(running(), redirected()).when(report);
    let then = then.then([stopped(), refused, started()]).then_effects([Effect::StartRun]);
    assert!(matches!(&then.decision().refused, Some(Rejected::Unsettled { .. })));
    assert_eq!(then.decision().events[1].actor, user());
    let after = then.after();
    assert_eq!((spec_of(&after), after.state.is_stopping()), (&spec(), false));
    // Sent again under its id, it is decided afresh.
    let again = Command::from(update_running(refiltered())).named("change");
    after.when(again).then_effects([Effect::StopRun]);
}

#[test]
fn the_last_word_counts() {
    let updating = asked(running(), refiltered());
    // Another update takes its place: it is the whole spec. So does one that only describes it.
    for other in [redirected(), described()] {
        let replaced = updating.clone().when(update_running(other.clone())).then_effects([]).after();
        assert_eq!(pending(&replaced), Some(&other));
    }
    updating.clone().when(update_running(refiltered())).then_nothing();
    // To what it is now: it only starts again.
    updating.clone().when(update_running(spec())).then([restart_requested()]);
    updating.clone().when(restart()).then_nothing();
    for request in [start(), reset(settled(3)), CommandKind::Delete { discard: true }] {
        updating.clone().when(request).then_rejected("not-allowed");
    }
}

#[test]
fn a_stop_in_the_middle_of_an_update_keeps_it_and_whose_it_is() {
    let stopping = asked(running(), refiltered())
        .when(Command { actor: from_json(serde_json::json!("another")), ..stop().into() })
        .after();
    assert_eq!(pending(&stopping), Some(&refiltered()));
    let then = stopping.clone().when(report_stopped(10));
    let then = then.then([stopped(), updated_at(refiltered(), 300)]).then_effects([]);
    assert_eq!(then.decision().events[1].actor, user());
    let after = then.after();
    assert_eq!((after.state.status(), spec_of(&after)), (Status::Stopped, &refiltered()));
    // A restart has it start again after all.
    stopping.when(restart()).after().when(report_stopped(10)).then_effects([Effect::StartRun]);
    // One that was asked for while it was stopping leaves it stopped.
    let late = asked(running().and(stop_requested()), refiltered());
    late.when(report_stopped(10)).then([stopped(), updated_at(refiltered(), 300)]).then_effects([]);
}

#[test]
fn however_the_run_ends_it_is_updated() {
    let updating = asked(running(), refiltered());
    let not_settled = Event::PipelineStopped { unsettled: Some(cause(false)) };
    updating.clone().when(report_failed(10, false)).then([not_settled, updated(refiltered()), started()]);
    let completed = updating.clone().when(report_completed(10));
    completed.then([Event::PipelineCompleted, updated_at(refiltered(), 300), started()]);
    // A report of an entity that did not know of the update yet.
    let unaware = CommandKind::ReportStopped { run: RunId(10), unsettled: None, prepared: [].into() };
    updating.when(unaware).then_rejected("stale-run");
}

#[test]
fn where_the_journal_turns_out_to_be_behind_it_fails_and_stays_what_it_is() {
    let mut behind = cause(false);
    behind.code = Cause::JOURNAL_BEHIND.into();
    let report = CommandKind::ReportFailed {
        run: RunId(10),
        cause: behind,
        restart_in: None,
        prepared: [(0, prepared(&refiltered(), Settlement::NotNeeded))].into(),
    };
    let then = asked(running(), refiltered()).when(report);
    assert!(matches!(&then.decision().refused, Some(Rejected::Unsettled { .. })));
    let names: Vec<_> = then.decision().events.iter().map(|event| event.event.name()).collect();
    assert_eq!(names, ["UpdateRefused", "PipelineFailed"]);
    let after = then.after();
    assert!(after.state.branch(0).unwrap().failed().is_some());
    assert_eq!(spec_of(&after), &spec());
}
