//! Change what a pipeline is.
use super::{generation, not_allowed};
use crate::{
    pipeline::{
        Command, Decision, Fact, Rejected, State,
        command::{Change, Settlement},
        event::Retargeted,
        rejected::GivenUp,
    },
    spec::PipelineSpec,
};

/// What a user wants even if something is left behind with it.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Wanted {
    /// Positions.
    pub(in crate::pipeline) reset: bool,
    /// Records that the target before has got.
    pub(in crate::pipeline) retarget: bool,
}

/// While it runs, only name, description and labels. Other records to read, another target or another number of lanes
/// start a new generation, which goes on where the old one ended, but for positions that say nothing to the source any
/// more: those are given up only if a user wants it. Nor does it go on unasked at another target, which has nothing of what
/// was delivered so far.
///
/// Afterwards a pipeline is what it was, except that a change of what it does makes a completed one stopped (there may be
/// more to do now) and cancels the restart of a failed one (the user is at work on it, and starts it when done).
pub(in crate::pipeline) fn update(
    state: &State,
    command: &Command,
    spec: &PipelineSpec,
    change: &Change,
    wanted: Wanted,
    settlement: &Settlement,
    nonce: u64,
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
    if !pipeline.starts_generation(&spec, change) {
        return Ok(Decision::of(command, [Fact::PipelineUpdated { spec, generation: None }]));
    }
    let mut kept = pipeline.progress.positions_with(settlement.lanes());
    let given_up = kept.extract_if(.., |partition, _| change.given_up.contains_key(partition)).collect();
    if !wanted.reset {
        GivenUp::check(&given_up, change)?;
    }
    let mut generation = generation::begin(pipeline, &spec, kept, settlement, nonce)?;
    generation.given_up = given_up;
    if let Some((from, to)) = &change.target {
        let records = pipeline.progress.held_by_target(&generation.settled);
        if records > 0 && !wanted.retarget && !generation.positions.is_empty() {
            return Err(Rejected::RetargetNeeded { records });
        }
        generation.retargeted = Some(Retargeted { from: from.clone(), to: to.clone(), records });
    }
    Ok(Decision::of(command, [Fact::PipelineUpdated { spec, generation: Some(generation) }]))
}
