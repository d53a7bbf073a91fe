//! A run has opened its source and sink and knows where it goes on.
use crate::{
    id::{Epoch, RunId},
    pipeline::{Command, Decision, Event, Rejected, State, event::LaneOpened},
};

/// Only a run that is newer than the last, and never behind the journal. It may come while the pipeline is stopping.
pub(in crate::pipeline) fn opened(
    state: &State,
    command: &Command,
    (run, epoch): (RunId, Epoch),
    lanes: &[LaneOpened],
    versions: Option<u64>,
) -> Result<Decision, Rejected> {
    match state {
        State::Running(running)
            if running.is_new(run) && !lanes.iter().any(|lane| running.pipeline.progress.is_behind(&lane.progress)) =>
        {
            Ok(Decision::of(command, [Event::RunOpened { run, epoch, lanes: lanes.to_vec(), versions }]))
        }
        _ => Err(Rejected::StaleRun),
    }
}
