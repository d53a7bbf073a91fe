//! A run has found partitions of its source.
use crate::{
    id::RunId,
    limits::MAX_LANES,
    pipeline::{Command, Decision, Event, Rejected, State},
    position::{Partition, Position},
};

/// Those that are not in the plan yet get a lane. It may come before the run is open: where they begin must not depend on when
/// the sink is ready. And while the pipeline is stopping. How many `lanes` there are counts until a run was opened.
pub(in crate::pipeline) fn partitions(
    state: &State,
    command: &Command,
    run: RunId,
    (found, lanes): (&[(Partition, Position)], Option<u32>),
) -> Result<Decision, Rejected> {
    let mut progress = super::under_way(state, command, run)?.progress.clone();
    let lanes = lanes.map(|lanes| lanes.clamp(1, MAX_LANES));
    let lanes = lanes.filter(|lanes| progress.by_lane.is_empty() && progress.lanes != Some(*lanes));
    if let Some(lanes) = lanes {
        progress.spread(lanes);
    }
    let planned = progress.plan_for(found);
    if planned.is_empty() && lanes.is_none() {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, command.branch, [Event::PartitionsPlanned { run, planned, lanes }]))
}
