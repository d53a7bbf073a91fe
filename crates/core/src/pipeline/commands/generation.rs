//! Starting a new generation.
use crate::{
    id::Generation,
    pipeline::{
        Rejected,
        command::Settlement,
        event::NewGeneration,
        state::{Inbox, Pipeline},
    },
    position::Positions,
    spec::PipelineSpec,
    time::Timestamp,
};

/// The generation that starts at `positions` for a pipeline that is `spec` from now on. The one that ends must be
/// settled if a run was ever opened in it, or a user must want it nevertheless.
pub(super) fn begin(
    pipeline: &Pipeline,
    spec: &PipelineSpec,
    mut positions: Positions,
    settlement: &Settlement,
    at: Timestamp,
) -> Result<NewGeneration, Rejected> {
    let known = pipeline.progress.generation;
    let (newest, lost) = match settlement {
        Settlement::Settled { newest, lost, .. } => (newest.map_or(known, |newest| known.max(newest)), *lost),
        // Nobody has looked which generations the sink knows, as of a newer journal that this one was restored over: the
        // seconds of the clock are beyond them all, and beyond those of an earlier command of this kind.
        Settlement::Unsettled { forced: true, .. } if pipeline.needs_settlement() => {
            (known.max(Generation(u64::try_from(at.seconds()).unwrap_or(0))), None)
        }
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
    let mut discarded = None;
    if spec.source.kind == Inbox::SOURCE {
        pipeline.inbox.clamp(&mut positions);
        discarded = pipeline.inbox.discarded(&pipeline.progress, &settled, &positions);
    }
    let (generation, given_up) = (newest.next(), Positions::new());
    Ok(NewGeneration { generation, positions, given_up, settled, lost, retargeted: None, discarded, unsettled })
}
