//! A run has found partitions of its source.
use crate::{
    id::RunId,
    pipeline::{Command, Decision, Event, Rejected, State},
    position::{Partition, Position},
};

/// Those that are not in the plan yet get a lane. It may come before the run is open: where they begin must not depend on when
/// the sink is ready. And while the pipeline is stopping.
pub(in crate::pipeline) fn partitions(
    state: &State,
    command: &Command,
    run: RunId,
    found: &[(Partition, Position)],
) -> Result<Decision, Rejected> {
    let planned = super::under_way(state, run)?.pipeline.progress.plan_for(found);
    if planned.is_empty() {
        return Ok(Decision::default());
    }
    Ok(Decision::of(command, [Event::PartitionsPlanned { run, planned }]))
}
