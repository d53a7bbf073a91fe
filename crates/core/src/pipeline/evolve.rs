//! Taking an event into the state.
use super::{
    event::{Cause, Event, LaneOpened, LaneProgress, Lost, NewGeneration, RecordedEvent},
    remembered::remember,
    state::{Branch, Deleted, Failed, Inbox, LastRun, Phase, Pipeline, Running, State, Status},
    then::Then,
};
use crate::{
    branch::BranchId,
    id::{CommandId, Epoch, Incarnation, PipelineId, RunId},
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
    warned::{Warned, Warnings},
};
use std::collections::{BTreeMap, VecDeque};
use updated::updated;

mod updated;

/// A history that no accepted sequence of commands can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pipeline {pipeline}: event {number}, {event}, can't follow event {last}, after which it is {status}")]
pub struct CorruptHistory {
    /// Which pipeline.
    pub pipeline: PipelineId,
    /// The event's number.
    pub number: u64,
    /// The event's type.
    pub event: &'static str,
    /// The number of the event before it.
    pub last: u64,
    /// What the pipeline was.
    pub status: Status,
}

/// Takes an event of `pipeline` into its state.
///
/// # Errors
/// [`CorruptHistory`] if the event can't follow on what came before.
pub fn evolve(pipeline: &PipelineId, state: State, event: &RecordedEvent) -> Result<State, CorruptHistory> {
    let (status, last, number) = (state.status(), state.events(), event.number);
    let corrupt = || CorruptHistory { pipeline: pipeline.clone(), number, event: event.event.name(), last, status };
    if number != last + 1 {
        return Err(corrupt());
    }
    let waits = awaited(&state).filter(|_| may_replace(event)).cloned();
    let mut state = follow(pipeline, state, event).ok_or_else(corrupt)?;
    state.count(number);
    if !event.event.is_quiet() {
        note(&mut state, event);
    }
    if let Some(replaced) = waits.filter(|waits| awaited(&state) != Some(waits))
        && let State::Present(pipeline) = &mut state
    {
        // Sent again, it is decided afresh.
        pipeline.commands.retain(|known| known.id != replaced);
    }
    Ok(state)
}

/// Whether this may take the place of an update that waits.
fn may_replace(event: &RecordedEvent) -> bool {
    matches!(event.event, Event::StopRequested { .. } | Event::PipelineStarted { .. }) && !event.actor.is_system()
}

/// The command of the update that waits.
fn awaited(state: &State) -> Option<&CommandId> {
    state.pipeline()?.awaited()
}

/// The state after a whole history, from the beginning.
///
/// # Errors
/// [`CorruptHistory`] at the first event that can't follow on what came before.
pub fn fold<'a>(
    pipeline: &PipelineId,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<State, CorruptHistory> {
    events.into_iter().try_fold(State::Empty, |state, event| evolve(pipeline, state, event))
}

/// The state that follows, but for what every change leaves behind ([`note`]); none: the event can't follow.
pub(super) fn follow(id: &PipelineId, mut state: State, event: &RecordedEvent) -> Option<State> {
    match &event.event {
        Event::PipelineCreated { spec, incarnation, pushes } => {
            return created(id, &state, event.at, spec, incarnation, *pushes);
        }
        Event::PipelineDeleted => return deleted(&state, event.at),
        Event::BatchReceived { source, .. } => state.pipeline_mut()?.receive(source.as_ref(), &event.event)?,
        Event::PipelineUpdated { spec, sink, generation, positions: _, discarded: _, pushes } => {
            updated(state.pipeline_mut()?, event.branch, spec, sink.as_ref(), (generation.as_ref(), *pushes))?;
        }
        of_branch => {
            let pipeline = state.pipeline_mut()?;
            let branch = pipeline.branches.get_mut(&event.branch)?;
            happened(branch, event, of_branch)?;
            if let Event::CheckpointReset { to, generation } = of_branch {
                reset(branch, to, pipeline.pushes.is_some());
                forget(pipeline, generation)?;
            }
            pipeline.collect_inbox();
        }
    }
    Some(state)
}

/// Takes what has happened to a branch into it.
fn happened(branch: &mut Branch, RecordedEvent { at, command, .. }: &RecordedEvent, event: &Event) -> Option<()> {
    match event {
        Event::UpdateRefused { code, message } => {
            branch.waits = None;
            if let Some(then) = branch.running_mut().and_then(|running| running.stopping.as_mut()) {
                then.update = None;
            }
            let message = format!("the update of command {command} was not made ({code}): {message}");
            let refused = Warned { code: "update-refused".into(), subject: String::new(), message, records: 0 };
            branch.progress.notes.put(&[refused].into_iter().collect());
        }
        Event::PipelineStarted { lanes, attempt } => started(branch, *lanes, *attempt)?,
        Event::StopRequested { then } => stop_requested(branch, then)?,
        Event::PipelineStopped { unsettled } => stopped(branch, unsettled.is_none())?,
        Event::RunOpened { run, epoch, lanes, reserved_versions } => {
            opened(branch, *at, *run, *epoch, lanes)?;
            reserve(branch, *reserved_versions);
        }
        Event::PartitionsPlanned { run, planned, lanes } => {
            (branch.is_current(*run) || branch.is_new(*run)).then_some(())?;
            branch.progress.extend_plan(planned, *lanes)?;
        }
        Event::BatchProcessed { run, lanes, reserved_versions } => {
            processed(branch, *at, *run, lanes)?;
            reserve(branch, *reserved_versions);
        }
        Event::SchemaChanged { learned } => {
            branch.running()?;
            branch.learned = InferredTypes::clone(learned);
        }
        // The ledger counts lost records where their lane does, with the commit that passes over them.
        Event::RecordsLost(lost) => {
            branch.running()?;
            branch.progress.losses.note(lost);
        }
        Event::DeadLettersJoined { first, count, into } => branch.progress.join(*first, *count, into)?,
        Event::PipelineFailed { cause, restart_at } => failed(branch, *at, cause, *restart_at)?,
        Event::PipelineCompleted => {
            let Running { stopping, .. } = branch.running()?;
            branch.waits = stopping.clone().filter(|then| then.update.is_some());
            (branch.phase, branch.settled) = (Phase::Completed, true);
        }
        Event::CheckpointReset { generation, .. } => {
            branch.running().is_none().then_some(())?;
            branch.begin(generation)?;
        }
        Event::PipelineCreated { .. }
        | Event::PipelineUpdated { .. }
        | Event::BatchReceived { .. }
        | Event::PipelineDeleted => return None,
    }
    Some(())
}

/// Raises the version and remembers the command.
fn note(state: &mut State, event: &RecordedEvent) {
    let (version, commands) = match state {
        State::Empty => return,
        State::Deleted(deleted) => (&mut deleted.version, &mut deleted.commands),
        State::Present(pipeline) => {
            pipeline.updated_at = event.at;
            (&mut pipeline.version, &mut pipeline.commands)
        }
    };
    *version += 1;
    if event.actor.is_system() {
        return;
    }
    match event.event {
        Event::PipelineCreated { .. }
        | Event::PipelineUpdated { .. }
        | Event::PipelineStarted { .. }
        | Event::StopRequested { .. }
        | Event::PipelineStopped { .. }
        | Event::CheckpointReset { .. }
        | Event::PipelineDeleted => remember(commands, event),
        // As if it had been turned down at once: sent again, it is decided afresh.
        Event::UpdateRefused { .. } => commands.retain(|known| known.id != event.command),
        Event::BatchReceived { .. }
        | Event::RunOpened { .. }
        | Event::PartitionsPlanned { .. }
        | Event::BatchProcessed { .. }
        | Event::SchemaChanged { .. }
        | Event::RecordsLost(_)
        | Event::DeadLettersJoined { .. }
        | Event::PipelineFailed { .. }
        | Event::PipelineCompleted => {}
    }
}

fn created(
    id: &PipelineId,
    state: &State,
    at: Timestamp,
    spec: &PipelineSpec,
    incarnation: &Incarnation,
    pushes: Option<u64>,
) -> Option<State> {
    let (version, commands, reserved_versions, ancestors) = match state {
        State::Empty => (0, VecDeque::new(), 0, Vec::new()),
        State::Deleted(deleted) => {
            (deleted.version, deleted.commands.clone(), deleted.reserved_versions, deleted.with_ancestors())
        }
        State::Present(_) => return None,
    };
    let mut branches = BTreeMap::new();
    for (number, sink) in (0..).zip(spec.sink_names()) {
        let (key, own) = (BranchId::new(id.clone(), number), spec.of_sink(sink.as_ref())?);
        branches.insert(number, Branch { reserved_versions, ..Branch::new(key, incarnation.clone(), sink, own) });
    }
    Some(State::Present(Box::new(Pipeline {
        id: id.clone(),
        incarnation: incarnation.clone(),
        ancestors,
        spec: spec.clone(),
        pushes,
        events: 0,
        version,
        created_at: at,
        updated_at: at,
        commands,
        inbox: Inbox::default(),
        inboxes: BTreeMap::new(),
        branches,
    })))
}

fn started(branch: &mut Branch, lanes: u32, attempt: u32) -> Option<()> {
    if matches!(branch.phase, Phase::Running(_) | Phase::Removed) {
        return None;
    }
    match branch.progress.fixed_lanes() {
        Some(fixed) => (fixed == lanes).then_some(())?,
        None => branch.progress.spread(lanes),
    }
    branch.waits = None;
    branch.phase = Phase::Running(Running { stopping: None, attempt, run: None });
    Some(())
}

/// Also of one that has stopped and waits for others.
fn stop_requested(branch: &mut Branch, then: &Then) -> Option<()> {
    match &mut branch.phase {
        Phase::Running(running) => running.stopping = Some(then.clone()),
        _ => *branch.waits.as_mut()? = then.clone(),
    }
    branch.waits.take_if(|then| then.update.is_none());
    Some(())
}

fn stopped(branch: &mut Branch, settled: bool) -> Option<()> {
    match &branch.phase {
        Phase::Running(Running { stopping: Some(then), .. }) => {
            branch.waits = Some(then.clone()).filter(|then| then.update.is_some());
            branch.settled = settled;
        }
        Phase::Failed(failed) if failed.restart_at.is_some() => {}
        _ => return None,
    }
    branch.phase = Phase::Stopped;
    Some(())
}

fn opened(branch: &mut Branch, at: Timestamp, run: RunId, epoch: Epoch, lanes: &[LaneOpened]) -> Option<()> {
    branch.is_new(run).then_some(())?;
    for lane in lanes {
        branch.progress.advance(&lane.progress, at)?;
        branch.progress.keep_moved(&lane.progress);
    }
    let bare = |lane: &LaneOpened| LaneOpened {
        progress: LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..lane.progress.clone() },
        ..lane.clone()
    };
    branch.undecided = None;
    branch.settled = false;
    branch.last_run = Some(LastRun { run, epoch, at, lanes: lanes.iter().map(bare).collect() });
    branch.running_mut()?.run = Some(run);
    Some(())
}

fn processed(branch: &mut Branch, at: Timestamp, run: RunId, lanes: &[LaneProgress]) -> Option<()> {
    branch.is_current(run).then_some(())?;
    let mut moved = false;
    for lane in lanes {
        moved |= branch.progress.advance(&branch.progress.whole(lane), at)?;
    }
    if moved {
        branch.running_mut()?.attempt = 0;
    }
    Some(())
}

/// Versions only rise, whichever run they are reserved for.
fn reserve(branch: &mut Branch, reserved_versions: Option<u64>) {
    branch.reserved_versions = branch.reserved_versions.max(reserved_versions.unwrap_or(0));
}

fn failed(branch: &mut Branch, at: Timestamp, cause: &Cause, restart_at: Option<Timestamp>) -> Option<()> {
    let running = branch.running()?;
    (running.stopping.is_none() || cause.is_behind()).then_some(())?;
    let attempt = running.attempt;
    if cause.is_behind() {
        branch.undecided = Some(cause.clone());
        branch.settled = false;
    }
    branch.phase = Phase::Failed(Failed { cause: cause.clone(), at, restart_at, attempt });
    Some(())
}

/// What a branch is after a user has decided where it goes on: what it ended with is over.
fn reset(branch: &mut Branch, to: &str, pushed: bool) {
    // Pushed records are not given again once they are delivered.
    if to == Event::BEGINNING && !pushed {
        branch.progress.begin_anew();
    }
    if matches!(branch.phase, Phase::Completed | Phase::Failed(_)) {
        branch.phase = Phase::Stopped;
    }
}

/// A generation settles what a journal did not know of its sink, so that records may be pushed again.
fn settle(branch: &mut Branch) {
    if branch.failed().is_some_and(|failed| failed.cause.is_behind()) {
        branch.phase = Phase::Stopped;
    }
}

/// Pushed batches may be pushed again that the present generations of all branches have given up, the last of them now.
fn forget(pipeline: &mut Pipeline, generation: &NewGeneration) -> Option<()> {
    match pipeline.present().map(|(_, branch)| branch.progress.discarded.clone()).collect::<Option<Vec<Lost>>>() {
        Some(given_up) if generation.discarded.is_some() => pipeline.inbox.forget(&given_up),
        _ => Some(()),
    }
}

fn deleted(state: &State, at: Timestamp) -> Option<State> {
    let pipeline = state.pipeline().filter(|pipeline| !pipeline.runs())?;
    Some(State::Deleted(Deleted {
        incarnation: pipeline.incarnation.clone(),
        ancestors: pipeline.ancestors.clone(),
        events: pipeline.events,
        version: pipeline.version,
        reserved_versions: pipeline.branches.values().map(|branch| branch.reserved_versions).max().unwrap_or(0),
        at,
        commands: pipeline.commands.clone(),
    }))
}
