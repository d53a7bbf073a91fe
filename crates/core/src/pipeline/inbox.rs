//! The records pushed to a pipeline.
use super::{
    batches::{Batches, Received},
    event::{Event, LaneProgress, Lost, NewGeneration},
    progress::Progress,
};
use crate::{
    chunk::ChunkId,
    id::{BatchId, SourceName},
    position::{Partition, Position, Positions},
    shard::{FNV_BASIS, fnv1a},
    warned::Warned,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Records that were pushed to a pipeline whose source accepts them.
///
/// Its one partition is [`Inbox::PARTITION`], and a position in it is the number of records before it. A batch leaves
/// [`pending`](Self::pending) once the pipeline's position has passed it, and its chunk may be collected then. So a reset
/// to the beginning goes back to the first record that is still pending, not to the first that ever came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    /// Records received in all.
    pub received: u64,
    /// Batches that the checkpoint has not passed yet, oldest first.
    pub pending: VecDeque<Pending>,
    /// Bytes of [`Self::pending`] together.
    pub bytes: u64,
    /// Identifies the records received in this order: see [`InboxDigest`].
    pub digest: InboxDigest,
    /// The last batches, by id.
    pub seen: Batches,
}

/// A batch that waits to be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Records before it.
    pub from: u64,
    /// Records with it.
    pub to: u64,
    /// Bytes of its body.
    pub bytes: u64,
    /// Where its body is.
    pub chunk: ChunkId,
    /// The digest up to its end.
    pub digest: InboxDigest,
}

/// All batches up to one, in their order, folded into a number. A sink's position with a digest that this inbox has not had
/// is of records that another inbox has received: the journal was restored from an older copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InboxDigest(pub u64);

impl InboxDigest {
    /// With one more batch: FNV-1a (64 bit) over its id, its hash and the number of records with it.
    fn with(self, batch: &BatchId, hash: &str, to: u64) -> Self {
        let bytes = batch.as_str().bytes().chain([0]).chain(hash.bytes()).chain(to.to_le_bytes());
        Self(fnv1a(self.0 ^ FNV_BASIS, bytes))
    }
}

impl std::fmt::Display for InboxDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Inbox {
    /// The name of its one partition, where its source has no name.
    pub const PARTITION: &str = "http";

    /// The name of its one partition. That of a source with a name begins with it: no name has a colon.
    pub fn partition(source: Option<&SourceName>) -> Partition {
        match source {
            None => Self::PARTITION.into(),
            Some(name) => format!("{name}:{}", Self::PARTITION).as_str().into(),
        }
    }

    /// How many of the records that were pushed are read at these positions.
    pub fn read_before(positions: &Positions) -> u64 {
        positions.get(Self::PARTITION).and_then(Position::as_offset).unwrap_or(0)
    }

    /// The same but for the ids of batches, which are many: only pushes need them.
    pub(super) fn without_ids(&self) -> Self {
        let Self { received, pending, bytes, digest, seen: _ } = self;
        Self { received: *received, pending: pending.clone(), bytes: *bytes, digest: *digest, seen: Batches::default() }
    }

    /// Bytes that wait.
    pub fn pending_bytes(&self) -> u64 {
        self.bytes
    }

    /// The position of the first record that can still be read.
    pub fn first(&self) -> u64 {
        self.pending.front().map_or(self.received, |batch| batch.from)
    }

    /// The pending batch that a record is in.
    pub fn holding(&self, record: u64) -> Option<&Pending> {
        let batch = self.pending.get(self.pending.partition_point(|batch| batch.to <= record));
        batch.filter(|batch| batch.from <= record)
    }

    /// Whether the records before a position of this inbox were received by it, and no others.
    pub fn has_received(&self, position: &Position) -> bool {
        let Some(at) = position.as_offset() else { return false };
        let before = at.checked_sub(1).and_then(|last| self.holding(last));
        match (before, &position.identity) {
            (Some(batch), Some(digest)) => batch.digest.to_string() == **digest,
            _ => at <= self.received,
        }
    }

    /// Whether it has received as many records as there are before a position, be they others.
    pub fn has_as_many(&self, position: &Position) -> bool {
        position.as_offset().is_some_and(|at| at <= self.received)
    }

    /// The position of the first record whose body is in a chunk of this beginning of a name; the end if there is none.
    pub fn first_in(&self, chunks: &str) -> u64 {
        let first = self.pending.iter().find(|batch| batch.chunk.0.starts_with(chunks));
        first.map_or(self.received, |batch| batch.from)
    }

    /// Puts the position where a new generation begins between the first record that is still here and the last one.
    pub(super) fn clamp(&self, positions: &mut Positions) {
        let wanted = positions.get(Self::PARTITION);
        let possible = self.nearest(wanted);
        if wanted.and_then(Position::as_offset) != Some(possible) {
            positions.insert(Self::PARTITION.into(), Position::offset(possible));
        }
    }

    /// The nearest place to a position at which there is something to read, or will be.
    fn nearest(&self, position: Option<&Position>) -> u64 {
        position.and_then(Position::as_offset).unwrap_or(0).clamp(self.first(), self.received)
    }

    /// The records that a generation passes over which begins at `begin` after the one that is `settled`, and how many of them
    /// are pending: others were delivered to a target that has lost them since, which its counts say. Where the sink's position
    /// says nothing of them, none is known to be delivered but what the journal says.
    pub fn discarded(&self, progress: &Progress, settled: &[LaneProgress], begin: &Positions) -> Option<Lost> {
        let mut current = progress.positions_with(settled);
        let reached = current.remove(Self::PARTITION).filter(|at| self.has_received(at));
        let reached = reached.as_ref().or_else(|| progress.position(Self::PARTITION)).and_then(Position::as_offset);
        let from = reached.unwrap_or(self.first()).min(self.received);
        let to = self.nearest(begin.get(Self::PARTITION));
        (from < to).then(|| Lost {
            partition: Self::PARTITION.into(),
            from: Position::offset(from),
            to: Position::offset(to),
            records: to.saturating_sub(from.max(self.first())),
        })
    }

    /// Forgets the batches of which all is in each of these, so that they may be pushed again. Of others a part was delivered or
    /// will be, which must not come twice.
    pub(super) fn forget(&mut self, given_up: &[Lost]) -> Option<()> {
        let (mut from, mut to) = (0, u64::MAX);
        for lost in given_up {
            (from, to) = (from.max(lost.from.as_offset()?), to.min(lost.to.as_offset()?));
        }
        self.seen.forget(from, to);
        Some(())
    }

    /// Takes in a [`Event::BatchReceived`]; none if it does not continue what was received before.
    pub(super) fn receive(&mut self, event: &Event) -> Option<()> {
        let Event::BatchReceived { source: _, batch_id, hash, from, to, bytes, chunk } = event else { return None };
        if *from != self.received || to < from || self.seen.get(batch_id).is_some() {
            return None;
        }
        self.received = *to;
        if to > from {
            self.digest = self.digest.with(batch_id, hash, *to);
            let chunk = chunk.clone();
            self.pending.push_back(Pending { from: *from, to: *to, bytes: *bytes, chunk, digest: self.digest });
            self.bytes += bytes;
        }
        self.seen.remember(batch_id.clone(), Received { hash: hash.clone(), from: *from, to: *to });
        Some(())
    }

    /// Lets go of the batches that lie before `position`.
    pub(super) fn pass(&mut self, position: u64) {
        while let Some(batch) = self.pending.pop_front_if(|batch| batch.to <= position) {
            self.bytes = self.bytes.saturating_sub(batch.bytes);
        }
    }
}

/// The code of the warning that a sink began after records had gone.
pub(super) const BEGINS_LATE: &str = "begins-late";

/// What to know of a branch that begins when so many pushed records are no longer kept.
pub(super) fn begins_late(gone: u64) -> Warned {
    let message =
        "records that were pushed before the sink was added are no longer stored: the sink gets only later ones".into();
    Warned { code: BEGINS_LATE.into(), subject: String::new(), message, records: gone }
}

/// The pushed records that a branch has given up once a generation begins: what it gave up before stays so unless it goes back.
pub(super) fn given_up(before: Option<Lost>, next: &NewGeneration) -> Option<Lost> {
    let at = next.positions.get(Inbox::PARTITION).and_then(Position::as_offset);
    match (before.filter(|before| at >= before.to.as_offset()), next.discarded.clone()) {
        (Some(before), Some(new)) if before.to == new.from => {
            Some(Lost { from: before.from, records: before.records + new.records, ..new })
        }
        (before, new) => new.or(before),
    }
}
