//! The range of a source that the current generation has read.
use dataflow_api_types::Claims;
use dataflow_core::{
    pipeline::event::LaneProgress,
    position::{Partition, Position, Positions},
};
use dataflow_sdk::{Records, source::Source};
use std::{cmp::Ordering, collections::BTreeMap};

/// A part of a partition: from the first position to the second one.
pub(crate) type Interval = (Partition, Position, Position);

/// The range of each partition.
#[derive(Clone, Debug)]
pub(crate) struct Range<'a> {
    /// What can tell which of two positions comes first.
    source: &'a dyn Source,
    /// Lanes of the generation.
    pub(crate) lanes: u32,
    pub(crate) parts: BTreeMap<Partition, Part>,
    /// The parts that were read before lost records were skipped: the source doesn't have them any more, either.
    pub(crate) gone: Vec<Interval>,
}

/// The range of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its lane.
    pub(crate) lane: u32,
    /// The position from which to read on; `None`: from the beginning.
    pub(crate) from: Option<Position>,
    /// Start and end of this range: everything in it is in the sink.
    pub(crate) begin: Position,
    pub(crate) end: Position,
    /// The journal's position: dead letters before it are listed.
    pub(crate) journalled: Position,
    /// The position up to which it was read again.
    pub(crate) at: Position,
}

impl<'a> Range<'a> {
    /// The range from the start of the generation to the current positions of its lanes.
    pub(crate) fn of(claims: &Claims, reached: &[LaneProgress], source: &'a dyn Source) -> Self {
        let mut journalled = claims.begin.clone();
        for lane in &claims.by_lane {
            journalled.extend(lane.positions.clone());
        }
        let or_beginning = |position: Option<&Position>| position.cloned().unwrap_or_else(|| source.beginning());
        let mut range = Self { source, lanes: claims.lanes.unwrap_or(1), parts: BTreeMap::new(), gone: Vec::new() };
        let all =
            reached.iter().flat_map(|lane| lane.positions.iter().map(|(partition, to)| (lane.lane, partition, to)));
        for (lane, partition, to) in all {
            let mut begin = claims.begin.get(partition);
            let passed = claims.lost.iter().filter(|lost| lost.partition == *partition && lost.from != *to);
            for lost in passed {
                let before = or_beginning(begin);
                if range.is_before(&before, &lost.from) {
                    range.gone.push((partition.clone(), before, lost.from.clone()));
                }
                begin = Some(&lost.to);
            }
            // A file has an identity besides its name: exactly the file that was read is needed, from its beginning on.
            let from = begin.filter(|begin| begin.identity.is_some() || to.identity.is_none()).cloned().or_else(|| {
                let identity = Some(to.identity.clone()?);
                Some(Position { identity, ..or_beginning(begin) })
            });
            let begin = or_beginning(begin);
            let part = Part {
                lane,
                from,
                end: to.clone(),
                journalled: or_beginning(journalled.get(partition)),
                at: begin.clone(),
                begin,
            };
            range.parts.insert(partition.clone(), part);
        }
        range
    }

    /// Whether a position comes before another one of its partition, as far as the source can tell; if it can't, they are taken for
    /// different places that must both be read.
    pub(crate) fn is_before(&self, one: &Position, other: &Position) -> bool {
        one.at != other.at && self.source.order(one, other).is_none_or(Ordering::is_lt)
    }

    /// The one of two positions that comes first.
    pub(crate) fn first(&self, one: &Position, other: &Position) -> Position {
        if self.is_before(other, one) { other.clone() } else { one.clone() }
    }

    /// How many leading records are before a position.
    pub(crate) fn count_before(&self, records: &Records, at: &Position) -> usize {
        let (mut low, mut high) = (0, records.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.is_before(&records.before(middle), at) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The positions from which readers continue.
    pub(crate) fn positions(&self) -> Positions {
        self.parts.iter().filter_map(|(partition, part)| Some((partition.clone(), part.from.clone()?))).collect()
    }

    /// Returns whether all partitions of a lane are read to their end.
    pub(crate) fn is_done(&self, lane: u32) -> bool {
        self.parts.values().all(|part| part.lane != lane || !self.is_before(&part.at, &part.end))
    }

    /// Gives up the unread rest of a lane.
    pub(crate) fn give_up(&mut self, lane: u32) -> Vec<Interval> {
        let of_lane = self.parts.iter().filter(|(_, part)| part.lane == lane && self.is_before(&part.at, &part.end));
        let unread: Vec<Interval> =
            of_lane.map(|(partition, part)| (partition.clone(), part.at.clone(), part.end.clone())).collect();
        for (partition, _, end) in &unread {
            if let Some(part) = self.parts.get_mut(partition) {
                part.at = end.clone();
            }
        }
        unread
    }

    /// The share that was read, from 0 to 1, as far as the source can tell.
    pub(crate) fn share(&self) -> Option<f64> {
        let (mut read, mut all) = (0, 0);
        for part in self.parts.values() {
            let of_part = self.source.between(Some(&part.begin), &part.end)?;
            read += self.source.between(Some(&part.begin), &part.at)?.min(of_part);
            all += of_part;
        }
        (all > 0).then(|| read as f64 / all as f64)
    }
}
