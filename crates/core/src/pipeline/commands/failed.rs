//! A run cannot go on.
use super::{stopped::end, update::refuse};
use crate::{
    branch::BranchNumber,
    id::RunId,
    pipeline::{Command, Decision, Effect, Event, Rejected, State, command::Prepared, event::Cause},
};
use std::collections::BTreeMap;

/// The restart policy decides whether it is started again. A failure while stopping ends the stop, unsettled: the next
/// open adopts what the sink has. What it has and the journal does not know of is told all the same, and an
/// update that was to follow is not made.
pub(in crate::pipeline) fn failed(
    state: &State,
    command: &Command,
    run: RunId,
    cause: &Cause,
    restart_in: Option<u64>,
    prepared: &BTreeMap<BranchNumber, Prepared>,
) -> Result<Decision, Rejected> {
    let branch = super::under_way(state, command, run)?;
    if branch.stopping().is_some() && !cause.is_behind() {
        let stopped = Event::PipelineStopped { unsettled: Some(cause.clone()) };
        return end(state, command, stopped, prepared);
    }
    let attempt = branch.running().map_or(0, |running| running.attempt);
    let wait = restart_in.filter(|_| cause.retryable && branch.spec.restart.wait_ms(attempt).is_some());
    let restart_at = wait.map(|ms| command.at.plus_millis(i64::try_from(ms).unwrap_or(i64::MAX)));
    let mut decision = Decision::default();
    if branch.update().is_some() {
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        let reason =
            [Some(cause.message.clone()), cause.fix.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        decision = refuse(pipeline, command, Rejected::Unsettled { reason }.of_sink(branch.sink.as_ref()));
    }
    let failed = Event::PipelineFailed { cause: cause.clone(), restart_at };
    decision = decision.and(Decision::of(command, command.branch, [failed]));
    Ok(match restart_at {
        Some(at) => decision.then(command.branch, Effect::RestartAt(at)),
        None => decision,
    })
}
