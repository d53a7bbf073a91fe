//! What the topic of tokens holds of one pipeline: for each lane of each of its generations, who opened it, where the
//! generation began, the last commit, and the positions, each in a record of its own. So a commit writes the positions that
//! it has moved, however many there are, and compaction keeps the last of each.
use super::topic::Topic;
use dataflow_core::{
    branch::BranchId,
    chunk::ChunkRef,
    id::{Epoch, Generation, Incarnation},
    ledger::Counters,
    position::{Partition, Position, Positions},
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{Error, sink::Traces};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Which lane of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId {
    pub(super) branch: BranchId,
    pub(super) incarnation: Incarnation,
    pub(super) generation: Generation,
    pub(super) lane: u32,
}

impl LaneId {
    pub(super) fn of(fence: &Fence) -> Self {
        let Fence { branch, incarnation, generation, lane, .. } = fence.clone();
        Self { branch, incarnation, generation, lane }
    }

    /// Whether it is a lane of the branch that opens.
    pub(super) fn is_of(&self, fence: &Fence) -> bool {
        (&self.branch, &self.incarnation) == (&fence.branch, &fence.incarnation)
    }

    /// The id of the transactions of this lane: an opening fences whoever has used it before. `tokens`: the topic of tokens.
    pub(super) fn transactional_id(&self, tokens: &str) -> String {
        format!("{tokens}-{}-{}-{}-{}", self.branch, self.incarnation, self.generation, self.lane)
    }
}

/// The key of a record: `["orders","1-a","2-5f3a",0,{"at":"user-events/0"}]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key(BranchId, Incarnation, Generation, u32, Part);

/// What a record holds of its lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    /// Who opened it last: an [`Opening`].
    Opening,
    /// The last commit: a [`Commit`].
    Commit,
    /// Where the generation began with a partition.
    Began(Partition),
    /// The position of a partition.
    At(Partition),
}

/// Who opened a lane last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Opening {
    /// The id of the journal.
    pub(super) journal: String,
    pub(super) epoch: Epoch,
    pub(super) opening: u64,
    /// The topic that it writes to, and its id.
    pub(super) topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) topic_id: Option<String>,
    /// Where each partition of that topic ended before the lane wrote to it: what is before is not its own.
    pub(super) from: Vec<i64>,
}

impl Opening {
    pub(super) fn rank(&self) -> (Epoch, u64) {
        (self.epoch, self.opening)
    }

    /// Whether it is of this very topic.
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        self.topic == topic.name && !is_another(self.topic_id.as_deref(), topic.id.as_deref())
    }
}

/// The last commit of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    epoch: Epoch,
    opening: u64,
    sequence: u64,
    /// How many positions belong to it.
    partitions: usize,
    counters: Counters,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<ChunkRef>,
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    warnings: Warnings,
}

/// What there is of a lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) opening: Option<Opening>,
    pub(super) began: Positions,
    commit: Option<Commit>,
    pub(super) positions: Positions,
    /// Where its last record is: what was written last has the greatest.
    pub(super) last: i64,
    /// Why a record of it can't be read.
    broken: Option<String>,
}

/// A record to write; without a value, what had its key is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl Lane {
    /// The number of its last commit.
    pub(super) fn sequence(&self) -> u64 {
        self.commit.as_ref().map_or(0, |commit| commit.sequence)
    }

    pub(super) fn rows_written(&self) -> u64 {
        self.commit.as_ref().map_or(0, |commit| commit.counters.rows_written)
    }

    /// All records of it, under an id.
    fn entries(&self, id: &LaneId) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for (partition, at) in &self.began {
            entries.push(entry(id, Part::Began(partition.clone()), Some(at))?);
        }
        for (partition, at) in &self.positions {
            entries.push(entry(id, Part::At(partition.clone()), Some(at))?);
        }
        if let Some(opening) = &self.opening {
            entries.push(entry(id, Part::Opening, Some(opening))?);
        }
        if let Some(commit) = &self.commit {
            entries.push(entry(id, Part::Commit, Some(commit))?);
        }
        Ok(entries)
    }
}

fn entry<T: Serialize>(id: &LaneId, part: Part, value: Option<&T>) -> Result<Entry, Error> {
    let key = Key(id.branch.clone(), id.incarnation.clone(), id.generation, id.lane, part);
    let failed = |error| Error::fatal("internal", format!("a token can't be written: {error}"));
    let value = value.map(serde_json::to_vec).transpose().map_err(failed)?;
    Ok(Entry { key: serde_json::to_vec(&key).map_err(failed)?, value })
}

/// The records of an opening; of where the generation began, only if nobody has said it before.
pub(super) fn opened(fence: &Fence, opening: &Opening, began: &Positions) -> Result<Vec<Entry>, Error> {
    let lane = Lane { opening: Some(opening.clone()), began: began.clone(), ..Lane::default() };
    lane.entries(&LaneId::of(fence))
}

/// The records of a commit that goes on from these positions.
pub(super) fn committed(token: &Token, before: &Positions) -> Result<Vec<Entry>, Error> {
    let Token { fence, sequence, positions, counters, chunks, warnings, version: _ } = token;
    let moved = |(partition, at): &(&Partition, &Position)| before.get(*partition) != Some(at);
    let moved = positions.iter().filter(moved).map(|(partition, at)| (partition.clone(), at.clone()));
    let commit = Commit {
        epoch: fence.epoch,
        opening: fence.opening,
        sequence: *sequence,
        partitions: positions.len(),
        counters: *counters,
        chunks: chunks.clone(),
        warnings: warnings.clone(),
    };
    let lane = Lane { commit: Some(commit), positions: moved.collect(), ..Lane::default() };
    let mut entries = lane.entries(&LaneId::of(fence))?;
    for gone in before.keys().filter(|partition| !positions.contains_key(*partition)) {
        entries.push(entry::<()>(&LaneId::of(fence), Part::At(gone.clone()), None)?);
    }
    Ok(entries)
}

/// Which lane of which pipeline wrote a record.
pub(super) fn writer(key: &[u8]) -> Option<LaneId> {
    let Key(branch, incarnation, generation, lane, _) = serde_json::from_slice(key).ok()?;
    Some(LaneId { branch, incarnation, generation, lane })
}

/// What there is of a branch, and of others of its pipeline.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) branch: BranchId,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
}

impl Ledger {
    pub(super) fn new(branch: BranchId) -> Self {
        Self { branch, lanes: BTreeMap::new() }
    }

    /// Takes in a record, if it is of the pipeline.
    ///
    /// # Errors
    /// If its key says that it is, and nothing else that is known.
    pub(super) fn take(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) -> Result<(), Error> {
        let start = format!("[\"{}", self.branch.pipeline());
        let next = key.strip_prefix(start.as_bytes()).and_then(<[u8]>::first);
        if !matches!(next, Some(b'"' | b'/')) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(key);
        let Key(branch, incarnation, generation, number, part) = serde_json::from_slice(key)
            .map_err(|error| unreadable(&format!("the key {shown} in the topic of tokens: {error}")))?;
        let lane = self.lanes.entry(LaneId { branch, incarnation, generation, lane: number }).or_default();
        lane.last = offset;
        let taken = match part {
            Part::Opening => read(value).map(|opening| lane.opening = opening),
            Part::Commit => read(value).map(|commit| lane.commit = commit),
            Part::Began(partition) => read(value).map(|at| put(&mut lane.began, partition, at)),
            Part::At(partition) => read(value).map(|at| put(&mut lane.positions, partition, at)),
        };
        if let Err(error) = taken {
            lane.broken = Some(format!("the value of {shown} at offset {offset} in the topic of tokens: {error}"));
        }
        Ok(())
    }

    /// The token of a lane; none: nothing was committed.
    ///
    /// # Errors
    /// If a record of it can't be read, or one is missing.
    pub(super) fn token_of(&self, id: &LaneId) -> Result<Option<Token>, Error> {
        let Some(lane) = self.lanes.get(id) else { return Ok(None) };
        if let Some(broken) = &lane.broken {
            return Err(unreadable(broken));
        }
        let Some(commit) = &lane.commit else { return Ok(None) };
        if lane.positions.len() != commit.partitions {
            return Err(unreadable(&format!(
                "the token of pipeline {}, lane {} in the topic of tokens: it has the positions of {} of {} partitions",
                id.branch,
                id.lane,
                lane.positions.len(),
                commit.partitions
            )));
        }
        Ok(Some(Token {
            fence: Fence {
                branch: id.branch.clone(),
                incarnation: id.incarnation.clone(),
                generation: id.generation,
                lane: id.lane,
                epoch: commit.epoch,
                opening: commit.opening,
            },
            sequence: commit.sequence,
            positions: lane.positions.clone().into(),
            counters: commit.counters,
            chunks: commit.chunks.clone(),
            warnings: commit.warnings.clone(),
            version: 0,
        }))
    }

    /// Where the topic ended before a lane wrote anything; none: it has not written anything.
    pub(super) fn from(&self, id: &LaneId, topic: &Topic) -> Option<Vec<i64>> {
        let lane = self.lanes.get(id).filter(|lane| lane.sequence() > 0)?;
        Some(lane.opening.as_ref().filter(|opening| opening.is_of(topic))?.from.clone())
    }

    /// The token of the lane of a fence.
    pub(super) fn token(&self, fence: &Fence) -> Result<Option<Token>, Error> {
        self.token_of(&LaneId::of(fence))
    }

    /// Makes the records of a lane those of another; what has to be written for it. None: they are removed.
    pub(super) fn turn(&mut self, from: &LaneId, into: Option<LaneId>) -> Result<Vec<Entry>, Error> {
        let Some(lane) = self.lanes.remove(from) else { return Ok(Vec::new()) };
        let mut entries = lane.entries(from)?;
        entries.iter_mut().for_each(|entry| entry.value = None);
        if let Some(into) = into {
            entries.extend(lane.entries(&into)?);
            self.lanes.insert(into, lane);
        }
        Ok(entries)
    }

    /// Whether what a pipeline wrote last went to this very topic.
    pub(super) fn has_traces(&self, traces: &Traces, topic: &str, id: Option<&str>) -> bool {
        let of_pipeline = self.lanes.iter().filter(|(lane, _)| {
            lane.branch == traces.branch
                && lane.incarnation == traces.incarnation
                && traces.generations.contains(&lane.generation)
        });
        let last = of_pipeline.max_by_key(|(_, lane)| lane.last).and_then(|(_, lane)| lane.opening.as_ref());
        last.is_some_and(|opening| opening.topic == topic && !is_another(opening.topic_id.as_deref(), id))
    }
}

/// Whether two ids are known to be of different topics.
pub(super) fn is_another(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_some() && other.is_some() && one != other
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> serde_json::Result<Option<T>> {
    value.map(serde_json::from_slice).transpose()
}

fn put(positions: &mut Positions, partition: Partition, at: Option<Position>) {
    match at {
        Some(at) => drop(positions.insert(partition, at)),
        None => drop(positions.remove(&partition)),
    }
}

fn unreadable(what: &str) -> Error {
    Error::fatal("token-unreadable", format!("{what} can't be read"))
        .fix("restore the topic, or force a reset of the checkpoint")
        .for_user()
}
