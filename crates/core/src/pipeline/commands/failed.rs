//! A run cannot go on.
use super::stopped::end;
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Effect, Event, Rejected, State, command::Prepared, event::Cause},
};

/// The restart policy decides whether it is started again. A failure while stopping ends the stop, unsettled: the next
/// open adopts what the sink has. What it has and the journal does not know of is told all the same, and an
/// update that was to follow is not made.
pub(in crate::pipeline) fn failed(
    state: &State,
    command: &Command,
    run: RunId,
    cause: &Cause,
    restart_in: Option<u64>,
    prepared: Option<&Prepared>,
) -> Result<Decision, Rejected> {
    let running = super::under_way(state, run)?;
    if running.stopping.is_some() && !cause.is_behind() {
        return end(running, command, Event::PipelineStopped { settled: false }, prepared);
    }
    let wait =
        restart_in.filter(|_| cause.retryable && running.pipeline.spec.restart.wait_ms(running.attempt).is_some());
    let restart_at = wait.map(|ms| command.at.plus_millis(i64::try_from(ms).unwrap_or(i64::MAX)));
    let mut decision = Decision::default();
    if let Some(update) = state.pending() {
        decision = decision.refuse(update, command, Rejected::Unsettled { reason: cause.message.clone() });
    }
    decision.events.extend(Decision::of(command, [Event::PipelineFailed { cause: cause.clone(), restart_at }]).events);
    Ok(match restart_at {
        Some(at) => decision.then(Effect::RestartAt(at)),
        None => decision,
    })
}
