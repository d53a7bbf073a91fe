//! Random lives: whatever is asked in whatever order, the history that was accepted stays sound.
use dataflow_core::{
    branch::BranchNumber,
    id::{Actor, CommandId, Epoch, RunId},
    ledger::Counters,
    pipeline::{
        Command, CommandKind, RecordedEvent, State,
        command::{Prepared, Settlement},
        decide,
        event::{LaneOpened, LaneProgress},
        evolve, fold,
        testing::*,
    },
    position::{Position, Positions},
    spec::PipelineSpec,
    types::Type,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What is asked, relative to what the pipeline is then.
#[derive(Clone, Debug)]
enum Ask {
    Create,
    Update {
        what: u8,
        settle: Option<u64>,
    },
    Start {
        by_policy: bool,
    },
    Stop,
    Restart,
    Reset {
        to: u64,
        settle: Option<u64>,
    },
    Delete,
    Ingest {
        batch: u8,
        records: u64,
    },
    Planned {
        lanes: u32,
    },
    Opened {
        ahead: u64,
    },
    Progress {
        lane: u32,
        ahead: u64,
    },
    Schema(Type),
    Lost,
    Stopped {
        settle: Option<u64>,
    },
    Failed {
        retryable: bool,
        settle: Option<u64>,
    },
    Completed,
    /// A report of an older run.
    Stale,
    /// A user's command that was carried out before, or with its id.
    Repeat(usize),
    Wait,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let settle = || prop::option::weighted(0.8, 0..3_u64);
    let ask = prop_oneof![
        2 => Just(Ask::Create),
        2 => (0..4_u8, settle()).prop_map(|(what, settle)| Ask::Update { what, settle }),
        6 => prop::bool::weighted(0.3).prop_map(|by_policy| Ask::Start { by_policy }),
        3 => Just(Ask::Stop),
        1 => Just(Ask::Restart),
        2 => (0..500_u64, settle()).prop_map(|(to, settle)| Ask::Reset { to, settle }),
        1 => Just(Ask::Delete),
        4 => (0..20_u8, 0..300_u64).prop_map(|(batch, records)| Ask::Ingest { batch, records }),
        3 => (0..4_u32).prop_map(|lanes| Ask::Planned { lanes }),
        6 => (0..3_u64).prop_map(|ahead| Ask::Opened { ahead }),
        8 => (0..2_u32, 0..4_u64).prop_map(|(lane, ahead)| Ask::Progress { lane, ahead }),
        1 => prop::sample::select(vec![Type::Bigint, Type::Double, Type::Text]).prop_map(Ask::Schema),
        1 => Just(Ask::Lost),
        4 => settle().prop_map(|settle| Ask::Stopped { settle }),
        2 => (any::<bool>(), settle()).prop_map(|(retryable, settle)| Ask::Failed { retryable, settle }),
        1 => Just(Ask::Completed),
        1 => Just(Ask::Stale),
        3 => any::<usize>().prop_map(Ask::Repeat),
        1 => Just(Ask::Wait),
    ];
    prop::collection::vec(ask, 1..120)
}

/// A pipeline, all that has happened to it, and the world around it.
struct Life {
    state: State,
    history: Vec<RecordedEvent>,
    done: Vec<Command>,
    asked: i64,
    next_run: u64,
    wait: i64,
}

impl Life {
    fn known(&self, lane: u32) -> u64 {
        let lanes = self.state.branch(0).map(|branch| &branch.progress.by_lane);
        lanes.and_then(|lanes| lanes.get(&lane)).map_or(0, |lane| lane.sequence)
    }

    /// A lane `ahead` commits on, 100 records each of which 10 are dead; it names the chunks of the last three as well,
    /// like a token whose writer did not yet know what the journal had.
    fn lane(&self, number: u32, ahead: u64) -> LaneProgress {
        let sequence = self.known(number) + ahead;
        let pipeline = self.state.pipeline();
        let (generation, incarnation) = pipeline
            .map_or((0, String::new()), |p| (p.branches[&0].progress.generation.number, p.incarnation.to_string()));
        let name = |sequence| dead_letters(&format!("{incarnation}-{generation}-{number}-{sequence}"), 10);
        let chunks = (sequence.saturating_sub(ahead + 2).max(1)..=sequence).map(name).collect();
        // Lane 0 has the http partition, lane 1 nothing.
        let received = pipeline.map_or(0, |pipeline| pipeline.inbox.received);
        let positions = if number == 0 { at((self.position() + 100 * ahead).min(received)) } else { Positions::new() };
        LaneProgress { lane: number, positions, chunks, ..lane(sequence) }
    }

    fn position(&self) -> u64 {
        let position = self.state.branch(0).and_then(|branch| branch.progress.position("http"));
        position.and_then(|position| position.as_offset()).unwrap_or(0)
    }

    fn settlement(&self, settle: Option<u64>) -> Settlement {
        match settle {
            Some(0) => Settlement::NotNeeded,
            Some(ahead) => {
                Settlement::Settled { lanes: vec![self.lane(0, ahead), self.lane(1, 1)], met: Vec::new(), lost: None }
            }
            None => Settlement::Unsettled { reason: "down".into(), forced: self.asked % 2 == 0 },
        }
    }

    /// What the update comes to that waits for the end of the run.
    fn waiting(&self, settle: Option<u64>) -> BTreeMap<BranchNumber, Prepared> {
        let update = self.state.pipeline().and_then(|pipeline| pipeline.pending());
        let prepared = update.map(|update| prepared(&update.wanted.spec, self.settlement(settle)));
        prepared.into_iter().map(|prepared| (0, prepared)).collect()
    }

    fn run(&self) -> RunId {
        RunId(self.next_run - 1)
    }

    fn command(&mut self, ask: &Ask) -> Option<Command> {
        self.asked += 1;
        let request = match ask {
            Ask::Create => CommandKind::Create {
                spec: Box::new(spec()),
                incarnation: from_json(serde_json::json!(format!("i{}", self.asked))),
                pushes: pushes(&spec()),
            },
            Ask::Update { what, settle } => {
                let spec = match what {
                    0 => PipelineSpec { description: self.asked.to_string(), ..spec() },
                    1 => refiltered(),
                    2 => redirected(),
                    _ => spec(),
                };
                update_with(spec, self.settlement(*settle))
            }
            Ask::Start { .. } => CommandKind::Start { only: None },
            Ask::Stop => CommandKind::Stop { only: None },
            Ask::Restart => CommandKind::Restart { only: None },
            Ask::Reset { to, settle } => reset_to(
                "positions",
                dataflow_core::pipeline::command::Reset {
                    positions: at(*to),
                    passed: vec![],
                    reached: Positions::new(),
                    settlement: self.settlement(*settle),
                    nonce: NONCE,
                },
            ),
            Ask::Delete => CommandKind::Delete { discard: false },
            Ask::Ingest { batch, records } => ingest(&batch.to_string(), *records),
            // Of the run that is open, or of one that may be.
            Ask::Planned { lanes } => CommandKind::ReportPartitions {
                run: RunId(self.next_run - u64::from(self.asked % 2 == 0)),
                found: vec![("t/0".into(), Position::offset(0)), ("t/1".into(), Position::offset(0))],
                lanes: Some(*lanes),
            },
            Ask::Opened { ahead } => {
                self.next_run += 1;
                let lanes: Vec<LaneOpened> =
                    [self.lane(0, *ahead), self.lane(1, 0)].into_iter().map(lane_opened).collect();
                CommandKind::ReportOpened { run: self.run(), epoch: Epoch(7), lanes, reserved_versions: None }
            }
            Ask::Progress { lane, ahead } => CommandKind::ReportProgress {
                run: self.run(),
                lanes: vec![self.lane(*lane, *ahead)],
                reserved_versions: None,
            },
            Ask::Schema(ty) => CommandKind::ReportSchema { run: self.run(), learned: learned(*ty) },
            Ask::Lost => CommandKind::ReportLost { run: self.run(), lost: ten_lost() },
            Ask::Stopped { settle } => CommandKind::ReportStopped {
                run: self.run(),
                unsettled: (self.asked % 2 == 1).then(|| cause(true)),
                prepared: self.waiting(*settle),
            },
            Ask::Failed { retryable, settle } => CommandKind::ReportFailed {
                run: self.run(),
                cause: cause(*retryable),
                restart_in: Some(1_000),
                prepared: self.waiting(*settle),
            },
            Ask::Completed => CommandKind::ReportCompleted { run: self.run(), prepared: self.waiting(Some(1)) },
            Ask::Stale => report_progress(self.run().0 - 1, 1_000),
            Ask::Repeat(which) => {
                let known = self.done.get(which % self.done.len().max(1))?;
                return Some(Command { at: NOW.plus_millis(self.wait), ..known.clone() });
            }
            Ask::Wait => {
                self.wait += 5_000;
                return None;
            }
        };
        self.wait += 10;
        let command = Command::from(request).named(&format!("c{}", self.asked)).at(NOW.plus_millis(self.wait));
        Some(match ask {
            Ask::Start { by_policy: true } => Command { actor: Actor::system(), ..command },
            _ => command,
        })
    }
}

/// The version, and what the ledger adds up to in this incarnation.
fn measure(state: &State) -> (u64, Option<(String, Counters)>) {
    match (state, state.pipeline()) {
        (State::Deleted(deleted), _) => (deleted.version, None),
        (_, Some(pipeline)) => {
            let counters = pipeline.branches[&0].progress.counters();
            (pipeline.version, Some((pipeline.incarnation.to_string(), counters)))
        }
        _ => (0, None),
    }
}

fn sound(state: &State) -> Result<(), TestCaseError> {
    let Some(pipeline) = state.pipeline() else { return Ok(()) };
    let progress = &pipeline.branches[&0].progress;
    let counters = progress.counters();
    prop_assert!(counters.balances(), "{:?}", counters);
    let dead: u64 = progress.dead_letters.iter().map(|chunk| chunk.records).sum();
    prop_assert_eq!(dead, counters.dead, "dead letters are listed once each");
    let inbox = &pipeline.inbox;
    prop_assert_eq!(inbox.bytes, inbox.pending.iter().map(|batch| batch.bytes).sum::<u64>());
    let mut next = inbox.first();
    for batch in &inbox.pending {
        prop_assert_eq!(batch.from, next);
        prop_assert!(batch.to > progress.position("http").and_then(|at| at.as_offset()).unwrap_or(0));
        next = batch.to;
    }
    prop_assert_eq!(next, inbox.received);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_history_that_was_accepted_stays_sound(asks in asks()) {
        let mut life =
            Life { state: State::Empty, history: vec![], done: vec![], asked: 0, next_run: 10, wait: 0 };
        for ask in &asks {
            let Some(command) = life.command(ask) else { continue };
            let Ok(decision) = decide(&life.state, &command) else {
                prop_assert!(!matches!(ask, Ask::Repeat(_)), "a repeated command is no error");
                continue;
            };
            if matches!(ask, Ask::Repeat(_)) {
                prop_assert!(decision.events.is_empty() && decision.effects.is_empty());
            }
            // One that is refused in the end was as good as turned down.
            let refused = |command: &Command| {
                decision.events.iter().any(|event| event.event.name() == "UpdateRefused" && event.command == command.id)
            };
            life.done.retain(|command| !refused(command));
            let awaited = |state: &State| state.pipeline()?.awaited().cloned();
            let waits = awaited(&life.state);
            let (version, ledger) = measure(&life.state);
            for event in &decision.events {
                life.state = evolve(&id(), life.state, event).map_err(|e| TestCaseError::fail(e.to_string()))?;
                sound(&life.state)?;
            }
            // And so was one whose place another has taken.
            let made = |command: &CommandId| decision.events.iter().any(|event| event.command == *command);
            let replaced = waits.filter(|waits| awaited(&life.state).as_ref() != Some(waits) && !made(waits));
            life.done.retain(|command| replaced.as_ref() != Some(&command.id));
            let changes = decision.events.iter().filter(|event| !event.event.is_quiet()).count() as u64;
            let (version_after, ledger_after) = measure(&life.state);
            prop_assert_eq!(version_after, version + changes);
            if let (Some((before, old)), Some((after, new))) = (ledger, ledger_after) && before == after {
                prop_assert!(new.read >= old.read && new.delivered >= old.delivered, "a count fell");
            }
            if command.kind.is_remembered() && !command.actor.is_system() && !decision.events.is_empty() {
                life.done.push(command);
            }
            life.history.extend(decision.events);
        }
        let folded = fold(&id(), &life.history);
        prop_assert_eq!(folded.as_ref(), Ok(&life.state));
        let json = serde_json::to_string(&life.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<State>(&json).unwrap(), life.state);
    }

    /// Of an accepted history nothing can be left out, doubled or put elsewhere unnoticed.
    #[test]
    fn an_event_that_is_missing_or_there_twice_is_noticed(at in any::<prop::sample::Index>()) {
        let history = given([created(), started(), opened(10, 0), processed(10, 1), processed(10, 2), processed(10, 3)]).history;
        let at = at.index(history.len() - 1);
        let (mut missing, mut twice, mut swapped) = (history.clone(), history.clone(), history.clone());
        missing.remove(at);
        twice.insert(at, history[at].clone());
        swapped.swap(at, at + 1);
        for other in [missing, twice, swapped] {
            prop_assert!(fold(&id(), &other).is_err());
        }
    }

    /// A history that no one accepted is an error or a state, never a panic.
    #[test]
    fn any_order_of_events_is_taken_or_refused(order in prop::collection::vec(0..18_usize, 0..30)) {
        let samples = samples();
        let numbered = (1..).zip(&order).map(|(number, which)| RecordedEvent { number, ..samples[*which].clone() });
        if let Err(corrupt) = fold(&id(), &numbered.collect::<Vec<_>>()) {
            prop_assert!(corrupt.to_string().starts_with("pipeline orders: event "));
        }
    }
}

#[test]
fn there_is_a_sample_of_each_kind_of_event() {
    let names: std::collections::BTreeSet<_> = samples().iter().map(|event| event.event.name()).collect();
    assert_eq!((names.len(), samples().len()), (17, 19));
}

#[test]
fn every_state_comes_back_from_json_as_it_was() {
    for (name, given) in states() {
        let json = serde_json::to_string(&given.state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), given.state, "{name}");
    }
}
