//! A run goes on behind records that are no longer there.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Fact, Rejected, State, event::Lost},
};

/// Names what is passed over, once: a run that ends before a checkpoint is behind it is followed by one that finds the same.
/// The ledger counts it with the commit that passes over it.
pub(in crate::pipeline) fn lost(
    state: &State,
    command: &Command,
    run: RunId,
    lost: &Lost,
) -> Result<Decision, Rejected> {
    let known = &super::reported(state, run)?.pipeline.progress.passing;
    if known.contains(lost) {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, [Fact::RecordsLost(lost.clone())]))
}
