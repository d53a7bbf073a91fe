//! Change what a pipeline is.
use super::{generation, stop};
use crate::pipeline::{
    Command, Decision, Effect, Event, Rejected, State,
    command::{Change, Prepared, Settlement},
    event::{NewGeneration, Retargeted},
    rejected::GivenUp,
    state::{Pipeline, Running, Then},
    then::{Asked, Update, Wanted},
};
use crate::{
    limits::MAX_LANES,
    position::{Partition, Position},
    warned::{Warned, Warnings},
};

/// Other records to read, another target or another number of lanes start a new generation, which goes on where the old one
/// ended, but for positions that say nothing to the source any more: those are given up only if a user wants it. Nor does
/// it go on unasked at another target, which has nothing of what was delivered so far.
///
/// A running one is stopped, changed and started again; all that can be known before is asked before it is stopped. Its
/// name, description and labels change at once.
///
/// Afterwards a pipeline is what it was, except that a change of what it does makes a completed one stopped (there may be
/// more to do now), and one that the restart policy would start again is started at once: what failed was the old spec.
pub(in crate::pipeline) fn update(
    state: &State,
    command: &Command,
    wanted: &Wanted,
    prepared: &Prepared,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let wanted = Wanted { spec: super::checked(&wanted.spec, &pipeline.id)?, ..wanted.clone() };
    match state {
        State::Running(running) if state.pending().is_some() || !wanted.spec.runs_like(&pipeline.spec) => {
            once_stopped(running, command, wanted, prepared)
        }
        _ if *wanted.spec == pipeline.spec => Ok(Decision::default()),
        State::Failed(failed) if failed.restart_at.is_some() && !wanted.spec.runs_like(&pipeline.spec) => {
            tried_again(pipeline, command, &wanted, prepared)
        }
        _ => Ok(Decision::of(command, [plan(pipeline, pipeline.settled, &wanted, prepared)?])),
    }
}

/// Changes a pipeline that waits for its restart, and starts it in the same step, as its first attempt.
fn tried_again(
    pipeline: &Pipeline,
    command: &Command,
    wanted: &Wanted,
    prepared: &Prepared,
) -> Result<Decision, Rejected> {
    let updated = plan(pipeline, pipeline.settled, wanted, prepared)?;
    let fixed = match &updated {
        Event::PipelineUpdated { generation: Some(_), .. } => None,
        _ => pipeline.progress.fixed_lanes(),
    };
    let lanes = fixed.unwrap_or(prepared.lanes.clamp(1, MAX_LANES));
    let started = Event::PipelineStarted { lanes, attempt: 0 };
    Ok(Decision::of(command, [updated, started]).then(Effect::StartRun))
}

/// Stops a running pipeline so it can be updated. Replaces a pending update; an update to the present spec cancels it.
/// It starts again, unless it was to stay stopped before the update was asked for.
fn once_stopped(
    running: &Running,
    command: &Command,
    wanted: Wanted,
    prepared: &Prepared,
) -> Result<Decision, Rejected> {
    let Running { pipeline, stopping, .. } = running;
    let pending = stopping.as_ref().and_then(|then| then.update.as_ref());
    if pending.is_some_and(|pending| pending.wanted == wanted) {
        return Ok(Decision::default());
    }
    let start = stopping.as_ref().is_none_or(|then| then.start);
    let mut update = None;
    if *wanted.spec != pipeline.spec {
        plan(pipeline, false, &wanted, prepared)?;
        update = Some(Box::new(Update { wanted, by: Asked::of(command) }));
    }
    Ok(stop::stop_for(running, command, Then { update, start }))
}

/// The update of a pipeline that has stopped. `settled`: the journal knows all that the sink has.
pub(super) fn plan(
    pipeline: &Pipeline,
    settled: bool,
    wanted: &Wanted,
    prepared: &Prepared,
) -> Result<Event, Rejected> {
    let (Prepared { change, settlement, nonce, reached, pushes, lanes: _ }, spec) = (prepared, wanted.spec.clone());
    let pushes = *pushes;
    let mut kept = pipeline.progress.positions_with(settlement.lanes());
    if !pipeline.starts_generation(&spec, change) {
        let known = match settlement {
            Settlement::Settled { .. } => true,
            Settlement::NotNeeded => settled,
            Settlement::Unsettled { .. } => false,
        };
        let positions = (known && !spec.runs_like(&pipeline.spec)).then_some(kept);
        return Ok(Event::PipelineUpdated { spec, generation: None, positions, pushes });
    }
    let given_up = kept.extract_if(.., |partition, _| change.given_up.contains_key(partition)).collect();
    if !wanted.reset {
        GivenUp::check(&given_up, change)?;
    }
    let mut generation = generation::begin(pipeline, pushes.is_some(), kept, settlement, *nonce)?;
    generation.reached = reached.clone();
    generation.given_up = given_up;
    if let Some((from, to)) = &change.target {
        let records = pipeline.progress.lacked_by(to, &generation.settled);
        if records > 0 && !wanted.retarget && !generation.positions.is_empty() {
            return Err(Rejected::RetargetNeeded { records });
        }
        generation.retargeted = Some(Retargeted { from: from.clone(), to: to.clone(), records });
    }
    generation.notes = notes(&generation, change);
    Ok(Event::PipelineUpdated { spec, generation: Some(generation), positions: None, pushes })
}

/// What users are told of what an update means for what is read and written.
fn notes(generation: &NewGeneration, change: &Change) -> Warnings {
    let number = generation.generation.number;
    let note = |code: &str, message: String, records: u64| Warned {
        code: code.into(),
        subject: String::new(),
        message,
        records,
    };
    let place = |(partition, from): (&Partition, &Position)| {
        let instead = change.given_up.get(partition).map_or("given up", String::as_str);
        format!("{partition} was at {from}: {instead}")
    };
    let places: Vec<String> = generation.given_up.iter().map(place).collect();
    let given_up = (!places.is_empty()).then(|| {
        let message = format!("generation {number} gave up positions: {}", places.join(", "));
        note("positions-given-up", message, 0)
    });
    let target = match &generation.retargeted {
        Some(Retargeted { records: 0, .. }) => None,
        Some(Retargeted { records, .. }) => {
            let message = format!(
                "generation {number} writes to another target, which lacks the {records} record(s) delivered before"
            );
            Some(note("target-changed", message, *records))
        }
        None if change.sink => {
            let message =
                format!("generation {number} writes other rows to the same target; older rows stay unchanged");
            Some(note("target-changed", message, 0))
        }
        None => None,
    };
    given_up.into_iter().chain(target).collect()
}
