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
    if pipeline.chosen(only).all(|(_, branch)| branch.running().is_none()) {
        return start::start(state, command, only);
    }
    let again = pipeline.chosen(only).map(|(number, branch)| match branch.running() {
        Some(running) => stop::ask(number, running, command, true),
        None => start::started(number, branch, command, 0),
    });
    Ok(again.fold(Decision::default(), Decision::and))
}
