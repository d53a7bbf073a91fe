//! Change what a pipeline is.
use super::{
    generation,
    start::{lanes, started, started_with},
    stop::stop_for,
};
use crate::{
    branch::BranchNumber,
    id::SinkName,
    pipeline::{
        Command, Decision, Event, Rejected, State,
        command::{Change, Prepared, Settlement},
        event::{NewGeneration, Retargeted},
        rejected::GivenUp,
        state::{Branch, Pipeline, Then},
        then::{Asked, Update, Wanted},
    },
    position::{Partition, Position},
    problem::Problem,
    warned::{Warned, Warnings},
};
use std::collections::BTreeMap;

/// A branch is changed only where the spec means something else for it than before: another sink begins with it, one that the
/// spec has no longer ends. All of them are changed at once, or none is.
///
/// Other records to read, another target or another number of lanes start a new generation, which goes on where the old one
/// ended, but for positions that say nothing to the source any more: those are given up only if a user wants it, and so are
/// pushed records that a branch which ends has not got. Nor does it go on unasked at another target, which has nothing of
/// what was delivered so far.
///
/// While a branch runs that is to be changed, all but name, description and labels has to wait until it has stopped; then it goes
/// on as the new one. Afterwards it is what it was, except that a change of what it does makes a completed one stopped (there may
/// be more to do now), and one that the restart policy would start again is started at once: what failed was the old spec.
pub(in crate::pipeline) fn update(
    state: &State,
    command: &Command,
    wanted: &Wanted,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let wanted = Wanted { spec: super::checked(&wanted.spec, &pipeline.id)?, ..wanted.clone() };
    if pipeline.pending().is_some_and(|pending| pending.wanted == wanted) {
        return Ok(Decision::default());
    }
    let update = Update { wanted, by: Asked::of(command) };
    // Also where it has to wait: what keeps it from being made is found out before anything stops.
    let made = all_at_once(pipeline, command, &update, prepared)?;
    let stops = stops(pipeline, command, &update, |_| true);
    Ok(if stops.events.is_empty() { made } else { stops })
}

/// An update that branches were stopped for, once all have. Where it can't be made of one of them, all go on as they were.
pub(super) fn make(
    pipeline: &Pipeline,
    command: &Command,
    update: &Update,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    // Whoever reports knew of it: the report is of what was before it was asked.
    if prepared.is_empty() {
        return Err(Rejected::StaleRun);
    }
    // One that was started meanwhile has to stop, too.
    let late = stops(pipeline, command, update, |branch| branch.update().is_none());
    if !late.events.is_empty() {
        return Ok(late);
    }
    let made = all_at_once(pipeline, command, update, prepared);
    Ok(made.unwrap_or_else(|rejected| refuse(pipeline, command, rejected)))
}

/// An update that waits can't be made: who stops for it starts again.
pub(super) fn refuse(pipeline: &Pipeline, command: &Command, rejected: Rejected) -> Decision {
    let (code, message) = (rejected.code(), rejected.in_full());
    let mut decision = Decision { refused: Some(rejected), ..Decision::default() };
    for (number, branch) in &pipeline.branches {
        let Some(update) = branch.update() else { continue };
        let refused = Event::UpdateRefused { code: code.into(), message: message.clone() };
        decision.events.push(update.by.event(command.at, *number, refused));
        if branch.waits.as_ref().is_some_and(|then| then.start) {
            decision = decision.and(started(*number, branch, command, 0));
        }
    }
    decision
}

/// The stops that an update has to wait for, of some branches.
fn stops(pipeline: &Pipeline, command: &Command, update: &Update, of: impl Fn(&Branch) -> bool) -> Decision {
    let spec = &update.wanted.spec;
    let is_new = **spec != pipeline.spec;
    let stop = |(number, sink): (BranchNumber, Option<SinkName>)| {
        let branch = pipeline.branches.get(&number).filter(|branch| of(branch))?;
        let alike = spec.of_sink(sink.as_ref()).is_some_and(|own| own.runs_like(&branch.spec));
        if branch.update().is_none() && (branch.running().is_none() || alike) {
            return None;
        }
        let start = branch.stopping().is_none_or(|then| then.start);
        if !is_new && start && branch.waits.is_some() {
            return Some(started(number, branch, command, 0));
        }
        let update = is_new.then(|| Box::new(update.clone()));
        Some(stop_for(number, branch, command, Then { update, start }))
    };
    pipeline.after(spec).into_iter().filter_map(stop).fold(Decision::default(), Decision::and)
}

/// What an update comes to, or why it can't be made.
fn all_at_once(
    pipeline: &Pipeline,
    command: &Command,
    update: &Update,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    let (mut decision, mut concerns_a_branch) = (Decision::default(), false);
    for (number, sink) in pipeline.after(&update.wanted.spec) {
        let prepared = prepared.get(&number).ok_or(Rejected::StaleRun)?;
        let of_branch = of_branch((pipeline, number), command, (sink.as_ref(), update), prepared);
        if let Some(of_branch) = of_branch.map_err(|rejected| rejected.of_sink(sink.as_ref()))? {
            (decision, concerns_a_branch) = (decision.and(of_branch), true);
        }
    }
    let spec = &update.wanted.spec;
    if !concerns_a_branch
        && **spec != pipeline.spec
        && let Some((number, branch)) = pipeline.present().next()
    {
        let (spec, sink, pushes) = (spec.clone(), branch.sink.clone(), pipeline.pushes);
        let updated = Event::PipelineUpdated { spec, sink, generation: None, positions: None, discarded: None, pushes };
        decision.events.push(update.by.event(command.at, number, updated));
    }
    Ok(decision)
}

/// What an update does to the branch that has this number, or gets it, and whose sink is called so; none: it does not concern it.
fn of_branch(
    (pipeline, number): (&Pipeline, BranchNumber),
    command: &Command,
    (sink, update): (Option<&SinkName>, &Update),
    prepared: &Prepared,
) -> Result<Option<Decision>, Rejected> {
    let own = update.wanted.spec.of_sink(sink);
    let known = pipeline.branches.get(&number);
    let starts = match known.filter(|branch| branch.is_present()) {
        None => runs(pipeline),
        Some(branch) => {
            let alike = own.as_ref().is_some_and(|own| own.runs_like(&branch.spec));
            let begins = own.as_ref().is_some_and(|own| branch.starts_generation(own, &prepared.change));
            let goes_on = branch.running().is_some() || !begins;
            if alike && goes_on && branch.sink.as_ref() == sink && branch.waits.is_none() {
                return Ok(None);
            }
            branch.waits.as_ref().map_or(branch.restart_at().is_some() && !alike, |then| then.start)
        }
    };
    let event = plan((pipeline, number), sink, &update.wanted, prepared)?;
    let goes_on = known.filter(|_| !event.starts_generation());
    let mut decision = Decision::default();
    decision.events.push(update.by.event(command.at, number, event));
    let started = own.filter(|_| starts).map(|own| started_with(number, lanes(goes_on, &own), command, 0));
    Ok(Some(decision.and(started.unwrap_or_default())))
}

/// Whether any branch of the pipeline runs, or will by itself.
fn runs(pipeline: &Pipeline) -> bool {
    pipeline.present().any(|(_, branch)| match branch.stopping() {
        Some(then) => then.start,
        None => branch.running().is_some() || branch.restart_at().is_some(),
    })
}

/// The update of a branch that does not run.
fn plan(
    (pipeline, number): (&Pipeline, BranchNumber),
    sink: Option<&SinkName>,
    wanted: &Wanted,
    prepared: &Prepared,
) -> Result<Event, Rejected> {
    let Prepared { change, settlement, nonce, reached, pushes, target: _, shares: _ } = prepared;
    let updated = |generation, positions, discarded| {
        let (spec, sink) = (wanted.spec.clone(), sink.cloned());
        Event::PipelineUpdated { spec, sink, generation, positions, discarded, pushes: *pushes }
    };
    if !wanted.retarget {
        check_apart((pipeline, number), (sink, wanted), prepared)?;
    }
    // Whether the journal knows all that the sink has.
    let settled = pipeline.branches.get(&number).is_none_or(|branch| branch.settled && branch.running().is_none());
    let pushed = pushes.map(|_| &pipeline.inbox);
    let (branch, spec) = match (pipeline.branches.get(&number), wanted.spec.of_sink(sink)) {
        (Some(branch), Some(spec)) => (branch, spec),
        (Some(ends), None) => {
            let discarded = GivenUp::by_end(pipeline, ends, settlement.lanes());
            if let Some(lost) = discarded.as_ref().filter(|_| !wanted.reset) {
                return Err(GivenUp::of_removed(lost));
            }
            return Ok(updated(None, settled.then(|| ends.progress.positions()), discarded));
        }
        (None, _) => return Ok(updated(Some(generation::of_new_branch(pushed, *nonce)), None, None)),
    };
    let mut kept = branch.progress.positions_with(settlement.lanes());
    if !branch.starts_generation(&spec, change) {
        let known = match settlement {
            Settlement::Settled { .. } => true,
            Settlement::NotNeeded => settled,
            Settlement::Unsettled { .. } => false,
        };
        return Ok(updated(None, (known && !spec.runs_like(&branch.spec)).then_some(kept), None));
    }
    let given_up = kept.extract_if(.., |partition, _| change.given_up.contains_key(partition)).collect();
    if !wanted.reset {
        GivenUp::check(&given_up, change)?;
    }
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
    Ok(updated(Some(generation), None, None))
}

/// Refuses to give a sink a target where another branch has delivered: it would write that there a second time.
fn check_apart(
    (pipeline, number): (&Pipeline, BranchNumber),
    (sink, wanted): (Option<&SinkName>, &Wanted),
    prepared: &Prepared,
) -> Result<(), Rejected> {
    let Some(target) = &prepared.target else { return Ok(()) };
    let others = pipeline.branches.iter().filter(|(other, _)| **other != number);
    let has_written = |(other, branch): (&BranchNumber, _)| {
        let written = written_to(branch, target, prepared.shares.contains(other))?;
        Some((branch, written))
    };
    let Some((other, written)) = others.into_iter().find_map(has_written) else { return Ok(()) };
    let at = wanted.spec.sinks.iter().position(|one| Some(&one.name) == sink);
    let at = at.map_or("sink".into(), |at| format!("sinks[{at}]"));
    let before = other.sink.as_ref().map_or("the only sink so far".into(), |name| format!("sink {name}"));
    let written = match written {
        Some(records) => format!("{before} has delivered {records} record(s) there"),
        None => format!("{before}, which did not stop in order, may have delivered records there"),
    };
    let message = format!("{written}, which this sink would write a second time");
    let fix = "to continue from the position of that sink, keep its name, or rename it in an update of its own; or give this one \
        another target, or \"retarget\" to write them again";
    Err(Rejected::Invalid { problems: vec![Problem::new(at, "conflict", message).fix(fix)] })
}

/// How many records a branch has delivered to a target, if any, or that nobody knows it. It `writes` there now, or may have before.
fn written_to(branch: &Branch, target: &str, writes: bool) -> Option<Option<u64>> {
    let before = branch.progress.away.iter().rfind(|away| away.target == target).map_or(0, |away| away.left.records);
    let now = if writes { branch.progress.held_by_target(&[]) } else { 0 };
    // Of one that runs, it is seen again once it has stopped.
    let is_known = !writes || branch.settled || branch.running().is_some();
    if is_known { (before + now > 0).then_some(Some(before + now)) } else { Some(None) }
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
