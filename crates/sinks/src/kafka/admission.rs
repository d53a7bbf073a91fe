//! Whether a lane may write, and what has to be written for it first. All of it follows from what the topic of tokens has;
//! nothing here speaks to a server.
use super::{
    ledger::{Entry, Lane, LaneId, Ledger, Opening, is_another, opened},
    topic::Topic,
};
use crate::{
    claim::{Claim, Kind},
    owner::Owner,
};
use dataflow_core::{
    branch::BranchId,
    id::{Generation, Incarnation},
    position::Positions,
    token::{Fence, Token},
};
use dataflow_sdk::{Error, sink::OpenLane};
use std::collections::{BTreeMap, BTreeSet};

/// What is done for a lane that may write.
pub(super) struct Admission {
    /// Lanes whose producers have to be fenced, too, before what they have written is final.
    pub(super) fenced: BTreeSet<LaneId>,
    /// Who has the lane now, and those of earlier generations. Written before others are fenced: they don't come back then.
    pub(super) claim: Vec<Entry>,
    /// What is taken over from others.
    pub(super) taken: Vec<Entry>,
    pub(super) token: Option<Token>,
    pub(super) others: Vec<Token>,
    pub(super) begins: BTreeMap<Generation, Positions>,
}

/// Decides whether a lane may write to a topic. `from`: where that ended before the lane wrote anything.
///
/// # Errors
/// [`Error::Fenced`] if a later writer has opened it; and whatever only a user can decide.
pub(super) fn admit(mut ledger: Ledger, lane: &OpenLane, topic: &Topic, from: Vec<i64>) -> Result<Admission, Error> {
    let own = LaneId::of(&lane.fence);
    let known = ledger.lanes.get(&own);
    if let Some(later) = known.and_then(|own| own.opening.as_ref()).filter(|opened| opened.rank() > lane.fence.rank()) {
        return Err(fenced(lane, later));
    }
    let is_new = known.is_none_or(|own| own.opening.is_none());
    let mut fenced = BTreeSet::new();
    let taken = take_over(&mut ledger, lane, topic, &mut fenced)?;
    let mut claim = Vec::new();

    // Those of generations before this one have ended, unless that was decided without asking the brokers.
    let before = |(id, at): &(&LaneId, &Lane)| {
        let is_open = at.opening.as_ref().is_some_and(|opening| opening.rank() < lane.fence.rank());
        id.is_of(&lane.fence) && id.generation.number < own.generation.number && is_open
    };
    let has_begun = ledger.lanes.get(&own).is_some_and(|own| own.sequence() > 0);
    if lane.fence.lane == 0 && !has_begun {
        for (id, at) in ledger.lanes.iter().filter(before) {
            fenced.insert(id.clone());
            if let Some(opening) = &at.opening {
                let opening = Opening { epoch: lane.fence.epoch, opening: lane.fence.opening, ..opening.clone() };
                let of = Fence { generation: id.generation, lane: id.lane, ..lane.fence.clone() };
                claim.extend(opened(&of, &opening, &Positions::new())?);
            }
        }
    }

    check_claim(&ledger, lane, &topic.name, Some(topic.id.as_deref()))?;
    let opening = Opening {
        journal: lane.journal.clone(),
        epoch: lane.fence.epoch,
        opening: lane.fence.opening,
        topic: topic.name.clone(),
        topic_id: topic.id.as_deref().map(Into::into),
        from,
    };
    let begun = if is_new { lane.begin.clone() } else { Positions::new() };
    claim.extend(opened(&lane.fence, &opening, &begun)?);

    let mut begins: BTreeMap<_, _> = BTreeMap::new();
    begins.insert(own.generation, if is_new { lane.begin.clone() } else { ledger.lanes[&own].began.clone() });
    let mut others = Vec::new();
    for (id, other) in &ledger.lanes {
        let is_other = id.generation != own.generation || id.lane >= lane.lanes;
        if !id.is_of(&lane.fence) || !is_other || other.sequence() == 0 {
            continue;
        }
        // A branch that was never opened has its number from one that this journal has forgotten, if that wrote elsewhere.
        if lane.first && other.opening.as_ref().is_some_and(|opening| opening.topic != topic.name) {
            continue;
        }
        match ledger.token_of(id) {
            // One that the journal knows keeps nobody from going on.
            Err(_) if lane.known.contains(&id.generation) => {}
            token => {
                others.extend(token?);
                begins.entry(id.generation).or_insert_with(|| other.began.clone());
            }
        }
    }
    Ok(Admission { fenced, claim, taken, token: ledger.token_of(&own)?, others, begins })
}

/// Makes what others of this pipeline have written to the topic that of its next generations, or refuses to open beside them.
fn take_over(
    ledger: &mut Ledger,
    lane: &OpenLane,
    topic: &Topic,
    fenced: &mut BTreeSet<LaneId>,
) -> Result<Vec<Entry>, Error> {
    let at_topic = |at: &Lane| at.opening.as_ref().filter(|opening| opening.topic == topic.name).cloned();
    // Also under another number of the branch.
    let is_other = |id: &LaneId| match id.incarnation == lane.fence.incarnation {
        true => id.branch != lane.fence.branch && !lane.siblings.contains(&id.generation),
        false => true,
    };
    let mut owners: BTreeMap<(String, BranchId, Incarnation), (bool, i64, bool)> = BTreeMap::new();
    for (id, at) in ledger.lanes.iter().filter(|(id, _)| is_other(id)) {
        let Some(opening) = at_topic(at) else { continue };
        let gone = is_another(opening.topic_id.as_deref(), topic.id.as_deref());
        let owner =
            owners.entry((opening.journal, id.branch.clone(), id.incarnation.clone())).or_insert((false, -1, true));
        *owner = (owner.0 || at.sequence() > 0, owner.1.max(at.last), owner.2 && gone);
    }
    // Who wrote last comes first.
    let mut owners: Vec<_> = owners.into_iter().collect();
    owners.sort_by_key(|(_, (wrote, last, _))| std::cmp::Reverse((*wrote, *last)));
    let (mut entries, mut adopted) = (Vec::new(), false);
    for ((journal, branch, incarnation), (_, _, gone)) in owners {
        let owner = Owner { journal, incarnation: incarnation.clone() };
        let gone = gone && owner.is_in_the_way(lane);
        if !gone && !owner.is_taken_over(lane, true, &format!("topic {}", topic.name))? {
            continue;
        }
        let adopt = !gone && !std::mem::replace(&mut adopted, true);
        let own = ledger.lanes.keys().filter(|id| id.is_of(&lane.fence)).map(|id| id.generation.number);
        let newest = own.max().unwrap_or(0).max(lane.fence.generation.number);
        let is_theirs = |id: &LaneId| is_other(id) && id.branch == branch && id.incarnation == incarnation;
        let theirs = ledger.lanes.iter().filter(|(id, at)| is_theirs(id) && at_topic(at).is_some());
        for id in theirs.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let next = Generation { number: id.generation.number + newest, ..id.generation };
            let of = lane.fence.clone();
            let into = LaneId { branch: of.branch, incarnation: of.incarnation, generation: next, lane: id.lane };
            if let Some(opening) = ledger.lanes.get_mut(&id).and_then(|at| at.opening.as_mut()) {
                opening.journal.clone_from(&lane.journal);
            }
            entries.extend(ledger.turn(&id, adopt.then_some(into))?);
            fenced.insert(id);
        }
    }
    Ok(entries)
}

/// Checks that a topic which is missing (`id`: none), or has this id now, need not hold any records of the pipeline.
///
/// # Errors
/// If it had some: the user decides.
pub(super) fn check_claim(
    ledger: &Ledger,
    lane: &OpenLane,
    topic: &str,
    id: Option<Option<&str>>,
) -> Result<(), Error> {
    let lost = |(of, at): &(&LaneId, &Lane)| {
        let is_gone = |opening: &Opening| {
            opening.topic == topic && id.is_none_or(|id| is_another(opening.topic_id.as_deref(), id))
        };
        of.is_of(&lane.fence) && at.opening.as_ref().is_some_and(is_gone)
    };
    let written = ledger.lanes.iter().filter(lost).map(|(of, at)| (of.generation, at.rows_written() as i64));
    Claim::of(lane).check(Kind::Topic, topic, id.is_none(), written)
}

/// The error for a writer that a later one has fenced.
pub(super) fn fenced(lane: &OpenLane, later: &Opening) -> Error {
    let fence = &lane.fence;
    Error::Fenced(format!(
        "the topic of tokens has epoch {}, opening {} for pipeline {} (generation {}, lane {}, epoch {}, opening {})",
        later.epoch, later.opening, fence.branch, fence.generation, fence.lane, fence.epoch, fence.opening
    ))
}
