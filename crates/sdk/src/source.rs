//! Sources: where records come from.
use crate::{
    Context, Error, Problem, Records,
    batch::Notice,
    extent::{self, Extent, Extents},
};
use async_trait::async_trait;
use dataflow_core::{
    pipeline::Plan,
    position::{Partition, Position, Positions},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// A checked source, ready to be opened. Holds no connection.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Whether it can only be read in one lane.
    fn single_lane(&self) -> bool {
        false
    }

    /// The partitions that are there now, in order. Asked until a run of the generation was opened, to choose the number of
    /// lanes. A source that is always read in one lane returns one partition or none.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn partitions(&self, cx: &Context) -> Result<Vec<Partition>, Error>;

    /// The partitions that are there now, in order, and where to read each: where it is `known` to be, or where it begins. The
    /// run journals where new ones begin and gives them to lanes before they are read. None: the source has no list of partitions that the journal
    /// could keep; each lane finds its own by a rule.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn plan(&self, cx: &Context, known: &Positions) -> Result<Vec<(Partition, Position)>, Error> {
        let _ = (cx, known);
        Ok(Vec::new())
    }

    /// Opens a reader for one lane. Called by the run at its start and again after each failure; the last reader is
    /// dropped before.
    ///
    /// # Errors
    /// [`Error::PositionLost`] if a position is not there any more and the spec says `fail`.
    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error>;

    /// The position before the very first record of a partition.
    fn beginning(&self) -> Position {
        Position::offset(0)
    }

    /// Which of two positions of a partition comes first; none: that can't be told. Nobody but the source reads anything into a
    /// position. By default it is a number.
    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        Some(one.as_offset()?.cmp(&other.as_offset()?))
    }

    /// How many records (or, for files, bytes) there are at most from one position of a partition (none: its very beginning) to
    /// another; 0 if that comes first. None: that can't be told.
    fn between(&self, from: Option<&Position>, to: &Position) -> Option<u64> {
        let from = from.map_or(Some(0), Position::as_offset)?;
        Some(to.as_offset()?.saturating_sub(from))
    }

    /// Whether two positions of a partition may be of the same topic or file: not of another one that took its name.
    fn is_same(&self, one: &Position, other: &Position) -> bool {
        one.identity.is_none() || other.identity.is_none() || one.identity == other.identity
    }

    /// Whether a partition may have another name later, such as a log that is rotated: what was said of its records before names
    /// the old one.
    fn renames(&self) -> bool {
        false
    }

    /// Positions for a reset of the checkpoint.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error>;

    /// Where a reader is to go on once a user has chosen `to` instead of `from`: with what makes it say what is lost of
    /// the records after `from` that are gone for good, and with the positions that it passes over for that.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn given_up(&self, cx: &Context, from: &Positions, to: Positions) -> Result<Positions, Error> {
        let _ = (cx, from);
        Ok(to)
    }

    /// The line of its file at which each of these records begins, from 1, for people who look for it; none where the source
    /// has no lines, has the record no longer, or would have to read too much.
    async fn lines(&self, cx: &Context, records: Vec<Placed>) -> Vec<Option<u64>> {
        let _ = cx;
        vec![None; records.len()]
    }

    /// The extent of each partition.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn extents(&self, cx: &Context) -> Result<Extents, Error> {
        let first = self.resolve(cx, &Edge::Beginning).await?;
        let mut last = self.resolve(cx, &Edge::End).await?;
        let extent = |(partition, first)| {
            let last = last.remove(&partition);
            (partition, Extent { first, last })
        };
        Ok(first.into_iter().map(extent).collect())
    }

    /// How many records lie from one position to a later one, of each partition of `to` of which the source can tell. One that is
    /// missing in `from` was never read.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        Ok(extent::count(self, &self.extents(cx).await?, from, to))
    }

    /// Number of records (or, for files, bytes) that wait at the source after these positions, as [`Reader::lag`] says while
    /// there is a reader. None: that can't be told.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn lag(&self, cx: &Context, at: &Positions) -> Result<Option<u64>, Error> {
        let ends = self.resolve(cx, &Edge::End).await?;
        let waits = |(partition, end): (&Partition, &Position)| {
            self.between(at.get(partition).filter(|at| self.is_same(at, end)), end)
        };
        Ok(ends.iter().map(waits).sum())
    }

    /// What its lag counts.
    fn lag_unit(&self) -> LagUnit {
        LagUnit::Records
    }

    /// The positions that a user names for a pipeline that is `at` others, as this source takes them; or all that is wrong with them.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn place(
        &self,
        cx: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let _ = at;
        Ok(extent::place(&self.extents(cx).await?, named))
    }
}

/// What is counted of that which waits at a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagUnit {
    /// Records.
    #[default]
    Records,
    /// Bytes, as nobody knows how many records they are.
    Bytes,
}

/// A record that was read, and where.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its partition.
    pub partition: Partition,
    /// Where it begins in it.
    pub position: Position,
    /// Its bytes, as far as they were kept.
    pub bytes: Vec<u8>,
}

/// The effect of a source's new settings on a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Reading continues from it.
    Yes,
    /// Its partition is not read any more. The position is kept for a source that reads it again, as long as something
    /// else is read on.
    Unread,
    /// It says nothing any more: its partition is read from where the source begins.
    No,
}

/// The part of a source that one lane reads, and from where.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// This lane. Without a [plan](Source::plan) it reads its share of the partitions, also of those that appear later: the source
    /// spreads them so that every partition belongs to exactly one lane.
    pub lane: u32,
    /// Number of lanes.
    pub lanes: u32,
    /// Where to continue. A missing partition is read from its beginning. May hold partitions of other lanes.
    pub positions: Positions,
    /// Which lane reads which partition, of a source that has a [plan](Source::plan).
    pub plan: Plan,
    /// Where reading goes on in partitions whose positions were found lost already: the journal has it, and no commit has passed
    /// it yet. What the user's `onPositionLost` meant then, it means still.
    pub passed: Positions,
}

impl Assignment {
    /// The partitions that the plan assigns to this lane, and where to read each; `None`: from its beginning.
    pub fn planned(&self) -> BTreeMap<Partition, Option<Position>> {
        let mine = self.plan.iter().filter(|(_, lane)| **lane == self.lane);
        mine.map(|(partition, _)| (partition.clone(), self.positions.get(partition).cloned())).collect()
    }
}

/// Where to continue after a reset, and where a partition begins that was never read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Edge {
    /// From the first record that is there.
    Beginning,
    /// After the last existing record.
    End,
}

impl std::fmt::Display for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Beginning => "the beginning",
            Self::End => "the end",
        })
    }
}

/// An open reader of one lane. The run calls [`read`](Self::read) again and again; between calls nothing is owed.
#[async_trait]
pub trait Reader: Send {
    /// The next records: as many as wait, at most `batch.maxRecords` and about `batch.maxBytes`, after lingering for
    /// more no longer than `batch.linger` once there is one. All of one partition. Waits while there is none.
    ///
    /// # Errors
    /// See [`Error`]; the reader is dropped after any.
    async fn read(&mut self) -> Result<Read, Error>;

    /// Number of records (or, for files, bytes) that wait at the source, if it can be told without asking it.
    fn lag(&self) -> Option<u64> {
        None
    }

    /// What a user should know that stops nothing (a directory among the files), each said once, and what of it is over. Asked
    /// after each [`read`](Self::read), and every now and then while nothing comes.
    fn warnings(&mut self) -> Vec<Notice>;

    /// Partitions that have appeared and are not planned yet, and where each begins; each is said once, by any lane. Asked every
    /// now and then.
    fn appeared(&mut self) -> Vec<(Partition, Position)> {
        Vec::new()
    }

    /// From now on it reads these partitions, too.
    fn assign(&mut self, planned: Positions) {
        let _ = planned;
    }

    /// These positions are in the journal. For tools that watch a consumer group; nothing depends on it.
    fn checkpointed(&mut self, positions: &Positions) {
        let _ = positions;
    }

    /// Gives back connections, threads and files. A [`read`](Self::read) that nobody waits for any more may still go on.
    async fn close(self: Box<Self>);
}

/// The result of a read.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the small variant comes once, at the end")]
pub enum Read {
    /// Records, or an interval without any (only blank lines, or lost).
    Records(Records),
    /// A bounded source has ended: there will never be more.
    End,
}
