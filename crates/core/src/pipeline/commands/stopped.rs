//! A run has ended because it was told to.
use super::{start::lanes, update};
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Effect, Event, Rejected, State, command::Prepared, event::Cause, state::Then},
};

/// Stops the branch, and then changes and starts it if that is what was asked for.
pub(in crate::pipeline) fn stopped(
    state: &State,
    command: &Command,
    run: RunId,
    unsettled: Option<&Cause>,
    prepared: Option<&Prepared>,
) -> Result<Decision, Rejected> {
    if super::under_way(state, command, run)?.stopping().is_none() {
        return Err(Rejected::StaleRun);
    }
    end(state, command, Event::PipelineStopped { unsettled: unsettled.cloned() }, prepared)
}

/// The end of a branch's run, and what was to follow, all at once: whatever happens in between, none of it is left undone. An
/// update that can't be made is refused, and the branch goes on as it was.
pub(super) fn end(
    state: &State,
    command: &Command,
    end: Event,
    prepared: Option<&Prepared>,
) -> Result<Decision, Rejected> {
    let (pipeline, number) = (state.pipeline().ok_or(Rejected::NotFound)?, command.branch);
    let branch = pipeline.branches.get(&number).ok_or(Rejected::StaleRun)?;
    let settled = !matches!(end, Event::PipelineStopped { unsettled: Some(_) });
    let mut decision = Decision::of(command, number, [end]);
    let Some(Then { update, start }) = branch.stopping() else { return Ok(decision) };
    let (mut goes_on, mut spec) = (Some(branch), Some(branch.spec.clone()));
    if let Some(update) = update {
        // Whoever reports knew of it: the report is of what was before it was asked.
        let prepared = prepared.ok_or(Rejected::StaleRun)?;
        match update::plan((pipeline, number), settled, update.sink.as_ref(), &update.wanted, prepared) {
            Ok(event) => {
                goes_on = goes_on.filter(|_| !event.starts_generation());
                spec = update.wanted.spec.of_sink(update.sink.as_ref());
                decision.events.push(update.by.event(command.at, number, event));
            }
            Err(rejected) => decision = decision.refuse(number, update, command, rejected),
        }
    }
    let Some(spec) = spec.filter(|_| *start) else { return Ok(decision) };
    let started = Event::PipelineStarted { lanes: lanes(goes_on, &spec), attempt: 0 };
    Ok(decision.and(Decision::of(command, number, [started])).then(number, Effect::StartRun))
}
