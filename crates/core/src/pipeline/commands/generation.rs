//! Starting a new generation.
use crate::{
    id::Generation,
    pipeline::{
        Rejected,
        command::Settlement,
        event::NewGeneration,
        inbox::{Inbox, begins_late},
        state::Branch,
    },
    position::Positions,
    warned::Warnings,
};

/// The generation of a branch that starts at `positions`, where `pushed` is what its pipeline has of pushed records, if such are
/// read from now on; `nonce` is random. The one that ends must be settled if a run was ever opened in it, or a user must want it
/// nevertheless.
pub(super) fn begin(
    branch: &Branch,
    pushed: Option<&Inbox>,
    mut positions: Positions,
    settlement: &Settlement,
    nonce: u64,
) -> Result<NewGeneration, Rejected> {
    let (met, lost) = match settlement {
        Settlement::Settled { met, lost, .. } => (met.clone(), *lost),
        Settlement::NotNeeded | Settlement::Unsettled { .. } => (Vec::new(), None),
    };
    let newest = met.iter().map(|met| met.number).fold(branch.progress.generation.number, u64::max);
    let (settled, unsettled) = match settlement {
        Settlement::Settled { lanes, .. } => (lanes.clone(), None),
        Settlement::NotNeeded | Settlement::Unsettled { .. } if !branch.needs_settlement() => (Vec::new(), None),
        Settlement::NotNeeded => {
            return Err(Rejected::Unsettled { reason: "it was not opened to read its progress".into() });
        }
        Settlement::Unsettled { reason, forced: true } => (Vec::new(), Some(reason.clone())),
        Settlement::Unsettled { reason, forced: false } => {
            return Err(Rejected::Unsettled { reason: reason.clone() });
        }
    };
    let mut discarded = None;
    if let Some(inbox) = pushed {
        inbox.clamp(&mut positions);
        discarded = inbox.discarded(&branch.progress, &settled, &positions);
    }
    let (generation, given_up) = (Generation::new(newest + 1, nonce), Positions::new());
    Ok(NewGeneration {
        generation,
        met,
        positions,
        reached: Positions::new(),
        given_up,
        settled,
        lost,
        retargeted: None,
        discarded,
        passed: Vec::new(),
        notes: Warnings::default(),
        unsettled,
    })
}

/// That of a branch which an update adds: of what was `pushed` it gets what is still kept. `nonce` is random: after a restore, the
/// journal may give the number of one that it has forgotten, and that has written, to another branch.
pub(super) fn of_new_branch(pushed: Option<&Inbox>, nonce: u64) -> NewGeneration {
    let (mut positions, mut notes) = (Positions::new(), Warnings::default());
    if let Some(inbox) = pushed.filter(|inbox| inbox.first() > 0) {
        inbox.clamp(&mut positions);
        notes = [begins_late(inbox.first())].into_iter().collect();
    }
    NewGeneration {
        generation: Generation { nonce, ..Generation::FIRST },
        met: Vec::new(),
        positions,
        reached: Positions::new(),
        given_up: Positions::new(),
        settled: Vec::new(),
        lost: None,
        retargeted: None,
        discarded: None,
        passed: Vec::new(),
        notes,
        unsettled: None,
    }
}
