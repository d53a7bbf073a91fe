//! A run goes on behind records that are no longer there.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Fact, Rejected, State, event::Lost},
};

/// Names what was passed over. The ledger counts it with the commit that passes over it.
pub(in crate::pipeline) fn lost(
    state: &State,
    command: &Command,
    run: RunId,
    lost: &Lost,
) -> Result<Decision, Rejected> {
    super::reported(state, run)?;
    Ok(Decision::of(command, [Fact::RecordsLost(lost.clone())]))
}
