//! Stop a pipeline if it runs, and run it again.
use super::{start, stop};
use crate::{
    branch::BranchNumber,
    pipeline::{Command, Decision, Rejected, State},
};

/// A running branch is stopped and started again once it has stopped; any other is started.
pub(in crate::pipeline) fn restart(
    state: &State,
    command: &Command,
    only: Option<BranchNumber>,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    if !pipeline.chosen(only).any(|(_, branch)| branch.is_under_way()) {
        return start::start(state, command, only);
    }
    let again = pipeline.chosen(only).map(|(number, branch)| match branch.is_under_way() {
        true => stop::ask(number, branch, command, true),
        false => start::started(number, branch, command, 0),
    });
    Ok(again.fold(Decision::default(), Decision::and))
}
