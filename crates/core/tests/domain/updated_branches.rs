//! An update is made of all branches at once, or of none.
use crate::branches::{branch, change, of, retyped, running, shown, sinks, stopped_for, to, updated_for};
use dataflow_core::{
    branch::BranchNumber,
    id::RunId,
    pipeline::{
        CommandKind, Effect, Event, Status,
        command::{Prepared, Settlement},
        event::Cause,
        testing::*,
        then::Wanted,
    },
    position::Positions,
    spec::PipelineSpec,
};
use std::collections::BTreeMap;

fn prepared(given: &Given, spec: PipelineSpec) -> BTreeMap<BranchNumber, Prepared> {
    match change(given, spec) {
        CommandKind::Update { prepared, .. } => prepared,
        _ => unreachable!(),
    }
}

/// What has happened, to which branch.
fn names(then: &Then) -> Vec<(BranchNumber, &'static str)> {
    then.decision().events.iter().map(|event| (event.branch, event.event.name())).collect()
}

/// Other transforms for both, and both have been told to stop for them.
fn both_stopping() -> (Given, PipelineSpec) {
    let filtered = PipelineSpec { transforms: refiltered().transforms, ..to(&["a", "b"]) };
    let past = running();
    (past.clone().when(change(&past, filtered.clone())).after(), filtered)
}

/// The first of them has.
fn one_waiting() -> (Given, PipelineSpec) {
    let (stopping, filtered) = both_stopping();
    (stopping.when(of(0, report_stopped(10))).after(), filtered)
}

#[test]
fn a_sink_that_is_added_begins_when_the_others_have_changed() {
    let past = running();
    let after = retyped("b", &to(&["c", "a", "b"]));
    let updating = past.clone().when(change(&past, after.clone())).then_effects_of([(1, Effect::StopRun)]).after();
    assert_eq!(sinks(&updating), shown(&[(0, "a", Status::Running), (1, "b", Status::Running)]));
    let done = updating.clone().when(of(1, stopped_for(&updating, 11, after.clone())));
    let done = done.then_effects_of([(2, Effect::StartRun), (1, Effect::StartRun)]).after();
    assert_eq!(sinks(&done).len(), 3);
    assert_eq!(done.state.pipeline().unwrap().spec, after);
}

#[test]
fn where_one_cannot_be_changed_none_is() {
    let past = running();
    let after = retyped("b", &to(&["c", "a", "b"]));
    let updating = past.clone().when(change(&past, after.clone())).after();
    let mut prepared = prepared(&updating, after);
    prepared.get_mut(&1).unwrap().settlement = Settlement::Unsettled { reason: "down".into(), forced: false };
    let report = CommandKind::ReportStopped { run: RunId(11), unsettled: None, prepared };
    let refused = updating.when(of(1, report)).then_effects_of([(1, Effect::StartRun)]);
    assert_eq!(names(&refused), [(1, "PipelineStopped"), (1, "UpdateRefused"), (1, "PipelineStarted")]);
    let refused = refused.after();
    assert_eq!(refused.state.pipeline().unwrap().spec, to(&["a", "b"]));
    assert_eq!(sinks(&refused), shown(&[(0, "a", Status::Running), (1, "b", Status::Running)]));
    assert!(!refused.state.is_stopping());
}

#[test]
fn all_that_have_stopped_for_one_that_is_refused_start_again() {
    let (waiting, filtered) = one_waiting();
    let mut prepared = prepared(&waiting, PipelineSpec { lanes: Some(3), ..filtered });
    prepared.get_mut(&0).unwrap().change.sink = true;
    prepared.get_mut(&0).unwrap().settlement = Settlement::Unsettled { reason: "down".into(), forced: false };
    let report = CommandKind::ReportStopped { run: RunId(11), unsettled: None, prepared };
    let refused = waiting.when(of(1, report)).then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]);
    let all = ["PipelineStopped", "UpdateRefused", "PipelineStarted", "UpdateRefused", "PipelineStarted"];
    assert_eq!(names(&refused).iter().map(|(_, name)| *name).collect::<Vec<_>>(), all);
    let warned = |given: &Given, number| branch(given, number).progress.notes.get(("update-refused", "")).is_some();
    let after = refused.after();
    assert!(warned(&after, 0) && warned(&after, 1) && !after.state.is_stopping());
}

/// An update to `after` in which the sink of one branch gets a target that others are at, or were.
fn getting(
    given: &Given,
    after: &PipelineSpec,
    number: BranchNumber,
    target: &str,
    shares: &[BranchNumber],
) -> CommandKind {
    let CommandKind::Update { wanted, mut prepared } = change(given, after.clone()) else { unreachable!() };
    let of_branch = prepared.get_mut(&number).unwrap();
    (of_branch.target, of_branch.shares) = (Some(target.into()), shares.iter().copied().collect());
    CommandKind::Update { wanted, prepared }
}

fn retargeted(update: CommandKind) -> CommandKind {
    let CommandKind::Update { wanted, prepared } = update else { unreachable!() };
    CommandKind::Update { wanted: Wanted { retarget: true, ..wanted }, prepared }
}

#[test]
fn a_sink_never_joins_one_at_its_target_that_has_written_there() {
    // `b` goes elsewhere, and `c` comes to where it was.
    let after = retyped("b", &to(&["c", "a", "b"]));
    let update = |given: &Given| getting(given, &after, 2, "sqlite b", &[1]);
    running().when(update(&running())).then_rejected("invalid");
    running().when(retargeted(update(&running()))).then_effects_of([(1, Effect::StopRun)]);
    // It writes its first records while it is told to stop.
    let new = given([created_as(to(&["a", "b"]))]);
    let new = new.and_of(1, started()).and_of(1, opened(11, 0));
    let updating = new.clone().when(update(&new)).then_effects_of([(1, Effect::StopRun)]).after();
    let stopped = |given: &Given, unsettled| {
        let CommandKind::Update { prepared, .. } = update(given) else { unreachable!() };
        given.clone().when(of(1, CommandKind::ReportStopped { run: RunId(11), unsettled, prepared }))
    };
    let written = updating.clone().when(of(1, report_progress(11, 3))).after();
    let refused = stopped(&written, None);
    assert_eq!(names(&refused)[1], (1, "UpdateRefused"));
    let Event::UpdateRefused { message, .. } = &refused.decision().events[1].event else { unreachable!() };
    assert!(message.contains("sink b has delivered 270 record(s) there"), "{message}");
    let unknown = stopped(&updating, Some(cause(true)));
    assert_eq!(names(&unknown)[1], (1, "UpdateRefused"), "nobody knows what it has written");
    assert_eq!(stopped(&updating, None).after().state.pipeline().unwrap().spec, after);
}

#[test]
fn nor_one_that_was_there_before_whether_it_begins_moves_or_comes_back() {
    let at_rest = [(0, stop_requested()), (1, stop_requested()), (0, stopped()), (1, stopped())];
    let at_rest = at_rest.into_iter().fold(running(), |past, (branch, event)| past.and_of(branch, event));
    // `b` leaves its target for another one.
    let moved = retyped("b", &to(&["a", "b"]));
    let CommandKind::Update { wanted, mut prepared } = change(&at_rest, moved.clone()) else { unreachable!() };
    prepared.get_mut(&1).unwrap().change.target = Some(("sqlite b".into(), "sqlite b2".into()));
    let away = at_rest.when(retargeted(CommandKind::Update { wanted, prepared })).after();
    // A new one, and one that moves, to where it was.
    let added = retyped("b", &to(&["c", "a", "b"]));
    away.clone().when(getting(&away, &added, 2, "sqlite b", &[])).then_rejected("invalid");
    away.clone()
        .when(getting(&away, &added, 2, "sqlite c", &[]))
        .then_of([(2, updated_for(Some("c"), added.clone(), Some(generation(1, Positions::new()))))]);
    let other = retyped("a", &moved);
    away.clone().when(getting(&away, &other, 0, "sqlite b", &[])).then_rejected("invalid");
    // One that comes back to its own target, where that one was meanwhile.
    let removed = PipelineSpec { sinks: vec![moved.sinks[1].clone()], ..moved.clone() };
    let CommandKind::Update { wanted, prepared } = change(&away, removed) else { unreachable!() };
    let removed = CommandKind::Update { wanted: Wanted { reset: true, ..wanted }, prepared };
    let removed = away.when(removed).after();
    removed.clone().when(getting(&removed, &moved, 0, "sqlite b", &[])).then_rejected("invalid");
    removed.clone().when(getting(&removed, &moved, 0, "sqlite a", &[])).then_effects([]);
}

#[test]
fn what_a_sink_never_got_is_told_for_good() {
    let gone = [0, 1]
        .into_iter()
        .fold(running(), |past, number| past.when(of(number, report_progress(10 + u64::from(number), 5))).after());
    let added = gone.clone().when(change(&gone, to(&["a", "b", "c"]))).after();
    let told = |given: &Given| branch(given, 2).progress.notes.get(("begins-late", "")).is_some();
    assert!(told(&added));
    let Event::PipelineUpdated { generation: Some(begun), .. } = &added.history[added.history.len() - 2].event else {
        panic!("{:?}", added.history)
    };
    assert_eq!((begun.positions.clone(), begun.notes.is_empty()), (at(500), false), "the history has it, too");
    let stopped = added.and_of(2, stop_requested()).and_of(2, stopped());
    let filtered = PipelineSpec { transforms: refiltered().transforms, ..to(&["a", "b", "c"]) };
    let changed = stopped.and_of(2, updated_for(Some("c"), filtered, None));
    assert!(told(&changed), "whatever is changed later");
}

/// Where a changed one goes on may be beyond what the journal knew of it.
#[test]
fn a_sink_that_is_added_gets_what_is_kept_whatever_the_others_turn_out_to_have() {
    let made = given([created_as(to(&["a"])), received("batch-1", 0, 300), received("batch-2", 300, 500)]);
    let past = made.and_of(0, started()).and_of(0, opened(10, 0)).and_of(0, stop_requested());
    let past = past.and_of(0, Event::PipelineStopped { unsettled: Some(cause(true)) });
    let after = retyped("a", &to(&["a", "c"]));
    let done = past.clone().when(change(&past, after)).after();
    assert_eq!(branch(&done, 0).progress.begin, at(300));
    assert_eq!(branch(&done, 1).progress.begin, Positions::new());
    assert_eq!(done.state.pipeline().unwrap().inbox.first(), 0);
}

#[test]
fn the_history_has_what_a_removed_sink_has_given_up() {
    let past = running().and_of(1, stop_requested()).and_of(1, stopped());
    let CommandKind::Update { wanted, prepared } = change(&past, to(&["a"])) else { unreachable!() };
    let wanted = Wanted { reset: true, ..wanted };
    let removed = past.when(CommandKind::Update { wanted, prepared }).after();
    let Event::PipelineUpdated { discarded: Some(lost), .. } = &removed.history.last().unwrap().event else {
        panic!("{:?}", removed.history.last())
    };
    assert_eq!((lost.from.to_string(), lost.to.to_string(), lost.records), ("300".into(), "500".into(), 200));
}

#[test]
fn what_is_asked_of_one_that_waits_counts_for_the_end() {
    let (waiting, filtered) = one_waiting();
    for request in [start(), reset(settled(3)), CommandKind::Delete { discard: true }] {
        waiting.clone().when(request).then_rejected("not-allowed");
    }
    let ends = |given: &Given| given.clone().when(of(1, stopped_for(given, 11, filtered.clone())));
    let stopping = waiting.clone().when(stop()).then_effects_of([]).after();
    let at_rest = ends(&stopping).then_effects_of([]).after();
    assert_eq!(sinks(&at_rest), shown(&[(0, "a", Status::Stopped), (1, "b", Status::Stopped)]));
    assert_eq!(at_rest.state.pipeline().unwrap().spec, filtered);
    let again = stopping.when(restart()).then_effects_of([]).after();
    ends(&again).then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]);
}

#[test]
fn another_update_takes_the_place_of_one_that_waits() {
    let (waiting, _) = one_waiting();
    let other = retyped("a", &to(&["a", "b"]));
    let replaced = waiting.clone().when(change(&waiting, other.clone())).then_effects_of([]).after();
    let done = replaced.clone().when(of(1, stopped_for(&replaced, 11, other.clone())));
    let done = done.then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]).after();
    assert_eq!(done.state.pipeline().unwrap().spec, other);
    assert_eq!([0, 1].map(|number| branch(&done, number).progress.generation.number), [2, 1]);
    // To what it is: who waits starts again, and so does the other one once it has stopped.
    let cancelled = waiting.clone().when(change(&waiting, to(&["a", "b"]))).then_effects_of([(0, Effect::StartRun)]);
    let cancelled = cancelled.after();
    assert!(cancelled.state.pipeline().unwrap().pending().is_none());
    cancelled.when(of(1, report_stopped(11))).then_of([(1, stopped()), (1, started())]);
}

#[test]
fn one_that_was_started_meanwhile_stops_too() {
    let past = running().and_of(0, stop_requested()).and_of(0, stopped());
    let filtered = PipelineSpec { transforms: refiltered().transforms, ..to(&["a", "b"]) };
    let updating = past.clone().when(change(&past, filtered.clone())).then_effects_of([(1, Effect::StopRun)]).after();
    let again = updating.when(CommandKind::Start { only: Some(0) }).then_effects_of([(0, Effect::StartRun)]).after();
    let late = again.clone().when(of(1, stopped_for(&again, 11, filtered.clone())));
    let late = late.then_effects_of([(0, Effect::StopRun)]).after();
    let report = CommandKind::ReportStopped { run: RunId(12), unsettled: None, prepared: prepared(&late, filtered) };
    late.when(of(0, report)).then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]);
}

#[test]
fn where_a_journal_turns_out_to_be_behind_none_is_changed() {
    let (waiting, _) = one_waiting();
    let mut behind = cause(false);
    behind.code = Cause::JOURNAL_BEHIND.into();
    let report =
        CommandKind::ReportFailed { run: RunId(11), cause: behind, restart_in: None, prepared: BTreeMap::new() };
    let failed = waiting.when(of(1, report)).then_effects_of([(0, Effect::StartRun)]).after();
    assert_eq!(sinks(&failed), shown(&[(0, "a", Status::Running), (1, "b", Status::Failed)]));
    assert!(!failed.state.is_stopping());
}

#[test]
fn one_that_completes_for_an_update_waits_with_it() {
    let (stopping, filtered) = both_stopping();
    let done = CommandKind::ReportCompleted { run: RunId(10), prepared: BTreeMap::new() };
    let waiting = stopping.when(of(0, done)).then_of([(0, Event::PipelineCompleted)]).after();
    assert_eq!((waiting.state.is_stopping(), sinks(&waiting)[0].2), (true, Status::Completed));
    let both = waiting.clone().when(of(1, stopped_for(&waiting, 11, filtered)));
    both.then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]);
}

#[test]
fn a_name_that_is_given_with_an_update_waits_with_it() {
    let past = running();
    let mut after = retyped("b", &to(&["a", "b"]));
    after.sinks[0].name = crate::branches::name("z");
    let updating = past.clone().when(change(&past, after.clone())).then_effects_of([(1, Effect::StopRun)]).after();
    assert_eq!(sinks(&updating)[0].1, "a");
    let done = updating.clone().when(of(1, stopped_for(&updating, 11, after.clone()))).after();
    assert_eq!(sinks(&done), shown(&[(0, "z", Status::Running), (1, "b", Status::Running)]));
    let renamed = updated_for(Some("z"), after, None);
    assert!(done.history.iter().any(|event| event.branch == 0 && event.event == renamed));
}

#[test]
fn a_sink_that_is_removed_ends_with_the_others() {
    let past = running();
    let mut after = PipelineSpec { transforms: refiltered().transforms, ..to(&["a"]) };
    after.description = "only one".into();
    let CommandKind::Update { wanted, prepared } = change(&past, after.clone()) else { unreachable!() };
    let wanted = Wanted { reset: true, ..wanted };
    let updating = past.when(CommandKind::Update { wanted, prepared });
    let updating = updating.then_effects_of([(0, Effect::StopRun), (1, Effect::StopRun)]).after();
    let waiting = updating.when(of(1, report_stopped(11))).then_of([(1, stopped())]).after();
    assert_eq!(sinks(&waiting).len(), 2, "it is there until the update is made");
    let done = waiting.clone().when(of(0, stopped_for(&waiting, 10, after)));
    assert_eq!(sinks(&done.then_effects_of([(0, Effect::StartRun)]).after()).len(), 1);
}
