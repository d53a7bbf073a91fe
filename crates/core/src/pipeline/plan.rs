//! The partition plan: how many lanes there are, which reads which partition, and where each begins. It is made when a generation
//! first runs and grows as partitions appear, so what one lane knows never depends on what another has seen.
use super::{
    event::{LaneProgress, Planned},
    progress::Progress,
};
use crate::position::{Partition, Position};
use std::collections::BTreeMap;

/// The lane of each partition. Where they begin is part of the progress. Empty where the source has no list of partitions
/// (files): there each lane finds its own by a rule of the source.
pub type Plan = BTreeMap<Partition, u32>;

impl Progress {
    /// What the plan lacks of what the source has, in its order. A lane that has moved a partition keeps it; another one goes to
    /// the lane with the fewest. Before a lane is open, one that begins elsewhere after all is planned again, in its lane.
    pub(super) fn plan_for(&self, found: &[(Partition, Position)]) -> Vec<Planned> {
        let lanes = self.lanes.unwrap_or(1).max(1) as usize;
        let mut loads = vec![0_usize; lanes];
        for lane in self.plan.values() {
            loads[*lane as usize % lanes] += 1;
        }
        let begins_there = |partition, begin| !self.by_lane.is_empty() || self.begin.get(partition) == Some(begin);
        let new = found.iter().filter(|(name, begin)| !self.plan.contains_key(name) || !begins_there(name, begin));
        let place = |(partition, begin): &(Partition, Position)| {
            if let Some(lane) = self.plan.get(partition) {
                return Planned { partition: partition.clone(), lane: *lane, begin: begin.clone() };
            }
            let mover = self.by_lane.values().find(|lane| lane.positions.contains_key(partition));
            let idlest = (0_u32..).zip(&loads).min_by_key(|(_, load)| **load).map_or(0, |(lane, _)| lane);
            let lane = mover.map_or(idlest, |lane| lane.lane);
            loads[lane as usize % lanes] += 1;
            Planned { partition: partition.clone(), lane, begin: begin.clone() }
        };
        new.map(place).collect()
    }

    /// Gives the partitions to so many lanes, none of which was ever open.
    pub(super) fn spread(&mut self, lanes: u32) {
        self.lanes = Some(lanes);
        for (planned, lane) in self.plan.values_mut().zip((0..lanes).cycle()) {
            *planned = lane;
        }
    }

    /// Leaves a lane the partitions that it has moved, as a sink says that knows more than the journal.
    pub(super) fn keep_moved(&mut self, lane: &LaneProgress) {
        for partition in lane.positions.keys() {
            if let Some(planned) = self.plan.get_mut(partition) {
                *planned = lane.lane;
            }
        }
    }

    /// Takes partitions into the plan, and how many lanes there are from now on; none if one is there already and a lane was
    /// opened, or its lane is not there, or the number of lanes is fixed.
    pub(super) fn extend_plan(&mut self, planned: &[Planned], lanes: Option<u32>) -> Option<()> {
        if let Some(lanes) = lanes {
            self.by_lane.is_empty().then_some(())?;
            self.spread(lanes);
        }
        for Planned { partition, lane, begin } in planned {
            let before = self.plan.insert(partition.clone(), *lane);
            if *lane >= self.lanes? || before.is_some() && !self.by_lane.is_empty() {
                return None;
            }
            if before.is_some() || self.position(&partition.0).is_none() {
                let instead = self.begin.insert(partition.clone(), begin.clone());
                // What lies before it is not the pipeline's to read.
                if self.reached.get(partition) == instead.as_ref() {
                    self.reached.insert(partition.clone(), begin.clone());
                }
            }
        }
        Some(())
    }
}
