//! The range of a source that the current generation has read.
use dataflow_core::{
    pipeline::event::LaneProgress,
    position::{Partition, Position, Positions},
};
use dataflow_engine::claims::Claims;
use std::collections::BTreeMap;

/// The range of each partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range {
    /// Lanes of the generation.
    pub(crate) lanes: u32,
    pub(crate) parts: BTreeMap<Partition, Part>,
    /// The parts that were read before lost records were skipped: the source doesn't have them any more, either.
    pub(crate) gone: Vec<(Partition, u64, u64)>,
}

/// The range of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its lane.
    pub(crate) lane: u32,
    /// The position from which to read on; `None`: from the beginning.
    pub(crate) from: Option<Position>,
    /// Start and end of this range as numbers: everything in it is in the sink.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The journal's position: dead letters before it are listed.
    pub(crate) journalled: u64,
    /// The position up to which it was read again.
    pub(crate) at: u64,
}

impl Range {
    /// The range from the start of the generation to the current positions of its lanes.
    pub(crate) fn of(claims: &Claims, reached: &[LaneProgress]) -> Self {
        let mut journalled = claims.begin.clone();
        for lane in &claims.by_lane {
            journalled.extend(lane.positions.clone());
        }
        let (mut parts, mut gone) = (BTreeMap::new(), Vec::new());
        let all =
            reached.iter().flat_map(|lane| lane.positions.iter().map(|(partition, to)| (lane.lane, partition, to)));
        for (lane, partition, to) in all {
            let number = |position: Option<&Position>| position.and_then(Position::as_offset).unwrap_or(0);
            let mut begin = claims.begin.get(partition);
            let passed = claims.lost.iter().filter(|lost| lost.partition == *partition && lost.from != *to);
            for lost in passed {
                let (before, from) = (number(begin), number(Some(&lost.from)));
                if before < from {
                    gone.push((partition.clone(), before, from));
                }
                begin = Some(&lost.to);
            }
            // A file has an identity besides its name: exactly the file that was read is needed, from its beginning on.
            let known = to.identity.as_ref().map(|identity| Position::offset(0).of(identity));
            let from = begin.filter(|begin| begin.identity.is_some() || known.is_none()).cloned().or_else(|| {
                known.map(|known| Position { at: begin.map_or(known.at.clone(), |begin| begin.at.clone()), ..known })
            });
            let part = Part {
                lane,
                from,
                begin: number(begin),
                end: number(Some(to)),
                journalled: number(journalled.get(partition)),
                at: number(begin),
            };
            parts.insert(partition.clone(), part);
        }
        Self { lanes: claims.lanes.unwrap_or(1), parts, gone }
    }

    /// The positions from which readers continue.
    pub(crate) fn positions(&self) -> Positions {
        self.parts.iter().filter_map(|(partition, part)| Some((partition.clone(), part.from.clone()?))).collect()
    }

    /// Returns whether all partitions of a lane are read to their end.
    pub(crate) fn is_done(&self, lane: u32) -> bool {
        self.parts.values().all(|part| part.lane != lane || part.at >= part.end)
    }

    /// Gives up the unread rest of a lane.
    pub(crate) fn give_up(&mut self, lane: u32) -> Vec<(Partition, u64, u64)> {
        let unread = self.parts.iter_mut().filter(|(_, part)| part.lane == lane && part.at < part.end);
        unread
            .map(|(partition, part)| (partition.clone(), std::mem::replace(&mut part.at, part.end), part.end))
            .collect()
    }

    /// The share that was read, from 0 to 1.
    pub(crate) fn share(&self) -> Option<f64> {
        let (mut read, mut all) = (0, 0);
        for part in self.parts.values() {
            read += part.at.min(part.end).saturating_sub(part.begin);
            all += part.end.saturating_sub(part.begin);
        }
        (all > 0).then(|| read as f64 / all as f64)
    }
}
