//! Change what a pipeline is.
use super::{generation, not_allowed};
use crate::{
    pipeline::{Command, Decision, Fact, Rejected, State, command::Settlement},
    position::Positions,
    spec::PipelineSpec,
};

/// While it runs, only name, description and labels. Another source, sink or number of lanes starts a new generation,
/// which goes on where the old one ended as long as the source is the same.
///
/// Afterwards a pipeline is what it was, except that a change of what it does makes a completed one stopped (there may be
/// more to do now) and cancels the restart of a failed one (the user is at work on it, and starts it when done).
pub(in crate::pipeline) fn update(
    state: &State,
    command: &Command,
    spec: &PipelineSpec,
    settlement: &Settlement,
    positions: &Positions,
) -> Result<Decision, Rejected> {
    let pipeline = command.target(state)?;
    let spec = super::checked(spec, &pipeline.id)?;
    if *spec == pipeline.spec {
        return Ok(Decision::default());
    }
    if matches!(state, State::Running(_)) && !spec.runs_like(&pipeline.spec) {
        let fix = "stop it first; only name, description and labels may change while it runs";
        return Err(not_allowed("update", state, fix));
    }
    let generation = if pipeline.starts_generation(&spec) {
        let mut begin = match settlement {
            _ if !spec.source.reads_like(&pipeline.spec.source) => Positions::new(),
            Settlement::Settled { lanes } => pipeline.progress.positions_with(lanes),
            Settlement::NotNeeded | Settlement::Unsettled { .. } => pipeline.progress.positions(),
        };
        begin.extend(positions.clone());
        Some(generation::begin(pipeline, &spec, begin, settlement)?)
    } else {
        None
    };
    Ok(Decision::of(command, [Fact::PipelineUpdated { spec, generation }]))
}
