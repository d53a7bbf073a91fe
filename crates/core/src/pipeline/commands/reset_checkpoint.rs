//! Let a pipeline go on from elsewhere.
use super::{generation, not_allowed};
use crate::{
    pipeline::{Command, Decision, Event, Rejected, State, command::Settlement, event::Lost},
    position::Positions,
    warned::Warned,
};

/// Only while it does not run. Starts a new generation; a completed or failed pipeline is then stopped, and its error is gone.
/// Of pushed records, "the beginning" is the first record that is not yet behind the checkpoint.
pub(in crate::pipeline) fn reset_checkpoint(
    state: &State,
    command: &Command,
    to: &str,
    (positions, passed, reached): (&Positions, &[Lost], &Positions),
    settlement: &Settlement,
    nonce: u64,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    if matches!(state, State::Running(_)) {
        return Err(not_allowed("reset the checkpoint of", state, "stop it first"));
    }
    let mut generation = generation::begin(pipeline, pipeline.pushes.is_some(), positions.clone(), settlement, nonce)?;
    generation.reached = reached.clone();
    generation.passed = passed.to_vec();
    generation.notes = passed.iter().map(passed_over).collect();
    Ok(Decision::of(command, [Event::CheckpointReset { to: to.into(), generation }]))
}

/// What users are told of records that they have passed over.
fn passed_over(passed: &Lost) -> Warned {
    let Lost { partition, from, to, records } = passed;
    let counted = match records {
        0 => "the source can't count the skipped records, so the ledger does not include them".into(),
        records => format!("{records} record(s) skipped, which the ledger counts as lost"),
    };
    let message = format!("{partition} continues at {to} instead of {from}: {counted}");
    Warned { code: "passed-over".into(), subject: partition.to_string(), message, records: *records }
}
