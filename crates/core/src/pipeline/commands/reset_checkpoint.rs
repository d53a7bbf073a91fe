//! Let a pipeline go on from elsewhere.
use super::{generation, not_allowed};
use crate::{
    branch::BranchNumber,
    pipeline::{Command, Decision, Event, Rejected, State, command::Reset, event::Lost},
    warned::Warned,
};
use std::collections::BTreeMap;

/// Only branches that don't run. Starts a new generation; a completed or failed one is then stopped, and its error is gone.
/// Of pushed records, "the beginning" is the first record that is not yet behind the checkpoint.
pub(in crate::pipeline) fn reset_checkpoint(
    state: &State,
    command: &Command,
    to: &str,
    resets: &BTreeMap<BranchNumber, Reset>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let mut decision = Decision::default();
    for (number, Reset { positions, passed, reached, settlement, nonce }) in resets {
        let branch = pipeline.branches.get(number).ok_or(Rejected::NotFound)?;
        if branch.is_under_way() {
            return Err(not_allowed("reset the checkpoint of", state, "stop it first"));
        }
        let pushed = pipeline.pushes.map(|_| &pipeline.inbox);
        let mut generation = generation::begin(branch, pushed, positions.clone(), settlement, *nonce)?;
        generation.reached = reached.clone();
        generation.passed = passed.clone();
        generation.notes = passed.iter().map(passed_over).collect();
        decision = decision.and(Decision::of(command, *number, [Event::CheckpointReset { to: to.into(), generation }]));
    }
    Ok(decision)
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
