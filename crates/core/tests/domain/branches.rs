//! Several sinks: each is a branch that lives for itself.
use dataflow_core::{
    branch::BranchNumber,
    id::{Epoch, Generation, RunId, SinkName},
    pipeline::{
        Branch, Command, CommandKind, Effect, Event, Status,
        command::{Change, Prepared, Settlement},
        event::{LaneProgress, Lost, NewGeneration},
        inbox::Inbox,
        testing::*,
        then::Wanted,
    },
    position::{Position, Positions},
    spec::{NamedSink, PipelineSpec},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn name(text: &str) -> SinkName {
    text.try_into().unwrap()
}

/// [`spec`], but to tables of these names, each by a sink that is called so.
pub(crate) fn to(names: &[&str]) -> PipelineSpec {
    let sink = |table: &&str| json!({"name": table, "type": "sqlite", "path": "orders.db", "table": table});
    let sinks: Vec<NamedSink> = names.iter().map(sink).map(from_json).collect();
    PipelineSpec { sink: from_json(json!({"type": ""})), sinks, ..spec() }
}

pub(crate) fn retyped(table: &str, with: &PipelineSpec) -> PipelineSpec {
    let mut spec = with.clone();
    let sink = spec.sinks.iter_mut().find(|sink| sink.name == name(table)).unwrap();
    sink.sink.config.insert("key".into(), json!(["id"]));
    spec
}

/// Sinks `a` and `b`, both of which run and have committed 300 records.
pub(crate) fn running() -> Given {
    let made = given([created_as(to(&["a", "b"])), received("batch-1", 0, 500)]);
    [0, 1].into_iter().fold(made, |past, branch| {
        let run = 10 + u64::from(branch);
        past.and_of(branch, started()).and_of(branch, opened(run, 0)).and_of(branch, processed(run, 3))
    })
}

pub(crate) fn branch(given: &Given, number: BranchNumber) -> &Branch {
    given.state.branch(number).unwrap()
}

pub(crate) fn sinks(given: &Given) -> Vec<(BranchNumber, String, Status)> {
    let present = given.state.pipeline().unwrap().present();
    let shown = |name: &SinkName| name.to_string();
    present
        .map(|(number, branch)| (number, branch.sink.as_ref().map_or(String::new(), shown), branch.status()))
        .collect()
}

pub(crate) fn shown(all: &[(BranchNumber, &str, Status)]) -> Vec<(BranchNumber, String, Status)> {
    all.iter().map(|(number, name, status)| (*number, (*name).to_owned(), *status)).collect()
}

/// Change it to this; where sinks keep their name, they keep their target.
pub(crate) fn change(given: &Given, spec: PipelineSpec) -> CommandKind {
    let pipeline = given.state.pipeline().unwrap();
    let prepared = |(number, sink): (BranchNumber, Option<SinkName>)| {
        let (before, after) = (given.state.branch(number), spec.of_sink(sink.as_ref()));
        let sink = before.zip(after).is_some_and(|(before, after)| before.spec.sink != after.sink);
        let reached = Positions::new();
        let prepared = Prepared {
            change: Change { sink, ..Change::default() },
            pushes: pushes(&spec),
            settlement: settled(3),
            reached,
            target: None,
            shares: BTreeSet::new(),
            nonce: NONCE,
        };
        (number, prepared)
    };
    let prepared: BTreeMap<_, _> = pipeline.after(&spec).into_iter().map(prepared).collect();
    CommandKind::Update { wanted: wanted(spec, false), prepared }
}

/// The same, even if positions are given up.
fn reset(change: CommandKind) -> CommandKind {
    let CommandKind::Update { wanted, prepared } = change else { unreachable!() };
    CommandKind::Update { wanted: Wanted { reset: true, ..wanted }, prepared }
}

/// Run number `run` has stopped, the last that this update waited for.
pub(crate) fn stopped_for(given: &Given, run: u64, spec: PipelineSpec) -> CommandKind {
    let CommandKind::Update { prepared, .. } = change(given, spec) else { unreachable!() };
    CommandKind::ReportStopped { run: RunId(run), unsettled: None, prepared }
}

pub(crate) fn updated_for(sink: Option<&str>, spec: PipelineSpec, generation: Option<NewGeneration>) -> Event {
    let (spec, pushes) = (Box::new(spec.clone()), pushes(&spec));
    Event::PipelineUpdated { spec, sink: sink.map(name), generation, positions: None, discarded: None, pushes }
}

pub(crate) fn of(branch: BranchNumber, kind: CommandKind) -> Command {
    Command::from(kind).of_branch(branch)
}

#[test]
fn a_start_and_a_stop_are_of_all_branches() {
    let made = given([created_as(to(&["a", "b"]))]);
    assert_eq!(sinks(&made), shown(&[(0, "a", Status::Configured), (1, "b", Status::Configured)]));
    made.when(start())
        .then_of([(0, started()), (1, started())])
        .then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]);

    let stopping = running().when(stop()).then_of([(0, stop_requested()), (1, stop_requested())]).after();
    stopping.clone().when(start()).then_rejected("not-allowed");
    let first = stopping.when(of(1, report_stopped(11))).then_of([(1, stopped())]).after();
    assert_eq!((first.state.status(), first.state.is_stopping()), (Status::Running, true));
    first.clone().when(CommandKind::Delete { discard: true }).then_rejected("not-allowed");
    let both = first.when(of(0, report_stopped(10))).after();
    assert_eq!((both.state.status(), both.state.is_stopping()), (Status::Stopped, false));
}

#[test]
fn a_branch_is_stopped_and_started_alone() {
    let only = Some(1);
    let stopping = running().when(CommandKind::Stop { only }).then_effects_of([(1, Effect::StopRun)]).after();
    stopping.clone().when(CommandKind::Start { only }).then_rejected("not-allowed");
    let stopped = stopping.and_of(1, stopped());
    assert_eq!(sinks(&stopped), shown(&[(0, "a", Status::Running), (1, "b", Status::Stopped)]));
    stopped.clone().when(CommandKind::Stop { only }).then_rejected("not-allowed");
    stopped.clone().when(CommandKind::Start { only: Some(0) }).then_rejected("not-allowed");
    stopped.clone().when(CommandKind::Start { only }).then_effects_of([(1, Effect::StartRun)]);
    stopped.clone().when(CommandKind::Restart { only }).then_effects_of([(1, Effect::StartRun)]);
    stopped.when(CommandKind::Restart { only: Some(0) }).then_effects_of([(0, Effect::StopRun)]);
}

#[test]
fn each_branch_has_a_ledger_and_dead_letters_of_its_own() {
    let letters = LaneProgress { chunks: vec![dead_letters("x", 10)], ..lane(4) };
    let report = CommandKind::ReportProgress { run: RunId(11), lanes: vec![letters], reserved_versions: None };
    let after = running().when(of(1, report)).after();
    let of = |number| (branch(&after, number).progress.counters(), branch(&after, number).dead_letters());
    assert_eq!((of(0), of(1)), ((counters(300), 0), (counters(400), 10)));
    assert!([of(0), of(1)].iter().all(|(counters, _)| counters.balances()));
    assert_eq!(after.state.pipeline().unwrap().dead_letters(), 10);
    // A report counts for the branch whose run it is of.
    after.clone().when(Command::from(report_progress(11, 9))).then_rejected("stale-run");
    after.when(Command::from(report_progress(10, 4)).of_branch(7)).then_rejected("stale-run");
}

#[test]
fn one_that_fails_is_started_again_alone() {
    let failed = running().when(of(1, report_failed(11, true)));
    let later = NOW.plus_millis(1_000);
    let failed = failed.then_effects_of([(1, Effect::RestartAt(later))]).after();
    assert_eq!(sinks(&failed), shown(&[(0, "a", Status::Running), (1, "b", Status::Failed)]));
    assert_eq!(failed.state.status(), Status::Failed, "the worst of them");
    let again = Event::PipelineStarted { lanes: 1, attempt: 1 };
    let policy = || Command::from(start()).by_system();
    failed.clone().when(policy().of_branch(1)).then_of([(1, again)]).then_effects_of([(1, Effect::StartRun)]);
    failed.clone().when(policy().of_branch(0)).then_rejected("not-allowed");
    // A user starts what does not run, and stops what does or would.
    failed.clone().when(start()).then_of([(1, started())]);
    failed.clone().when(stop()).then_of([(0, stop_requested()), (1, stopped())]);
    failed.when(restart()).then_of([(0, restart_requested()), (1, started())]);
}

#[test]
fn an_update_stops_only_the_branches_that_it_changes() {
    let past = running();
    let (before, after) = (to(&["a", "b"]), retyped("b", &to(&["a", "b"])));
    let updating = past.clone().when(change(&past, after.clone())).then_effects_of([(1, Effect::StopRun)]).after();
    assert!(branch(&updating, 0).stopping().is_none());
    assert_eq!(updating.state.pipeline().unwrap().spec, before, "until it has stopped");
    let done = updating
        .clone()
        .when(of(1, stopped_for(&updating, 11, after.clone())))
        .then_effects_of([(1, Effect::StartRun)])
        .after();
    assert_eq!(done.state.pipeline().unwrap().spec, after);
    let generations = [0, 1].map(|number| branch(&done, number).progress.generation.number);
    assert_eq!(generations, [1, 2], "another key starts a generation of that branch alone");

    // Other transforms are of all branches: they change at once, when the last of them has stopped.
    let filtered = PipelineSpec { transforms: refiltered().transforms, ..before.clone() };
    let updating = past.clone().when(change(&past, filtered.clone()));
    let updating = updating.then_effects_of([(0, Effect::StopRun), (1, Effect::StopRun)]).after();
    let first = updating.when(of(0, report_stopped(10))).then_of([(0, stopped())]).after();
    assert_eq!(sinks(&first), shown(&[(0, "a", Status::Stopped), (1, "b", Status::Running)]));
    assert_eq!((first.state.is_stopping(), &branch(&first, 0).spec.transforms), (true, &before.transforms));
    let both = first.clone().when(of(1, stopped_for(&first, 11, filtered.clone())));
    let both = both.then_effects_of([(0, Effect::StartRun), (1, Effect::StartRun)]).after();
    assert!([0, 1].iter().all(|number| branch(&both, *number).spec.transforms == filtered.transforms));
    assert!(!both.state.is_stopping());
    // A description is of all at once, and stops nothing.
    let described = PipelineSpec { description: "all orders".into(), ..before };
    let after = past.clone().when(change(&past, described.clone())).then_effects([]).after();
    assert_eq!(after.history.len(), past.history.len() + 1);
    assert!([0, 1].iter().all(|number| branch(&after, *number).spec.description == "all orders"));
}

#[test]
fn a_sink_that_is_added_begins_a_branch() {
    let past = running();
    let three = to(&["c", "a", "b"]);
    // After a restore, the journal may have given its number before.
    let begun = updated_for(Some("c"), three.clone(), Some(generation(1, Positions::new())));
    let added = past.clone().when(change(&past, three.clone()));
    let added = added.then_of([(2, begun.clone()), (2, started())]).then_effects_of([(2, Effect::StartRun)]).after();
    assert_eq!(
        sinks(&added),
        shown(&[(0, "a", Status::Running), (1, "b", Status::Running), (2, "c", Status::Running)])
    );
    assert_eq!(branch(&added, 2).progress.counters(), counters(0));
    assert_eq!(branch(&added, 2).id.as_str(), "orders/2");
    let view = |number| added.state.pipeline().unwrap().view(number).unwrap();
    let (first, new) = (Generation::FIRST, Generation::new(1, NONCE));
    assert_eq!(branch(&added, 2).progress.generation, new);
    assert_eq!((view(0).siblings, view(2).siblings), (vec![first, new], vec![first, first]));
    // Where nothing runs, it waits to be started with the others.
    let stopped_all = [(0, stop_requested()), (1, stop_requested()), (0, stopped()), (1, stopped())];
    let at_rest = stopped_all.into_iter().fold(past, |past, (branch, event)| past.and_of(branch, event));
    at_rest.clone().when(change(&at_rest, three)).then_of([(2, begun)]);
}

#[test]
fn a_sink_that_is_removed_ends_and_goes_on_where_it_was_when_it_comes_back() {
    let past = running();
    let one = to(&["a"]);
    let removing = past.clone().when(reset(change(&past, one.clone()))).then_effects_of([(1, Effect::StopRun)]).after();
    let removed = removing.clone().when(of(1, stopped_for(&removing, 11, one.clone())));
    let Event::PipelineUpdated { positions, discarded, .. } = &removed.decision().events[1].event else { panic!() };
    assert_eq!((positions, discarded.as_ref().unwrap().records), (&Some(at(300)), 200));
    let removed = removed.after();
    assert_eq!(sinks(&removed), shown(&[(0, "a", Status::Running)]));
    // Nothing is asked of it any more, and pushed records don't wait for it.
    removed.clone().when(Command::from(start()).by_system().of_branch(1)).then_rejected("not-allowed");
    let two = to(&["a", "b"]);
    let back = removed.clone().when(change(&removed, two.clone()));
    let back = back.then_of([(1, updated_for(Some("b"), two, None)), (1, started())]).after();
    let progress = &branch(&back, 1).progress;
    assert_eq!((progress.generation, progress.counters()), (Generation::FIRST, counters(300)));
    // Another one never gets its number.
    let other = removed.clone().when(change(&removed, to(&["a", "c"]))).after();
    assert_eq!(sinks(&other), shown(&[(0, "a", Status::Running), (2, "c", Status::Running)]));
}

#[test]
fn a_sink_keeps_its_branch_whatever_it_is_called() {
    let past = running();
    let mut renamed = to(&["a", "b"]);
    renamed.sinks[1].name = name("z");
    let after = past.clone().when(change(&past, renamed.clone()));
    let after = after.then_of([(1, updated_for(Some("z"), renamed, None))]).then_effects([]).after();
    assert_eq!(sinks(&after), shown(&[(0, "a", Status::Running), (1, "z", Status::Running)]));

    // Nor does it begin again when another one joins it, or leaves it.
    let only = PipelineSpec { sinks: vec![], sink: to(&["a"]).sinks.remove(0).sink, ..spec() };
    let alone = given([created_as(only.clone()), started(), opened(10, 0), processed(10, 3)]);
    let joined = alone.clone().when(change(&alone, to(&["a", "b"]))).after();
    assert_eq!(sinks(&joined), shown(&[(0, "a", Status::Running), (1, "b", Status::Running)]));
    assert_eq!(branch(&joined, 0).progress.counters(), counters(300));
    let leaving = joined.clone().when(change(&joined, only.clone())).then_effects_of([(1, Effect::StopRun)]).after();
    let left = leaving.clone().when(of(1, stopped_for(&leaving, 11, only))).then_effects_of([]).after();
    assert_eq!((branch(&left, 0).sink.clone(), sinks(&left).len()), (None, 1));
}

#[test]
fn what_was_pushed_is_kept_until_all_branches_have_it() {
    let pending = |given: &Given| given.state.pipeline().unwrap().inbox.pending.len();
    let undelivered = |given: &Given| given.state.pipeline().unwrap().undelivered();
    let first = running().when(of(0, report_progress(10, 5))).after();
    assert_eq!((pending(&first), undelivered(&first)), (1, 200));
    let both = first.clone().when(of(1, report_progress(11, 5))).after();
    assert_eq!((pending(&both), undelivered(&both)), (0, 0));
    // One that is gone holds nothing back; one that is new needs all that is left.
    let gone =
        first.and_of(1, stop_requested()).and_of(1, stopped()).and_of(1, updated_for(Some("b"), to(&["a"]), None));
    assert_eq!(pending(&gone), 0);
    let new = running().and_of(2, updated_for(Some("c"), to(&["a", "b", "c"]), None));
    assert_eq!(undelivered(&new), 500);
    assert_eq!(branch(&new, 2).progress.position(Inbox::PARTITION), None);
    let late = both.clone().when(change(&both, to(&["a", "b", "c"]))).after();
    assert_eq!((branch(&late, 2).progress.begin.clone(), undelivered(&late)), (at(500), 0));
    let told = |given: &Given| branch(given, 2).progress.notes.holding().map(|note| note.records).collect::<Vec<_>>();
    assert_eq!((told(&new), told(&late)), (vec![], vec![500]));
    // A batch that one branch gives up is still known: another one has it.
    let at_rest = running().and_of(1, stop_requested()).and_of(1, stopped());
    let end = dataflow_core::pipeline::command::Reset {
        positions: at(500),
        passed: vec![],
        reached: Positions::new(),
        settlement: settled(3),
        nonce: NONCE,
    };
    let reset = CommandKind::ResetCheckpoint { to: "end".into(), resets: [(1, end)].into() };
    let after = at_rest.when(reset).after();
    assert_eq!(branch(&after, 1).progress.counters().lost, 200);
    after.when(ingest("batch-1", 500)).then_nothing();
}

#[test]
fn a_sink_that_pushed_records_wait_for_is_removed_only_on_request() {
    let at_rest = running().and_of(1, stop_requested()).and_of(1, stopped());
    let removal = |given: &Given| {
        let CommandKind::Update { wanted, mut prepared } = change(given, to(&["a"])) else { unreachable!() };
        prepared.values_mut().for_each(|prepared| prepared.settlement = Settlement::NotNeeded);
        CommandKind::Update { wanted, prepared }
    };
    // It has 300 of 500.
    at_rest.clone().when(removal(&at_rest)).then_rejected("reset-needed");
    let after = at_rest.clone().when(reset(removal(&at_rest))).after();
    assert_eq!(branch(&after, 1).status(), Status::Absent);
    // Nor is that found out only once it has stopped.
    running().when(removal(&running())).then_rejected("reset-needed");
    // It has all of them.
    let through = running().when(of(1, report_progress(11, 5))).after();
    through.clone().when(removal(&through)).then_effects_of([(1, Effect::StopRun)]);
}

#[test]
fn a_checkpoint_is_reset_of_the_branches_that_are_named() {
    let stopped_one = running().and_of(1, stop_requested()).and_of(1, stopped());
    let reset = |number: u32| dataflow_core::pipeline::command::Reset {
        positions: at(100 * u64::from(number)),
        passed: vec![],
        reached: Positions::new(),
        settlement: settled(3),
        nonce: NONCE,
    };
    let of_both =
        CommandKind::ResetCheckpoint { to: "positions".into(), resets: [(0, reset(0)), (1, reset(1))].into() };
    stopped_one.clone().when(of_both).then_rejected("not-allowed");
    let of_one = CommandKind::ResetCheckpoint { to: "positions".into(), resets: [(1, reset(1))].into() };
    let after = stopped_one.when(of_one).after();
    assert_eq!([0, 1].map(|number| branch(&after, number).progress.generation.number), [1, 2]);
}

#[test]
fn one_in_doubt_keeps_records_from_being_pushed() {
    let mut behind = cause(false);
    behind.code = dataflow_core::pipeline::event::Cause::JOURNAL_BEHIND.into();
    let failed = running().and_of(1, Event::PipelineFailed { cause: behind, restart_at: None });
    failed.clone().when(ingest("batch-2", 1)).then_rejected("not-allowed");
    let opened = Event::RunOpened { run: RunId(12), epoch: Epoch(7), lanes: vec![], reserved_versions: None };
    let settled = failed.and_of(1, started()).and_of(1, opened);
    settled.when(ingest("batch-2", 1)).then_effects_of([(0, Effect::WakeRun), (1, Effect::WakeRun)]);
}

#[test]
fn a_spec_names_its_sinks() {
    let found = |spec: PipelineSpec| {
        let problems = dataflow_core::spec::check(&spec);
        problems.into_iter().map(|problem| format!("{} {}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(found(to(&["a", "b"])), [] as [&str; 0]);
    assert_eq!(found(to(&[])), ["sink missing-field"]);
    assert_eq!(found(to(&["a", "b", "a"])), ["sinks[2].name duplicate"]);
    assert_eq!(found(PipelineSpec { sink: spec().sink, ..to(&["a"]) }), ["sinks contradiction"]);
    let mut when = to(&["a", "b"]);
    when.sinks[0].when = Some("amount > 100".into());
    let own = |name: &str| when.of_sink(Some(&name.try_into().unwrap())).unwrap();
    assert_eq!((own("a").transforms.len(), own("b").transforms.len()), (2, 1));
    assert_eq!(own("a").transforms[1], component(json!({"type": "filter", "condition": "amount > 100"})));
    assert!(own("a").sinks.is_empty() && when.of_sink(None).is_none());
    let json = serde_json::to_value(&when).unwrap();
    assert!(json.get("sink").is_none() && json["sinks"][0]["when"] == "amount > 100");
    assert_eq!(serde_json::from_value::<PipelineSpec>(json).unwrap(), when);
}

/// What all have given up is taken anew, in whatever order they do, but for what one of them has taken back.
#[test]
fn a_batch_is_forgotten_once_all_have_given_it_up() {
    let stopped_all = || {
        [0, 1]
            .into_iter()
            .fold(running(), |past, branch| past.and_of(branch, stop_requested()).and_of(branch, stopped()))
    };
    let reset = |number, from: u64, to: u64| {
        let at = Position::offset;
        let positions: Positions = [(Inbox::PARTITION.into(), at(to))].into();
        let discarded = (from < to).then(|| Lost {
            partition: Inbox::PARTITION.into(),
            from: at(from),
            to: at(to),
            records: to - from,
        });
        let generation = NewGeneration { discarded, ..generation(number, positions) };
        Event::CheckpointReset { to: "end".into(), generation }
    };
    let knows = |given: &Given| given.state.pipeline().unwrap().inbox.seen.get(&batch_id("batch-1")).is_some();
    for [first, second] in [[0, 1], [1, 0]] {
        let given = stopped_all().and_of(first, reset(2, 0, 500));
        assert!(knows(&given), "the other one will deliver it");
        assert!(!knows(&given.clone().and_of(second, reset(2, 0, 500))));
        let again = given.clone().and_of(first, reset(3, 500, 500)).and_of(second, reset(2, 0, 500));
        assert!(!knows(&again), "it stays given up");
        assert!(knows(&given.clone().and_of(second, reset(2, 300, 500))), "the second one has some of it");
        assert!(knows(&given.and_of(first, reset(3, 0, 0)).and_of(second, reset(2, 0, 500))), "it is taken back");
    }
}
