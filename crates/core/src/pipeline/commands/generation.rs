//! Starting a new generation.
use crate::{
    pipeline::{
        Rejected,
        command::Settlement,
        event::NewGeneration,
        state::{Inbox, Pipeline},
    },
    position::Positions,
    spec::PipelineSpec,
};

/// The generation that starts at `positions` for a pipeline that is `spec` from now on. The one that ends must be
/// settled if a run was ever opened in it, or a user must want it nevertheless.
pub(super) fn begin(
    pipeline: &Pipeline,
    spec: &PipelineSpec,
    mut positions: Positions,
    settlement: &Settlement,
) -> Result<NewGeneration, Rejected> {
    let known = pipeline.progress.generation;
    let (newest, lost) = match settlement {
        Settlement::Settled { newest, lost, .. } => (newest.map_or(known, |newest| known.max(newest)), *lost),
        Settlement::NotNeeded | Settlement::Unsettled { .. } => (known, None),
    };
    let (settled, unsettled) = match settlement {
        Settlement::Settled { lanes, .. } => (lanes.clone(), None),
        Settlement::NotNeeded | Settlement::Unsettled { .. } if !pipeline.needs_settlement() => (Vec::new(), None),
        Settlement::NotNeeded => {
            return Err(Rejected::Unsettled { reason: "it was not opened to see what it has".into() });
        }
        Settlement::Unsettled { reason, forced: true } => (Vec::new(), Some(reason.clone())),
        Settlement::Unsettled { reason, forced: false } => {
            return Err(Rejected::Unsettled { reason: reason.clone() });
        }
    };
    if spec.source.kind == Inbox::SOURCE {
        pipeline.inbox.clamp(&mut positions);
    }
    Ok(NewGeneration { generation: newest.next(), positions, given_up: Positions::new(), settled, lost, unsettled })
}
