//! What may happen to a pipeline: every state against every command, as the code decides it.
use super::{Given, build::*, given};
use crate::{
    id::RunId,
    pipeline::{Command, CommandKind, Effect, Phase, Rejected, State, command::Settlement, event::Planned},
    types::Type,
};
use std::{collections::BTreeMap, fmt};

/// What one command does in one state.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The state, as [`states`] names it.
    pub state: &'static str,
    /// The command, in words.
    pub command: &'static str,
    /// The phase of life before: `running`, `stopping`, …
    pub from: &'static str,
    /// What follows: names of the events, effects, and the phase of life after; or why not.
    pub outcome: Result<Outcome, Rejected>,
}

/// What follows from a command that is allowed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Names of the events.
    pub events: Vec<&'static str>,
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// The phase of life after.
    pub to: &'static str,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} | {:<37} | ", self.state, self.command)?;
        match &self.outcome {
            Err(rejected) => write!(f, "no: {}", rejected.code()),
            Ok(Outcome { events, effects, .. }) if events.is_empty() && effects.is_empty() => f.write_str("nothing"),
            Ok(Outcome { events, effects, to }) => {
                write!(f, "{}", if events.is_empty() { "nothing".into() } else { events.join(", ") })?;
                let effects: Vec<_> = effects.iter().map(|effect| effect_name(*effect)).collect();
                if !effects.is_empty() {
                    write!(f, "; {}", effects.join(", "))?;
                }
                write!(f, " -> {to}")
            }
        }
    }
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::StartRun => "start the run",
        Effect::StopRun => "stop the run",
        Effect::WakeRun => "wake the run",
        Effect::RestartAt(_) => "restart later",
    }
}

/// A pipeline in each state, with what matters of its past. The last run is number 10.
pub fn states() -> Vec<(&'static str, Given)> {
    let started = given([created(), received("batch-1", 0, 500), started()]);
    let running = started.clone().and(opened(10, 0)).and(processed(10, 3));
    let stopped = running.clone().and(stop_requested()).and(super::stopped());
    vec![
        ("empty", given([])),
        ("configured", given([created(), received("batch-1", 0, 500)])),
        ("opening", started),
        ("running", running.clone()),
        ("stopping", running.clone().and(stop_requested())),
        ("restarting", running.clone().and(restart_requested())),
        ("updating", running.clone().and(update_requested(refiltered(), true, "given-6", 6))),
        ("stopped", stopped.clone()),
        ("failed", running.clone().and(failed())),
        ("retrying", running.clone().and(failed_for_now())),
        ("completed", running.and(crate::pipeline::Event::PipelineCompleted)),
        ("deleted", stopped.and(crate::pipeline::Event::PipelineDeleted)),
    ]
}

/// Every command in words, with one of its kind.
fn commands() -> Vec<(&'static str, Command)> {
    let settled = || Settlement::Settled { lanes: vec![lane(3)], met: Vec::new(), lost: None };
    let schema = CommandKind::ReportSchema { run: RunId(10), learned: learned(Type::Bigint) };
    let join = CommandKind::JoinDeadLetters { first: 0, count: 2, into: dead_letters("joined", 20) };
    let lost = CommandKind::ReportLost { run: RunId(10), lost: ten_lost() };
    let found = planned().into_iter().map(|Planned { partition, begin, .. }| (partition, begin));
    let found = CommandKind::ReportPartitions { run: RunId(10), found: found.collect(), lanes: None };
    vec![
        ("create", create().into()),
        ("create, repeated by its id", Command { hash: Some(1), ..Command::from(create()).named("given-1") }),
        ("start, under the id of the create", Command::from(start()).named("given-1")),
        ("update nothing", update(spec(), 3).into()),
        ("update the description", update(described(), 3).into()),
        ("update a transform", update(refiltered(), 3).into()),
        ("update the sink", update_target_unasked().into()),
        ("update the sink, going on at the new one", update(redirected(), 3).into()),
        ("update the source, needs a reset", update_source(false).into()),
        ("update the source, with a reset", update_source(true).into()),
        ("update the sink, out of reach", update_unsettled(redirected(), false).into()),
        ("update the sink, out of reach, forced", update_unsettled(redirected(), true).into()),
        ("start", start().into()),
        ("start, by the restart policy", Command::from(start()).by_system()),
        ("stop", stop().into()),
        ("restart", restart().into()),
        ("reset the checkpoint", reset(settled()).into()),
        ("reset the checkpoint, unsettled", reset(Settlement::NotNeeded).into()),
        ("delete", CommandKind::Delete { discard: false }.into()),
        ("delete, discarding", CommandKind::Delete { discard: true }.into()),
        ("delete, at an older version", Command::from(CommandKind::Delete { discard: false }).only_at_version(0)),
        ("push a batch", ingest("batch-2", 5).into()),
        ("push a batch again", ingest("batch-1", 500).into()),
        ("a new run opened", report_opened(11, 3).into()),
        ("an old run opened", report_opened(9, 3).into()),
        ("the run found partitions", found.into()),
        ("the run committed", report_progress(10, 4).into()),
        ("the run committed, reported again", report_progress(10, 3).into()),
        ("an old run committed", report_progress(9, 4).into()),
        ("the run learned a type", schema.into()),
        ("the run passed over lost records", lost.into()),
        ("chunks of dead letters joined that are not there", join.into()),
        ("the run stopped", report_stopped(10).into()),
        ("the run stopped, before it opened", report_stopped(11).into()),
        ("the run failed, may be retried", report_failed(10, true).into()),
        ("the run failed for good", report_failed(10, false).into()),
        ("the run failed, before it opened", report_failed(11, true).into()),
        ("the run completed", report_completed(10).into()),
    ]
}

/// Every state against every command.
pub fn table() -> Vec<Cell> {
    let commands = commands();
    let cell = |name, given: &Given, (words, command): &(&'static str, Command)| {
        let then = given.clone().when(command.clone());
        let outcome = then.outcome.clone().map(|decision| Outcome {
            events: decision.events.iter().map(|event| event.event.name()).collect(),
            effects: decision.effects.into_iter().map(|(_, effect)| effect).collect(),
            to: phase(&then.after().state),
        });
        Cell { state: name, command: words, from: phase(&given.state), outcome }
    };
    states().iter().flat_map(|(name, given)| commands.iter().map(|command| cell(name, given, command))).collect()
}

/// The phase of life that the only branch is in: finer than the status, because of what happens next.
fn phase(state: &State) -> &'static str {
    let Some(branch) = state.branch(0) else {
        return if matches!(state, State::Empty) { "empty" } else { "deleted" };
    };
    match &branch.phase {
        Phase::Configured => "configured",
        Phase::Running(running) => match &running.stopping {
            None => "running",
            Some(then) if then.start && then.update.is_some() => "updating",
            Some(then) if then.start => "restarting",
            Some(_) => "stopping",
        },
        Phase::Stopped => "stopped",
        Phase::Failed(failed) if failed.restart_at.is_some() => "retrying",
        Phase::Failed(_) => "failed",
        Phase::Completed => "completed",
        Phase::Removed => "removed",
    }
}

/// The lifecycle as a Mermaid state diagram: all ways from one phase to another, with what leads there.
pub fn diagram(table: &[Cell]) -> String {
    let mut ways: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let order: Vec<_> = states().iter().map(|(name, _)| *name).collect();
    let place = |phase| order.iter().position(|name| *name == phase).unwrap_or(order.len());
    for cell in table {
        if let Ok(outcome) = &cell.outcome
            && outcome.to != cell.from
        {
            let causes = ways.entry((place(cell.from), place(outcome.to))).or_default();
            // The variants of a command lead where it does.
            let cause = cell.command.split(',').next().unwrap_or(cell.command);
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
    }
    let name = |place: usize| match order.get(place) {
        Some(&"empty") | None => "[*]",
        Some(name) => name,
    };
    let way = |((from, to), causes): (&(usize, usize), &Vec<&str>)| {
        format!("    {} --> {}: {}\n", name(*from), name(*to), causes.join(" / "))
    };
    format!("stateDiagram-v2\n{}", ways.iter().map(way).collect::<String>())
}

/// The table as Markdown, a row for each command and a column for each state: the phase that follows, `=` where a
/// command is taken and the phase stays, `·` where nothing changes, and the code where it is turned down.
pub fn matrix(table: &[Cell]) -> String {
    let states: Vec<_> = states().iter().map(|(name, _)| *name).collect();
    let line = |first: &str, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let mut text = line("", states.iter().map(|state| (*state).to_owned()).collect());
    text += &line("---", states.iter().map(|_| "---".to_owned()).collect());
    for (words, _) in commands() {
        let row = table.iter().filter(|cell| cell.command == words).map(|cell| match &cell.outcome {
            Err(rejected) => format!("*{}*", rejected.code()),
            Ok(outcome) if outcome.to != cell.from => format!("**{}**", outcome.to),
            Ok(outcome) if outcome.events.is_empty() => "·".into(),
            Ok(_) => "=".into(),
        });
        text += &line(words, row.collect());
    }
    text
}
