//! A run continues after records that no longer exist.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Event, Rejected, State, event::Lost},
};

/// Recorded once. A run that fails before the next checkpoint will find the same loss again. The ledger counts the loss
/// with the commit that skips it.
pub(in crate::pipeline) fn lost(
    state: &State,
    command: &Command,
    run: RunId,
    lost: &Lost,
) -> Result<Decision, Rejected> {
    let known = &super::reported(state, command, run)?.progress.losses;
    if known.contains(lost) {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, command.branch, [Event::RecordsLost(lost.clone())]))
}
