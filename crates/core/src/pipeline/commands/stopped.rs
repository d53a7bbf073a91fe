//! A run has ended because it was told to.
use super::update;
use crate::{
    id::RunId,
    limits::MAX_LANES,
    pipeline::{
        Command, Decision, Effect, Event, Rejected, State,
        command::Prepared,
        state::{Running, Then},
    },
};

/// Stops the pipeline, and then changes and starts it if that is what was asked for.
pub(in crate::pipeline) fn stopped(
    state: &State,
    command: &Command,
    run: RunId,
    settled: bool,
    prepared: Option<&Prepared>,
) -> Result<Decision, Rejected> {
    let running = super::under_way(state, run)?;
    if running.stopping.is_none() {
        return Err(Rejected::StaleRun);
    }
    end(running, command, Event::PipelineStopped { settled }, prepared)
}

/// The end of a run, and what was to follow, all at once: whatever happens in between, none of it is left undone. An update
/// that can't be made is refused, and the pipeline goes on as it was.
pub(super) fn end(
    running: &Running,
    command: &Command,
    end: Event,
    prepared: Option<&Prepared>,
) -> Result<Decision, Rejected> {
    let settled = !matches!(end, Event::PipelineStopped { settled: false });
    let mut decision = Decision::of(command, [end]);
    let Some(Then { update, start }) = &running.stopping else { return Ok(decision) };
    let mut lanes = running.pipeline.progress.lanes;
    if let Some(update) = update {
        // Whoever reports knew of it: the report is of what was before it was asked.
        let prepared = prepared.ok_or(Rejected::StaleRun)?;
        match update::plan(&running.pipeline, settled, &update.wanted, prepared) {
            Ok(event) => {
                if matches!(event, Event::PipelineUpdated { generation: Some(_), .. }) {
                    lanes = Some(prepared.lanes.clamp(1, MAX_LANES));
                }
                decision.events.push(update.by.event(command.at, event));
            }
            Err(rejected) => decision = decision.refuse(update, command, rejected),
        }
    }
    if !start {
        return Ok(decision);
    }
    let started = Decision::of(command, [Event::PipelineStarted { lanes: lanes.unwrap_or(1), attempt: 0 }]);
    decision.events.extend(started.events);
    Ok(decision.then(Effect::StartRun))
}
