//! Taking an event into the state.
use super::{
    event::{Cause, Event, LaneOpened, LaneProgress, NewGeneration, RecordedEvent},
    remembered::remember,
    state::{Deleted, Failed, Inbox, LastRun, Pipeline, Progress, Running, State, Status},
};
use crate::{
    id::{Epoch, Generation, Incarnation, PipelineId, RunId},
    spec::PipelineSpec,
    time::Timestamp,
    types::InferredTypes,
    warned::{Warned, Warnings},
};
use std::collections::VecDeque;

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
    let mut state = follow(pipeline, state, event).ok_or_else(corrupt)?;
    state.count(number);
    if !event.event.is_quiet() {
        note(&mut state, event);
    }
    Ok(state)
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
fn follow(id: &PipelineId, mut state: State, event: &RecordedEvent) -> Option<State> {
    match &event.event {
        Event::PipelineCreated { spec, incarnation, pushes } => {
            created(id, state, event.at, spec, incarnation, *pushes)
        }
        Event::PipelineUpdated { spec, generation, pushes, positions: _ } => {
            updated(state, spec, generation.as_ref(), *pushes)
        }
        Event::UpdateRefused { code, message } => {
            if let Some(then) = running(&mut state).and_then(|running| running.stopping.as_mut()) {
                then.update = None;
            }
            let message = format!("the update of command {} was not made ({code}): {message}", event.command);
            let refused = Warned { code: "update-refused".into(), subject: String::new(), message, records: 0 };
            state.pipeline_mut()?.progress.notes.put(&[refused].into_iter().collect());
            Some(state)
        }
        Event::PipelineStarted { lanes, attempt } => started(state, *lanes, *attempt),
        Event::StopRequested { then } => {
            running(&mut state)?.stopping = Some(then.clone());
            Some(state)
        }
        Event::PipelineStopped { settled } => stopped(state, *settled),
        Event::BatchReceived { .. } => {
            state.pipeline_mut()?.inbox.receive(&event.event)?;
            Some(state)
        }
        Event::RunOpened { run, epoch, lanes, versions } => {
            let running = running(&mut state)?;
            opened(running, event.at, *run, *epoch, lanes)?;
            reserve(&mut running.pipeline, *versions);
            Some(state)
        }
        Event::PartitionsPlanned { run, planned } => {
            let running = running(&mut state)?;
            (running.is_current(*run) || running.is_new(*run)).then_some(())?;
            running.pipeline.progress.extend_plan(planned)?;
            Some(state)
        }
        Event::BatchProcessed { run, lanes, versions } => {
            let running = running(&mut state)?;
            processed(running, event.at, *run, lanes)?;
            reserve(&mut running.pipeline, *versions);
            Some(state)
        }
        Event::SchemaChanged { learned } => {
            running(&mut state)?.pipeline.learned = InferredTypes::clone(learned);
            Some(state)
        }
        // The ledger counts lost records where their lane does, with the commit that passes over them.
        Event::RecordsLost(lost) => {
            running(&mut state)?.pipeline.progress.losses.note(lost);
            Some(state)
        }
        Event::DeadLettersJoined { first, count, into } => {
            state.pipeline_mut()?.progress.join(*first, *count, into)?;
            Some(state)
        }
        Event::PipelineFailed { cause, restart_at } => failed(state, event.at, cause, *restart_at),
        Event::PipelineCompleted => match state {
            State::Running(running) => Some(State::Completed(Box::new(Pipeline { settled: true, ..running.pipeline }))),
            _ => None,
        },
        Event::CheckpointReset { to, generation } => {
            running(&mut state).is_none().then_some(())?;
            let mut state = begun(state, generation)?;
            let pipeline = state.pipeline_mut()?;
            // Pushed records are not given again once they are delivered.
            if to == Event::BEGINNING && pipeline.pushes.is_none() {
                pipeline.progress.begin_anew();
            }
            Some(decided(state))
        }
        Event::PipelineDeleted => deleted(state, event.at),
    }
}

/// Raises the version and remembers the command.
fn note(state: &mut State, event: &RecordedEvent) {
    let (version, commands) = match state {
        State::Empty => return,
        State::Deleted(deleted) => (&mut deleted.version, &mut deleted.commands),
        State::Configured(pipeline) | State::Stopped(pipeline) | State::Completed(pipeline) => changed(pipeline, event),
        State::Running(running) => changed(&mut running.pipeline, event),
        State::Failed(failed) => changed(&mut failed.pipeline, event),
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

fn changed<'a>(
    pipeline: &'a mut Pipeline,
    event: &RecordedEvent,
) -> (&'a mut u64, &'a mut VecDeque<super::state::Remembered>) {
    pipeline.updated_at = event.at;
    (&mut pipeline.version, &mut pipeline.commands)
}

fn created(
    id: &PipelineId,
    state: State,
    at: Timestamp,
    spec: &PipelineSpec,
    incarnation: &Incarnation,
    pushes: Option<u64>,
) -> Option<State> {
    let (version, commands, versions) = match state {
        State::Empty => (0, VecDeque::new(), 0),
        State::Deleted(deleted) => (deleted.version, deleted.commands, deleted.versions),
        _ => return None,
    };
    Some(State::Configured(Box::new(Pipeline {
        id: id.clone(),
        incarnation: incarnation.clone(),
        spec: spec.clone(),
        pushes,
        events: 0,
        version,
        created_at: at,
        updated_at: at,
        progress: Progress { generation: Generation::FIRST, ..Progress::default() },
        settled: true,
        learned: InferredTypes::default(),
        last_run: None,
        versions,
        commands,
        inbox: Inbox::default(),
        undecided: None,
    })))
}

fn updated(
    mut state: State,
    spec: &PipelineSpec,
    generation: Option<&NewGeneration>,
    pushes: Option<u64>,
) -> Option<State> {
    let runs = running(&mut state).is_some();
    let pipeline = state.pipeline_mut()?;
    let described = pipeline.spec.runs_like(spec);
    // What starts a generation was decided when this was written; the rules may have been others.
    if runs && (!described || generation.is_some()) {
        return None;
    }
    let other = generation.is_some_and(|generation| !generation.given_up.is_empty());
    if other || pipeline.spec.source.kind != spec.source.kind {
        // It was learned from other data.
        pipeline.learned = InferredTypes::default();
    }
    if !described {
        // They may be about what was changed.
        pipeline.progress.by_lane.values_mut().for_each(|lane| lane.warnings = Warnings::default());
        pipeline.progress.notes = Warnings::default();
    }
    pipeline.spec = spec.clone();
    pipeline.pushes = pushes;
    if let Some(generation) = generation {
        state = begun(state, generation)?;
    }
    Some(if described { state } else { to_be_started_by_a_user(state) })
}

fn started(state: State, lanes: u32, attempt: u32) -> Option<State> {
    let mut pipeline = match state {
        State::Configured(pipeline) | State::Stopped(pipeline) | State::Completed(pipeline) => *pipeline,
        State::Failed(failed) => failed.pipeline,
        State::Empty | State::Running(_) | State::Deleted(_) => return None,
    };
    match pipeline.progress.fixed_lanes() {
        Some(fixed) => (fixed == lanes).then_some(())?,
        None => pipeline.progress.spread(lanes),
    }
    Some(State::Running(Box::new(Running { pipeline, stopping: None, attempt, run: None })))
}

fn stopped(state: State, settled: bool) -> Option<State> {
    match state {
        State::Running(running) if running.stopping.is_some() => {
            Some(State::Stopped(Box::new(Pipeline { settled, ..running.pipeline })))
        }
        State::Failed(failed) if failed.restart_at.is_some() => Some(State::Stopped(Box::new(failed.pipeline))),
        _ => None,
    }
}

fn opened(running: &mut Running, at: Timestamp, run: RunId, epoch: Epoch, lanes: &[LaneOpened]) -> Option<()> {
    if !running.is_new(run) {
        return None;
    }
    for lane in lanes {
        running.pipeline.progress.advance(&lane.progress, at)?;
        running.pipeline.progress.keep_moved(&lane.progress);
    }
    let bare = |lane: &LaneOpened| LaneOpened {
        progress: LaneProgress { chunks: Vec::new(), warnings: Warnings::default(), ..lane.progress.clone() },
        ..lane.clone()
    };
    running.pipeline.undecided = None;
    running.pipeline.settled = false;
    running.pipeline.last_run = Some(LastRun { run, epoch, at, lanes: lanes.iter().map(bare).collect() });
    running.run = Some(run);
    running.pipeline.collect_inbox();
    Some(())
}

fn processed(running: &mut Running, at: Timestamp, run: RunId, lanes: &[LaneProgress]) -> Option<()> {
    if !running.is_current(run) {
        return None;
    }
    for lane in lanes {
        let progress = &mut running.pipeline.progress;
        if progress.advance(&progress.whole(lane), at)? {
            running.attempt = 0;
        }
    }
    running.pipeline.collect_inbox();
    Some(())
}

/// Versions only rise, whichever run they are reserved for.
fn reserve(pipeline: &mut Pipeline, versions: Option<u64>) {
    pipeline.versions = pipeline.versions.max(versions.unwrap_or(0));
}

fn failed(state: State, at: Timestamp, cause: &Cause, restart_at: Option<Timestamp>) -> Option<State> {
    match state {
        State::Running(mut running) if running.stopping.is_none() || cause.is_behind() => {
            if cause.is_behind() {
                running.pipeline.undecided = Some(cause.clone());
                running.pipeline.settled = false;
            }
            let Running { pipeline, attempt, .. } = *running;
            Some(State::Failed(Box::new(Failed { pipeline, cause: cause.clone(), at, restart_at, attempt })))
        }
        _ => None,
    }
}

fn deleted(state: State, at: Timestamp) -> Option<State> {
    match state {
        State::Running(_) => None,
        _ => {
            let pipeline = state.pipeline()?;
            Some(State::Deleted(Deleted {
                incarnation: pipeline.incarnation.clone(),
                events: pipeline.events,
                version: pipeline.version,
                versions: pipeline.versions,
                at,
                commands: pipeline.commands.clone(),
            }))
        }
    }
}

/// What a pipeline that does not run is after a user has changed what it does: a completed one is only stopped, since there
/// may be more to do; a failed one is not started again by itself. (An update of one that would be is followed by its start.)
fn to_be_started_by_a_user(state: State) -> State {
    match state {
        State::Failed(failed) => State::Failed(Box::new(Failed { restart_at: None, ..*failed })),
        state => decided(state),
    }
}

/// What a pipeline that does not run is after a user has decided where it goes on: what it ended with is over.
fn decided(state: State) -> State {
    match state {
        State::Completed(pipeline) => State::Stopped(pipeline),
        State::Failed(failed) => State::Stopped(Box::new(failed.pipeline)),
        State::Empty | State::Configured(_) | State::Running(_) | State::Stopped(_) | State::Deleted(_) => state,
    }
}

/// Starts a generation. It settles what a journal did not know of its sink, so that records may be pushed again.
fn begun(mut state: State, generation: &NewGeneration) -> Option<State> {
    state.pipeline_mut()?.begin(generation)?;
    Some(match state {
        State::Failed(failed) if failed.cause.is_behind() => State::Stopped(Box::new(failed.pipeline)),
        state => state,
    })
}

fn running(state: &mut State) -> Option<&mut Running> {
    match state {
        State::Running(running) => Some(running),
        _ => None,
    }
}
