use dataflow_core::{
    id::{Epoch, RunId},
    ledger::Counters,
    pipeline::{
        CommandKind, Event, Status,
        command::{Reset, Settlement},
        event::{LaneProgress, Lost},
        testing::*,
    },
    position::{Position, Positions},
    spec::PipelineSpec,
    warned::Notice,
};

fn settled(sequence: u64) -> Settlement {
    let chunks = vec![dead_letters(&format!("{sequence}"), 10)];
    Settlement::Settled { lanes: vec![LaneProgress { chunks, ..lane(sequence) }], met: Vec::new(), lost: None }
}

fn to(position: Positions) -> CommandKind {
    reset_to(
        "positions",
        Reset { positions: position, passed: vec![], reached: Positions::new(), settlement: settled(1), nonce: NONCE },
    )
}

/// Two batches of 100 records were pushed, the first is behind the checkpoint.
fn half_done() -> Given {
    given([created(), received("a", 0, 100), received("b", 100, 200), started(), opened(10, 0), processed(10, 1)])
}

fn begin(given: Given, request: CommandKind) -> u64 {
    let after = given.when(request).after();
    after.state.branch(0).unwrap().progress.begin["http"].as_offset().unwrap()
}

#[test]
fn the_ledger_and_dead_letters_stay_and_the_lanes_begin_anew() {
    let past = half_done().and(stop_requested()).and(stopped());
    let after = past.when(reset(settled(2))).then_effects([]).after();
    let progress = &after.state.branch(0).unwrap().progress;
    assert_eq!(progress.generation.number, 2);
    assert_eq!(progress.earlier, counters(200));
    assert_eq!(progress.dead_letters, [dead_letters("2", 10)]);
    assert_eq!((progress.lanes, progress.at), (None, None));
    after.when(start()).then([started()]);
}

#[test]
fn a_pushed_record_that_is_gone_cannot_be_gone_back_to() {
    let past = half_done().and(stop_requested()).and(stopped());
    assert_eq!(begin(past.clone(), reset(settled(1))), 100);
    assert_eq!(begin(past.clone(), to(at(150))), 150);
    assert_eq!(begin(past.clone(), to(at(1_000))), 200);
    let identified = [("http".into(), Position::offset(150).of("inbox"))].into();
    let after = past.when(to(identified)).after();
    assert_eq!(after.state.branch(0).unwrap().progress.begin["http"].identity.as_deref(), Some("inbox"));
}

/// What was acknowledged is on the ledger, and may be pushed once more, but for batches of which a part is not passed over.
#[test]
fn pending_pushed_records_that_are_passed_over_are_lost_and_whole_batches_are_forgotten() {
    let past = half_done().and(stop_requested()).and(stopped());
    let never_started = given([created(), received("a", 0, 100), received("b", 100, 200)]);
    let anew = |settlement| {
        reset_to(
            "end",
            Reset { positions: at(200), passed: vec![], reached: Positions::new(), settlement, nonce: NONCE },
        )
    };
    let unsettled = Settlement::Unsettled { reason: "down".into(), forced: true };
    for (name, past, request, lost, forgotten) in [
        ("all that is pending", past.clone(), to(at(200)), 100, &["b"][..]),
        ("beyond all", past.clone(), to(at(1_000)), 100, &["b"]),
        ("a part", past.clone(), to(at(150)), 50, &[]),
        ("nothing", past.clone(), to(at(100)), 0, &[]),
        ("what is gone", past.clone(), reset(settled(1)), 0, &[]),
        ("what the sink has", past.clone(), anew(settled(2)), 0, &[]),
        ("the sink is out of reach", past.clone(), anew(unsettled), 100, &["b"]),
        ("it was never started", never_started.clone(), anew(Settlement::NotNeeded), 200, &["a", "b"]),
    ] {
        let delivered = |given: &Given| given.state.branch(0).unwrap().progress.counters();
        let before = delivered(&past);
        let after = past.when(request).after();
        let counters = delivered(&after);
        assert_eq!(counters.lost, lost, "{name}");
        assert!(counters.balances() && counters.read >= before.read + lost, "{name}: {counters:?}");
        for batch in ["a", "b"] {
            let again = after.clone().when(ingest(batch, 100)).after().state;
            let taken = again.pipeline().unwrap().inbox.received > 200;
            assert_eq!(taken, forgotten.contains(&batch), "{name}: {batch}");
        }
    }
}

/// A target that was restored from an older copy: nothing is here to write again, so it has to be pushed again.
#[test]
fn batches_that_were_delivered_to_a_target_which_has_lost_them_are_forgotten() {
    let past = half_done().and(processed(10, 2)).and(stop_requested()).and(stopped());
    let (positions, settlement) = (at(100), settled(1));
    let reset = Reset { positions, passed: vec![], reached: Positions::new(), settlement, nonce: NONCE };
    let after = past.when(reset_to("sink-token", reset)).after();
    for (batch, forgotten) in [("a", false), ("b", true)] {
        let again = after.clone().when(ingest(batch, 100)).after().state;
        assert_eq!(again.pipeline().unwrap().inbox.received > 200, forgotten, "{batch}");
    }
}

/// Another inbox has received what the sink's position counts.
#[test]
fn a_sinks_position_that_says_nothing_of_what_is_pending_hides_no_loss() {
    let past = half_done().and(stop_requested()).and(stopped());
    let positions = [("http".into(), Position::offset(180).of("another"))].into();
    let lanes = vec![LaneProgress { positions, ..lane(1) }];
    let settlement = Settlement::Settled { lanes, met: Vec::new(), lost: None };
    let end = reset_to(
        "end",
        Reset { positions: at(200), passed: vec![], reached: Positions::new(), settlement, nonce: NONCE },
    );
    assert_eq!(past.when(end).after().state.branch(0).unwrap().progress.earlier.lost, 100);
}

#[test]
fn only_while_it_does_not_run() {
    half_done().when(reset(settled(1))).then_rejected("not-allowed");
    half_done().and(stop_requested()).when(reset(settled(1))).then_rejected("not-allowed");
}

#[test]
fn what_becomes_of_its_status() {
    let status = |given: Given| given.when(reset(settled(1))).after().state.status();
    assert_eq!(status(given([created()])), Status::Configured);
    assert_eq!(status(half_done().and(Event::PipelineCompleted)), Status::Stopped);
    // The error was of what is decided now.
    assert_eq!(status(half_done().and(failed_for_now())), Status::Stopped);
    assert_eq!(status(half_done().and(failed())), Status::Stopped);
}

#[test]
fn the_old_generation_is_settled_or_given_up() {
    let past = || half_done().and(failed());
    let unsettled = |forced| reset(Settlement::Unsettled { reason: "down".into(), forced });
    past().when(reset(Settlement::NotNeeded)).then_rejected("unsettled");
    past().when(unsettled(false)).then_rejected("unsettled");
    let after = past().when(unsettled(true)).after();
    assert_eq!(after.state.branch(0).unwrap().progress.counters(), counters(100));
}

/// What a generation leaves in the target is required of it until a user decides, or the target is another.
#[test]
fn what_is_gone_of_earlier_generations_is_counted_as_lost_and_required_no_more() {
    let settled = |sequence, lost| Settlement::Settled { lanes: vec![lane(sequence)], met: Vec::new(), lost };
    let stopped = given([created(), started(), opened(10, 0), processed(10, 3), stop_requested(), stopped()]);
    let kept = stopped.when(reset(settled(3, None))).after();
    let progress = |given: &Given| given.state.branch(0).unwrap().progress.clone();
    let delivered = progress(&kept).earlier.delivered;
    assert_eq!((progress(&kept).left.records, delivered > 0), (delivered, true));
    let lost_before = progress(&kept).earlier.lost;
    let decided = kept.when(reset(Settlement::Settled { lanes: vec![], met: Vec::new(), lost: Some(2) })).after();
    let Counters { delivered: still, lost, .. } = progress(&decided).earlier;
    assert_eq!((still, lost), (delivered - 2, lost_before + 2));
    assert_eq!(progress(&decided).left.records, 0);
}

/// What the source still holds and is passed over is lost by choice, but for a choice that another one takes back in time.
#[test]
fn what_is_passed_over_counts_as_lost_unless_it_is_taken_back_before_a_commit() {
    let file = |position: u64| [("file".into(), Position::offset(position))].into();
    let spec = PipelineSpec { source: component(serde_json::json!({"type": "file", "path": "a"})), ..spec() };
    let made = created_as(spec);
    let at = |sequence, position: u64| LaneProgress { positions: file(position), ..lane(sequence) };
    let run = |run: u64, sequence, position| {
        let opened = Event::RunOpened {
            run: RunId(run),
            epoch: Epoch(7),
            lanes: vec![lane_opened(at(0, 0))],
            reserved_versions: None,
        };
        let lanes = vec![at(sequence, position)];
        let processed = Event::BatchProcessed { run: RunId(run), lanes, reserved_versions: None };
        [started(), opened, processed, stop_requested(), stopped()]
    };
    let progress = |given: &Given| given.state.branch(0).unwrap().progress.clone();
    let is_after = |one: &Position, other: &Position| one.as_offset() > other.as_offset();
    let set = |given: &Given, position: u64, records: u64| {
        let lane = progress(given).by_lane.get(&0).cloned();
        let settlement = lane.map_or(Settlement::NotNeeded, |lane| Settlement::Settled {
            lanes: vec![lane],
            met: vec![],
            lost: None,
        });
        let reached = progress(given).reached_with(settlement.lanes(), is_after);
        let from = reached.get("file").cloned().unwrap_or(Position::offset(0));
        let lost = Lost { partition: "file".into(), from, to: Position::offset(position), records };
        let passed = if records > 0 { vec![lost] } else { vec![] };
        given
            .clone()
            .when(reset_to("positions", Reset { positions: file(position), passed, reached, settlement, nonce: NONCE }))
            .after()
    };
    let reached = |given: &Given| progress(given).reached_with(&[], is_after).get("file").and_then(Position::as_offset);
    let ran = run(10, 3, 300).into_iter().fold(given([made]), Given::and);
    assert_eq!(reached(&ran), Some(300));
    let passed = set(&ran, 900, 600);
    let counters = progress(&passed).counters();
    assert_eq!((counters.read, counters.lost, counters.balances()), (900, 600, true));
    let notes = &progress(&passed).notes;
    let note = notes.get(("passed-over", "file")).and_then(Notice::holding).unwrap();
    assert!(note.records == 600 && note.message.contains("900 instead of 300: 600 record(s)"), "{note:?}");
    assert_eq!(reached(&passed), Some(300), "nothing is done yet");
    // Taken back, as if it had never been; in part, only that counts.
    for (position, records) in [(300, 0), (500, 200), (100, 0)] {
        let after = set(&passed, position, records);
        assert_eq!(progress(&after).counters().lost, records, "{position}");
        assert_eq!(progress(&after).notes.is_empty(), records == 0);
    }
    // After a commit it stays, and what was reached is not passed over again.
    let after = run(11, 1, 1_000).into_iter().fold(passed, Given::and);
    assert_eq!((progress(&after).counters().lost, reached(&after)), (600, Some(1_000)));
    let back = set(&after, 100, 0);
    assert_eq!((progress(&back).counters().lost, reached(&back)), (600, Some(1_000)));
    let again = run(12, 1, 200).into_iter().fold(back, Given::and);
    assert_eq!(reached(&again), Some(1_000));
    let uncounted = set(&again, 1_500, 0);
    assert!(progress(&uncounted).counters().balances());
}

/// What users are told of a change outlives whoever made it.
#[test]
fn a_refused_update_is_told_until_the_next_change() {
    let refused = Event::UpdateRefused { code: "unsettled".into(), message: "no route to host".into() };
    let told = half_done().and(stop_requested()).and(stopped()).and(refused);
    let notes = |given: &Given| given.state.branch(0).unwrap().progress.notes.clone();
    let warnings = notes(&told);
    let warned = warnings.get(("update-refused", "")).and_then(Notice::holding).unwrap();
    assert!(warned.message.contains("(unsettled): no route to host"));
    assert!(notes(&told.when(reset(settled(1))).after()).is_empty());
}
