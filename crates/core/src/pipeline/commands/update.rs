//! Change what a pipeline is.
use super::{generation, start::lanes, stop};
use crate::{
    branch::BranchNumber,
    id::SinkName,
    pipeline::{
        Command, Decision, Effect, Event, Rejected, State,
        command::{Change, Prepared, Settlement},
        event::{NewGeneration, Retargeted},
        rejected::GivenUp,
        state::{Branch, Pipeline, Then},
        then::{Asked, Update, Wanted},
    },
    position::{Partition, Position},
    spec::PipelineSpec,
    warned::{Warned, Warnings},
};
use std::collections::BTreeMap;

/// Each branch is changed on its own, and only where the spec means something else for it than before: another sink begins with
/// it, one that the spec has no longer ends.
///
/// Other records to read, another target or another number of lanes start a new generation, which goes on where the old one
/// ended, but for positions that say nothing to the source any more: those are given up only if a user wants it, and so are
/// pushed records that a branch which ends has not got. Nor does it go on unasked at another target, which has nothing of
/// what was delivered so far.
///
/// While a branch runs, all but name, description and labels has to wait until it has stopped; then it goes on as the new one.
/// Afterwards it is what it was, except that a change of what it does makes a completed one stopped (there may be
/// more to do now), and one that the restart policy would start again is started at once: what failed was the old spec.
pub(in crate::pipeline) fn update(
    state: &State,
    command: &Command,
    wanted: &Wanted,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let wanted = Wanted { spec: super::checked(&wanted.spec, &pipeline.id)?, ..wanted.clone() };
    let (mut decision, mut concerns_a_branch) = (Decision::default(), false);
    for (number, sink) in pipeline.after(&wanted.spec) {
        let prepared = prepared.get(&number).ok_or(Rejected::NotFound)?;
        let of_branch = of_branch((pipeline, number), command, (sink.clone(), &wanted), prepared);
        if let Some(of_branch) = of_branch.map_err(|rejected| rejected.of_sink(sink.as_ref()))? {
            (decision, concerns_a_branch) = (decision.and(of_branch), true);
        }
    }
    if !concerns_a_branch
        && *wanted.spec != pipeline.spec
        && let Some((number, branch)) = pipeline.present().next()
    {
        let (spec, sink, pushes) = (wanted.spec, branch.sink.clone(), pipeline.pushes);
        let updated = Event::PipelineUpdated { spec, sink, generation: None, positions: None, pushes };
        decision = Decision::of(command, number, [updated]);
    }
    Ok(decision)
}

/// What an update does to the branch that has this number, or gets it, and whose sink is called so; none: it does not concern it.
fn of_branch(
    (pipeline, number): (&Pipeline, BranchNumber),
    command: &Command,
    (sink, wanted): (Option<SinkName>, &Wanted),
    prepared: &Prepared,
) -> Result<Option<Decision>, Rejected> {
    let planned = |settled| plan((pipeline, number), settled, sink.as_ref(), wanted, prepared);
    let own = wanted.spec.of_sink(sink.as_ref());
    let Some(branch) = pipeline.branches.get(&number).filter(|branch| branch.is_present()) else {
        let settled = pipeline.branches.get(&number).is_none_or(|branch| branch.settled);
        let own = own.filter(|_| runs(pipeline));
        return Ok(Some(updated(command, number, planned(settled)?, (pipeline.branches.get(&number), own.as_ref()))));
    };
    let alike = own.as_ref().is_some_and(|own| own.runs_like(&branch.spec));
    let begins = own.as_ref().is_some_and(|own| branch.starts_generation(own, &prepared.change));
    let pending = branch.stopping().is_some_and(|then| then.update.is_some());
    match branch.running() {
        Some(running) if pending || !alike => {
            let start = running.stopping.as_ref().is_none_or(|then| then.start);
            let known = running.stopping.as_ref().and_then(|then| then.update.as_ref());
            if known.is_some_and(|known| known.wanted == *wanted) {
                return Ok(Some(Decision::default()));
            }
            let mut update = None;
            if own.as_ref() != Some(&branch.spec) {
                planned(false)?;
                update = Some(Box::new(Update { wanted: wanted.clone(), sink, by: Asked::of(command) }));
            }
            Ok(Some(stop::stop_for(number, running, command, Then { update, start })))
        }
        running if alike && branch.sink == sink && (running.is_some() || !begins) => Ok(None),
        _ => {
            let own = own.filter(|_| branch.restart_at().is_some() && !alike);
            Ok(Some(updated(command, number, planned(branch.settled)?, (Some(branch), own.as_ref()))))
        }
    }
}

/// Whether any branch of the pipeline runs, or will by itself.
fn runs(pipeline: &Pipeline) -> bool {
    pipeline.present().any(|(_, branch)| match branch.running() {
        Some(running) => running.stopping.as_ref().is_none_or(|then| then.start),
        None => branch.restart_at().is_some(),
    })
}

/// An update of a branch, which starts with it if there is a spec to start with.
fn updated(
    command: &Command,
    number: BranchNumber,
    event: Event,
    (branch, starts): (Option<&Branch>, Option<&PipelineSpec>),
) -> Decision {
    let lanes = starts.map(|spec| lanes(branch.filter(|_| !event.starts_generation()), spec));
    let decision = Decision::of(command, number, [event]);
    let Some(lanes) = lanes else { return decision };
    let started = Event::PipelineStarted { lanes, attempt: 0 };
    decision.and(Decision::of(command, number, [started])).then(number, Effect::StartRun)
}

/// The update of a branch that does not run. `settled`: the journal knows all that the sink has.
pub(super) fn plan(
    (pipeline, number): (&Pipeline, BranchNumber),
    settled: bool,
    sink: Option<&SinkName>,
    wanted: &Wanted,
    prepared: &Prepared,
) -> Result<Event, Rejected> {
    let Prepared { change, settlement, nonce, reached, pushes } = prepared;
    let updated = |generation, positions| {
        let (spec, sink) = (wanted.spec.clone(), sink.cloned());
        Event::PipelineUpdated { spec, sink, generation, positions, pushes: *pushes }
    };
    let (Some(branch), Some(spec)) = (pipeline.branches.get(&number), wanted.spec.of_sink(sink)) else {
        // It begins, or ends where it is.
        let ends = pipeline.branches.get(&number);
        if let Some(branch) = ends.filter(|_| !wanted.reset) {
            GivenUp::check_end(pipeline, branch, settlement.lanes())?;
        }
        let positions = ends.map(|branch| branch.progress.positions());
        let generation = ends.is_none().then(|| generation::of_new_branch(*nonce));
        return Ok(updated(generation, positions.filter(|_| settled)));
    };
    let mut kept = branch.progress.positions_with(settlement.lanes());
    if !branch.starts_generation(&spec, change) {
        let known = match settlement {
            Settlement::Settled { .. } => true,
            Settlement::NotNeeded => settled,
            Settlement::Unsettled { .. } => false,
        };
        return Ok(updated(None, (known && !spec.runs_like(&branch.spec)).then_some(kept)));
    }
    let given_up = kept.extract_if(.., |partition, _| change.given_up.contains_key(partition)).collect();
    if !wanted.reset {
        GivenUp::check(&given_up, change)?;
    }
    let pushed = pushes.map(|_| &pipeline.inbox);
    let mut generation = generation::begin(branch, pushed, kept, settlement, *nonce)?;
    generation.reached = reached.clone();
    generation.given_up = given_up;
    if let Some((from, to)) = &change.target {
        let records = branch.progress.lacked_by(to, &generation.settled);
        if records > 0 && !wanted.retarget && !generation.positions.is_empty() {
            return Err(Rejected::RetargetNeeded { records });
        }
        generation.retargeted = Some(Retargeted { from: from.clone(), to: to.clone(), records });
    }
    generation.notes = notes(&generation, change);
    Ok(updated(Some(generation), None))
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
