//! Make a pipeline.
use crate::{
    id::Incarnation,
    pipeline::{Command, Decision, Event, Rejected, State},
    spec::PipelineSpec,
};

/// Only where there is none. A name left empty becomes the id.
pub(in crate::pipeline) fn create(
    state: &State,
    command: &Command,
    spec: &PipelineSpec,
    incarnation: &Incarnation,
    pushes: Option<u64>,
) -> Result<Decision, Rejected> {
    if state.pipeline().is_some() {
        return Err(Rejected::AlreadyExists);
    }
    if let Some(expected) = command.expected_version {
        return Err(Rejected::VersionMismatch { expected, actual: 0 });
    }
    let spec = super::checked(spec, &command.pipeline)?;
    Ok(Decision::of(command, 0, [Event::PipelineCreated { spec, incarnation: incarnation.clone(), pushes }]))
}
