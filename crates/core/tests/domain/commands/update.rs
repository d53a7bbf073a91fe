use dataflow_core::{
    id::{Epoch, Generation, RunId},
    pipeline::{
        Branch, Command, CommandKind, Effect, Event, Rejected, Status,
        command::{Change, Prepared, Settlement},
        event::{LaneProgress, NewGeneration, Retargeted},
        testing::*,
        then::Wanted,
    },
    position::{Partition, Position, Positions},
    spec::PipelineSpec,
    types::{InferredTypes, Type},
    warned::{Warned, Warnings},
};
use serde_json::json;

fn ran() -> Given {
    given([created(), started(), opened(10, 0), processed(10, 3), stop_requested(), stopped()])
}

fn schema_known(given: Given) -> Given {
    given.and(Event::SchemaChanged { learned: learned(Type::Bigint) })
}

#[test]
fn no_change_is_no_event() {
    ran().when(update(spec(), 3)).then_nothing();
    // Nor is a name left empty one, where it is the id already.
    ran().when(update(PipelineSpec { name: String::new(), ..spec() }, 3)).then_nothing();
}

#[test]
fn while_it_runs_what_describes_it_changes_at_once() {
    let running = given([created(), started()]);
    let after = running.clone().when(update(described(), 0)).then([updated(described())]).then_effects([]).after();
    assert_eq!(after.state.status(), Status::Running);
}

#[test]
fn other_transforms_are_the_same_generation() {
    let after = ran().when(update(refiltered(), 3)).then([updated_at(refiltered(), 300)]).after();
    assert_eq!(after.state.branch(0).unwrap().progress.by_lane[&0], lane(3));
}

#[test]
fn another_sink_starts_a_generation_that_goes_on_where_the_old_one_was() {
    // The sink has one commit more than the journal.
    let then = ran().when(update(redirected(), 4));
    let [from, to] = [spec(), redirected()].map(|spec| json!(spec.sink.config).to_string());
    let told = "generation 2 writes to another target, which lacks the 360 record(s) delivered before";
    let begun = NewGeneration {
        settled: vec![lane(4)],
        retargeted: Some(Retargeted { from, to, records: counters(400).delivered }),
        notes: note("target-changed", told, 360),
        ..generation(2, at(0))
    };
    // All that was ever pushed is behind the checkpoint; nothing was pushed here, so the inbox begins at 0.
    let then = then.then([Event::PipelineUpdated {
        spec: Box::new(redirected()),
        sink: None,
        generation: Some(begun),
        positions: None,
        discarded: None,
        pushes: pushes(&spec()),
    }]);
    let after = then.after();
    let progress = &after.state.branch(0).unwrap().progress;
    assert_eq!((progress.generation, progress.lanes), (Generation::new(2, NONCE), None));
    assert_eq!((progress.earlier, progress.counters()), (counters(400), counters(400)));
    assert_eq!(progress.left.records, 0, "another target holds nothing");
    assert!(progress.by_lane.is_empty());
}

fn note(code: &str, message: &str, records: u64) -> Warnings {
    let (code, message) = (code.into(), message.into());
    [Warned { code, subject: String::new(), message, records }].into_iter().collect()
}

/// What an update comes to that changes this, where nothing is pushed.
fn comes_to(change: Change, settlement: Settlement) -> Prepared {
    Prepared { change, pushes: None, ..prepared(&spec(), settlement) }
}

/// A turn to `to` that nobody has agreed to.
fn turn_to(from: &str, to: &str, settled: Option<LaneProgress>, retarget: bool) -> CommandKind {
    let mut spec = redirected();
    spec.source = component(json!({"type": "file", "path": "a"}));
    spec.sink.config.insert("table".into(), to.into());
    let change = Change { sink: true, target: Some((from.into(), to.into())), ..Change::default() };
    let settlement = settled.map_or(Settlement::NotNeeded, |lane| Settlement::Settled {
        lanes: vec![lane],
        met: vec![],
        lost: None,
    });
    CommandKind::Update { wanted: wanted(spec, retarget), prepared: [(0, comes_to(change, settlement))].into() }
}

/// Whatever way leads to a target, it lacks what went to others since the source was last begun anew, and what it has counts.
#[test]
fn of_any_chain_of_targets_each_lacks_what_went_to_the_others() {
    let pulled = PipelineSpec { source: component(json!({"type": "file", "path": "a"})), ..spec() };
    let pulled = created_as(pulled);
    let targets = ["a", "b", "c", "d"];
    // Each step: which target, and how many hundred records it gets; a 9 begins anew.
    for chain in [
        vec![(1, 0), (2, 0), (3, 0)],
        vec![(1, 0), (0, 0), (1, 0)],
        vec![(1, 0), (2, 0), (0, 0)],
        vec![(1, 1), (2, 0), (0, 2), (2, 1), (1, 1), (3, 1)],
        vec![(1, 1), (1, 9), (2, 1), (0, 1), (1, 0)],
        vec![(0, 9), (1, 0), (2, 1), (0, 0)],
    ] {
        let (mut at, mut held) = ("a", [counters(300).delivered, 0, 0, 0]);
        let mut past = given([pulled.clone(), started(), opened(10, 0), processed(10, 3), stop_requested(), stopped()]);
        let (mut number, mut run) = (1, 10);
        for (to, gets) in chain.clone() {
            let settled = || past.state.branch(0).unwrap().progress.by_lane.get(&0).cloned();
            if gets == 9 {
                number += 1;
                let begun =
                    NewGeneration { settled: settled().into_iter().collect(), ..generation(number, Positions::new()) };
                past = past.and(Event::CheckpointReset { to: "beginning".into(), generation: begun });
                held = [0; 4];
                continue;
            }
            let name = targets[to];
            let lacks = held.iter().sum::<u64>() - held[to];
            let asked = past.clone().when(turn_to(at, name, settled(), false));
            // With nothing read, a generation that begins at the beginning lacks nothing.
            if lacks > 0 {
                match asked.then_rejected("retarget-needed") {
                    Rejected::RetargetNeeded { records } => assert_eq!(records, lacks, "{chain:?}: {at} to {name}"),
                    other => panic!("{other}"),
                }
            } else {
                asked.after();
            }
            past = past.clone().when(turn_to(at, name, settled(), true)).after();
            let notes = past.state.branch(0).unwrap().progress.notes.clone();
            let told: u64 = notes.holding().map(|note| note.records).sum();
            assert_eq!((told, notes.is_empty()), (lacks, lacks == 0), "{chain:?}: {at} to {name}: {notes:?}");
            (number, run, at) = (number + 1, run + 1, name);
            if gets > 0 {
                let run_it = [started(), opened(run, 0), processed(run, gets), stop_requested(), stopped()];
                past = run_it.into_iter().fold(past, Given::and);
                held[to] += counters(gets * 100).delivered;
            }
        }
    }
}

#[test]
fn another_target_lacks_what_was_delivered() {
    let unasked = |given: &Given| given.clone().when(update_target_unasked());
    let delivered = |given: &Given| match unasked(given).then_rejected("retarget-needed") {
        Rejected::RetargetNeeded { records } => records,
        other => panic!("{other}"),
    };
    assert_eq!(delivered(&ran()), counters(300).delivered);
    unasked(&given([created(), started(), failed()])).after();
    // What went to an earlier one is not counted again, nor what is read again from the beginning.
    let begin_again = |to: &str| Event::CheckpointReset { to: to.into(), generation: generation(2, at(1)) };
    let pulled = PipelineSpec { source: component(json!({"type": "file", "path": "a"})), ..spec() };
    let pulled = created_as(pulled);
    let pulled = given([pulled, started(), opened(10, 0), processed(10, 3), stop_requested(), stopped()]);
    unasked(&pulled.clone().and(begin_again("beginning"))).after();
    assert_eq!(delivered(&pulled.and(begin_again("journal"))), counters(300).delivered);
    assert_eq!(
        delivered(&ran().and(begin_again("beginning"))),
        counters(300).delivered,
        "pushed records are not given again"
    );
}

/// A pipeline that has read `a` and `b`.
fn reads_topics() -> (Given, PipelineSpec, LaneProgress) {
    let spec = PipelineSpec { source: component(json!({"type": "kafka", "topics": ["a", "b"]})), ..spec() };
    let positions = [("a/0".into(), Position::offset(4)), ("b/0".into(), Position::offset(7))];
    let lane = LaneProgress { positions: positions.into(), ..lane(4) };
    let opened = Event::RunOpened {
        run: RunId(10),
        epoch: Epoch(7),
        lanes: vec![lane_opened(lane.clone())],
        reserved_versions: None,
    };
    let created = created_as(spec.clone());
    (given([created, started(), opened, stop_requested(), stopped()]), spec, lane)
}

fn change_source(spec: PipelineSpec, given_up: &[&str], reset: bool, lane: LaneProgress) -> CommandKind {
    let given_up = given_up.iter().map(|partition| (Partition::from(*partition), "from the beginning".to_owned()));
    let change = Change { source: true, given_up: given_up.collect(), ..Change::default() };
    let settlement = Settlement::Settled { lanes: vec![lane], met: Vec::new(), lost: None };
    let prepared = [(0, comes_to(change, settlement))].into();
    CommandKind::Update { wanted: Wanted { reset, ..wanted(spec, false) }, prepared }
}

#[test]
fn a_tweak_of_the_source_is_the_same_generation() {
    let (past, spec, lane) = reads_topics();
    let tweaked = component(json!({"type": "kafka", "topics": ["a", "b"], "groupId": "g"}));
    let spec = PipelineSpec { source: tweaked, ..spec };
    let prepared = [(0, comes_to(Change::default(), Settlement::NotNeeded))].into();
    let change = CommandKind::Update { wanted: wanted(spec.clone(), false), prepared };
    let positions = Some(lane.positions.clone());
    let updated = Event::PipelineUpdated {
        spec: Box::new(spec),
        sink: None,
        generation: None,
        positions,
        discarded: None,
        pushes: None,
    };
    let after = past.when(change).then([updated]).after();
    assert_eq!(after.state.branch(0).unwrap().progress.positions(), lane.positions);
}

#[test]
fn positions_stay_with_what_is_read_on() {
    let (past, spec, lane) = reads_topics();
    for other in [json!({"type": "kafka", "topics": ["a"]}), json!({"type": "kafka", "topics": ["a", "b", "c"]})] {
        let spec = PipelineSpec { source: component(other), ..spec.clone() };
        let after = past.clone().when(change_source(spec, &[], false, lane.clone())).after();
        let progress = &after.state.branch(0).unwrap().progress;
        assert_eq!((progress.generation, &progress.begin), (Generation::new(2, NONCE), &lane.positions));
    }
}

#[test]
fn positions_are_given_up_only_on_purpose() {
    let (past, spec, lane) = reads_topics();
    let past = schema_known(past.and(started())).and(stop_requested()).and(stopped());
    let spec = PipelineSpec { source: component(json!({"type": "kafka", "topic": "c"})), ..spec };
    let update = |reset| change_source(spec.clone(), &["b/0", "x/0"], reset, lane.clone());
    let rejected = past.clone().when(update(false)).then_rejected("reset-needed");
    assert_eq!(rejected.to_string(), "the change would give up the position of b/0 at 7 (from the beginning)");

    let begun = NewGeneration {
        settled: vec![lane.clone()],
        given_up: [("b/0".into(), Position::offset(7))].into(),
        notes: note("positions-given-up", "generation 2 gave up positions: b/0 was at 7: from the beginning", 0),
        ..generation(2, [("a/0".into(), Position::offset(4))].into())
    };
    let changed = Event::PipelineUpdated {
        spec: Box::new(spec.clone()),
        sink: None,
        generation: Some(begun),
        positions: None,
        discarded: None,
        pushes: None,
    };
    let after = past.when(update(true)).then([changed]).after();
    assert_eq!(after.state.branch(0).unwrap().learned, InferredTypes::default());
}

#[test]
fn positions_that_only_the_sink_knows_are_given_up_on_purpose_too() {
    let (past, spec, mut lane) = reads_topics();
    lane.positions.insert("c/0".into(), Position::offset(1));
    past.when(change_source(described_as(&spec), &["c/0"], false, lane)).then_rejected("reset-needed");
}

fn described_as(spec: &PipelineSpec) -> PipelineSpec {
    PipelineSpec { description: "other".into(), ..spec.clone() }
}

#[test]
fn the_old_generation_is_settled_or_given_up() {
    let rejected = ran().when(update_unsettled(redirected(), false)).then_rejected("unsettled");
    assert_eq!(rejected, Rejected::Unsettled { reason: "no route to host".into() });
    let not_asked = update_with(redirected(), Settlement::NotNeeded);
    ran().when(not_asked.clone()).then_rejected("unsettled");

    let forced = ran().when(update_unsettled(redirected(), true)).after();
    assert_eq!(forced.state.branch(0).unwrap().progress.earlier, counters(300));
    let Event::PipelineUpdated { generation: Some(generation), .. } = &forced.history.last().unwrap().event else {
        panic!("no generation")
    };
    assert_eq!(generation.unsettled.as_deref(), Some("no route to host"));

    // Where no run was ever opened there is nothing to settle.
    given([created()]).when(not_asked.clone()).after();
    given([created(), started(), failed()]).when(not_asked).after();
    given([created(), started(), failed()]).when(update_unsettled(redirected(), false)).after();
}

#[test]
fn what_becomes_of_its_status() {
    let running = given([created(), started(), opened(10, 0), processed(10, 3)]);
    let completed = running.clone().and(Event::PipelineCompleted);
    let status = |given: &Given, spec| given.clone().when(update(spec, 3)).after().state.status();
    assert_eq!(status(&completed, described()), Status::Completed);
    assert_eq!(status(&completed, refiltered()), Status::Stopped);
    assert_eq!(status(&completed, redirected()), Status::Stopped);
    assert_eq!(status(&given([created()]), redirected()), Status::Configured);

    assert_eq!(status(&running.clone().and(failed()), refiltered()), Status::Failed);

    // What will be tried again is tried at once, without the attempts and the error of the old spec.
    let retrying = running.and(failed_for_now());
    assert_eq!(status(&retrying, described()), Status::Failed);
    for spec in [refiltered(), redirected()] {
        let then = retrying.clone().when(update(spec, 3)).then_effects([Effect::StartRun]);
        let after = then.after();
        let running = after.state.branch(0).and_then(Branch::running).unwrap();
        assert_eq!((running.attempt, running.run), (0, None));
    }
}

#[test]
fn types_are_forgotten_with_the_source_they_were_learned_from() {
    let past = schema_known(given([created(), started(), opened(10, 0)])).and(stop_requested()).and(stopped());
    let learned_after = |spec| past.clone().when(update(spec, 0)).after().state.branch(0).unwrap().learned.clone();
    assert_eq!(learned_after(redirected()), learned(Type::Bigint));
    let other = PipelineSpec { source: component(json!({"type": "file", "path": "a.jsonl"})), ..spec() };
    assert_eq!(learned_after(other), InferredTypes::default());
}

#[test]
fn a_spec_with_problems_or_another_version_is_turned_down() {
    ran().when(update(PipelineSpec { lanes: Some(0), ..spec() }, 3)).then_rejected("invalid");
    ran().when(Command::from(update(described(), 3)).only_at_version(1)).then_rejected("version-mismatch");
    given([]).when(update(described(), 3)).then_rejected("not-found");
}

/// What a target must still have is what was left there, however many others were written to meanwhile; the last ones are known.
#[test]
fn a_target_that_an_update_returns_to_must_have_what_was_left_there() {
    let turn = |number: u64, from: &str, to: &str, delivered: u64| Event::PipelineUpdated {
        spec: Box::new(redirected()),
        sink: None,
        generation: Some(NewGeneration {
            retargeted: Some(Retargeted { from: from.into(), to: to.into(), records: 0 }),
            settled: vec![lane(delivered)],
            ..generation(number, at(100))
        }),
        positions: None,
        discarded: None,
        pushes: pushes(&spec()),
    };
    let left = |given: &Given| given.state.branch(0).unwrap().progress.left.clone();
    let (first, delivered) = (vec![Generation::FIRST], counters(300).delivered);
    let away = ran().and(turn(2, "a", "b", 3)).and(turn(3, "b", "c", 2));
    assert_eq!((left(&away).of, left(&away).records), (vec![], 0));
    let back = away.clone().and(turn(4, "c", "a", 1));
    assert_eq!((left(&back).of, left(&back).records), (first.clone(), delivered));
    // What it gets then counts there, too.
    let again = back.and(turn(5, "a", "b", 1)).and(turn(6, "b", "a", 1));
    let generations = [first, vec![Generation::new(4, NONCE)]].concat();
    assert_eq!((left(&again).of, left(&again).records), (generations, delivered + counters(100).delivered));

    let name = |number: u64| format!("target {number}");
    let wandered = (10..30).fold(away, |given, number| given.and(turn(number, &name(number), &name(number + 1), 1)));
    let progress = &wandered.state.branch(0).unwrap().progress;
    assert_eq!((progress.away.len(), progress.away.last().map(|away| away.target.clone())), (16, Some(name(29))));
    assert_eq!(left(&wandered.and(turn(40, &name(30), "a", 1))).records, 0, "nobody knows any more");
}
