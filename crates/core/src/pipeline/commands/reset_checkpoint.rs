//! Let a pipeline go on from elsewhere.
use super::{generation, not_allowed};
use crate::{
    pipeline::{Command, Decision, Fact, Rejected, State, command::Settlement},
    position::Positions,
};

/// Only while it does not run. Starts a new generation; a completed pipeline is then stopped, a failed one waits for a
/// user, as after an update. Of an `http` source, "the beginning" is the first record that is not yet behind the checkpoint.
pub(in crate::pipeline) fn reset_checkpoint(
    state: &State,
    command: &Command,
    to: &str,
    positions: &Positions,
    settlement: &Settlement,
    nonce: u64,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    if matches!(state, State::Running(_)) {
        return Err(not_allowed("reset the checkpoint of", state, "stop it first"));
    }
    let generation = generation::begin(pipeline, &pipeline.spec, positions.clone(), settlement, nonce)?;
    Ok(Decision::of(command, [Fact::CheckpointReset { to: to.into(), generation }]))
}
